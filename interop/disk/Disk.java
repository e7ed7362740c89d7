import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.zip.CRC32C;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** `Disk ADDRESS write|more|commit|state|offsets ..`: fills a broker with everything that has a form on disk, and says what a client sees of it. */
public class Disk {
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    static String address;
    static Admin admin;

    public static void main(String[] args) throws Exception {
        address = args[0];
        try (Admin opened = Admin.create(Map.of("bootstrap.servers", address))) {
            admin = opened;
            for (String verb : List.of(args).subList(1, args.length)) {
                switch (verb) {
                    case "write" -> write();
                    case "more" -> more();
                    case "commit" -> commit();
                    case "state" -> state();
                    case "offsets" -> offsets();
                    default -> throw new IllegalArgumentException(verb);
                }
            }
        }
    }

    static void write() throws Exception {
        for (String codec : CODECS) {
            create("disk-" + codec, 2, Map.of("segment.bytes", "1048576", "index.interval.bytes", "512"));
            fill("disk-" + codec, codec, true, 600, 100);
        }
        create("disk-segments", 1, Map.of("segment.bytes", "1048576", "index.interval.bytes", "512", "retention.ms", "-1"));
        for (int producer = 0; producer < 5; producer++) {
            fill("disk-segments", "none", true, 1000, 1000);
        }
        create("disk-append-time", 1, Map.of("message.timestamp.type", "LogAppendTime", "compression.type", "lz4"));
        fill("disk-append-time", "none", false, 300, 100);
        create("disk-compact", 1, Map.of("cleanup.policy", "compact"));
        fill("disk-compact", "none", true, 300, 100);
        create("disk-deleted", 3, Map.of());
        fill("disk-deleted", "none", true, 30, 100);
        create("disk-grown", 1, Map.of());
        create("disk-trimmed", 1, Map.of());
        fill("disk-trimmed", "none", true, 300, 100);
        create("disk-empty", 2, Map.of());
        change();
    }

    /** What an administrator changes after the fact. */
    static void change() throws Exception {
        admin.deleteTopics(List.of("disk-deleted")).all().get();
        admin.createPartitions(Map.of("disk-grown", NewPartitions.increaseTo(4))).all().get();
        while (partitions("disk-grown") < 4) {
            Thread.sleep(50);
        }
        fill("disk-grown", "none", true, 400, 100);
        configure(ConfigResource.Type.TOPIC, "disk-grown", Map.of("retention.ms", "1234567", "max.message.bytes", "654321"));
        configure(ConfigResource.Type.TOPIC, "disk-none", Map.of("index.interval.bytes", ""));
        configure(ConfigResource.Type.BROKER, "1", Map.of("message.max.bytes", "1048600"));
        configure(ConfigResource.Type.BROKER, "", Map.of("log.retention.ms", "86400000", "num.io.threads", "9"));
        admin.deleteRecords(Map.of(new TopicPartition("disk-trimmed", 0), RecordsToDelete.beforeOffset(120))).all().get();
    }

    /** What is added after each restart. */
    static void more() throws Exception {
        for (String codec : CODECS) {
            fill("disk-" + codec, codec, true, 50, 100);
        }
        fill("disk-segments", "none", true, 1200, 1000);
        fill("disk-grown", "zstd", false, 40, 100);
        String fresh = "disk-more-" + Long.toString(System.nanoTime(), 36);
        create(fresh, 2, Map.of("retention.ms", "7654321"));
        fill(fresh, "lz4", true, 40, 100);
    }

    /** Leaves a group with offsets, one more each time, and one that is deleted. */
    static void commit() throws Exception {
        commit("disk-group", "disk-none", 30);
        commit("disk-group", "disk-gzip", 30);
        commit("disk-group-" + Long.toString(System.nanoTime(), 36), "disk-zstd", 15);
        commit("disk-gone", "disk-none", 10);
        admin.deleteConsumerGroups(List.of("disk-gone")).all().get();
    }

    static void create(String topic, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
    }

    /** Asks until the topic is known: a broker applies metadata a moment after the controller answered. */
    static int partitions(String topic) throws Exception {
        while (true) {
            try {
                return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
            } catch (ExecutionException error) {
                if (!(error.getCause() instanceof UnknownTopicOrPartitionException)) {
                    throw error;
                }
                Thread.sleep(50);
            }
        }
    }

