import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.InvalidTxnTimeoutException;
import org.apache.kafka.common.errors.ProducerFencedException;

/** Transactions: what is committed is seen once, what is aborted or open is not. */
final class Transactions {
    private static final int COPIED = 20_000;

    static void cases() {
        Suite.run("transactions_are_seen_once_committed", Transactions::commitAndAbort);
        Suite.run("an_open_transaction_holds_back_what_follows", Transactions::open);
        Suite.run("a_transaction_without_writes_ends", Transactions::empty);
        Suite.run("the_producer_that_came_last_fences_the_one_before", Transactions::fenced);
        Suite.run("a_transaction_that_times_out_is_aborted", Transactions::timedOut);
        Suite.run("a_transaction_timeout_is_bounded", Transactions::timeoutTooLarge);
        Suite.run("offsets_of_a_transaction_count_once_committed", Transactions::offsets);
        Suite.run("offsets_of_a_dead_generation_are_refused", Transactions::deadGeneration);
        Suite.run("transactions_of_many_partitions", Transactions::many);
        Suite.run("copy_exactly_once_through_kills", Transactions::copy);
    }

    static KafkaProducer<String, String> producer(String id, String... more) {
        List<String> all = new ArrayList<>(List.of("transactional.id", id, "linger.ms", "0"));
        all.addAll(List.of(more));
        KafkaProducer<String, String> producer = Clients.producer(all.toArray(new String[0]));
        producer.initTransactions();
        return producer;
    }

