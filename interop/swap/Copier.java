import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;

/** Copies a topic to another, record by record into the same partition, exactly once: offsets are committed with the copies. */
final class Copier extends Worker {
    private static final int LARGEST = 500;
    private final String from;
    private final String to;
    private final String group;
    private KafkaConsumer<String, String> consumer;
    private KafkaProducer<String, String> producer;

    Copier(String group, String from, String to) {
        super("copier " + to);
        this.from = from;
        this.to = to;
        this.group = group;
        open();
    }

    private void open() {
        producer = Writers.producer(Map.of("transactional.id", group, "transaction.timeout.ms", 120_000, "linger.ms", 2));
        producer.initTransactions();
        consumer = Readers.consumer(Map.of("group.id", group, "group.protocol", "consumer", "isolation.level", "read_committed",
            "max.poll.records", LARGEST));
        consumer.subscribe(List.of(from));
    }

    @Override
    void step() {
        try {
            ConsumerRecords<String, String> records = consumer.poll(POLL);
            if (!records.isEmpty()) {
                copy(records);
            }
        } catch (KafkaException error) {
            System.err.println(getName() + ": " + error);
            restart();
        }
    }

    private void copy(ConsumerRecords<String, String> records) {
        producer.beginTransaction();
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        for (ConsumerRecord<String, String> record : records) {
            producer.send(new ProducerRecord<>(to, record.partition(), record.key(), record.value()));
            offsets.put(new TopicPartition(from, record.partition()), new OffsetAndMetadata(record.offset() + 1));
        }
        producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
        producer.commitTransaction();
        progress.addAndGet(records.count());
    }

    /** Whatever went wrong, a new producer fences the old one and the group says where to go on. */
    private void restart() {
        close();
        open();
    }

    @Override
    void close() {
        consumer.close();
        producer.close();
    }
}
