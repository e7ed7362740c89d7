import java.lang.reflect.Method;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** Round trips of the admin client: what is created is described, what is altered is read back, what is deleted is gone. */
final class Administration {
    static void cases() {
        Suite.run("cluster", Administration::cluster);
        Suite.run("topics", Administration::topics);
        Suite.run("refused_topics", Administration::refusedTopics);
        Suite.run("configs_of_a_topic", Administration::topicConfigs);
        Suite.run("configs_of_the_broker", Administration::brokerConfigs);
        Suite.run("delete_records", Administration::deleteRecords);
        Suite.run("groups_and_their_offsets", Administration::groups);
        Suite.run("log_dirs", Administration::logDirs);
    }

    private static void cluster() throws Exception {
        try (Admin admin = Clients.admin()) {
            var cluster = admin.describeCluster();
            Suite.equal(cluster.nodes().get().size(), 1, "nodes");
            Suite.check(cluster.nodes().get().contains(cluster.controller().get()), "the controller is the node");
            Suite.check(!cluster.clusterId().get().isEmpty(), "there is a cluster id");
        }
    }

    /** `all` until 3.x, `allTopicNames` since 3.1. */
    @SuppressWarnings("unchecked")
    private static Future<Map<String, TopicDescription>> describe(Admin admin, String topic) throws Exception {
        Object result = admin.describeTopics(List.of(topic));
        Method all;
        try {
            all = result.getClass().getMethod("allTopicNames");
        } catch (NoSuchMethodException old) {
            all = result.getClass().getMethod("all");
        }
        return (Future<Map<String, TopicDescription>>) all.invoke(result);
    }

    private static void topics() throws Exception {
        String topic = Suite.unique("topics");
        try (Admin admin = Clients.admin()) {
            NewTopic created = new NewTopic(topic, 3, (short) 1);
            admin.createTopics(List.of(created), new CreateTopicsOptions().validateOnly(true)).all().get();
            Suite.check(!admin.listTopics().names().get().contains(topic), "a validated topic is not created");
            var result = admin.createTopics(List.of(created.configs(Map.of("retention.ms", "12345"))));
            Suite.equal(result.numPartitions(topic).get(), 3, "partitions of the answer");
            Suite.equal(result.config(topic).get().get("retention.ms").value(), "12345", "configuration of the answer");
            Clients.eventually(() -> {
                Suite.check(admin.listTopics().names().get().contains(topic), "the topic is listed");
                TopicDescription description = describe(admin, topic).get().get(topic);
                Suite.equal(description.partitions().size(), 3, "partitions");
                Suite.equal(description.topicId(), result.topicId(topic).get(), "topic id");
                description.partitions().forEach(partition -> Suite.equal(partition.isr(), partition.replicas(), "in-sync replicas"));
            });

            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            Clients.eventually(() -> Suite.equal(describe(admin, topic).get().get(topic).partitions().size(), 5, "partitions after adding two"));
            Suite.equal(name(Clients.failure(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all())),
                "InvalidPartitionsException", "fewer partitions");

            admin.deleteTopics(List.of(topic)).all().get();
            Clients.eventually(() -> Suite.check(!admin.listTopics().names().get().contains(topic), "the topic is gone"));
            Suite.equal(name(Clients.failure(describe(admin, topic))), "UnknownTopicOrPartitionException", "describing it");
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
            Clients.eventually(() -> Suite.equal(describe(admin, topic).get().get(topic).partitions().size(), 1, "partitions of a new topic"));
        }
    }

    private static void refusedTopics() throws Exception {
        String topic = Clients.topic("refused", 1);
        try (Admin admin = Clients.admin()) {
            Suite.equal(refusal(admin, new NewTopic(topic, 1, (short) 1)), "TopicExistsException", "a second one");
            String other = topic + "-other";
            Suite.equal(refusal(admin, new NewTopic(other, 0, (short) 1)), "InvalidPartitionsException", "no partition");
            Suite.equal(refusal(admin, new NewTopic(other, 1, (short) 2)), "InvalidReplicationFactorException", "two replicas");
            Suite.equal(refusal(admin, new NewTopic("not/a/name", 1, (short) 1)), "InvalidTopicException", "its name");
            Suite.equal(refusal(admin, new NewTopic(other, Map.of(0, List.of(77)))), "InvalidReplicaAssignmentException", "a broker");
            NewTopic config = new NewTopic(other, 1, (short) 1).configs(Map.of("retention.ms", "soon"));
            Suite.equal(refusal(admin, config), "InvalidConfigurationException", "a value");
            NewTopic unknown = new NewTopic(other, 1, (short) 1).configs(Map.of("no.such.thing", "1"));
            Suite.equal(refusal(admin, unknown), "InvalidConfigurationException", "a name");
            Suite.equal(name(Clients.failure(admin.deleteTopics(List.of(other)).all())), "UnknownTopicOrPartitionException", "deletion");
        }
    }