    private static void commitAndAbort() throws Exception {
        String topic = Clients.topic("txn", 2);
        try (KafkaProducer<String, String> producer = producer(Suite.unique("txn"))) {
            for (int round = 0; round < 20; round++) {
                producer.beginTransaction();
                for (int i = 0; i < 10; i++) {
                    producer.send(new ProducerRecord<>(topic, i % 2, null, (round % 3 == 0 ? "aborted" : "committed") + round + "-" + i));
                }
                if (round % 3 == 0) {
                    // An abort takes back what was not sent.
                    producer.flush();
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 2, "isolation.level", "read_committed")) {
            Set<String> seen = new HashSet<>();
            for (ConsumerRecord<String, String> record : Clients.take(reader, 130)) {
                Suite.check(record.value().startsWith("committed"), record.value() + " was aborted");
                Suite.check(seen.add(record.value()), record.value() + " came twice");
            }
            Suite.check(reader.poll(Duration.ofMillis(300)).isEmpty(), "nothing is left");
        }
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 2)) {
            Suite.equal(Clients.take(reader, 200).size(), 200, "records without isolation");
        }
    }

    private static void open() throws Exception {
        String topic = Clients.topic("txn-open", 1);
        try (KafkaProducer<String, String> open = producer(Suite.unique("txn-open"));
                KafkaProducer<String, String> plain = Clients.producer();
                KafkaConsumer<String, String> reader = Clients.reader(topic, 1, "isolation.level", "read_committed")) {
            Clients.send(plain, new ProducerRecord<>(topic, "before"));
            open.beginTransaction();
            Clients.send(open, new ProducerRecord<>(topic, "open"));
            Clients.send(plain, new ProducerRecord<>(topic, "after"));
            Suite.equal(Clients.take(reader, 1).get(0).value(), "before", "the stable record");
            Suite.check(reader.poll(Duration.ofMillis(500)).isEmpty(), "nothing behind the open transaction is seen");
            Suite.equal(Clients.sum(reader.endOffsets(reader.assignment()).values()), 1L, "the last stable offset");
            open.commitTransaction();
            List<ConsumerRecord<String, String>> rest = Clients.take(reader, 2);
            Suite.equal(List.of(rest.get(0).value(), rest.get(1).value()), List.of("open", "after"), "the rest");
        }
    }

    private static void empty() throws Exception {
        try (KafkaProducer<String, String> producer = producer(Suite.unique("txn-empty"))) {
            for (int i = 0; i < 5; i++) {
                producer.beginTransaction();
                producer.commitTransaction();
                producer.beginTransaction();
                producer.abortTransaction();
            }
        }
    }

    private static void fenced() throws Exception {
        String topic = Clients.topic("txn-fenced", 1);
        String id = Suite.unique("txn-fenced");
        try (KafkaProducer<String, String> zombie = producer(id)) {
            zombie.beginTransaction();
            Clients.send(zombie, new ProducerRecord<>(topic, "zombie"));
            try (KafkaProducer<String, String> next = producer(id)) {
                next.beginTransaction();
                Clients.send(next, new ProducerRecord<>(topic, "next"));
                try {
                    zombie.send(new ProducerRecord<>(topic, "late"));
                    zombie.commitTransaction();
                    throw new AssertionError("the zombie was not fenced");
                } catch (ProducerFencedException | InvalidProducerEpochException expected) {
                    // As it should.
                } catch (KafkaException expected) {
                    Throwable cause = expected.getCause();
                    Suite.check(cause instanceof ProducerFencedException || cause instanceof InvalidProducerEpochException,
                        "fenced with " + expected);
                }
                next.commitTransaction();
            }
        }
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 1, "isolation.level", "read_committed")) {
            Suite.equal(Clients.take(reader, 1).get(0).value(), "next", "what is seen");
            Suite.check(reader.poll(Duration.ofMillis(300)).isEmpty(), "nothing of the zombie is seen");
        }
    }

    private static void timedOut() throws Exception {
        String topic = Clients.topic("txn-timeout", 1);
        String id = Suite.unique("txn-timeout");
        try (KafkaProducer<String, String> slow = producer(id, "transaction.timeout.ms", "1000");
                KafkaProducer<String, String> plain = Clients.producer();
                KafkaConsumer<String, String> reader = Clients.reader(topic, 1, "isolation.level", "read_committed")) {
            slow.beginTransaction();
            Clients.send(slow, new ProducerRecord<>(topic, "slow"));
            Clients.send(plain, new ProducerRecord<>(topic, "plain"));
            Suite.equal(Clients.take(reader, 1).get(0).value(), "plain", "what is seen once the slow one is aborted");
            try {
                slow.commitTransaction();
                throw new AssertionError("it was committed");
            } catch (KafkaException expected) {
                // Aborted and fenced.
            }
        }
    }

    private static void timeoutTooLarge() throws Exception {
        try (KafkaProducer<String, String> producer = producer(Suite.unique("txn-too-long"), "transaction.timeout.ms", "900001")) {
            throw new AssertionError("a timeout beyond the broker's limit was accepted");
        } catch (InvalidTxnTimeoutException expected) {
            // As it should.
        } catch (KafkaException expected) {
            Suite.check(String.valueOf(expected).contains("transaction timeout is larger"), "refused with " + expected);
        }
    }

    private static Map<TopicPartition, OffsetAndMetadata> at(String topic, long offset) {
        return Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(offset));
    }

    private static void offsets() throws Exception {
        String topic = Clients.topic("txn-offsets", 1);
        String group = Suite.unique("txn-offsets");
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> producer = producer(Suite.unique("txn-offsets"));
                KafkaConsumer<String, String> consumer = Clients.consumer("group.id", group)) {
            ConsumerGroupMetadata metadata = new ConsumerGroupMetadata(group);
            producer.beginTransaction();
            producer.sendOffsetsToTransaction(at(topic, 5), metadata);
            producer.abortTransaction();
            Suite.equal(consumer.committed(Set.of(partition)).get(partition), null, "offset of an aborted transaction");
            producer.beginTransaction();
            producer.sendOffsetsToTransaction(at(topic, 7), metadata);
            producer.commitTransaction();
            Suite.equal(consumer.committed(Set.of(partition)).get(partition).offset(), 7L, "offset of a committed transaction");
        }
    }

    private static void deadGeneration() throws Exception {
        String topic = Clients.topic("txn-dead", 1);
        String group = Suite.unique("txn-dead");
        try (KafkaProducer<String, String> producer = producer(Suite.unique("txn-dead"));
                KafkaProducer<String, String> plain = Clients.producer();
                KafkaConsumer<String, String> consumer = Clients.consumer("group.id", group)) {
            Clients.send(plain, topic, Suite.lines(10));
            consumer.subscribe(List.of(topic));
            Clients.take(consumer, 10);
            ConsumerGroupMetadata now = consumer.groupMetadata();
            ConsumerGroupMetadata dead = new ConsumerGroupMetadata(group, now.generationId() + 1, now.memberId(), now.groupInstanceId());
            producer.beginTransaction();
            try {
                producer.sendOffsetsToTransaction(at(topic, 10), dead);
                throw new AssertionError("offsets of a generation that is not were accepted");
            } catch (KafkaException expected) {
                // CommitFailedException
            }
            producer.abortTransaction();
            producer.beginTransaction();
            producer.sendOffsetsToTransaction(at(topic, 10), consumer.groupMetadata());
            producer.commitTransaction();
            TopicPartition partition = new TopicPartition(topic, 0);
            Suite.equal(consumer.committed(Set.of(partition)).get(partition).offset(), 10L, "committed");
        }
    }

    private static void many() throws Exception {
        int partitions = 20;
        String topic = Clients.topic("txn-many", partitions);
        List<Thread> threads = new ArrayList<>();
        List<Throwable> failed = new ArrayList<>();
        for (int t = 0; t < 4; t++) {
            String id = Suite.unique("txn-many-" + t);
            Thread thread = new Thread(() -> {
                try (KafkaProducer<String, String> producer = producer(id)) {
                    for (int round = 0; round < 50; round++) {
                        producer.beginTransaction();
                        for (int p = 0; p < partitions; p++) {
                            producer.send(new ProducerRecord<>(topic, p, null, id + "-" + round));
                        }
                        producer.commitTransaction();
                    }
                } catch (Throwable error) {
                    synchronized (failed) {
                        failed.add(error);
                    }
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        Suite.check(failed.isEmpty(), "no producer fails: " + failed);
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, partitions, "isolation.level", "read_committed")) {
            Map<String, Integer> seen = new HashMap<>();
            Clients.take(reader, 4 * 50 * partitions).forEach(record -> seen.merge(record.value(), 1, Integer::sum));
            Suite.check(seen.values().stream().allMatch(count -> count == partitions), "every transaction is seen whole");
        }
    }

    /** Copies a topic in transactions while the copier and the broker are killed: the copy is the original, once. */
    private static void copy() throws Exception {
        if (Suite.RESTART.isEmpty()) {
            throw new Suite.Skip("the broker is not ours to restart");
        }
        String from = Clients.topic("txn-from", 2);
        String to = Clients.topic("txn-to", 2);
        String group = Suite.unique("txn-copy");
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            Clients.send(producer, from, Suite.lines(COPIED));
        }
        Random random = new Random(7);
        Process copier = null;
        try (KafkaConsumer<String, String> watch = Clients.consumer("group.id", group)) {
            Set<TopicPartition> partitions = new HashSet<>(Clients.partitions(from, 2));
            long end = System.nanoTime() + Duration.ofMinutes(6).toNanos();
            long next = 0;
            for (int kills = 0;;) {
                if (copier == null || !copier.isAlive()) {
                    copier = start(from, to, group);
                }
                // Each kill waits until the copy has gone on, at random how far.
                long done = watch.committed(partitions, Duration.ofSeconds(60)).values().stream()
                    .mapToLong(committed -> committed == null ? 0 : committed.offset()).sum();
                if (done >= COPIED) {
                    break;
                }
                Suite.check(System.nanoTime() < end, "the copy ends; at " + done);
                if (done <= next) {
                    copier.waitFor(20, TimeUnit.MILLISECONDS);
                    continue;
                }
                next = done + random.nextInt(COPIED / 6);
                if (kills++ % 2 == 0) {
                    copier.destroyForcibly().waitFor();
                } else {
                    Process restart = new ProcessBuilder("sh", "-c", Suite.RESTART).inheritIO().start();
                    Suite.check(restart.waitFor(180, TimeUnit.SECONDS) && restart.exitValue() == 0, "the broker restarts");
                }
            }
        } finally {
            if (copier != null) {
                copier.destroyForcibly().waitFor();
            }
        }
        try (KafkaConsumer<String, String> source = Clients.reader(from, 2);
                KafkaConsumer<String, String> target = Clients.reader(to, 2, "isolation.level", "read_committed")) {
            Map<String, Integer> left = new HashMap<>();
            Clients.take(source, COPIED).forEach(record -> left.merge(record.partition() + record.value(), 1, Integer::sum));
            for (ConsumerRecord<String, String> record : Clients.take(target, COPIED)) {
                String key = record.partition() + record.value();
                Suite.check(left.merge(key, -1, Integer::sum) >= 0, "copied once too often: " + key);
            }
            Suite.check(target.poll(Duration.ofMillis(500)).isEmpty(), "nothing is copied twice");
            Suite.check(left.values().stream().allMatch(count -> count == 0), "everything is copied");
        }
    }

    private static Process start(String from, String to, String group) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(ProcessHandle.current().info().command().orElse("java"), "-cp",
            System.getProperty("java.class.path"), "Copier", from, to, group);
        return builder.redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
    }

    private Transactions() {
    }
}
