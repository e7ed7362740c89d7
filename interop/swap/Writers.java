import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Producers whose every record must arrive, once and in order, whatever happens to the broker. */
final class Writers {
    static final int PARTITIONS = 3;
    static final int KEYS = 100;

    private Writers() {}

    static KafkaProducer<String, String> producer(Map<String, Object> more) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", Swap.address);
        properties.put("enable.idempotence", true);
        properties.put("delivery.timeout.ms", 240_000);
        properties.put("max.block.ms", 240_000);
        properties.put("reconnect.backoff.max.ms", 200);
        properties.putAll(more);
        return new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer());
    }

    /** Writes 0, 1, 2 .. into each partition of a topic. */
    static final class Sequence extends Worker {
        private static final int BATCH = 50;
        private final String topic;
        private final KafkaProducer<String, String> producer;
        /** Records a partition that were acknowledged. */
        volatile long written;

        Sequence(String topic, String codec) {
            super("sequence " + topic);
            this.topic = topic;
            producer = producer(Map.of("compression.type", codec, "linger.ms", 2));
        }

        @Override
        void step() throws Exception {
            List<Future<?>> sent = new ArrayList<>();
            for (long number = written; number < written + BATCH; number++) {
                for (int partition = 0; partition < PARTITIONS; partition++) {
                    sent.add(producer.send(new ProducerRecord<>(topic, partition, "p" + partition, String.valueOf(number))));
                }
            }
            for (Future<?> one : sent) {
                one.get();
            }
            written += BATCH;
            progress.set(written);
            Thread.sleep(20);
        }

        @Override
        void close() {
            producer.close();
        }
    }

    /** Gives a hundred keys new values all the time. */
    static final class Latest extends Worker {
        private final String topic;
        private final KafkaProducer<String, String> producer = producer(Map.of("linger.ms", 2));
        /** What each key was last set to. */
        final Map<String, String> values = new HashMap<>();

        Latest(String topic) {
            super("latest " + topic);
            this.topic = topic;
        }

        @Override
        void step() throws Exception {
            List<Future<?>> sent = new ArrayList<>();
            for (int key = 0; key < KEYS; key++) {
                String value = progress.get() + " " + "x".repeat(200);
                sent.add(producer.send(new ProducerRecord<>(topic, "key-" + key, value)));
                values.put("key-" + key, value);
            }
            for (Future<?> one : sent) {
                one.get();
            }
            progress.incrementAndGet();
            Thread.sleep(50);
        }

        @Override
        void close() {
            producer.close();
        }
    }
}
