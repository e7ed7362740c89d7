import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** Where a consumer reads: seek, pause, commits, positions out of range. */
final class Positions {
    static void cases() {
        Suite.run("seek", Positions::seek);
        Suite.run("pause_and_resume", Positions::pause);
        Suite.run("commit_with_metadata", Positions::commit);
        Suite.run("position_out_of_range", Positions::outOfRange);
        Suite.run("small_fetches", Positions::smallFetches);
    }

    private static String numbers(String name, int partitions, int each) throws Exception {
        String topic = Clients.topic(name, partitions);
        try (KafkaProducer<String, String> producer = Clients.producer("batch.size", "2000")) {
            for (int i = 0; i < each; i++) {
                for (int partition = 0; partition < partitions; partition++) {
                    producer.send(new ProducerRecord<>(topic, partition, null, "v" + i));
                }
            }
        }
        return topic;
    }

    private static void seek() throws Exception {
        String topic = numbers("seek", 1, 5_000);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 1)) {
            for (long offset : new long[] {0, 4_999, 1, 2_500, 17, 4_000}) {
                reader.seek(partition, offset);
                ConsumerRecord<String, String> record = Clients.take(reader, 1).get(0);
                Suite.equal(record.offset(), offset, "offset");
                Suite.equal(record.value(), "v" + offset, "value");
            }
            reader.seekToEnd(List.of(partition));
            Suite.equal(reader.position(partition), 5_000L, "position at the end");
            Suite.check(reader.poll(Duration.ofMillis(50)).isEmpty(), "there is nothing at the end");
            reader.seekToBeginning(List.of(partition));
            Suite.equal(Clients.take(reader, 5_000).size(), 5_000, "records from the beginning");
        }
    }

    private static void pause() throws Exception {
        String topic = numbers("pause", 2, 500);
        TopicPartition first = new TopicPartition(topic, 0);
        TopicPartition second = new TopicPartition(topic, 1);
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 2)) {
            reader.pause(List.of(first));
            Clients.take(reader, 500).forEach(record -> Suite.equal(record.partition(), 1, "partition while 0 is paused"));
            reader.resume(List.of(first));
            reader.pause(List.of(second));
            Clients.take(reader, 500).forEach(record -> Suite.equal(record.partition(), 0, "partition while 1 is paused"));
        }
    }

    private static void commit() throws Exception {
        String topic = numbers("commit", 1, 100);
        TopicPartition partition = new TopicPartition(topic, 0);
        String group = Suite.unique("commit");
        try (KafkaConsumer<String, String> consumer = Clients.consumer("group.id", group)) {
            consumer.assign(List.of(partition));
            Suite.equal(consumer.committed(java.util.Set.of(partition)).get(partition), null, "nothing is committed");
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(40, "forty")));
        }
        try (KafkaConsumer<String, String> consumer = Clients.consumer("group.id", group)) {
            consumer.assign(List.of(partition));
            OffsetAndMetadata committed = consumer.committed(java.util.Set.of(partition)).get(partition);
            Suite.equal(committed.offset() + committed.metadata(), "40forty", "committed");
            Suite.equal(Clients.take(consumer, 60).get(0).offset(), 40L, "the first record after the commit");
        }
    }

    private static void outOfRange() throws Exception {
        String topic = numbers("range", 1, 10);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 1, "auto.offset.reset", "none")) {
            reader.seek(partition, 11);
            try {
                Clients.take(reader, 1);
                throw new AssertionError("a position behind the end was read");
            } catch (OffsetOutOfRangeException expected) {
                Suite.equal(expected.offsetOutOfRangePartitions(), Map.of(partition, 11L), "partitions out of range");
            }
        }
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 1)) {
            reader.seek(partition, 1_000);
            Suite.equal(Clients.take(reader, 10).get(0).offset(), 0L, "the first record after the reset");
        }
    }

    private static void smallFetches() throws Exception {
        String topic = numbers("small", 3, 500);
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 3, "max.partition.fetch.bytes", "100", "fetch.max.bytes", "300",
                "max.poll.records", "7")) {
            long[] next = new long[3];
            for (ConsumerRecord<String, String> record : Clients.take(reader, 1_500)) {
                Suite.equal(record.offset(), next[record.partition()]++, "offset in partition " + record.partition());
            }
        }
    }

    private Positions() {
    }
}
