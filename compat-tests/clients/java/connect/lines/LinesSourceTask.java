package lines;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTask;
import org.apache.kafka.connect.source.TransactionContext;

/** A line has its file's name and its number as the key; the offset is the number of lines that were read. */
public final class LinesSourceTask extends SourceTask {
    private final Map<String, Long> positions = new LinkedHashMap<>();
    private String topic;
    private int pollLines;
    private long pollPauseMs;
    private int transactionLines;
    private int inTransaction = 0;

    @Override
    public void start(Map<String, String> properties) {
        Map<String, Object> config = LinesSource.CONFIG.parse(properties);
        topic = (String) config.get("topic");
        pollLines = (Integer) config.get("poll.lines");
        pollPauseMs = (Long) config.get("poll.pause.ms");
        transactionLines = (Integer) config.get("transaction.lines");
        for (Object file : (List<?>) config.get("files")) {
            Map<String, Object> offset = context.offsetStorageReader().offset(Map.of("file", file));
            positions.put((String) file, offset == null ? 0 : ((Number) offset.get("line")).longValue());
        }
    }

    @Override
    public List<SourceRecord> poll() throws InterruptedException {
        Thread.sleep(pollPauseMs);
        List<SourceRecord> records = new ArrayList<>();
        for (Map.Entry<String, Long> position : positions.entrySet()) {
            String file = position.getKey();
            long next = position.getValue();
            List<String> lines = lines(file);
            while (next < lines.size() && records.size() < pollLines) {
                String line = lines.get((int) next);
                String key = Path.of(file).getFileName() + ":" + next++;
                records.add(new SourceRecord(Map.of("file", file), Map.of("line", next), topic, Schema.STRING_SCHEMA, key, Schema.STRING_SCHEMA, line));
                boundary(records.get(records.size() - 1), next == lines.size());
            }
            position.setValue(next);
        }
        return records.isEmpty() ? null : records;
    }

    /** Without a context the worker itself defines where transactions end. */
    private void boundary(SourceRecord record, boolean last) {
        TransactionContext transaction = context.transactionContext();
        inTransaction++;
        if (transaction != null && (last || inTransaction == transactionLines)) {
            transaction.commitTransaction(record);
            inTransaction = 0;
        }
    }

    private static List<String> lines(String file) {
        try {
            return Files.readAllLines(Path.of(file));
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
