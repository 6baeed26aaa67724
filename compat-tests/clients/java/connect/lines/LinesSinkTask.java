package lines;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.Map;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;

public final class LinesSinkTask extends SinkTask {
    private Path file;

    @Override
    public void start(Map<String, String> properties) {
        file = Path.of(properties.get("file"));
    }

    /** One write for all, so that what two tasks append does not mix. */
    @Override
    public void put(Collection<SinkRecord> records) {
        StringBuilder lines = new StringBuilder();
        for (SinkRecord record : records) {
            lines.append(record.kafkaPartition()).append(' ').append(record.kafkaOffset()).append(' ')
                .append(record.key()).append(' ').append(record.value()).append('\n');
        }
        try {
            Files.writeString(file, lines, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException failure) {
            throw new ConnectException(failure);
        }
    }

    @Override
    public void stop() {}

    @Override
    public String version() {
        return "1";
    }
}
