//! The options of `topics`, with the words in which Kafka 4.3.1 explains them.

use crate::cli::options::{Kind, Opt, flag, taking};

/// In the order in which Kafka declares them.
pub(crate) const OPTIONS: &[Opt] = &[
    flag("help", "Print usage information.").help(),
    flag("version", "Display Kafka version.").help(),
    taking("bootstrap-server", Kind::Text, "server to connect to", "REQUIRED: The Kafka server to connect to."),
    taking(
        "command-config",
        Kind::Text,
        "command config property file",
        "Property file containing configs to be passed to Admin Client.",
    ),
    flag("list", "List all available topics."),
    flag("create", "Create a new topic."),
    flag("delete", "Delete a topic."),
    flag(
        "alter",
        "Alter the number of partitions and replica assignment. (To alter topic configurations, the kafka-configs tool can be used.)",
    ),
    flag("describe", "List details for the given topics."),
    taking(
        "topic",
        Kind::Text,
        "topic",
        "The topic to create, alter, describe or delete. It also accepts a regular expression, except for --create option.",
    ),
    taking("topic-id", Kind::Text, "topic-id", "The topic-id to describe."),
    taking(
        "config",
        Kind::Text,
        "name=value",
        "A topic configuration override for the topic being created. The following is a list of valid configurations: \n\tcleanup.policy\n\tcompression.gzip.level\n\tcompression.lz4.level\n\tcompression.type\n\tcompression.zstd.level\n\tdelete.retention.ms\n\tfile.delete.delay.ms\n\tflush.messages\n\tflush.ms\n\tfollower.replication.throttled.replicas\n\tindex.interval.bytes\n\tleader.replication.throttled.replicas\n\tlocal.retention.bytes\n\tlocal.retention.ms\n\tmax.compaction.lag.ms\n\tmax.message.bytes\n\tmessage.timestamp.after.max.ms\n\tmessage.timestamp.before.max.ms\n\tmessage.timestamp.type\n\tmin.cleanable.dirty.ratio\n\tmin.compaction.lag.ms\n\tmin.insync.replicas\n\tpreallocate\n\tremote.log.copy.disable\n\tremote.log.delete.on.disable\n\tremote.storage.enable\n\tretention.bytes\n\tretention.ms\n\tsegment.bytes\n\tsegment.index.bytes\n\tsegment.jitter.ms\n\tsegment.ms\n\tunclean.leader.election.enable\nSee the Kafka documentation for full details on the topic configs. It is supported only in combination with --create. (To alter topic configurations, the kafka-configs tool can be used.)",
    ),
    taking("delete-config", Kind::Text, "name", "This option is no longer supported and has been deprecated since 4.0"),
    taking(
        "partitions",
        Kind::Int,
        "# of partitions",
        "The number of partitions for the topic being created or altered. If not supplied with --create, the topic uses the cluster default. (WARNING: If partitions are increased for a topic that has a key, the partition logic or ordering of the messages will be affected).",
    ),
    taking(
        "replication-factor",
        Kind::Int,
        "replication factor",
        "The replication factor for each partition in the topic being created. If not supplied, the topic uses the cluster default.",
    ),
    taking(
        "replica-assignment",
        Kind::Text,
        "broker_id_for_part1_replica1 : broker_id_for_part1_replica2 , broker_id_for_part2_replica1 : broker_id_for_part2_replica2 , ...",
        "A list of manual partition-to-broker assignments for the topic being created or altered.",
    ),
    flag("under-replicated-partitions", "If set when describing topics, only show under-replicated partitions."),
    flag(
        "unavailable-partitions",
        "If set when describing topics, only show partitions whose leader is not available.",
    ),
    flag(
        "under-min-isr-partitions",
        "If set when describing topics, only show partitions whose isr count is less than the configured minimum.",
    ),
    flag(
        "at-min-isr-partitions",
        "If set when describing topics, only show partitions whose isr count is equal to the configured minimum.",
    ),
    flag("topics-with-overrides", "If set when describing topics, only show topics that have overridden configs."),
    flag(
        "if-exists",
        "If set when altering or deleting or describing topics, the action will only execute if the topic exists.",
    ),
    flag(
        "if-not-exists",
        "If set when creating topics, the create request will not fail if the topic already exists, but the request will still be sent.",
    ),
    flag(
        "exclude-internal",
        "Exclude internal topics when listing or describing topics. By default, the internal topics are included.",
    ),
    taking(
        "partition-size-limit-per-response",
        Kind::Int,
        "maximum number of partitions per response",
        "The maximum partition size to be included in one DescribeTopicPartitions response.",
    ),
];
