import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/**
 * `Swap ADDRESS`: clients of every kind at work while brokers take over from each other. Commands come by lines on standard input:
 * `pause`, `resume`, `state`, `progress`, `finish`; each answer ends with a line `end`.
 */
public final class Swap {
    static String address;
    private static final String SEQUENCE = "swap-sequence";
    private static final String COPY = "swap-copy";
    private static final String COMPACT = "swap-compact";
    private static final String HELD = "swap-held";
    private static final String ABANDONED = "swap-abandoned";
    private static final int HELD_RECORDS = 10;

    private final Admin admin;
    private final List<Worker> workers = new ArrayList<>();
    private final Writers.Sequence sequence = new Writers.Sequence(SEQUENCE, "lz4");
    private final Writers.Latest latest = new Writers.Latest(COMPACT);
    private final KafkaProducer<String, String> holder;
    private final List<String> committed = new ArrayList<>();
    private Readers.Member classic;
    private Readers.Member modern;
    private Readers.Sharer sharer;
    private int pauses;

    private Swap(Admin admin) throws Exception {
        this.admin = admin;
        topic(SEQUENCE, Writers.PARTITIONS, Map.of());
        topic(COPY, Writers.PARTITIONS, Map.of());
        topic(COMPACT, 1, Map.of("cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "segment.ms", "2000"));
        topic(HELD, 1, Map.of());
        topic(ABANDONED, 1, Map.of());
        var earliest = new AlterConfigOp(new ConfigEntry("share.auto.offset.reset", "earliest"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, "swap-share"), List.of(earliest))).all().get();
        holder = Writers.producer(Map.of("transactional.id", "swap-holder", "transaction.timeout.ms", 600_000));
        holder.initTransactions();
    }

    public static void main(String[] args) throws Exception {
        address = args[0];
        try (Admin admin = Admin.create(Readers.properties(Map.of()))) {
            Disk.address = address;
            Disk.admin = admin;
            Swap swap = new Swap(admin);
            swap.start();
            var commands = new BufferedReader(new InputStreamReader(System.in));
            for (String command = commands.readLine(); command != null; command = commands.readLine()) {
                swap.obey(command);
                System.out.println("end");
                System.out.flush();
            }
        }
        System.exit(0);
    }

    private void obey(String command) throws Exception {
        switch (command) {
            case "pause" -> pause();
            case "resume" -> resume();
            case "state" -> state();
            case "progress" -> workers.forEach(worker -> {
                worker.check();
                System.out.printf("%s: %d%n", worker.getName(), worker.progress.get());
            });
            case "finish" -> finish();
            default -> throw new IllegalArgumentException(command);
        }
    }

    private void start() {
        classic = new Readers.Member("swap-classic", "classic", SEQUENCE);
        modern = new Readers.Member("swap-consumer", "consumer", SEQUENCE);
        sharer = new Readers.Sharer("swap-share", SEQUENCE);
        workers.addAll(List.of(sequence, latest, classic, modern, sharer, new Copier("swap-copier", SEQUENCE, COPY)));
        workers.forEach(Thread::start);
    }

    /** Everybody stops, and one transaction stays open; the first time another one is left behind for its timeout. */
    private void pause() throws Exception {
        Worker.GATE.writeLock().lock();
        workers.forEach(Worker::check);
        pauses++;
        if (pauses == 1) {
            var abandoned = Writers.producer(Map.of("transactional.id", "swap-abandoned", "transaction.timeout.ms", 20_000));
            abandoned.initTransactions();
            abandoned.beginTransaction();
            abandoned.send(new ProducerRecord<>(ABANDONED, "abandoned", "never")).get();
            abandoned.close(Duration.ZERO);
        }
        holder.beginTransaction();
        for (int number = 0; number < HELD_RECORDS; number++) {
            holder.send(new ProducerRecord<>(HELD, "held", pauses + "-" + number)).get();
        }
    }

    private void resume() {
        if (pauses % 2 == 0) {
            holder.abortTransaction();
        } else {
            holder.commitTransaction();
            for (int number = 0; number < HELD_RECORDS; number++) {
                committed.add(pauses + "-" + number);
            }
        }
        Worker.GATE.writeLock().unlock();
    }

    /** What clients see of the broker, which must not change while nobody works. */
    private void state() throws Exception {
        Disk.state();
        var features = new TreeMap<>(admin.describeFeatures().featureMetadata().get().finalizedFeatures());
        features.forEach((name, range) -> System.out.printf("feature %s %d%n", name, range.maxVersionLevel()));
        List<GroupListing> groups = new ArrayList<>(admin.listGroups().all().get());
        groups.sort((left, right) -> left.groupId().compareTo(right.groupId()));
        for (GroupListing group : groups) {
            GroupType type = group.type().orElse(GroupType.UNKNOWN);
            System.out.printf("group %s %s %s%n", group.groupId(), type, offsets(group.groupId(), type));
        }
        for (var transaction : admin.listTransactions().all().get().stream()
                .filter(transaction -> !transaction.transactionalId().equals(ABANDONED))
                .sorted((left, right) -> left.transactionalId().compareTo(right.transactionalId())).toList()) {
            System.out.printf("transaction %s %d %s%n", transaction.transactionalId(), transaction.producerId(), transaction.state());
        }
    }

    private Map<String, Long> offsets(String group, GroupType type) throws Exception {
        Map<String, Long> offsets = new TreeMap<>();
        if (type == GroupType.SHARE) {
            var found = admin.listShareGroupOffsets(Map.of(group, new ListShareGroupOffsetsSpec())).partitionsToOffsetInfo(group).get();
            found.forEach((partition, offset) -> offsets.put(partition.toString(), offset == null ? -1 : offset.startOffset()));
        } else {
            var found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            found.forEach((partition, offset) -> offsets.put(partition.toString(), offset.offset()));
        }
        return offsets;
    }

    /** Ends the writers, lets the readers come to the end, and compares; prints a line for everything that is wrong. */
    private void finish() throws Exception {
        sequence.end();
        latest.end();
        check("sequence written in order, each once", inOrder(SEQUENCE, "read_uncommitted"), List.of());
        List<TopicPartition> partitions = partitions(SEQUENCE);
        for (Readers.Seen seen : List.of(classic.seen, modern.seen, sharer.seen)) {
            await(() -> partitions.stream().allMatch(partition -> seen.missing(partition, sequence.written) == 0),
                () -> partitions.stream().map(partition -> seen.missing(partition, sequence.written)).toList().toString());
        }
        await(() -> count(COPY) >= sequence.written * Writers.PARTITIONS, () -> count(COPY) + " copies");
        for (Worker worker : workers.subList(2, workers.size())) {
            worker.end();
        }
        check("copies in order, each once", inOrder(COPY, "read_committed"), List.of());
        check("committed transactions", values(HELD).stream().map(ConsumerRecord::value).toList(), committed);
        await(() -> admin.describeTransactions(List.of("swap-abandoned")).all().get().get("swap-abandoned").state() == TransactionState.COMPLETE_ABORT,
            () -> "the abandoned transaction is open");
        check("nothing of an abandoned transaction", values(ABANDONED).size(), 0);
        Map<String, String> last = new HashMap<>();
        values(COMPACT).forEach(record -> last.put(record.key(), record.value()));
        check("latest values", last, latest.values);
        System.out.printf("checked %d records a partition, %d transactions held, %d rounds of the compacted topic%n",
            sequence.written, pauses, latest.progress.get());
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private interface Report {
        String says() throws Exception;
    }

    private static void await(Condition condition, Report report) throws Exception {
        long end = System.nanoTime() + Duration.ofSeconds(120).toNanos();
        while (!condition.holds()) {
            if (System.nanoTime() > end) {
                System.out.println("wrong: in vain awaited the end: " + report.says());
                return;
            }
            Thread.sleep(100);
        }
    }

    private static void check(String what, Object got, Object wanted) {
        if (!got.equals(wanted)) {
            String text = String.valueOf(got);
            System.out.printf("wrong: %s: %s%n", what, text.substring(0, Math.min(500, text.length())));
        }
    }

    private long count(String topic) throws Exception {
        return values(topic).size();
    }

    /** Records whose value is not the next number of their partition. */
    private List<String> inOrder(String topic, String isolation) {
        Map<Integer, Long> next = new HashMap<>();
        List<String> wrong = new ArrayList<>();
        for (ConsumerRecord<String, String> record : values(topic, isolation)) {
            long expected = next.getOrDefault(record.partition(), 0L);
            if (Long.parseLong(record.value()) != expected) {
                wrong.add(record.partition() + "@" + record.offset() + ": " + record.value() + " not " + expected);
            }
            next.put(record.partition(), Long.parseLong(record.value()) + 1);
        }
        next.forEach((partition, count) -> {
            if (count != sequence.written) {
                wrong.add(partition + " has " + count + " of " + sequence.written);
            }
        });
        return wrong;
    }

    private List<ConsumerRecord<String, String>> values(String topic) {
        return values(topic, "read_committed");
    }

    private List<ConsumerRecord<String, String>> values(String topic, String isolation) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = Readers.consumer(Map.of("isolation.level", isolation))) {
            List<TopicPartition> partitions = partitions(topic, consumer);
            Map<TopicPartition, Long> end = consumer.endOffsets(partitions);
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < end.get(partition))) {
                consumer.poll(Worker.POLL).forEach(records::add);
            }
        }
        return records;
    }

    private List<TopicPartition> partitions(String topic) {
        try (KafkaConsumer<String, String> consumer = Readers.consumer(Map.of())) {
            return partitions(topic, consumer);
        }
    }

    private static List<TopicPartition> partitions(String topic, KafkaConsumer<String, String> consumer) {
        return consumer.partitionsFor(topic).stream().map(partition -> new TopicPartition(topic, partition.partition()))
            .collect(Collectors.toList());
    }

    private void topic(String name, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs))).all().get();
    }
}
