import java.io.File;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.common.*;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.utils.*;
import org.apache.kafka.server.util.*;
import org.apache.kafka.storage.internals.log.*;
import org.apache.kafka.server.common.RequestLocal;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/**
 * `make DIRECTORY MEGABYTES` fills a log with keys, tombstones, transactions and all codecs; `clean DIRECTORY TIME` cleans it by
 * Kafka's own cleaner and says what that cost; `show DIRECTORY` prints every batch and record that is left.
 */
public class Compact {
    static LogConfig config() {
        Properties p = new Properties();
        p.put("internal.segment.bytes", 64 << 20);
        p.put("cleanup.policy", "compact");
        p.put("delete.retention.ms", "1000");
        p.put("max.message.bytes", "10000000");
        return new LogConfig(p);
    }

    static UnifiedLog open(String dir) throws Exception {
        KafkaScheduler scheduler = new KafkaScheduler(1);
        return UnifiedLog.create(new File(dir), config(), 0L, 0L, scheduler, new BrokerTopicStats(), Time.SYSTEM, 900000,
            new ProducerStateManagerConfig(Integer.MAX_VALUE, false), 600000, new LogDirFailureChannel(10), true, Optional.empty());
    }

    public static void main(String[] a) throws Exception {
        switch (a[0]) {
            case "make" -> make(a[1], Long.parseLong(a[2]) << 20);
            case "clean" -> clean(a[1], Long.parseLong(a[2]));
            case "show" -> show(a[1]);
        }
        System.exit(0);
    }

    static void make(String dir, long bytes) throws Exception {
        UnifiedLog log = open(dir);
        Random random = new Random(7);
        byte[] value = new byte[200];
        long[] sequence = new long[4];
        int batch = 0;
        while (log.size() < bytes) {
            CompressionType type = CompressionType.values()[batch % 8 < 5 ? 0 : batch % 5];
            int producer = random.nextInt(5) - 1;
            boolean txn = producer >= 2;
            SimpleRecord[] records = new SimpleRecord[1 + random.nextInt(80)];
            for (int i = 0; i < records.length; i++) {
                random.nextBytes(value);
                byte[] key = ("key-" + random.nextInt(400_000)).getBytes(StandardCharsets.UTF_8);
                records[i] = new SimpleRecord(1_000_000 + batch, key, random.nextInt(10) == 0 ? null : Arrays.copyOf(value, 100 + random.nextInt(100)));
            }
            Compression compression = Compression.of(type).build();
            MemoryRecords data = producer < 0 ? MemoryRecords.withRecords(compression, records)
                : txn ? MemoryRecords.withTransactionalRecords(compression, producer, (short) 0, (int) sequence[producer], records)
                : MemoryRecords.withIdempotentRecords(compression, producer, (short) 0, (int) sequence[producer], records);
            if (producer >= 0) sequence[producer] += records.length;
            log.appendAsLeader(data, 0);
            if (txn && random.nextInt(3) == 0) {
                EndTransactionMarker marker = new EndTransactionMarker(random.nextInt(3) == 0 ? ControlRecordType.ABORT : ControlRecordType.COMMIT, 0);
                log.appendAsLeader(MemoryRecords.withEndTransactionMarker(1_000_000 + batch, producer, (short) 0, marker), 0, AppendOrigin.COORDINATOR, RequestLocal.noCaching(), VerificationGuard.SENTINEL, (short) 0);
            }
            batch++;
        }
        for (int producer = 2; producer < 4; producer++)
            log.appendAsLeader(MemoryRecords.withEndTransactionMarker(1_000_000 + batch, producer, (short) 0, new EndTransactionMarker(ControlRecordType.COMMIT, 0)), 0, AppendOrigin.COORDINATOR, RequestLocal.noCaching(), VerificationGuard.SENTINEL, (short) 0);
        log.updateHighWatermark(log.logEndOffset());
        log.roll();
        log.flush(true);
        log.close();
    }

    static void clean(String dir, long now) throws Exception {
        UnifiedLog log = open(dir);
        log.updateHighWatermark(log.logEndOffset());
        Cleaner cleaner = new Cleaner(0, new SkimpyOffsetMap(128 << 20, "MD5"), 256 << 10, 10_000_000, 0.9,
            new org.apache.kafka.storage.internals.utils.Throttler(Double.MAX_VALUE, Long.MAX_VALUE, "throttler", "entries", Time.SYSTEM), Time.SYSTEM, tp -> { });
        long before = cpu();
        Map.Entry<Long, CleanerStats> done = cleaner.doClean(new LogToClean(log, 0, log.activeSegment().baseOffset(), false), now);
        System.out.printf("cpu_s=%.3f end=%d%n", (cpu() - before) / 1e9, done.getKey());
        log.close();
    }

    static long cpu() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    static void show(String dir) throws Exception {
        File[] files = new File(dir).listFiles((d, n) -> n.endsWith(".log"));
        Arrays.sort(files);
        StringBuilder out = new StringBuilder();
        for (File file : files) {
            for (RecordBatch batch : FileRecords.open(file).batches()) {
                batch.ensureValid();
                out.append("batch ").append(batch.baseOffset()).append(' ').append(batch.lastOffset()).append(' ').append(batch.producerId()).append(' ')
                   .append(batch.producerEpoch()).append(' ').append(batch.baseSequence()).append(' ').append(batch.maxTimestamp()).append(' ')
                   .append(batch.deleteHorizonMs()).append(' ').append(batch.isControlBatch()).append(batch.isTransactional()).append(batch.compressionType()).append('\n');
                for (org.apache.kafka.common.record.internal.Record r : batch) {
                    out.append(r.offset()).append(' ').append(r.timestamp()).append(' ').append(r.hasKey() ? r.key().hashCode() : 0).append(' ').append(r.hasValue() ? r.value().hashCode() : 0).append('\n');
                }
            }
        }
        System.out.print(out);
    }
}
