import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** Copies one topic to another in transactions, partition by partition, until it is killed. Ends when a producer is fenced or fails. */
public final class Copier {
    public static void main(String[] args) {
        String to = args[1];
        String group = args[2];
        try (KafkaConsumer<String, String> consumer = Clients.consumer("group.id", group, "isolation.level", "read_committed",
                    "max.poll.records", "100", "session.timeout.ms", "6000", "heartbeat.interval.ms", "1000");
                KafkaProducer<String, String> producer = Transactions.producer(group + "-copier", "transaction.timeout.ms", "10000")) {
            consumer.subscribe(List.of(args[0]));
            while (true) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
                if (records.isEmpty()) {
                    continue;
                }
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
                for (ConsumerRecord<String, String> record : records) {
                    producer.send(new ProducerRecord<>(to, record.partition(), record.key(), record.value()));
                    next.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
                }
                producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
                producer.commitTransaction();
            }
        }
    }

    private Copier() {
    }
}