    private static String refusal(Admin admin, NewTopic topic) throws Exception {
        return name(Clients.failure(admin.createTopics(List.of(topic)).all()));
    }

    private static String name(Throwable error) {
        return error.getClass().getSimpleName();
    }

    private static void topicConfigs() throws Exception {
        String topic = Clients.topic("configs", 1, "cleanup.policy", "compact");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        try (Admin admin = Clients.admin()) {
            Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            Suite.equal(config.get("cleanup.policy").value(), "compact", "what was given");
            Suite.equal(config.get("cleanup.policy").source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "its source");
            Suite.equal(config.get("retention.ms").value(), "604800000", "a default");
            Suite.equal(config.get("retention.ms").source(), ConfigEntry.ConfigSource.DEFAULT_CONFIG, "its source");

            alter(admin, resource, op("retention.ms", "1000", AlterConfigOp.OpType.SET), op("cleanup.policy", "delete", AlterConfigOp.OpType.APPEND));
            Clients.eventually(() -> {
                Config altered = admin.describeConfigs(List.of(resource)).all().get().get(resource);
                Suite.equal(altered.get("retention.ms").value(), "1000", "what was set");
                Suite.equal(altered.get("cleanup.policy").value(), "compact,delete", "what was appended");
            });
            alter(admin, resource, op("retention.ms", "", AlterConfigOp.OpType.DELETE), op("cleanup.policy", "compact", AlterConfigOp.OpType.SUBTRACT));
            Clients.eventually(() -> {
                Config altered = admin.describeConfigs(List.of(resource)).all().get().get(resource);
                Suite.equal(altered.get("retention.ms").value(), "604800000", "what was deleted");
                Suite.equal(altered.get("cleanup.policy").value(), "delete", "what was subtracted");
            });

            Collection<AlterConfigOp> wrong = List.of(op("retention.ms", "soon", AlterConfigOp.OpType.SET));
            Suite.equal(name(Clients.failure(admin.incrementalAlterConfigs(Map.of(resource, wrong)).all())),
                "InvalidConfigurationException", "a wrong value");
        }
    }

    private static AlterConfigOp op(String name, String value, AlterConfigOp.OpType type) {
        return new AlterConfigOp(new ConfigEntry(name, value), type);
    }

    private static void alter(Admin admin, ConfigResource resource, AlterConfigOp... ops) throws Exception {
        admin.incrementalAlterConfigs(Map.of(resource, List.of(ops))).all().get();
    }

