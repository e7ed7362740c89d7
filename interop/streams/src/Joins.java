import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;

/** A stream joined with a table, and what comes out joined with another stream. */
final class Joins {
    private static final int USERS = 20;
    private static final int ROUNDS = 30;
    private static final int PARTITIONS = 3;
    private static final long START = 1_700_000_000_000L;

    static void cases(String protocol, String guarantee) {
        Suite.run("joins_" + protocol + "_" + guarantee, () -> join(protocol, guarantee));
    }

    private static void join(String protocol, String guarantee) throws Exception {
        String name = "joins-" + protocol + "-" + guarantee.replace('_', '-');
        String users = Clients.topic(name + "-users", PARTITIONS, "cleanup.policy", "compact");
        String clicks = Clients.topic(name + "-clicks", PARTITIONS);
        String views = Clients.topic(name + "-views", PARTITIONS);
        String output = Clients.topic(name + "-out", PARTITIONS);
        Map<String, Integer> expected = new HashMap<>();
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            for (int user = 0; user < USERS; user++) {
                send(producer, users, user, 0, "region" + user % 4);
            }
            try (var application = StreamsSuite.start(topology(users, clicks, views, output), Suite.unique(name), protocol, guarantee)) {
                for (int round = 1; round <= 3 * ROUNDS; round++) {
                    for (int user = 0; user < USERS; user++) {
                        send(producer, clicks, user, round, "click" + round);
                        send(producer, views, user, round, "view" + round);
                        expected.put("u" + user + "=region" + user % 4 + "/click" + round + "/view" + round, 1);
                    }
                    if (round == ROUNDS) {
                        StreamsSuite.restart("stop");
                    } else if (round == 2 * ROUNDS) {
                        StreamsSuite.restart("kill");
                    }
                }
                List<ConsumerRecord<String, String>> records = StreamsSuite.output(output, PARTITIONS, application,
                    so -> StreamsSuite.multiset(so).keySet().containsAll(expected.keySet()));
                Map<String, Integer> joined = StreamsSuite.multiset(records);
                Suite.equal(joined.keySet(), expected.keySet(), "joined");
                if (guarantee.equals(StreamsSuite.EXACTLY_ONCE)) {
                    Suite.equal(joined, expected, "joined once");
                }
            }
        }
    }

    /** A minute passes between two rounds. */
    private static void send(KafkaProducer<String, String> producer, String topic, int user, int round, String value) throws Exception {
        var record = new ProducerRecord<>(topic, null, START + 60_000L * round, "u" + user, value);
        var sent = producer.send(record);
        if (user == USERS - 1) {
            sent.get();
        }
    }

    private static Topology topology(String users, String clicks, String views, String output) {
        StreamsBuilder builder = new StreamsBuilder();
        var regions = builder.<String, String>table(users);
        KStream<String, String> located = builder.<String, String>stream(clicks).join(regions, (click, region) -> region + "/" + click);
        located
            .join(builder.stream(views), (click, view) -> click + "/" + view,
                JoinWindows.ofTimeDifferenceAndGrace(Duration.ofSeconds(20), Duration.ofDays(1)))
            .to(output);
        return builder.build();
    }

    private Joins() {
    }
}
