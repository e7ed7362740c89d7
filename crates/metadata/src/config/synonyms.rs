//! Which configurations stand for each other: `retention.ms` of a topic is `log.retention.ms`, `.minutes` or `.hours` of a broker.

const LOG_ROLL: [&str; 2] = ["log.roll.ms", "log.roll.hours"];
const LOG_ROLL_JITTER: [&str; 2] = ["log.roll.jitter.ms", "log.roll.jitter.hours"];
const LOG_RETENTION: [&str; 3] = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
const LOG_FLUSH: [&str; 2] = ["log.flush.interval.ms", "log.flush.scheduler.interval.ms"];

/// Configurations of listeners that are written with the mechanism's name before them.
const LISTENER_MECHANISM: [&str; 5] = [
    "sasl.jaas.config",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.server.callback.handler.class",
    "connections.max.reauth.ms",
];

/// Topic configurations and the broker configuration that each defaults to (`ServerTopicConfigSynonyms`).
const TOPIC: [(&str, &str); 28] = [
    ("cleanup.policy", "log.cleanup.policy"),
    ("compression.gzip.level", "compression.gzip.level"),
    ("compression.lz4.level", "compression.lz4.level"),
    ("compression.type", "compression.type"),
    ("compression.zstd.level", "compression.zstd.level"),
    ("delete.retention.ms", "log.cleaner.delete.retention.ms"),
    ("file.delete.delay.ms", "log.segment.delete.delay.ms"),
    ("flush.messages", "log.flush.interval.messages"),
    ("flush.ms", "log.flush.interval.ms"),
    ("index.interval.bytes", "log.index.interval.bytes"),
    ("local.retention.bytes", "log.local.retention.bytes"),
    ("local.retention.ms", "log.local.retention.ms"),
    ("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
    ("max.message.bytes", "message.max.bytes"),
    ("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"),
    ("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"),
    ("message.timestamp.type", "log.message.timestamp.type"),
    ("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"),
    ("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"),
    ("min.insync.replicas", "min.insync.replicas"),
    ("preallocate", "log.preallocate"),
    ("retention.bytes", "log.retention.bytes"),
    ("retention.ms", "log.retention.ms"),
    ("segment.bytes", "log.segment.bytes"),
    ("segment.index.bytes", "log.index.size.max.bytes"),
    ("segment.jitter.ms", "log.roll.jitter.ms"),
    ("segment.ms", "log.roll.ms"),
    ("unclean.leader.election.enable", "unclean.leader.election.enable"),
];

/// The broker configuration that a topic configuration defaults to.
#[must_use]
pub fn topic_synonyms(topic_name: &str) -> Option<&'static str> {
    TOPIC.iter().find(|(name, _)| *name == topic_name).map(|(_, broker_name)| *broker_name)
}

/// All topic configurations with the broker configuration that each defaults to.
pub(crate) fn all_topic_synonyms() -> impl Iterator<Item = (&'static str, &'static str)> {
    TOPIC.iter().copied()
}

/// Names that stand for a broker configuration, the strongest first (`DynamicBrokerConfig.brokerConfigSynonyms`).
#[must_use]
pub fn broker_synonyms(name: &str) -> Vec<&str> {
    for family in [&LOG_ROLL[..], &LOG_ROLL_JITTER, &LOG_RETENTION] {
        if family.contains(&name) {
            return family.to_vec();
        }
    }
    if name == LOG_FLUSH[0] {
        return LOG_FLUSH.to_vec();
    }
    match listener_base_name(name) {
        Some(base) => {
            vec![name, LISTENER_MECHANISM.into_iter().find(|mechanism| base.ends_with(mechanism)).unwrap_or(base)]
        }
        None => vec![name],
    }
}

/// The configuration behind `listener.name.<listener>.<configuration>`.
pub(crate) fn listener_base_name(name: &str) -> Option<&str> {
    let (_, base) = name.strip_prefix("listener.name.")?.split_once('.')?;
    Some(base)
}