    private static void brokerConfigs() throws Exception {
        try (Admin admin = Clients.admin()) {
            String id = admin.describeCluster().nodes().get().iterator().next().idString();
            ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, id);
            Config config = admin.describeConfigs(List.of(broker)).all().get().get(broker);
            Suite.equal(config.get("num.network.threads").value(), "3", "a default");
            Suite.equal(config.get("node.id").isReadOnly(), true, "node.id is read only");
            alter(admin, broker, op("log.cleaner.threads", "2", AlterConfigOp.OpType.SET));
            Clients.eventually(() -> {
                ConfigEntry altered = admin.describeConfigs(List.of(broker)).all().get().get(broker).get("log.cleaner.threads");
                Suite.equal(altered.value(), "2", "what was set");
                Suite.equal(altered.source(), ConfigEntry.ConfigSource.DYNAMIC_BROKER_CONFIG, "its source");
            });
            alter(admin, broker, op("log.cleaner.threads", "", AlterConfigOp.OpType.DELETE));
        }
    }

    private static void deleteRecords() throws Exception {
        String topic = Clients.topic("delete-records", 1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Admin admin = Clients.admin(); KafkaProducer<String, String> producer = Clients.producer()) {
            Clients.send(producer, topic, Suite.lines(100));
            long low = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(40))).lowWatermarks().get(partition).get().lowWatermark();
            Suite.equal(low, 40L, "low watermark");
            Suite.equal(admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).partitionResult(partition).get().offset(), 40L, "earliest");
            Suite.equal(name(Clients.failure(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(101))).all())),
                "OffsetOutOfRangeException", "more than there is");
            try (KafkaConsumer<String, String> reader = Clients.reader(topic, 1)) {
                Suite.equal(Clients.take(reader, 60).get(0).offset(), 40L, "the first record that is left");
            }
            admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1))).all().get();
            Suite.equal(admin.listOffsets(Map.of(partition, OffsetSpec.earliest())).partitionResult(partition).get().offset(), 100L, "all deleted");
        }
    }

    private static void groups() throws Exception {
        String topic = Clients.topic("groups", 2);
        String group = Suite.unique("groups");
        Set<TopicPartition> partitions = Set.copyOf(Clients.partitions(topic, 2));
        try (Admin admin = Clients.admin()) {
            try (KafkaConsumer<String, String> consumer = Clients.consumer("group.id", group, "client.id", "the-client")) {
                consumer.subscribe(List.of(topic));
                long end = System.nanoTime() + Clients.LIMIT.toNanos();
                while (consumer.assignment().isEmpty() && System.nanoTime() < end) {
                    consumer.poll(Duration.ofMillis(100));
                }
                consumer.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(7), new TopicPartition(topic, 1), new OffsetAndMetadata(8)));
                ConsumerGroupDescription description = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                Suite.equal(description.members().size(), 1, "members");
                var member = description.members().iterator().next();
                Suite.equal(member.clientId(), "the-client", "client id");
                Suite.equal(member.assignment().topicPartitions(), partitions, "assignment");
                Suite.equal(description.partitionAssignor(), "range", "assignor");
                Suite.equal(description.isSimpleConsumerGroup(), false, "a group with members");
                Suite.equal(name(Clients.failure(admin.deleteConsumerGroups(List.of(group)).all())), "GroupNotEmptyException", "deletion");
            }
            List<String> listed = new ArrayList<>();
            admin.listConsumerGroups().all().get().forEach(listing -> listed.add(listing.groupId()));
            Suite.check(listed.contains(group), "the group is listed");
            Suite.equal(offset(admin, group, topic, 1), 8L, "committed offset");
            admin.alterConsumerGroupOffsets(group, Map.of(new TopicPartition(topic, 1), new OffsetAndMetadata(3))).all().get();
            Suite.equal(offset(admin, group, topic, 1), 3L, "altered offset");
            admin.deleteConsumerGroupOffsets(group, Set.of(new TopicPartition(topic, 0))).all().get();
            Suite.equal(offset(admin, group, topic, 0), null, "deleted offset");
            admin.deleteConsumerGroups(List.of(group)).all().get();
            Suite.equal(name(Clients.failure(admin.deleteConsumerGroups(List.of(group)).all())), "GroupIdNotFoundException", "a second deletion");
        }
    }

    private static Long offset(Admin admin, String group, String topic, int partition) throws Exception {
        OffsetAndMetadata offset = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(new TopicPartition(topic, partition));
        return offset == null ? null : offset.offset();
    }

    private static void logDirs() throws Exception {
        String topic = Clients.topic("log-dirs", 2);
        try (Admin admin = Clients.admin(); KafkaProducer<String, String> producer = Clients.producer()) {
            Clients.send(producer, topic, Suite.lines(1_000));
            int broker = admin.describeCluster().nodes().get().iterator().next().id();
            var dirs = admin.describeLogDirs(List.of(broker)).allDescriptions().get().get(broker);
            Suite.equal(dirs.size(), 1, "log directories");
            var replicas = dirs.values().iterator().next().replicaInfos();
            for (TopicPartition partition : Clients.partitions(topic, 2)) {
                Suite.check(replicas.get(partition).size() > 1_000, "the size of " + partition);
                Suite.equal(replicas.get(partition).offsetLag(), 0L, "its lag");
            }
        }
    }

    private Administration() {
    }
}
