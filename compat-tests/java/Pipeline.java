import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.OutOfOrderSequenceException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Consumes, transforms and produces exactly once: BOOTSTRAP INPUT OUTPUT GROUP-PROTOCOL COUNT. Record for record goes
 * from a partition of INPUT to the same one of OUTPUT, with `-done` behind the value, until the COUNT records of INPUT
 * are committed.
 * Errors are handled as KafkaProducer's documentation says. Prints `committed N` after each transaction.
 */
public class Pipeline {
    static final int RECORDS_PER_TRANSACTION = 40;
    static final Set<TopicPartition> partitions = new HashSet<>();
    static String output;
    static int committed = 0;
    static int transactions = 0;

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0];
        String input = arguments[1];
        output = arguments[2];
        int count = Integer.parseInt(arguments[4]);
        int producers = 0;
        try (KafkaConsumer<String, String> consumer = consumer(bootstrap, input, arguments[3])) {
            consumer.partitionsFor(input).forEach(p -> partitions.add(new TopicPartition(input, p.partition())));
            while (committed < count) {
                producers++;
                KafkaProducer<String, String> producer = producer(bootstrap, output);
                try {
                    until(producer::initTransactions);
                    while (committed < count) transact(producer, consumer);
                } catch (KafkaException fatal) {
                    System.out.println("a new producer after " + fatal);
                } finally {
                    producer.close(Duration.ZERO);
                }
                reset(consumer);
            }
        }
        System.out.println("finished with " + producers + " producers");
        System.exit(0);
    }

    /** One transaction; aborts it where that is what an error asks for, and passes on what ends the producer. */
    static void transact(KafkaProducer<String, String> producer, KafkaConsumer<String, String> consumer) {
        ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
        if (records.isEmpty()) return;
        try {
            producer.beginTransaction();
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            for (ConsumerRecord<String, String> record : records) {
                String done = record.value() + "-done";
                producer.send(new ProducerRecord<>(output, record.partition(), record.key(), done));
                TopicPartition from = new TopicPartition(record.topic(), record.partition());
                offsets.put(from, new OffsetAndMetadata(record.offset() + 1));
            }
            producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
            // Some transactions are given up by will.
            if (transactions++ % 10 == 9) {
                producer.flush();
                throw new KafkaException("a change of mind");
            }
            until(producer::commitTransaction);
            committed += records.count();
            System.out.println("committed " + committed);
        } catch (ProducerFencedException | InvalidProducerEpochException | OutOfOrderSequenceException fatal) {
            throw fatal;
        } catch (KafkaException abortable) {
            System.out.println("aborting after " + abortable);
            until(producer::abortTransaction);
            reset(consumer);
        }
    }

    /** A call that took too long is made again until its outcome is known. */
    static void until(Runnable call) {
        while (true) {
            try {
                call.run();
                return;
            } catch (TimeoutException again) {
                System.out.println("again after " + again);
            }
        }
    }

    /** Back to what is committed. */
    static void reset(KafkaConsumer<String, String> consumer) {
        until(() -> {
            Map<TopicPartition, OffsetAndMetadata> offsets = consumer.committed(partitions);
            committed = 0;
            for (TopicPartition partition : partitions) {
                OffsetAndMetadata offset = offsets.get(partition);
                long position = offset == null ? 0 : offset.offset();
                committed += (int) position;
                if (consumer.assignment().contains(partition)) consumer.seek(partition, position);
            }
        });
    }

    static KafkaProducer<String, String> producer(String bootstrap, String output) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("transactional.id", output + "-pipeline");
        config.put("transaction.timeout.ms", 60_000);
        config.put("linger.ms", 0);
        config.put("reconnect.backoff.max.ms", 200);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String bootstrap, String input, String groupProtocol) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("group.id", output + "-pipeline");
        config.put("group.protocol", groupProtocol);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        config.put("isolation.level", "read_committed");
        config.put("max.poll.records", RECORDS_PER_TRANSACTION);
        config.put("reconnect.backoff.max.ms", 200);
        var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        consumer.subscribe(Set.of(input));
        return consumer;
    }
}
