import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.StreamsGroupDescription;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.streams.KafkaStreams;

/** Several instances of one application in a streams group: who has which task, and what administrators see of it. */
final class Members {
    private static final int PARTITIONS = 4;

    static void cases() {
        Suite.run("standbys_take_over", Members::standbys);
        Suite.run("missing_source_topic", Members::missingSource);
    }

    private static void standbys() throws Exception {
        String name = Suite.unique("members");
        String input = Clients.topic("members-in", PARTITIONS);
        String output = Clients.topic("members-out", PARTITIONS);
        try (Admin admin = Clients.admin(); KafkaProducer<String, String> producer = Clients.producer()) {
            var resource = new ConfigResource(ConfigResource.Type.GROUP, name);
            var standbys = new AlterConfigOp(new ConfigEntry("streams.num.standby.replicas", "1"), AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(standbys))).all().get();
            Clients.send(producer, input, Suite.lines(200));
            try (var first = instance(name, input, output, 1)) {
                try (var second = instance(name, input, output, 2)) {
                    Clients.eventually(() -> {
                        StreamsGroupDescription group = describe(admin, name);
                        Suite.equal(group.groupState(), GroupState.STABLE, "state");
                        Suite.equal(group.members().size(), 2, "members");
                        Suite.equal(tasks(group, true), 2 * PARTITIONS, "active tasks");
                        Suite.equal(tasks(group, false), PARTITIONS, "standby tasks");
                        Suite.equal(group.members().stream().map(member -> member.processId()).distinct().count(), 2L, "processes");
                        Suite.equal(group.subtopologies().size(), 2, "subtopologies");
                    });
                    Clients.eventually(() -> {
                        Suite.equal(partitions(first.streams), List.of(2 * PARTITIONS, PARTITIONS), "endpoints as the first instance sees them");
                        Suite.equal(partitions(second.streams), List.of(2 * PARTITIONS, PARTITIONS), "endpoints as the second instance sees them");
                    });
                }
                Clients.eventually(() -> {
                    StreamsGroupDescription group = describe(admin, name);
                    Suite.equal(group.members().size(), 1, "members that are left");
                    Suite.equal(tasks(group, true), 2 * PARTITIONS, "active tasks of who is left");
                    Suite.equal(tasks(group, false), 0, "standby tasks with one process");
                });
            }
            Clients.eventually(() -> Suite.equal(describe(admin, name).groupState(), GroupState.EMPTY, "state at the end"));
        }
    }

    private static StreamsSuite.Application instance(String name, String input, String output, int number) throws Exception {
        return StreamsSuite.start(WordCount.topology(input, output), name, "streams", StreamsSuite.AT_LEAST_ONCE,
            "num.stream.threads", "1", "application.server", "host" + number + ":" + (9000 + number));
    }

    private static StreamsGroupDescription describe(Admin admin, String name) throws Exception {
        return admin.describeStreamsGroups(List.of(name)).all().get().get(name);
    }

    private static int tasks(StreamsGroupDescription group, boolean isActive) {
        return group.members().stream()
            .map(member -> isActive ? member.assignment().activeTasks() : member.assignment().standbyTasks())
            .flatMap(Collection::stream)
            .mapToInt(ids -> ids.partitions().size())
            .sum();
    }

    /** How many partitions of the source topics all instances serve: as the active one, and as a standby. */
    private static List<Integer> partitions(KafkaStreams streams) {
        var instances = streams.metadataForAllStreamsClients();
        int active = instances.stream().mapToInt(instance -> instance.topicPartitions().size()).sum();
        int standby = instances.stream().mapToInt(instance -> instance.standbyTopicPartitions().size()).sum();
        return List.of(active, standby);
    }

    private static void missingSource() throws Exception {
        String name = Suite.unique("missing");
        String output = Clients.topic("missing-out", 1);
        String input = Suite.unique("missing-in");
        try (Admin admin = Clients.admin()) {
            try {
                StreamsSuite.start(WordCount.topology(input, output), name, "streams", StreamsSuite.AT_LEAST_ONCE).close();
            } catch (AssertionError error) {
                String causes = causes(error);
                Suite.check(causes.contains("MissingSourceTopicException"), "the application is told what is missing: " + causes);
                Suite.check(causes.contains(input), "by name: " + causes);
                return;
            }
            throw new AssertionError("it runs without its source topic");
        }
    }

    private static String causes(Throwable error) {
        return java.util.stream.Stream.iterate(error, cause -> cause != null, Throwable::getCause).map(Throwable::toString).collect(Collectors.joining(" <- "));
    }

    private Members() {
    }
}
