package lines;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.source.ConnectorTransactionBoundaries;
import org.apache.kafka.connect.source.ExactlyOnceSupport;
import org.apache.kafka.connect.source.SourceConnector;

/** The lines of files, also those that are appended later; each file belongs to one task. */
public final class LinesSource extends SourceConnector {
    static final ConfigDef CONFIG = new ConfigDef()
        .define("files", Type.LIST, Importance.HIGH, "the files to read")
        .define("topic", Type.STRING, Importance.HIGH, "where their lines go")
        .define("poll.lines", Type.INT, 10, Importance.LOW, "lines of one poll at most")
        .define("poll.pause.ms", Type.LONG, 20L, Importance.LOW, "pause before a poll")
        .define("transaction.lines", Type.INT, 50, Importance.LOW, "lines of a transaction whose boundaries the connector defines");

    private Map<String, String> properties;

    @Override
    public void start(Map<String, String> properties) {
        this.properties = properties;
    }

    @Override
    public Class<? extends Task> taskClass() {
        return LinesSourceTask.class;
    }

    @Override
    public List<Map<String, String>> taskConfigs(int most) {
        List<String> files = CONFIG.parse(properties).get("files") instanceof List<?> list ? list.stream().map(String::valueOf).toList() : List.of();
        List<Map<String, String>> tasks = new ArrayList<>();
        for (int f = 0; f < files.size(); f++) {
            if (f < most) tasks.add(new HashMap<>(properties));
            if (f < most) tasks.get(f).put("files", files.get(f));
            else tasks.get(f % most).merge("files", files.get(f), (some, more) -> some + "," + more);
        }
        return tasks;
    }

    @Override
    public ExactlyOnceSupport exactlyOnceSupport(Map<String, String> properties) {
        return ExactlyOnceSupport.SUPPORTED;
    }

    @Override
    public ConnectorTransactionBoundaries canDefineTransactionBoundaries(Map<String, String> properties) {
        return ConnectorTransactionBoundaries.SUPPORTED;
    }

    @Override
    public boolean alterOffsets(Map<String, String> properties, Map<Map<String, ?>, Map<String, ?>> offsets) {
        return true;
    }

    @Override
    public void stop() {}

    @Override
    public ConfigDef config() {
        return CONFIG;
    }

    @Override
    public String version() {
        return "1";
    }
}
