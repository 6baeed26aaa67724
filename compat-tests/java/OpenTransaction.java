import java.util.Properties;
import java.util.Scanner;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Opens a transaction with two records and holds it: BOOTSTRAP TRANSACTIONAL-ID TOPIC. Prints `open`; then each line of
 * standard input is a call (`begin`, `commit`, `abort`) and is answered with `ok` or the exception.
 */
public class OpenTransaction {
    static KafkaProducer<String, String> producer;
    static String topic;

    public static void main(String[] arguments) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", arguments[0]);
        config.put("transactional.id", arguments[1]);
        config.put("transaction.timeout.ms", 600_000);
        topic = arguments[2];
        producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        call("begin");
        System.out.println("open");
        Scanner calls = new Scanner(System.in);
        while (calls.hasNextLine()) {
            try {
                call(calls.nextLine());
                System.out.println("ok");
            } catch (Exception failed) {
                System.out.println(failed);
            }
        }
        System.exit(0);
    }

    static void call(String name) throws Exception {
        switch (name) {
            case "begin" -> {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topic, 0, "key", "first of the transaction")).get();
                producer.send(new ProducerRecord<>(topic, 0, "key", "second of the transaction")).get();
            }
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            default -> throw new IllegalArgumentException(name);
        }
    }
}
