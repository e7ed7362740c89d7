import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;

/** What goes in comes out: lines, codecs, headers, nulls, timestamps. */
final class Records {
    static void cases() {
        Suite.run("many_lines_in_order_per_key", () -> lines("many", Suite.many(), "lz4", "all"));
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            Suite.run("codec_" + codec, () -> lines("codec-" + codec, 20_000, codec, "all"));
        }
        for (String acks : List.of("0", "1")) {
            Suite.run("acks_" + acks, () -> lines("acks-" + acks, 20_000, "none", acks));
        }
        Suite.run("topic_codec_recompresses", Records::topicCodec);
        Suite.run("headers", Records::headers);
        Suite.run("null_keys_and_values", Records::nulls);
        Suite.run("timestamps_and_lookup_by_time", Records::timestamps);
        Suite.run("log_append_time", Records::logAppendTime);
        Suite.run("large_record_is_refused", Records::tooLarge);
    }

    /** Sends lines over six partitions and reads them back; per key they come in the order they were sent. */
    private static void lines(String name, int count, String codec, String acks) throws Exception {
        List<String> lines = Suite.lines(count);
        String topic = Clients.topic(name, 6);
        boolean idempotent = acks.equals("all");
        try (KafkaProducer<String, String> producer = Clients.producer("compression.type", codec, "acks", acks, "linger.ms", "5",
                "batch.size", "65536", "enable.idempotence", String.valueOf(idempotent))) {
            Clients.send(producer, topic, lines);
        }
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 6)) {
            int[] next = new int[Clients.KEYS];
            int came = 0;
            long end = System.nanoTime() + Duration.ofMinutes(10).toNanos();
            while (came < lines.size()) {
                Suite.check(System.nanoTime() < end, "only " + came + " lines came back");
                for (ConsumerRecord<String, String> record : reader.poll(Duration.ofMillis(500))) {
                    int key = Integer.parseInt(record.key().substring(1));
                    int line = key + Clients.KEYS * next[key]++;
                    Suite.check(line < lines.size(), "key " + key + " has a line too many");
                    Suite.equal(record.value(), lines.get(line), "line " + line);
                    came++;
                }
            }
            Suite.equal(Clients.sum(reader.endOffsets(reader.assignment()).values()), (long) lines.size(), "end offsets");
        }
    }

    private static void topicCodec() throws Exception {
        String topic = Clients.topic("recompress", 1, "compression.type", "zstd");
        List<String> lines = Suite.lines(5_000);
        try (KafkaProducer<String, String> producer = Clients.producer("compression.type", "gzip")) {
            Clients.send(producer, topic, lines);
        }
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 1)) {
            List<ConsumerRecord<String, String>> records = Clients.take(reader, lines.size());
            for (int i = 0; i < lines.size(); i++) {
                Suite.equal(records.get(i).value(), lines.get(i), "line " + i);
            }
        }
    }

    private static void headers() throws Exception {
        String topic = Clients.topic("headers", 1);
        ProducerRecord<String, String> sent = new ProducerRecord<>(topic, 0, "key", "value");
        byte[] binary = new byte[256];
        for (int i = 0; i < binary.length; i++) {
            binary[i] = (byte) i;
        }
        sent.headers().add("a", "1".getBytes(StandardCharsets.UTF_8)).add("b", null).add("a", new byte[0]).add("ключ", binary);
        try (KafkaProducer<String, String> producer = Clients.producer("compression.type", "zstd")) {
            Clients.send(producer, sent);
        }
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 1)) {
            Header[] came = Clients.take(reader, 1).get(0).headers().toArray();
            Suite.equal(came, sent.headers().toArray(), "headers");
        }
    }

    private static void nulls() throws Exception {
        String topic = Clients.topic("nulls", 1);
        List<String> sent = new ArrayList<>();
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            for (String key : Arrays.asList(null, "", "key")) {
                for (String value : Arrays.asList(null, "", "value")) {
                    Clients.send(producer, new ProducerRecord<>(topic, 0, key, value));
                    sent.add(key + "=" + value);
                }
            }
        }
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 1)) {
            List<String> came = new ArrayList<>();
            Clients.take(reader, sent.size()).forEach(record -> came.add(record.key() + "=" + record.value()));
            Suite.equal(came, sent, "records");
        }
    }

    private static void timestamps() throws Exception {
        String topic = Clients.topic("timestamps", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        long start = System.currentTimeMillis() - 1_000_000;
        try (KafkaProducer<String, String> producer = Clients.producer("linger.ms", "0", "batch.size", "1000")) {
            for (int i = 0; i < 1_000; i++) {
                producer.send(new ProducerRecord<>(topic, 0, start + i * 10L, null, "v" + i));
            }
            producer.flush();
        }
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 1)) {
            for (long[] pair : new long[][] {{0, 0}, {start - 1, 0}, {start, 0}, {start + 1, 1}, {start + 5_005, 501}, {start + 9_990, 999}}) {
                OffsetAndTimestamp found = reader.offsetsForTimes(Map.of(partition, pair[0])).get(partition);
                Suite.equal(found.offset(), pair[1], "offset of time start" + (pair[0] - start));
                Suite.equal(found.timestamp(), start + pair[1] * 10, "its timestamp");
            }
            Map<TopicPartition, OffsetAndTimestamp> later = reader.offsetsForTimes(Map.of(partition, start + 9_991));
            Suite.equal(later.get(partition), null, "offset of a time after the last");
            Suite.equal(reader.beginningOffsets(List.of(partition)), Map.of(partition, 0L), "beginning");
            Suite.equal(reader.endOffsets(List.of(partition)), Map.of(partition, 1_000L), "end");
            for (ConsumerRecord<String, String> record : Clients.take(reader, 1_000)) {
                Suite.equal(record.timestamp(), start + record.offset() * 10, "timestamp");
                Suite.equal(record.timestampType(), TimestampType.CREATE_TIME, "timestamp type");
            }
        }
    }

    private static void logAppendTime() throws Exception {
        String topic = Clients.topic("append-time", 1, "message.timestamp.type", "LogAppendTime");
        long before = System.currentTimeMillis();
        RecordMetadata metadata;
        try (KafkaProducer<String, String> producer = Clients.producer("compression.type", "snappy")) {
            metadata = Clients.send(producer, new ProducerRecord<>(topic, 0, before - 100_000, null, "v"));
        }
        long after = System.currentTimeMillis();
        Suite.check(metadata.timestamp() >= before && metadata.timestamp() <= after, "the producer learns the time of the append");
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 1)) {
            ConsumerRecord<String, String> record = Clients.take(reader, 1).get(0);
            Suite.equal(record.timestamp(), metadata.timestamp(), "timestamp");
            Suite.equal(record.timestampType(), TimestampType.LOG_APPEND_TIME, "timestamp type");
        }
    }

    private static void tooLarge() throws Exception {
        String topic = Clients.topic("large", 1, "max.message.bytes", "10000");
        Map<String, Integer> outcomes = new HashMap<>();
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            Clients.send(producer, new ProducerRecord<>(topic, 0, null, "x".repeat(9_000)));
            Throwable refused = Clients.failure(producer.send(new ProducerRecord<>(topic, 0, null, "x".repeat(20_000))));
            outcomes.put(refused.getClass().getSimpleName(), 1);
            Clients.send(producer, new ProducerRecord<>(topic, 0, null, "after"));
        }
        Suite.equal(outcomes, Map.of("RecordTooLargeException", 1), "the refusal");
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, 1)) {
            Suite.equal(Clients.take(reader, 2).get(1).value(), "after", "the record after the refusal");
        }
    }

    private Records() {
    }
}
