import java.time.Duration;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Members of groups of every kind, which remember what they were given. */
final class Readers {
    private Readers() {}

    static Properties properties(Map<String, Object> more) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", Swap.address);
        properties.put("reconnect.backoff.max.ms", 200);
        properties.put("default.api.timeout.ms", 240_000);
        properties.putAll(more);
        return properties;
    }

    static KafkaConsumer<String, String> consumer(Map<String, Object> more) {
        Properties properties = properties(more);
        properties.putIfAbsent("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        return new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
    }

    /** Offsets by partition. */
    static final class Seen {
        private final Map<TopicPartition, BitSet> offsets = new HashMap<>();

        synchronized boolean add(ConsumerRecord<?, ?> record) {
            BitSet known = offsets.computeIfAbsent(new TopicPartition(record.topic(), record.partition()), absent -> new BitSet());
            boolean isNew = !known.get((int) record.offset());
            known.set((int) record.offset());
            return isNew;
        }

        /** Offsets below `end` that are missing. */
        synchronized long missing(TopicPartition partition, long end) {
            return end - offsets.getOrDefault(partition, new BitSet()).get(0, (int) end).cardinality();
        }
    }

    /** A member of a classic or a consumer group that commits what it read. */
    static final class Member extends Worker {
        private final KafkaConsumer<String, String> consumer;
        final Seen seen = new Seen();

        Member(String group, String protocol, String topic) {
            super(protocol + " group " + group);
            consumer = consumer(Map.of("group.id", group, "group.protocol", protocol));
            consumer.subscribe(List.of(topic));
        }

        @Override
        void step() {
            for (ConsumerRecord<String, String> record : consumer.poll(POLL)) {
                if (seen.add(record)) {
                    progress.incrementAndGet();
                }
            }
            try {
                consumer.commitSync();
            } catch (CommitFailedException | RebalanceInProgressException | TimeoutException error) {
                System.err.println(getName() + ": " + error);
            }
        }

        @Override
        void close() {
            consumer.close();
        }
    }

    /** A member of a share group that accepts everything. */
    static final class Sharer extends Worker {
        private final KafkaShareConsumer<String, String> consumer;
        final Seen seen = new Seen();

        Sharer(String group, String topic) {
            super("share group " + group);
            Properties properties = properties(Map.of("group.id", group, "share.acknowledgement.mode", "explicit"));
            consumer = new KafkaShareConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(List.of(topic));
        }

        @Override
        void step() {
            for (ConsumerRecord<String, String> record : consumer.poll(POLL)) {
                consumer.acknowledge(record, AcknowledgeType.ACCEPT);
                if (seen.add(record)) {
                    progress.incrementAndGet();
                }
            }
            consumer.commitSync(Duration.ofSeconds(60)).forEach((partition, error) -> error.ifPresent(
                cause -> System.err.println(getName() + ": " + partition + ": " + cause)));
        }

        @Override
        void close() {
            consumer.close();
        }
    }
}
