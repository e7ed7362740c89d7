import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Answers for Apache Kafka in the tests of the protocol: encodes random messages and record batches, and judges those
 * that the tests encoded.
 *
 * <p>Arguments: a directory, a seed, and how many random values each message gets in each version. Reads
 * {@code asked-messages.tsv}, {@code asked-batches.tsv} and {@code asked-validations.tsv} in the directory; writes
 * {@code messages.tsv}, {@code batches.tsv}, {@code validations.tsv} and {@code faults.txt}, which is empty if Kafka
 * agrees with everything.
 */
public final class Oracle {
    public static void main(String[] args) throws Exception {
        Path directory = Path.of(args[0]);
        Messages messages = new Messages(System.getProperty("java.class.path"));
        List<String> faults = new ArrayList<>();
        messages.judge(Files.readAllLines(directory.resolve("asked-messages.tsv")), faults);
        Batches.judge(Files.readAllLines(directory.resolve("asked-batches.tsv")), faults);
        Files.write(directory.resolve("faults.txt"), faults);
        List<String> asked = Files.readAllLines(directory.resolve("asked-validations.tsv"));
        Files.write(directory.resolve("validations.tsv"), Validations.answers(asked));
        int count = Integer.parseInt(args[2]);
        Files.write(directory.resolve("messages.tsv"), messages.random(Long.parseLong(args[1]), count));
        Files.write(directory.resolve("batches.tsv"), Batches.examples());
    }
}
