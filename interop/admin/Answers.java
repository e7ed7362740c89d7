import org.apache.kafka.clients.admin.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import java.util.*;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.ExecutionException;

/**
 * What the admin API of a fresh broker at BOOTSTRAP answers, refusals with their texts included, against what Apache Kafka 4.3.1
 * answers (`answers.txt`, rewritten from the broker with UPDATE_GOLDEN=1). Prints PASS or FAIL for each question.
 */
public final class Answers {
    interface Op { Object run() throws Exception; }
    private static final String BOOTSTRAP = System.getenv().getOrDefault("BOOTSTRAP", "localhost:9092");
    private static final Map<String, String> ANSWERS = new LinkedHashMap<>();

    static void check(String name, Op op) {
        String answer;
        try {
            answer = String.valueOf(op.run());
        } catch (ExecutionException e) {
            answer = e.getCause().getClass().getSimpleName() + ": " + e.getCause().getMessage();
        } catch (Exception e) {
            answer = "!" + e.getClass().getSimpleName() + ": " + e.getMessage();
        }
        String unique = name;
        for (int i = 2; ANSWERS.containsKey(unique); i++) {
            unique = name + " " + i;
        }
        ANSWERS.put(unique, answer.replace(BOOTSTRAP, "BOOTSTRAP"));
    }
    /** Runs what depends on an earlier change, which Apache Kafka applies a little after it has answered. */
    static Object afterwards(Op op) throws Exception {
        Thread.sleep(300);
        return op.run();
    }

