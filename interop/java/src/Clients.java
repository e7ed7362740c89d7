import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Clients of the broker under test, and what several cases do with them. */
final class Clients {
    /** How long anything awaited may take. */
    static final Duration LIMIT = Duration.ofSeconds(60);
    /** Keys that lines are spread over. */
    static final int KEYS = 97;

    static KafkaProducer<String, String> producer(String... more) {
        Properties properties = properties(more);
        properties.putIfAbsent("key.serializer", StringSerializer.class.getName());
        properties.putIfAbsent("value.serializer", StringSerializer.class.getName());
        return new KafkaProducer<>(properties);
    }

    static KafkaConsumer<String, String> consumer(String... more) {
        Properties properties = properties(more);
        properties.putIfAbsent("key.deserializer", StringDeserializer.class.getName());
        properties.putIfAbsent("value.deserializer", StringDeserializer.class.getName());
        properties.putIfAbsent("auto.offset.reset", "earliest");
        properties.putIfAbsent("enable.auto.commit", "false");
        return new KafkaConsumer<>(properties);
    }

    static Admin admin() {
        return Admin.create(properties());
    }

    /** Creates a topic with one replica; name, value, name, value for its configuration. */
    static String topic(String name, int partitions, String... config) throws Exception {
        Map<String, String> configs = new HashMap<>();
        for (int i = 0; i < config.length; i += 2) {
            configs.put(config[i], config[i + 1]);
        }
        String topic = Suite.unique(name);
        try (Admin admin = admin()) {
            admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
            // Answered once every leader serves: a producer with acks=0 cannot learn that one does not yet.
            eventually(() -> admin.listOffsets(partitions(topic, partitions).stream()
                .collect(Collectors.toMap(partition -> partition, partition -> OffsetSpec.latest()))).all().get());
        }
        return topic;
    }

    /** A broker applies metadata a moment after the controller answered: repeats a question until its answer is right. */
    static void eventually(Suite.Case body) throws Exception {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (true) {
            try {
                body.run();
                return;
            } catch (ExecutionException | AssertionError early) {
                if (System.nanoTime() > end) {
                    throw early;
                }
            }
        }
    }

    static List<TopicPartition> partitions(String topic, int count) {
        return IntStream.range(0, count).mapToObj(partition -> new TopicPartition(topic, partition)).collect(Collectors.toList());
    }

    /** A consumer that reads all of a topic from its start, without a group. */
    static KafkaConsumer<String, String> reader(String topic, int partitions, String... more) {
        KafkaConsumer<String, String> consumer = consumer(more);
        consumer.assign(partitions(topic, partitions));
        consumer.seekToBeginning(consumer.assignment());
        return consumer;
    }

    /** Sends each line with the key of its number and waits for every acknowledgement. */
    static void send(KafkaProducer<String, String> producer, String topic, List<String> lines) throws Exception {
        List<Exception> errors = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            producer.send(new ProducerRecord<>(topic, key(i), lines.get(i)), (metadata, error) -> {
                if (error != null) {
                    synchronized (errors) {
                        errors.add(error);
                    }
                }
            });
        }
        producer.flush();
        Suite.check(errors.isEmpty(), errors.size() + " sends failed, the first: " + (errors.isEmpty() ? "" : errors.get(0)));
    }

    static RecordMetadata send(KafkaProducer<String, String> producer, ProducerRecord<String, String> record) throws Exception {
        return producer.send(record).get();
    }

    static String key(int line) {
        return "k" + line % KEYS;
    }

    /** Polls until `count` records came. */
    static <K, V> List<ConsumerRecord<K, V>> take(KafkaConsumer<K, V> consumer, int count) {
        List<ConsumerRecord<K, V>> records = new ArrayList<>();
        long end = System.nanoTime() + LIMIT.toNanos();
        while (records.size() < count) {
            Suite.check(System.nanoTime() < end, "only " + records.size() + " of " + count + " records came");
            consumer.poll(Duration.ofMillis(500)).forEach(records::add);
        }
        return records;
    }

    /** The cause of a failed admin or send future. */
    static Throwable failure(java.util.concurrent.Future<?> future) throws InterruptedException, TimeoutException {
        try {
            future.get(LIMIT.toSeconds(), java.util.concurrent.TimeUnit.SECONDS);
        } catch (ExecutionException error) {
            return error.getCause();
        }
        throw new AssertionError("it did not fail");
    }

    static long sum(Collection<Long> values) {
        return values.stream().mapToLong(Long::longValue).sum();
    }

    private static Properties properties(String... more) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", Suite.BOOTSTRAP);
        for (int i = 0; i < more.length; i += 2) {
            properties.put(more[i], more[i + 1]);
        }
        return properties;
    }

    private Clients() {
    }
}
