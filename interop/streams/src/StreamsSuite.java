import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/**
 * Kafka Streams 4.3.1 against the broker at BOOTSTRAP: both group protocols, both guarantees, through restarts of the broker.
 * What comes out is compared with what follows from the input, so it is the same for every broker that passes.
 */
public final class StreamsSuite {
    static final List<String> PROTOCOLS = List.of("classic", "streams");
    static final String AT_LEAST_ONCE = "at_least_once";
    static final String EXACTLY_ONCE = "exactly_once_v2";

    public static void main(String[] args) throws Exception {
        for (String protocol : PROTOCOLS) {
            for (String guarantee : List.of(AT_LEAST_ONCE, EXACTLY_ONCE)) {
                WordCount.cases(protocol, guarantee);
                Joins.cases(protocol, guarantee);
            }
        }
        Members.cases();
        Suite.finish();
    }

    private static Boolean hasTransactions;

    /** A broker without transactions cannot do anything exactly once. */
    private static boolean hasTransactions() {
        if (hasTransactions == null) {
            try (var producer = Clients.producer("transactional.id", Suite.unique("probe"), "max.block.ms", "10000")) {
                producer.initTransactions();
                hasTransactions = true;
            } catch (KafkaException error) {
                hasTransactions = false;
            }
        }
        return hasTransactions;
    }

    /** Starts an application and waits until its threads run. */
    static Application start(Topology topology, String name, String protocol, String guarantee, String... more) throws Exception {
        if (guarantee.equals(EXACTLY_ONCE) && !hasTransactions()) {
            throw new Suite.Skip("the broker has no transactions");
        }
        Application application = new Application(topology, name, protocol, guarantee, more);
        application.streams.start();
        application.await(KafkaStreams.State.RUNNING);
        return application;
    }

    /** One instance of an application, with a state directory of its own. */
    static final class Application implements AutoCloseable {
        final KafkaStreams streams;
        private final Path state;
        private final AtomicReference<Throwable> failed = new AtomicReference<>();

        private Application(Topology topology, String name, String protocol, String guarantee, String... more) throws Exception {
            state = Files.createTempDirectory("streams");
            Properties properties = new Properties();
            properties.put("bootstrap.servers", Suite.BOOTSTRAP);
            properties.put("application.id", name);
            properties.put("group.protocol", protocol);
            properties.put("processing.guarantee", guarantee);
            properties.put("state.dir", state.toString());
            properties.put("num.stream.threads", "2");
            properties.put("commit.interval.ms", "200");
            properties.put("statestore.cache.max.bytes", "0");
            properties.put("default.key.serde", Serdes.StringSerde.class.getName());
            properties.put("default.value.serde", Serdes.StringSerde.class.getName());
            properties.put("consumer.auto.offset.reset", "earliest");
            for (int i = 0; i < more.length; i += 2) {
                properties.put(more[i], more[i + 1]);
            }
            streams = new KafkaStreams(topology, properties);
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                failed.compareAndSet(null, error);
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
        }

        void await(KafkaStreams.State wanted) throws Exception {
            long end = System.nanoTime() + Clients.LIMIT.toNanos();
            while (streams.state() != wanted) {
                healthy();
                Suite.check(System.nanoTime() < end, "the application is " + streams.state() + " and not " + wanted);
                TimeUnit.MILLISECONDS.sleep(50);
            }
        }

        void healthy() {
            if (failed.get() != null) {
                throw new AssertionError("a thread of the application failed", failed.get());
            }
        }

        @Override
        public void close() throws Exception {
            boolean closed = streams.close(Duration.ofSeconds(60));
            List<Path> files = new ArrayList<>();
            try (var walk = Files.walk(state)) {
                walk.forEach(files::add);
            }
            for (int i = files.size() - 1; i >= 0; i--) {
                Files.deleteIfExists(files.get(i));
            }
            healthy();
            Suite.check(closed, "the application ends in time");
        }
    }

    /** Polls an output topic until `isDone` holds for all that came, while the application works. */
    static List<ConsumerRecord<String, String>> output(String topic, int partitions, Application application, Done isDone) throws Exception {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        long end = System.nanoTime() + 2 * Clients.LIMIT.toNanos();
        try (KafkaConsumer<String, String> reader = Clients.reader(topic, partitions, "isolation.level", "read_committed")) {
            while (!isDone.holds(records)) {
                application.healthy();
                Suite.check(System.nanoTime() < end, "the output is incomplete: " + records.size() + " records");
                reader.poll(Duration.ofMillis(200)).forEach(records::add);
            }
            // Whatever is too much comes right behind.
            reader.poll(Duration.ofSeconds(1)).forEach(records::add);
        }
        return records;
    }

    /** Whether an output is complete. */
    interface Done {
        boolean holds(List<ConsumerRecord<String, String>> records) throws Exception;
    }

    /** The last value of each key. */
    static Map<String, String> table(List<ConsumerRecord<String, String>> records) {
        Map<String, String> last = new TreeMap<>();
        records.forEach(record -> last.put(record.key(), record.value()));
        return last;
    }

    /** How often each key and value came. */
    static Map<String, Integer> multiset(List<ConsumerRecord<String, String>> records) {
        Map<String, Integer> counts = new HashMap<>();
        records.forEach(record -> counts.merge(record.key() + "=" + record.value(), 1, Integer::sum));
        return counts;
    }

    /** Ends the broker and starts it again; `how` is `stop` for SIGTERM and `kill` for SIGKILL. */
    static void restart(String how) throws Exception {
        if (Suite.RESTART.isEmpty()) {
            return;
        }
        for (String verb : List.of(how, "start")) {
            String command = Suite.RESTART.replace(" restart ", " " + verb + " ");
            Process process = new ProcessBuilder("sh", "-c", command).inheritIO().start();
            Suite.check(process.waitFor(180, TimeUnit.SECONDS) && process.exitValue() == 0, "the broker can " + verb);
        }
    }

    private StreamsSuite() {
    }
}