    /** Sets what has a value and deletes what is empty. */
    static void configure(ConfigResource.Type type, String name, Map<String, String> values) throws Exception {
        Collection<AlterConfigOp> ops = new ArrayList<>();
        values.forEach((key, value) -> ops.add(new AlterConfigOp(new ConfigEntry(key, value),
            value.isEmpty() ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET)));
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(type, name), ops)).all().get();
    }

    /** Sends `count` records, spread over the partitions, some without key, value or headers. */
    static void fill(String topic, String codec, boolean idempotent, int count, int size) throws Exception {
        Properties properties = properties();
        properties.put("compression.type", codec);
        properties.put("enable.idempotence", String.valueOf(idempotent));
        properties.put("linger.ms", "2");
        properties.put("batch.size", "4096");
        int partitions = partitions(topic);
        List<Future<?>> sent = new ArrayList<>();
        boolean compact = topic.equals("disk-compact");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int number = 0; number < count; number++) {
                byte[] key = number % 7 == 3 && !compact ? null : bytes("key-" + number % 31);
                byte[] value = number % 11 == 5 ? null : bytes(("line " + number + " of " + topic + " ").repeat(1 + size / 20));
                var record = new ProducerRecord<>(topic, number % partitions, key, value);
                if (number % 3 == 0) {
                    record.headers().add("number", bytes(String.valueOf(number))).add("none", null).add("", bytes(""));
                }
                sent.add(producer.send(record));
            }
            for (Future<?> one : sent) {
                one.get();
            }
        }
    }

    /** Reads about `count` records of the topic as a member of the group and commits where it stopped. */
    static void commit(String group, String topic, int count) {
        Properties properties = properties();
        properties.put("group.id", group);
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        properties.put("max.poll.records", "10");
        try (var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(topic));
            for (int read = 0; read < count; read += consumer.poll(Duration.ofMillis(500)).count()) {
                consumer.commitSync();
            }
            consumer.commitSync();
        }
    }

    /** Prints, in one order, what clients can see: it must not change over a restart. */
    static void state() throws Exception {
        Map<String, TopicDescription> topics = new TreeMap<>(admin.describeTopics(
            admin.listTopics(new ListTopicsOptions().listInternal(false)).names().get()).allTopicNames().get());
        Set<ConfigResource> resources = new TreeSet<>(Comparator.comparing(ConfigResource::toString));
        resources.add(new ConfigResource(ConfigResource.Type.BROKER, "1"));
        resources.add(new ConfigResource(ConfigResource.Type.BROKER, ""));
        for (TopicDescription topic : topics.values()) {
            resources.add(new ConfigResource(ConfigResource.Type.TOPIC, topic.name()));
            System.out.printf("topic %s %s %d%n", topic.name(), topic.topicId(), topic.partitions().size());
        }
        var configs = admin.describeConfigs(resources, new DescribeConfigsOptions()).all().get();
        for (ConfigResource resource : resources) {
            System.out.printf("config %s %s %s%n", resource.type(), resource.name(), configs.get(resource).entries().stream()
                .filter(entry -> entry.source().name().startsWith("DYNAMIC"))
                .map(entry -> entry.name() + "=" + entry.value()).sorted().collect(Collectors.joining(" ")));
        }
        List<TopicPartition> partitions = topics.values().stream().flatMap(topic -> topic.partitions().stream()
            .map(partition -> new TopicPartition(topic.name(), partition.partition()))).toList();
        try (var consumer = new KafkaConsumer<>(properties(), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            read(consumer, partitions);
        }
    }

    /** Prints the committed offsets of every group. */
    static void offsets() throws Exception {
        var groups = admin.listGroups().all().get().stream().map(group -> group.groupId()).sorted().toList();
        for (String group : groups) {
            Map<TopicPartition, OffsetAndMetadata> offsets = new TreeMap<>(Comparator.comparing(TopicPartition::toString));
            offsets.putAll(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get());
            offsets.forEach((partition, offset) -> System.out.printf("group %s %s %d%n", group, partition, offset.offset()));
        }
    }

    /** Prints the offsets of each partition and a sum over all its records. */
    static void read(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> partitions) {
        Map<TopicPartition, Long> first = consumer.beginningOffsets(partitions);
        Map<TopicPartition, Long> end = consumer.endOffsets(partitions);
        Map<TopicPartition, CRC32C> sums = new HashMap<>();
        Map<TopicPartition, Long> counts = new HashMap<>();
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        while (partitions.stream().anyMatch(partition -> consumer.position(partition) < end.get(partition))) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                var partition = new TopicPartition(record.topic(), record.partition());
                add(sums.computeIfAbsent(partition, absent -> new CRC32C()), record);
                counts.merge(partition, 1L, Long::sum);
            }
        }
        for (TopicPartition partition : partitions) {
            System.out.printf("records %s %d %d %d %08x%n", partition, first.get(partition), end.get(partition),
                counts.getOrDefault(partition, 0L), sums.getOrDefault(partition, new CRC32C()).getValue());
        }
    }

    static void add(CRC32C sum, ConsumerRecord<byte[], byte[]> record) {
        sum.update(ByteBuffer.allocate(16).putLong(record.offset()).putLong(record.timestamp()).flip());
        add(sum, record.key());
        add(sum, record.value());
        for (Header header : record.headers()) {
            add(sum, bytes(header.key()));
            add(sum, header.value());
        }
    }

    static void add(CRC32C sum, byte[] bytes) {
        sum.update(ByteBuffer.allocate(4).putInt(bytes == null ? -1 : bytes.length).flip());
        if (bytes != null) {
            sum.update(bytes);
        }
    }

    static Properties properties() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", address);
        return properties;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
