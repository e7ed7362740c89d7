import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Share groups: members of one group share the records of a partition, each of which is delivered until somebody accepts it. */
public final class Shares {
    /** `group.share.delivery.count.limit`. */
    private static final int LIMIT = 5;
    private static final int MEMBERS = 64;

    public static void main(String[] args) throws Exception {
        if (args.length == 2) {
            member(args[0], args[1]);
            return;
        }
        Suite.run("share_sixty_four_members_get_every_record_once", Shares::once);
        Suite.run("share_accept_release_reject_renew", Shares::explicit);
        Suite.run("share_record_limit_gives_no_more_than_asked", Shares::recordLimit);
        Suite.run("share_read_committed", Shares::readCommitted);
        Suite.run("share_members_and_broker_are_killed", Shares::killed);
        Suite.finish();
    }

    private static KafkaShareConsumer<String, String> consumer(String group, String... more) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", Suite.BOOTSTRAP);
        properties.put("group.id", group);
        properties.put("key.deserializer", StringDeserializer.class.getName());
        properties.put("value.deserializer", StringDeserializer.class.getName());
        properties.put("max.poll.records", "20");
        for (int i = 0; i < more.length; i += 2) {
            properties.put(more[i], more[i + 1]);
        }
        return new KafkaShareConsumer<>(properties);
    }

    /** A group that begins at the first record. */
    private static String group(String name, String... more) throws Exception {
        String group = Suite.unique(name);
        Collection<AlterConfigOp> changes = new ArrayList<>();
        changes.add(set("share.auto.offset.reset", "earliest"));
        for (int i = 0; i < more.length; i += 2) {
            changes.add(set(more[i], more[i + 1]));
        }
        try (Admin admin = Clients.admin()) {
            admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.GROUP, group), changes)).all().get();
        }
        return group;
    }

    private static AlterConfigOp set(String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
    }

    private static void once() throws Exception {
        int count = 20_000;
        String topic = Clients.topic("share-once", 1);
        String group = group("share-once");
        Map<Long, AtomicInteger> seen = new ConcurrentHashMap<>();
        AtomicInteger taken = new AtomicInteger();
        AtomicReference<Throwable> failed = new AtomicReference<>();
        Set<String> busy = ConcurrentHashMap.newKeySet();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < MEMBERS; i++) {
            String name = "member-" + i;
            Thread thread = new Thread(() -> {
                try (KafkaShareConsumer<String, String> consumer = consumer(group)) {
                    consumer.subscribe(List.of(topic));
                    while (taken.get() < count && failed.get() == null) {
                        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(500))) {
                            seen.computeIfAbsent(record.offset(), offset -> new AtomicInteger()).incrementAndGet();
                            taken.incrementAndGet();
                            busy.add(name);
                        }
                    }
                    consumer.commitSync();
                } catch (Throwable error) {
                    failed.compareAndSet(null, error);
                }
            }, name);
            thread.start();
            threads.add(thread);
        }
        try (KafkaProducer<String, String> producer = Clients.producer("batch.size", "1000")) {
            Clients.send(producer, topic, Suite.lines(count));
        }
        for (Thread thread : threads) {
            thread.join(TimeUnit.SECONDS.toMillis(180));
            Suite.check(!thread.isAlive(), thread.getName() + " ends, " + taken.get() + " records came");
        }
        Suite.equal(failed.get(), null, "failure");
        Suite.equal(seen.size(), count, "records");
        Suite.equal(seen.values().stream().filter(times -> times.get() != 1).count(), 0L, "records that came twice");
        Suite.check(busy.size() > MEMBERS / 4, busy.size() + " members took part");
        try (KafkaShareConsumer<String, String> consumer = consumer(group)) {
            consumer.subscribe(List.of(topic));
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(5);
            while (System.nanoTime() < end) {
                Suite.equal(consumer.poll(Duration.ofSeconds(1)).count(), 0, "records after all were acknowledged");
            }
        }
    }

    /** Polls until `count` records came, without saying anything of them. */
    private static List<ConsumerRecord<String, String>> take(KafkaShareConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        long end = System.nanoTime() + Clients.LIMIT.toNanos();
        while (records.isEmpty() || records.size() < count) {
            Suite.check(System.nanoTime() < end, "only " + records.size() + " of " + count + " records came");
            consumer.poll(Duration.ofSeconds(1)).forEach(records::add);
        }
        return records;
    }

    private static void explicit() throws Exception {
        String topic = Clients.topic("share-explicit", 1);
        String group = group("share-explicit");
        // One batch, so that one poll gives all of it.
        try (KafkaProducer<String, String> producer = Clients.producer("linger.ms", "500");
                KafkaShareConsumer<String, String> consumer = consumer(group, "share.acknowledgement.mode", "explicit")) {
            Clients.send(producer, topic, Suite.lines(10));
            consumer.subscribe(List.of(topic));
            List<ConsumerRecord<String, String>> records = take(consumer, 10);
            Suite.equal(records.size(), 10, "records");
            for (ConsumerRecord<String, String> record : records) {
                Suite.equal(record.deliveryCount().get(), (short) 1, "deliveries");
                AcknowledgeType[] types = {AcknowledgeType.ACCEPT, AcknowledgeType.RELEASE, AcknowledgeType.REJECT, AcknowledgeType.RENEW};
                consumer.acknowledge(record, types[(int) (record.offset() % 4)]);
            }
            Map<?, ?> outcome = consumer.commitSync();
            Suite.check(outcome.values().stream().noneMatch(error -> ((java.util.Optional<?>) error).isPresent()), "it is acknowledged: " + outcome);
            Set<Long> renewed = new TreeSet<>();
            Set<Long> again = new TreeSet<>();
            long end = System.nanoTime() + Clients.LIMIT.toNanos();
            while (renewed.size() + again.size() < 5) {
                Suite.check(System.nanoTime() < end, "came again: " + renewed + " and " + again);
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
                    (record.deliveryCount().get() == 1 ? renewed : again).add(record.offset());
                    consumer.acknowledge(record);
                }
            }
            Suite.equal(renewed, Set.of(3L, 7L), "renewed");
            Suite.equal(again, Set.of(1L, 5L, 9L), "released");
            consumer.commitSync();
        }
        try (KafkaShareConsumer<String, String> consumer = consumer(group)) {
            consumer.subscribe(List.of(topic));
            for (int i = 0; i < 4; i++) {
                Suite.equal(consumer.poll(Duration.ofSeconds(1)).count(), 0, "records of which all was said");
            }
        }
    }

    private static void recordLimit() throws Exception {
        String topic = Clients.topic("share-limit", 1);
        String group = group("share-limit");
        try (KafkaProducer<String, String> producer = Clients.producer("linger.ms", "100");
                KafkaShareConsumer<String, String> consumer = consumer(group, "share.acquire.mode", "record_limit", "max.poll.records", "7")) {
            Clients.send(producer, topic, Suite.lines(50));
            consumer.subscribe(List.of(topic));
            Set<Long> seen = new TreeSet<>();
            long end = System.nanoTime() + Clients.LIMIT.toNanos();
            while (seen.size() < 50) {
                Suite.check(System.nanoTime() < end, "only " + seen.size() + " records came");
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofSeconds(1));
                Suite.check(records.count() <= 7, records.count() + " records at once");
                records.forEach(record -> Suite.check(seen.add(record.offset()), "record " + record.offset() + " came twice"));
            }
        }
    }

    private static void readCommitted() throws Exception {
        String topic = Clients.topic("share-committed", 1);
        String group = group("share-committed", "share.isolation.level", "read_committed");
        List<String> lines = Suite.lines(60);
        try (KafkaProducer<String, String> producer = Clients.producer("transactional.id", Suite.unique("share"));
                KafkaShareConsumer<String, String> consumer = consumer(group)) {
            producer.initTransactions();
            for (int i = 0; i < 6; i++) {
                producer.beginTransaction();
                for (int j = 0; j < 10; j++) {
                    producer.send(new ProducerRecord<>(topic, Clients.key(i), lines.get(10 * i + j)));
                }
                if (i % 2 == 0) {
                    producer.commitTransaction();
                } else {
                    producer.flush();
                    producer.abortTransaction();
                }
            }
            consumer.subscribe(List.of(topic));
            Map<String, Integer> seen = new TreeMap<>();
            for (ConsumerRecord<String, String> record : take(consumer, 30)) {
                seen.merge(record.key(), 1, Integer::sum);
            }
            Suite.equal(seen, Map.of("k0", 10, "k2", 10, "k4", 10), "records");
        }
    }

    /** Members in processes of their own are killed at random, and the broker once: nothing is lost, nothing is given too often. */
    private static void killed() throws Exception {
        if (Suite.RESTART.isEmpty()) {
            throw new Suite.Skip("the broker is not ours to kill");
        }
        int count = 10_000;
        String topic = Clients.topic("share-killed", 1);
        String group = group("share-killed", "share.record.lock.duration.ms", "15000");
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            Clients.send(producer, topic, Suite.lines(count));
        }
        Map<Long, Integer> seen = new ConcurrentHashMap<>();
        AtomicInteger most = new AtomicInteger();
        List<Process> members = new ArrayList<>();
        Random random = new Random(7);
        for (int i = 0; i < 3; i++) {
            members.add(start(group, topic, seen, most));
        }
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(240);
        int kills = 0;
        boolean restarted = false;
        int marked = 0;
        try {
            while (seen.size() < count) {
                Suite.check(System.nanoTime() < end, "only " + seen.size() + " of " + count + " records came");
                // Whoever dies has records that are its own: a death after every few hundred records.
                if (seen.size() - marked > count / 6 && kills < 5) {
                    int victim = random.nextInt(members.size());
                    members.get(victim).destroyForcibly().waitFor();
                    members.set(victim, start(group, topic, seen, most));
                    marked = seen.size();
                    kills++;
                }
                if (!restarted && seen.size() > count / 2) {
                    shell(Suite.RESTART.replace(" restart ", " kill "));
                    shell(Suite.RESTART.replace(" restart ", " start "));
                    restarted = true;
                }
                TimeUnit.MILLISECONDS.sleep(20);
            }
        } finally {
            members.forEach(Process::destroyForcibly);
        }
        Suite.check(kills >= 3 && restarted, kills + " members and the broker were killed");
        Suite.check(most.get() <= LIMIT, "a record was delivered " + most.get() + " times");
    }

    private static void shell(String command) throws Exception {
        Process process = new ProcessBuilder("sh", "-c", command).inheritIO().start();
        Suite.check(process.waitFor(180, TimeUnit.SECONDS) && process.exitValue() == 0, command);
    }

    private static Process start(String group, String topic, Map<Long, Integer> seen, AtomicInteger most) throws Exception {
        String java = ProcessHandle.current().info().command().orElse("java");
        ProcessBuilder builder = new ProcessBuilder(java, "-Xmx96M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
            System.getProperty("java.class.path"), "Shares", group, topic);
        Process process = builder.redirectError(ProcessBuilder.Redirect.INHERIT).start();
        Thread reader = new Thread(() -> {
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    String[] parts = line.split(" ");
                    if (parts.length == 2) {
                        seen.merge(Long.parseLong(parts[0]), 1, Integer::sum);
                        most.accumulateAndGet(Integer.parseInt(parts[1]), Math::max);
                    }
                }
            } catch (java.io.IOException | NumberFormatException cut) {
                // It was killed in the middle of a line.
            }
        });
        reader.setDaemon(true);
        reader.start();
        return process;
    }

    /** A member that says which records it has before it accepts them. */
    private static void member(String group, String topic) {
        try (KafkaShareConsumer<String, String> consumer = consumer(group, "share.acknowledgement.mode", "explicit")) {
            consumer.subscribe(List.of(topic));
            while (true) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(500))) {
                    System.out.println(record.offset() + " " + record.deliveryCount().get());
                    consumer.acknowledge(record);
                }
                System.out.flush();
                consumer.commitSync();
            }
        }
    }

    private Shares() {
    }
}
