import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.StringJoiner;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;

/** Record batches of every message format and codec, and what Kafka reads in those of others. */
final class Batches {
    private static final long TIME = 1_700_000_000_000L;

    /** Lines of a name, bytes in hexadecimal, and the records in the form of {@link #describe}. */
    static List<String> examples() {
        List<String> lines = new ArrayList<>();
        for (byte magic = 0; magic <= RecordBatch.CURRENT_MAGIC_VALUE; magic++) {
            for (CompressionType codec : CompressionType.values()) {
                if (codec == CompressionType.ZSTD && magic < RecordBatch.MAGIC_VALUE_V2) {
                    continue;
                }
                for (TimestampType type : List.of(TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME)) {
                    if (type == TimestampType.LOG_APPEND_TIME && magic == RecordBatch.MAGIC_VALUE_V0) {
                        continue;
                    }
                    String name = "v" + magic + " " + codec.name + " " + type;
                    MemoryRecords records = build(magic, codec, type);
                    byte[] bytes = new byte[records.sizeInBytes()];
                    records.buffer().duplicate().get(bytes);
                    lines.add(String.join("\t", name, HexFormat.of().formatHex(bytes), describe(records)));
                }
            }
        }
        return lines;
    }

    private static MemoryRecords build(byte magic, CompressionType codec, TimestampType type) {
        boolean isV2 = magic == RecordBatch.MAGIC_VALUE_V2;
        MemoryRecordsBuilder builder = MemoryRecords.builder(
            ByteBuffer.allocate(1 << 16), magic, Compression.of(codec).build(), type, 100, TIME + 500,
            isV2 ? 7 : -1, (short) (isV2 ? 2 : -1), isV2 ? Integer.MAX_VALUE - 2 : -1, false, isV2 ? 5 : -1);
        for (int i = 0; i < 8; i++) {
            byte[] key = i % 3 == 0 ? null : text("key " + i);
            byte[] value = i % 4 == 1 ? null : text("value " + "x".repeat(i * 40) + i);
            Header[] headers = {};
            if (isV2 && i % 2 == 0) {
                headers = new Header[] {new RecordHeader("same", text("a")), new RecordHeader("same", null), new RecordHeader("", text(""))};
            }
            long timestamp = magic == RecordBatch.MAGIC_VALUE_V0 ? RecordBatch.NO_TIMESTAMP : TIME + i * 10L - (i == 5 ? 1000 : 0);
            builder.append(timestamp, key, value, headers);
        }
        return builder.build();
    }

    private static byte[] text(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Reads what each line says; a line per disagreement goes to {@code faults}. */
    static void judge(List<String> lines, List<String> faults) {
        for (String line : lines) {
            String[] parts = line.split("\t", 3);
            try {
                MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(HexFormat.of().parseHex(parts[1])));
                for (MutableRecordBatch batch : records.batches()) {
                    batch.ensureValid();
                }
                String described = describe(records);
                if (!described.equals(parts[2])) {
                    faults.add("read as " + described + "\t" + line);
                }
            } catch (Exception e) {
                faults.add(e + "\t" + line);
            }
        }
    }

    /** Offset, timestamp, sequence, key, value and headers of each record. */
    private static String describe(MemoryRecords records) {
        StringJoiner all = new StringJoiner(";");
        for (Record record : records.records()) {
            StringJoiner one = new StringJoiner(",");
            one.add(Long.toString(record.offset())).add(Long.toString(record.timestamp()));
            one.add(Integer.toString(record.sequence())).add(hex(record.key())).add(hex(record.value()));
            for (Header header : record.headers()) {
                one.add(hex(ByteBuffer.wrap(text(header.key()))) + "=" + hex(header.value() == null ? null : ByteBuffer.wrap(header.value())));
            }
            all.add(one.toString());
        }
        return all.toString();
    }

    private static String hex(ByteBuffer buffer) {
        if (buffer == null) {
            return "null";
        }
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return HexFormat.of().formatHex(bytes);
    }
}
