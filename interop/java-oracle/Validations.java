import java.lang.reflect.Proxy;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.CorruptRecordException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.PrimitiveRef;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.LogValidator;
import org.apache.kafka.storage.internals.log.RecordValidationException;

/** What a broker of Apache Kafka does with the records of a Produce request, before it appends them. */
final class Validations {
    private static final TopicPartition TOPIC_PARTITION = new TopicPartition("orders", 3);
    private static final int LEADER_EPOCH = 5;

    /**
     * Answers each line with a name of an error, faults of records, and the batch to append.
     *
     * <p>Lines have bytes in hexadecimal, version of Produce, {@code compression.type}, {@code message.timestamp.type},
     * the limits of timestamps before and after, whether the topic is compacted, {@code max.message.bytes}, and the time.
     */
    static List<String> answers(List<String> lines) {
        List<String> answers = new ArrayList<>();
        for (String line : lines) {
            String[] parts = line.split("\t");
            try {
                answers.add("NONE\t\t" + HexFormat.of().formatHex(validate(parts)));
            } catch (RecordValidationException e) {
                String faults = e.recordErrors().stream().map(it -> it.batchIndex + ":" + it.message).collect(Collectors.joining("|"));
                answers.add(Errors.forException(e.invalidException()).name() + "\t" + faults + "\t");
            } catch (Exception e) {
                answers.add(Errors.forException(e).name() + "\t\t");
            }
        }
        return answers;
    }

    private static byte[] validate(String[] parts) {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(HexFormat.of().parseHex(parts[0])));
        ProduceRequest.validateRecords(Short.parseShort(parts[1]), records);
        CompressionType source = CompressionType.NONE;
        int maxSize = Integer.parseInt(parts[7]);
        for (MutableRecordBatch batch : records.batches()) {
            analyze(batch, maxSize);
            source = batch.compressionType();
        }
        CompressionType target = parts[2].equals("producer") ? source : CompressionType.forName(parts[2]);
        LogValidator validator = new LogValidator(
            records, TOPIC_PARTITION, fixed(Long.parseLong(parts[8])), source, Compression.of(target).build(),
            Boolean.parseBoolean(parts[6]), RecordBatch.CURRENT_MAGIC_VALUE, TimestampType.forName(parts[3]),
            Long.parseLong(parts[4]), Long.parseLong(parts[5]), LEADER_EPOCH, AppendOrigin.CLIENT);
        LogValidator.MetricsRecorder metrics = silent(LogValidator.MetricsRecorder.class);
        MemoryRecords valid = validator.validateMessagesAndAssignOffsets(
            PrimitiveRef.ofLong(100), metrics, BufferSupplier.NO_CACHING).validatedRecords();
        ByteBuffer buffer = valid.buffer().duplicate();
        byte[] bytes = new byte[valid.batches().iterator().next().sizeInBytes()];
        buffer.get(bytes);
        return bytes;
    }

    /** The checks of {@code UnifiedLog}, which cannot be reached without a log. */
    private static void analyze(MutableRecordBatch batch, int maxSize) {
        if (batch.baseOffset() != 0) {
            throw new InvalidRecordException("base offset");
        }
        if (batch.sizeInBytes() > maxSize) {
            throw new RecordTooLargeException("size");
        }
        if (!batch.isValid()) {
            throw new CorruptRecordException("checksum");
        }
    }

    private static Time fixed(long now) {
        return (Time) Proxy.newProxyInstance(Time.class.getClassLoader(), new Class<?>[] {Time.class}, (proxy, method, args) -> now);
    }

    @SuppressWarnings("unchecked")
    private static <T> T silent(Class<T> type) {
        return (T) Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, method, args) -> null);
    }
}
