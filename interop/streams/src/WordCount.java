import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Produced;

/** Counts words: a repartition topic, a changelog, and every intermediate count in the output. */
final class WordCount {
    private static final int LINES = 300;
    private static final int PARTITIONS = 3;

    static void cases(String protocol, String guarantee) {
        Suite.run("word_count_" + protocol + "_" + guarantee, () -> count(protocol, guarantee));
    }

    private static void count(String protocol, String guarantee) throws Exception {
        String name = "words-" + protocol + "-" + guarantee.replace('_', '-');
        String input = Clients.topic(name + "-in", PARTITIONS);
        String output = Clients.topic(name + "-out", PARTITIONS);
        List<String> lines = Suite.lines(3 * LINES);
        Map<String, Integer> expected = new TreeMap<>();
        lines.forEach(line -> words(line).forEach(word -> expected.merge(word, 1, Integer::sum)));
        try (var application = StreamsSuite.start(topology(input, output), Suite.unique(name), protocol, guarantee);
                KafkaProducer<String, String> producer = Clients.producer()) {
            Clients.send(producer, input, lines.subList(0, LINES));
            StreamsSuite.restart("stop");
            Clients.send(producer, input, lines.subList(LINES, 2 * LINES));
            StreamsSuite.restart("kill");
            Clients.send(producer, input, lines.subList(2 * LINES, 3 * LINES));
            List<ConsumerRecord<String, String>> records =
                StreamsSuite.output(output, PARTITIONS, application, so -> isComplete(so, expected));
            Map<String, String> counts = new TreeMap<>();
            expected.forEach((word, count) -> counts.put(word, count.toString()));
            if (guarantee.equals(StreamsSuite.EXACTLY_ONCE)) {
                Suite.equal(StreamsSuite.table(records), counts, "counts");
                Map<String, Integer> next = new HashMap<>();
                for (ConsumerRecord<String, String> record : records) {
                    int count = next.merge(record.key(), 1, Integer::sum);
                    Suite.equal(record.value(), String.valueOf(count), "each count of " + record.key() + " once");
                }
            } else {
                counts.forEach((word, count) ->
                    Suite.check(Integer.parseInt(StreamsSuite.table(records).get(word)) >= Integer.parseInt(count), "counts of " + word));
            }
        }
    }

    private static boolean isComplete(List<ConsumerRecord<String, String>> records, Map<String, Integer> expected) {
        Map<String, String> table = StreamsSuite.table(records);
        return expected.entrySet().stream().allMatch(entry -> Integer.parseInt(table.getOrDefault(entry.getKey(), "0")) >= entry.getValue());
    }

    private static List<String> words(String line) {
        List<String> words = new ArrayList<>(List.of(line.toLowerCase(Locale.ROOT).split("\\W+")));
        words.removeIf(String::isEmpty);
        return words;
    }

    static Topology topology(String input, String output) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(input)
            .flatMapValues(WordCount::words)
            .groupBy((key, word) -> word)
            .count()
            .toStream()
            .mapValues(String::valueOf)
            .to(output, Produced.with(Serdes.String(), Serdes.String()));
        return builder.build();
    }

    private WordCount() {
    }
}
