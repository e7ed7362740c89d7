import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.UUID;

/**
 * Java's kafka-clients against the broker at BOOTSTRAP. Written for the API of 2.8, so that one source runs with every release since.
 * Prints a line a case (PASS, FAIL, SKIP) and at the end `N passed, N failed, N skipped`.
 */
public final class Suite {
    /** One claim about the broker. */
    interface Case {
        void run() throws Exception;
    }

    /** The case cannot run here. */
    static final class Skip extends RuntimeException {
        Skip(String why) {
            super(why);
        }
    }

    static final String BOOTSTRAP = env("BOOTSTRAP", "localhost:9092");
    static final String RESTART = env("RESTART", "");
    private static final List<String> ONLY = Arrays.asList(env("ONLY", "").split(","));
    private static final String RUN = UUID.randomUUID().toString().substring(0, 8);

    private static int passed;
    private static int failed;
    private static int skipped;
    private static List<String> lines;

    public static void main(String[] args) throws Exception {
        Records.cases();
        Groups.cases();
        Positions.cases();
        Administration.cases();
        Transactions.cases();
        Restarts.cases();
        finish();
    }

    /** Prints the counts and ends the program. */
    static void finish() {
        System.out.println(passed + " passed, " + failed + " failed, " + skipped + " skipped");
        System.exit(failed == 0 ? 0 : 1);
    }

    static void run(String name, Case body) {
        if (!ONLY.get(0).isEmpty() && !ONLY.contains(name)) {
            return;
        }
        long start = System.nanoTime();
        try {
            body.run();
            passed++;
            System.out.printf("PASS %s %.1f%n", name, (System.nanoTime() - start) / 1e9);
        } catch (Skip skip) {
            skipped++;
            System.out.println("SKIP " + name + ": " + skip.getMessage());
        } catch (Throwable error) {
            failed++;
            System.out.println("FAIL " + name + ": " + String.valueOf(error).replace('\n', ' '));
            error.printStackTrace();
        }
        System.out.flush();
    }

    /** A name of a topic or group that no other run uses. */
    static String unique(String name) {
        return "java-" + name + "-" + RUN;
    }

    /** The first `count` lines of the corpus. */
    static List<String> lines(int count) throws IOException {
        if (lines == null) {
            lines = new ArrayList<>(Files.readAllLines(Path.of(env("LINES_FILE", "lines.txt"))));
        }
        return lines.subList(0, Math.min(count, lines.size()));
    }

    /** How many lines the long case moves. */
    static int many() {
        return Integer.parseInt(env("LINES", "1000000"));
    }

    static void check(boolean holds, String claim) {
        if (!holds) {
            throw new AssertionError(claim);
        }
    }

    static void equal(Object got, Object expected, String what) {
        if (!Objects.deepEquals(got, expected)) {
            throw new AssertionError(what + ": got " + got + ", expected " + expected);
        }
    }

    static String env(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null ? otherwise : value;
    }

    private Suite() {
    }
}