    static Object create(Admin a, NewTopic t, boolean validate) throws Exception {
        CreateTopicsResult r = a.createTopics(List.of(t), new CreateTopicsOptions().validateOnly(validate));
        r.all().get();
        return r.numPartitions(t.name()).get() + "/" + r.replicationFactor(t.name()).get() + " configs " + r.config(t.name()).get().entries().size();
    }
    static Object alter(Admin a, ConfigResource.Type type, String name, AlterConfigOp.OpType op, String k, String v) throws Exception {
        ConfigResource r = new ConfigResource(type, name);
        a.incrementalAlterConfigs(Map.of(r, List.of(new AlterConfigOp(new ConfigEntry(k, v), op)))).all().get();
        return "ok";
    }
    static Object get(Admin a, ConfigResource.Type type, String name, String k) throws Exception {
        Thread.sleep(200);
        ConfigResource r = new ConfigResource(type, name);
        ConfigEntry e = a.describeConfigs(List.of(r), new DescribeConfigsOptions().includeSynonyms(true)).all().get().get(r).get(k);
        return e == null ? null : e.value() + " " + e.source() + " ro=" + e.isReadOnly() + " def=" + e.isDefault() + " " + e.type() + " " + e.synonyms();
    }
    static void ask() throws Exception {
        Properties p = new Properties(); p.put("bootstrap.servers", BOOTSTRAP); p.put("default.api.timeout.ms", "20000"); p.put("request.timeout.ms", "15000");
        var S = AlterConfigOp.OpType.SET; var D = AlterConfigOp.OpType.DELETE; var AP = AlterConfigOp.OpType.APPEND; var SU = AlterConfigOp.OpType.SUBTRACT;
        var T = ConfigResource.Type.TOPIC; var B = ConfigResource.Type.BROKER; var G = ConfigResource.Type.GROUP; var CM = ConfigResource.Type.CLIENT_METRICS; var BL = ConfigResource.Type.BROKER_LOGGER;
        try (Admin a = Admin.create(p)) {
            check("create a.b", () -> create(a, new NewTopic("a.b", 3, (short) 1), false));
            check("create again", () -> create(a, new NewTopic("a.b", 3, (short) 1), false));
            check("create collide", () -> create(a, new NewTopic("a_b", 3, (short) 1), false));
            check("create bad name", () -> create(a, new NewTopic("a b", 3, (short) 1), false));
            check("create empty name", () -> create(a, new NewTopic("", 3, (short) 1), false));
            check("create long name", () -> create(a, new NewTopic("x".repeat(250), 3, (short) 1), false));
            check("create metadata", () -> create(a, new NewTopic("__cluster_metadata", 3, (short) 1), false));
            check("create rf 3", () -> create(a, new NewTopic("rf", 1, (short) 3), false));
            check("create rf 0", () -> create(a, new NewTopic("rf", 1, (short) 0), false));
            check("create rf -2", () -> create(a, new NewTopic("rf", 1, (short) -2), false));
            check("create parts 0", () -> create(a, new NewTopic("rf", 0, (short) 1), false));
            check("create parts 10000", () -> create(a, new NewTopic("rf", 10000, (short) 1), false));
            check("create defaults", () -> create(a, new NewTopic("defaults", Optional.empty(), Optional.empty()), false));
            check("create validate", () -> create(a, new NewTopic("val", 4, (short) 1), true));
            check("create assign", () -> create(a, new NewTopic("assign", Map.of(0, List.of(1), 1, List.of(1))), false));
            check("create assign unknown", () -> create(a, new NewTopic("assign2", Map.of(0, List.of(7))), false));
            check("create assign dup", () -> create(a, new NewTopic("assign2", Map.of(0, List.of(1, 1))), false));
            check("create assign gap", () -> create(a, new NewTopic("assign2", Map.of(0, List.of(1), 2, List.of(1))), false));
            check("create assign empty", () -> create(a, new NewTopic("assign2", Map.of(0, List.of())), false));
            check("create cfg bad name", () -> create(a, new NewTopic("cfg", 1, (short) 1).configs(Map.of("nope", "1")), false));
            check("create cfg bad value", () -> create(a, new NewTopic("cfg", 1, (short) 1).configs(Map.of("retention.ms", "x")), false));
            check("create cfg bad range", () -> create(a, new NewTopic("cfg", 1, (short) 1).configs(Map.of("segment.bytes", "5")), false));
            check("create cfg bad list", () -> create(a, new NewTopic("cfg", 1, (short) 1).configs(Map.of("cleanup.policy", "foo")), false));
            check("create cfg remote", () -> create(a, new NewTopic("cfg", 1, (short) 1).configs(Map.of("remote.storage.enable", "true")), false));
            HashMap<String,String> nul = new HashMap<>(); nul.put("retention.ms", null);
            check("create cfg null", () -> create(a, new NewTopic("cfg", 1, (short) 1).configs(nul), false));
            check("create cfg lag", () -> create(a, new NewTopic("cfg", 1, (short) 1).configs(Map.of("min.compaction.lag.ms", "9", "max.compaction.lag.ms", "3")), false));
            check("create cfg ok", () -> create(a, new NewTopic("cfg", 1, (short) 1).configs(Map.of("retention.ms", "9")), false));
            check("parts same", () -> { a.createPartitions(Map.of("cfg", NewPartitions.increaseTo(1))).all().get(); return "ok"; });
            check("parts less", () -> { a.createPartitions(Map.of("a.b", NewPartitions.increaseTo(1))).all().get(); return "ok"; });
            check("parts negative", () -> { a.createPartitions(Map.of("a.b", NewPartitions.increaseTo(-1))).all().get(); return "ok"; });
            check("parts unknown", () -> { a.createPartitions(Map.of("unk", NewPartitions.increaseTo(2))).all().get(); return "ok"; });
            check("parts assign count", () -> { a.createPartitions(Map.of("cfg", NewPartitions.increaseTo(3, List.of(List.of(1))))).all().get(); return "ok"; });
            check("parts assign rf", () -> { a.createPartitions(Map.of("cfg", NewPartitions.increaseTo(2, List.of(List.of(1, 2))))).all().get(); return "ok"; });
            check("parts assign unknown", () -> { a.createPartitions(Map.of("cfg", NewPartitions.increaseTo(2, List.of(List.of(9))))).all().get(); return "ok"; });
            check("parts validate", () -> { a.createPartitions(Map.of("cfg", NewPartitions.increaseTo(2)), new CreatePartitionsOptions().validateOnly(true)).all().get(); return "ok"; });
            check("parts ok", () -> { a.createPartitions(Map.of("cfg", NewPartitions.increaseTo(2))).all().get(); return "ok"; });
            check("describe cfg", () -> a.describeTopics(List.of("cfg")).allTopicNames().get().get("cfg").partitions());
            check("describe unk", () -> a.describeTopics(List.of("unk")).allTopicNames().get());
            check("describe bad", () -> a.describeTopics(List.of("a b")).allTopicNames().get());
            check("alter topic set", () -> alter(a, T, "cfg", S, "retention.ms", "77"));
            check("get", () -> get(a, T, "cfg", "retention.ms"));
            check("alter topic unknown", () -> alter(a, T, "unk", S, "retention.ms", "77"));
            check("alter topic badname", () -> alter(a, T, "u k", S, "retention.ms", "77"));
            check("alter topic empty", () -> alter(a, T, "", S, "retention.ms", "77"));
            check("alter topic bad key", () -> alter(a, T, "cfg", S, "nope", "77"));
            check("alter topic bad val", () -> alter(a, T, "cfg", S, "retention.ms", "-9"));
            check("alter topic append int", () -> alter(a, T, "cfg", AP, "retention.ms", "77"));
            check("alter topic append", () -> alter(a, T, "cfg", AP, "cleanup.policy", "compact"));
            check("get", () -> get(a, T, "cfg", "cleanup.policy"));
            check("alter topic subtract", () -> alter(a, T, "cfg", SU, "cleanup.policy", "delete"));
            check("get", () -> get(a, T, "cfg", "cleanup.policy"));
            check("alter topic delete", () -> alter(a, T, "cfg", D, "cleanup.policy", null));
            check("alter topic delete unset", () -> alter(a, T, "cfg", D, "flush.ms", null));
            check("get", () -> get(a, T, "cfg", "cleanup.policy"));
            check("alter topic throttle", () -> alter(a, T, "cfg", S, "leader.replication.throttled.replicas", "0:1,1:1"));
            check("alter topic throttle bad", () -> alter(a, T, "cfg", S, "leader.replication.throttled.replicas", "0-1"));
            check("alter broker ro", () -> alter(a, B, "1", S, "num.partitions", "77"));
            check("alter broker ro default", () -> alter(a, B, "", S, "num.partitions", "77"));
            check("alter broker bad", () -> alter(a, B, "1", S, "num.io.threads", "0"));
            check("alter broker NaN", () -> alter(a, B, "1", S, "num.io.threads", "x"));
            check("alter broker other", () -> alter(a, B, "2", S, "num.io.threads", "9"));
            check("alter broker text", () -> alter(a, B, "foo", S, "num.io.threads", "9"));
            check("alter broker io", () -> alter(a, B, "1", S, "num.io.threads", "9"));
            check("alter broker io twice", () -> afterwards(() -> alter(a, B, "1", S, "num.io.threads", "99")));
            check("alter default per-broker", () -> alter(a, B, "", S, "listeners", "PLAINTEXT://:1"));
            check("alter broker security", () -> alter(a, B, "1", S, "ssl.keystore.location", "/x"));
            check("alter broker custom", () -> alter(a, B, "1", S, "my.custom", "/x"));
            check("alter broker append", () -> alter(a, B, "1", AP, "log.cleanup.policy", "compact"));
            check("alter broker append int", () -> alter(a, B, "1", AP, "num.io.threads", "9"));
            check("alter broker append unknown", () -> alter(a, B, "1", AP, "nope", "9"));
            check("alter minisr broker", () -> alter(a, B, "1", S, "min.insync.replicas", "1"));
            check("alter minisr default", () -> alter(a, B, "", S, "min.insync.replicas", "1"));
            check("alter minisr remove", () -> alter(a, B, "", D, "min.insync.replicas", null));
            check("alter default retention", () -> alter(a, B, "", S, "log.retention.ms", "100000"));
            check("get", () -> get(a, T, "a.b", "retention.ms"));
            check("get broker", () -> get(a, B, "1", "log.retention.ms"));
            check("get broker hours", () -> get(a, B, "1", "log.retention.hours"));
            check("get broker io", () -> get(a, B, "1", "num.io.threads"));
            check("get broker custom", () -> get(a, B, "1", "my.custom"));
            check("get broker default", () -> get(a, B, "", "log.retention.ms"));
            check("get broker other", () -> get(a, B, "2", "log.retention.ms"));
            check("get broker text", () -> get(a, B, "x", "log.retention.ms"));
            check("get topic unknown", () -> get(a, T, "unk", "log.retention.ms"));
            check("get topic bad", () -> get(a, T, "u k", "log.retention.ms"));
            check("get group", () -> get(a, G, "g", "consumer.session.timeout.ms"));
            check("get group empty", () -> get(a, G, "", "consumer.session.timeout.ms"));
            check("alter group", () -> alter(a, G, "g", S, "consumer.session.timeout.ms", "50000"));
            check("get group", () -> get(a, G, "g", "consumer.session.timeout.ms"));
            check("alter group low", () -> alter(a, G, "g", S, "consumer.session.timeout.ms", "50"));
            check("alter group high", () -> alter(a, G, "g", S, "consumer.session.timeout.ms", "5000000"));
            check("alter group unknown", () -> alter(a, G, "g", S, "nope", "50"));
            check("alter group empty", () -> alter(a, G, "", S, "consumer.session.timeout.ms", "50000"));
            check("get cm", () -> get(a, CM, "m", "interval.ms"));
            check("get cm empty", () -> get(a, CM, "", "interval.ms"));
            check("list", () -> { var l = new ArrayList<>(a.listConfigResources().all().get()); l.sort(Comparator.comparing(Object::toString)); return l; });
            check("elect preferred", () -> a.electLeaders(ElectionType.PREFERRED, Set.of(new TopicPartition("cfg", 0))).partitions().get());
            check("elect unclean", () -> a.electLeaders(ElectionType.UNCLEAN, Set.of(new TopicPartition("cfg", 0))).partitions().get());
            check("elect unknown", () -> a.electLeaders(ElectionType.PREFERRED, Set.of(new TopicPartition("unk", 0))).partitions().get());
            check("elect unknown part", () -> a.electLeaders(ElectionType.PREFERRED, Set.of(new TopicPartition("cfg", 10))).partitions().get());
            check("elect all", () -> a.electLeaders(ElectionType.PREFERRED, null).partitions().get());
            check("reassignments", () -> a.listPartitionReassignments().reassignments().get());
            check("features", () -> new TreeMap<>(a.describeFeatures().featureMetadata().get().finalizedFeatures()));
            check("features sup", () -> new TreeMap<>(a.describeFeatures().featureMetadata().get().supportedFeatures()));
            check("feature up", () -> { a.updateFeatures(Map.of("group.version", new FeatureUpdate((short) 9, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions()).all().get(); return "ok"; });
            check("feature down", () -> { a.updateFeatures(Map.of("group.version", new FeatureUpdate((short) 0, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions()).all().get(); return "ok"; });
            check("feature unknown", () -> { a.updateFeatures(Map.of("nope", new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions()).all().get(); return "ok"; });
            check("feature mv down", () -> { a.updateFeatures(Map.of("metadata.version", new FeatureUpdate((short) 20, FeatureUpdate.UpgradeType.SAFE_DOWNGRADE)), new UpdateFeaturesOptions()).all().get(); return "ok"; });
            check("delete by id unknown", () -> { a.deleteTopics(TopicCollection.ofTopicIds(List.of(new Uuid(5, 7)))).all().get(); return "ok"; });
            check("delete unknown", () -> { a.deleteTopics(List.of("unk")).all().get(); return "ok"; });
            check("delete bad", () -> { a.deleteTopics(List.of("u k")).all().get(); return "ok"; });
            check("delete", () -> { a.deleteTopics(List.of("a.b")).all().get(); return "ok"; });
            check("delete internal", () -> { a.deleteTopics(List.of("__cluster_metadata")).all().get(); return "ok"; });
            check("recreate", () -> create(a, new NewTopic("a_b", 1, (short) 1), false));
            check("get after", () -> get(a, T, "a_b", "retention.ms"));
            check("log dirs", () -> a.describeLogDirs(List.of(1)).allDescriptions().get().get(1).size());
            check("cluster", () -> a.describeCluster().nodes().get() + " " + a.describeCluster().controller().get());
        }
    }

    public static void main(String[] args) throws Exception {
        Path golden = Path.of(args[0]);
        ask();
        if (System.getenv("UPDATE_GOLDEN") != null) {
            List<String> lines = new ArrayList<>();
            ANSWERS.forEach((name, answer) -> lines.add(name + " -> " + answer));
            Files.write(golden, lines);
        }
        int passed = 0;
        int failed = 0;
        for (String line : Files.readAllLines(golden)) {
            String[] parts = line.split(" -> ", 2);
            String answer = ANSWERS.remove(parts[0]);
            String test = parts[0].replace(' ', '-');
            if (parts[1].equals(answer)) {
                passed++;
                System.out.println("PASS " + test + " 0.0");
            } else {
                failed++;
                System.out.println("FAIL " + test + ": expected `" + parts[1] + "`, got `" + answer + "`");
            }
        }
        for (String name : ANSWERS.keySet()) {
            failed++;
            System.out.println("FAIL " + name.replace(' ', '-') + ": Apache Kafka was never asked");
        }
        System.out.println(passed + " passed, " + failed + " failed, 0 skipped");
        System.exit(failed == 0 ? 0 : 1);
    }
}
