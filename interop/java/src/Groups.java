import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;

/** Members join and leave a group: every record is processed by one of them, once. */
final class Groups {
    private static final String ASSIGNORS = "org.apache.kafka.clients.consumer.";

    static void cases() {
        Suite.run("group_of_three_range", () -> joinAndLeave("range", ASSIGNORS + "RangeAssignor", false));
        Suite.run("group_of_three_cooperative", () -> joinAndLeave("cooperative", ASSIGNORS + "CooperativeStickyAssignor", false));
        Suite.run("group_of_three_static_members", () -> joinAndLeave("static", ASSIGNORS + "RoundRobinAssignor", true));
        Suite.run("new_group_starts_at_latest", Groups::latest);
    }

    private static void joinAndLeave(String name, String assignor, boolean isStatic) throws Exception {
        int partitions = 6;
        int phase = 2_000;
        Group group = new Group(Clients.topic("group-" + name, partitions), Suite.unique("group-" + name), assignor, isStatic);
        List<String> lines = Suite.lines(phase);
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            Member first = group.join("first");
            Clients.send(producer, group.topic, lines);
            group.await("the first member reads all", () -> group.processed == phase);

            Member second = group.join("second");
            Member third = group.join("third");
            group.await("three members own two partitions each", () -> group.owned(2, first, second, third));
            Clients.send(producer, group.topic, lines);
            group.await("three members read all", () -> group.processed == 2 * phase);
            Suite.check(third.processed > 0, "the third member took part");

            first.leave();
            if (isStatic) {
                remove(group.name, "first");
            }
            group.await("two members own three partitions each", () -> group.owned(3, second, third));
            Clients.send(producer, group.topic, lines);
            group.await("two members read all", () -> group.processed == 3 * phase);

            Member fourth = group.join("fourth");
            group.await("the fourth member owns two partitions", () -> group.owned(2, second, third, fourth));
            Clients.send(producer, group.topic, lines);
            group.await("all is read", () -> group.processed == 4 * phase);
        } finally {
            group.close();
        }
        Suite.equal(group.error, null, "errors of the members");
        Suite.equal(group.seen.size(), 4 * phase, "records seen, each once");
        try (Admin admin = Clients.admin();
                KafkaConsumer<String, String> reader = Clients.reader(group.topic, partitions)) {
            Map<TopicPartition, Long> committed = new HashMap<>();
            admin.listConsumerGroupOffsets(group.name).partitionsToOffsetAndMetadata().get()
                .forEach((partition, offset) -> committed.put(partition, offset.offset()));
            Suite.equal(committed, reader.endOffsets(reader.assignment()), "committed offsets");
        }
    }

    private static void remove(String group, String instance) throws Exception {
        try (Admin admin = Clients.admin()) {
            var member = new org.apache.kafka.clients.admin.MemberToRemove(instance);
            admin.removeMembersFromConsumerGroup(group,
                new org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions(Set.of(member))).all().get();
        }
    }

    private static void latest() throws Exception {
        String topic = Clients.topic("latest", 1);
        try (KafkaProducer<String, String> producer = Clients.producer();
                KafkaConsumer<String, String> consumer = Clients.consumer("group.id", Suite.unique("latest"), "auto.offset.reset", "latest")) {
            Clients.send(producer, topic, Suite.lines(10));
            consumer.subscribe(List.of(topic));
            long end = System.nanoTime() + Clients.LIMIT.toNanos();
            while (consumer.assignment().isEmpty() && System.nanoTime() < end) {
                Suite.check(consumer.poll(Duration.ofMillis(100)).isEmpty(), "old records are passed over");
            }
            Suite.equal(consumer.position(new TopicPartition(topic, 0)), 10L, "position");
            Clients.send(producer, topic, Suite.lines(1));
            Suite.equal(Clients.take(consumer, 1).get(0).offset(), 10L, "the first record after joining");
        }
    }

    /** A group and what its members processed. */
    private static final class Group {
        final String topic;
        final String name;
        final String assignor;
        final boolean isStatic;
        final List<Member> members = new ArrayList<>();
        final Set<String> seen = new HashSet<>();
        final ReentrantLock lock = new ReentrantLock();
        final Condition changed = lock.newCondition();
        int processed;
        Throwable error;

        Group(String topic, String name, String assignor, boolean isStatic) {
            this.topic = topic;
            this.name = name;
            this.assignor = assignor;
            this.isStatic = isStatic;
        }

        Member join(String instance) {
            Member member = new Member(this, instance);
            members.add(member);
            member.thread.start();
            return member;
        }

        boolean owned(int each, Member... members) {
            for (Member member : members) {
                if (member.owned != each) {
                    return false;
                }
            }
            return true;
        }

        void await(String what, BooleanSupplier condition) throws InterruptedException {
            lock.lock();
            try {
                long left = Clients.LIMIT.toNanos();
                while (!condition.getAsBoolean() && error == null) {
                    left = changed.awaitNanos(left);
                    Suite.check(left > 0, "in vain awaited that " + what + "; processed " + processed);
                }
                Suite.check(error == null, what + ": a member failed with " + error);
            } finally {
                lock.unlock();
            }
        }

        void change(Runnable change) {
            lock.lock();
            try {
                change.run();
                changed.signalAll();
            } finally {
                lock.unlock();
            }
        }

        void close() throws InterruptedException {
            for (Member member : members) {
                member.leave();
            }
        }
    }

    /** Reads, commits, and only then counts what it read. */
    private static final class Member {
        final Group group;
        final Thread thread;
        volatile boolean leaves;
        int owned;
        int processed;

        Member(Group group, String instance) {
            this.group = group;
            this.thread = new Thread(() -> run(instance));
        }

        void leave() throws InterruptedException {
            leaves = true;
            thread.join(TimeUnit.SECONDS.toMillis(60));
        }

        private void run(String instance) {
            List<String> more = new ArrayList<>(List.of("group.id", group.name, "partition.assignment.strategy", group.assignor,
                "heartbeat.interval.ms", "500", "max.poll.records", "100"));
            if (group.isStatic) {
                more.addAll(List.of("group.instance.id", instance));
            }
            try (KafkaConsumer<String, String> consumer = Clients.consumer(more.toArray(new String[0]))) {
                consumer.subscribe(List.of(group.topic));
                while (!leaves) {
                    ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
                    boolean committed = records.isEmpty() || commit(consumer, records);
                    group.change(() -> {
                        owned = consumer.assignment().size();
                        if (committed) {
                            records.forEach(this::count);
                        }
                    });
                }
            } catch (Throwable error) {
                group.change(() -> group.error = error);
            }
        }

        private boolean commit(KafkaConsumer<String, String> consumer, ConsumerRecords<String, String> records) {
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            records.forEach(record -> offsets.put(new TopicPartition(record.topic(), record.partition()),
                new OffsetAndMetadata(record.offset() + 1)));
            try {
                consumer.commitSync(offsets);
                return true;
            } catch (RebalanceInProgressException | CommitFailedException rebalance) {
                for (TopicPartition partition : records.partitions()) {
                    if (consumer.assignment().contains(partition)) {
                        consumer.seek(partition, records.records(partition).get(0).offset());
                    }
                }
                return false;
            }
        }

        private void count(ConsumerRecord<String, String> record) {
            processed++;
            group.processed++;
            if (!group.seen.add(record.partition() + "@" + record.offset())) {
                group.error = new AssertionError("read twice: " + record);
            }
        }
    }

    private Groups() {
    }
}
