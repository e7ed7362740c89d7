//! What DescribeConfigs tells: every value, where it comes from, and what it would be otherwise (`ConfigHelper`).
//! Values of passwords, and of names whose type nobody knows, are never told.

use super::synonyms::listener_base_name;
use super::{
    ConfigDef, ConfigMap, ConfigType, DynamicBrokerConfig, Value, broker_synonyms, topic_synonyms, topic_values,
};

/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Override of a topic.
    Topic,
    /// Dynamic value of one broker.
    DynamicBroker,
    /// Dynamic default of the cluster.
    DynamicDefaultBroker,
    /// `server.properties`.
    StaticBroker,
    /// Kafka's default.
    Default,
    /// A client metrics subscription.
    ClientMetrics,
    /// Override of a group.
    Group,
}

impl ConfigSource {
    /// Its code on the wire.
    #[must_use]
    pub fn code(self) -> i8 {
        match self {
            Self::Topic => 1,
            Self::DynamicBroker => 2,
            Self::DynamicDefaultBroker => 3,
            Self::StaticBroker => 4,
            Self::Default => 5,
            Self::ClientMetrics => 7,
            Self::Group => 8,
        }
    }
}

/// A value that a configuration has or would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Name under which it is set.
    pub name: String,
    /// The value; none if it is not shown.
    pub value: Option<String>,
    /// Where it is set.
    pub source: ConfigSource,
}

/// A configuration as DescribeConfigs tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; none if null or not shown.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed.
    pub read_only: bool,
    /// Whether its value is not shown.
    pub sensitive: bool,
    /// Its type; none if nobody knows.
    pub value_type: Option<ConfigType>,
    /// The value in force first, then those behind it.
    pub synonyms: Vec<ConfigSynonym>,
}

impl ConfigEntry {
    fn new(name: &str, value: Option<String>, value_type: Option<ConfigType>, synonyms: Vec<ConfigSynonym>) -> Self {
        let source = synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source);
        let sensitive = is_sensitive(value_type);
        let value = value.filter(|_| !sensitive);
        Self { name: name.to_owned(), value, source, read_only: false, sensitive, value_type, synonyms }
    }
}

/// All configurations of a topic with these overrides.
#[must_use]
pub fn describe_topic(broker: &DynamicBrokerConfig, overrides: &ConfigMap) -> Vec<ConfigEntry> {
    let values = topic_values(broker.current(), overrides);
    let mut shown: Vec<_> =
        ConfigDef::topic().keys().filter(|key| !key.internal || overrides.contains_key(key.name)).collect();
    shown.sort_by_key(|key| hash_map_order(key.name));
    let entries = shown.into_iter().map(|key| {
        let value = values.get(key.name).and_then(Value::to_text);
        let mut synonyms = Vec::new();
        if overrides.contains_key(key.name) {
            synonyms.push(ConfigSynonym {
                name: key.name.to_owned(),
                value: value.clone(),
                source: ConfigSource::Topic,
            });
        }
        if let Some(broker_name) = topic_synonyms(key.name) {
            synonyms.extend(broker_values(broker, broker_name, key.is_sensitive()));
        }
        ConfigEntry::new(key.name, value, Some(key.value_type), synonyms)
    });
    entries.collect()
}

/// Topic configurations in the order in which Kafka defines them.
const TOPIC_ORDER: [&str; 33] = [
    "segment.bytes",
    "segment.ms",
    "segment.jitter.ms",
    "segment.index.bytes",
    "flush.messages",
    "flush.ms",
    "retention.bytes",
    "retention.ms",
    "max.message.bytes",
    "index.interval.bytes",
    "delete.retention.ms",
    "min.compaction.lag.ms",
    "max.compaction.lag.ms",
    "file.delete.delay.ms",
    "min.cleanable.dirty.ratio",
    "cleanup.policy",
    "unclean.leader.election.enable",
    "min.insync.replicas",
    "compression.type",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "preallocate",
    "message.timestamp.type",
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
    "leader.replication.throttled.replicas",
    "follower.replication.throttled.replicas",
    "remote.storage.enable",
    "local.retention.ms",
    "local.retention.bytes",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
];

/// Kafka answers in the order of Java's hash map, and its tools print that order: bucket by bucket, then as inserted.
fn hash_map_order(name: &str) -> (u32, usize) {
    /// Buckets of a map with 33 to 48 entries.
    const BUCKETS: u32 = 64;
    let hash = name.bytes().fold(0u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let defined = TOPIC_ORDER.iter().position(|other| *other == name).unwrap_or(TOPIC_ORDER.len());
    ((hash ^ hash >> 16) % BUCKETS, defined)
}

/// All configurations of a group with these overrides.
#[must_use]
pub fn describe_group(broker: &DynamicBrokerConfig, overrides: &ConfigMap) -> Vec<ConfigEntry> {
    let entries = ConfigDef::group().keys().map(|key| {
        let broker_name = format!("group.{}", key.name);
        let inherited = broker.current().value(&broker_name).cloned();
        let set = overrides.get(key.name).and_then(|text| key.parse(text).ok());
        let mut synonyms = Vec::new();
        if let Some(value) = &set {
            synonyms.push(ConfigSynonym {
                name: key.name.to_owned(),
                value: value.to_text(),
                source: ConfigSource::Group,
            });
        }
        if inherited.is_some() {
            synonyms.extend(broker_values(broker, &broker_name, key.is_sensitive()));
        } else if let Some(default) = key.default.as_ref().and_then(Value::to_text) {
            synonyms.push(ConfigSynonym {
                name: key.name.to_owned(),
                value: Some(default),
                source: ConfigSource::Default,
            });
        }
        let value = set.or(inherited).or_else(|| key.default.clone()).and_then(|value| value.to_text());
        ConfigEntry::new(key.name, value, Some(key.value_type), synonyms)
    });
    entries.collect()
}

/// All configurations of a client metrics subscription.
#[must_use]
pub fn describe_client_metrics(overrides: &ConfigMap) -> Vec<ConfigEntry> {
    let entries = ConfigDef::client_metrics().keys().map(|key| {
        let set = overrides.get(key.name).and_then(|text| key.parse(text).ok());
        let synonyms = set.iter().map(|value| ConfigSynonym {
            name: key.name.to_owned(),
            value: value.to_text(),
            source: ConfigSource::ClientMetrics,
        });
        let synonyms = synonyms.collect();
        let value = set.or_else(|| key.default.clone()).and_then(|value| value.to_text());
        ConfigEntry::new(key.name, value, Some(key.value_type), synonyms)
    });
    entries.collect()
}

/// All configurations of this broker.
#[must_use]
pub fn describe_broker(broker: &DynamicBrokerConfig) -> Vec<ConfigEntry> {
    let definition = ConfigDef::broker();
    let current = broker.current();
    let known = current
        .values()
        .filter(|(name, _)| current.is_set(name) || definition.key(name).is_some_and(|key| !key.internal));
    let mut entries: Vec<ConfigEntry> =
        known.map(|(name, value)| broker_entry(broker, name, value.to_text())).collect();
    let others = current.originals().iter().filter(|(name, _)| definition.key(name).is_none());
    entries.extend(others.map(|(name, value)| broker_entry(broker, name, Some(value.clone()))));
    entries
}

/// The dynamic defaults of all brokers.
#[must_use]
pub fn describe_broker_defaults(broker: &DynamicBrokerConfig) -> Vec<ConfigEntry> {
    let entries = broker.defaults().iter().map(|(name, value)| {
        let mut entry = broker_entry(broker, name, Some(value.clone()));
        entry.synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
        entry.source = entry.synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source);
        entry
    });
    entries.collect()
}

fn broker_entry(broker: &DynamicBrokerConfig, name: &str, value: Option<String>) -> ConfigEntry {
    let value_type = broker_type(name);
    let synonyms = broker_values(broker, name, is_sensitive(value_type));
    let mut entry = ConfigEntry::new(name, value, value_type, synonyms);
    entry.read_only = ConfigDef::dynamic_broker().key(name).is_none();
    entry
}

fn broker_type(name: &str) -> Option<ConfigType> {
    let of = |name: &str| {
        ConfigDef::broker().key(name).or_else(|| ConfigDef::dynamic_broker().key(name)).map(|key| key.value_type)
    };
    of(name).or_else(|| listener_base_name(name).and_then(|_| broker_synonyms(name).into_iter().find_map(of)))
}

fn is_sensitive(value_type: Option<ConfigType>) -> bool {
    value_type.is_none_or(|value_type| value_type == ConfigType::Password)
}

/// What the broker has under a name and its synonyms, the strongest first. Values that are set under a stronger synonym only
/// are not told, because they do not belong to the name that was asked for.
fn broker_values(broker: &DynamicBrokerConfig, name: &str, sensitive: bool) -> Vec<ConfigSynonym> {
    let names = broker_synonyms(name);
    let mut values = Vec::new();
    let sources = [
        (ConfigSource::DynamicBroker, broker.per_broker()),
        (ConfigSource::DynamicDefaultBroker, broker.defaults()),
        (ConfigSource::StaticBroker, broker.file().originals()),
    ];
    for (source, map) in sources {
        for name in &names {
            if let Some(value) = map.get(*name) {
                values.push(ConfigSynonym { name: (*name).to_owned(), value: Some(value.clone()), source });
            }
        }
    }
    for name in &names {
        let default = ConfigDef::broker().key(name).and_then(|key| key.default.as_ref()).and_then(Value::to_text);
        if let Some(value) = default {
            values.push(ConfigSynonym { name: (*name).to_owned(), value: Some(value), source: ConfigSource::Default });
        }
    }
    let skipped = values.iter().position(|synonym| synonym.name == name).unwrap_or(values.len());
    values.drain(..skipped);
    if sensitive {
        values.iter_mut().for_each(|synonym| synonym.value = None);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::super::dynamic::tests::{broker, map};
    use super::*;

    fn entry<'a>(entries: &'a [ConfigEntry], name: &str) -> &'a ConfigEntry {
        entries.iter().find(|entry| entry.name == name).expect("described")
    }

    #[test]
    fn a_topic_tells_its_override_and_what_is_behind_it() {
        let mut config = DynamicBrokerConfig::new(broker(&[("log.segment.bytes", "2000000")]));
        config.update(&map(&[]), &map(&[("log.segment.bytes", "3000000")])).expect("valid");
        let entries = describe_topic(&config, &map(&[("segment.bytes", "4000000")]));
        let segment_bytes = entry(&entries, "segment.bytes");
        assert_eq!((segment_bytes.value.as_deref(), segment_bytes.source), (Some("4000000"), ConfigSource::Topic));
        let told: Vec<_> =
            segment_bytes.synonyms.iter().map(|synonym| (synonym.value.as_deref(), synonym.source)).collect();
        assert_eq!(
            told,
            [
                (Some("4000000"), ConfigSource::Topic),
                (Some("3000000"), ConfigSource::DynamicDefaultBroker),
                (Some("2000000"), ConfigSource::StaticBroker),
                (Some("1073741824"), ConfigSource::Default),
            ]
        );
        assert_eq!(entries.len(), 33);
    }

    #[test]
    fn topics_answer_in_the_order_of_javas_hash_map() {
        let config = DynamicBrokerConfig::new(broker(&[]));
        let entries = describe_topic(&config, &map(&[]));
        let at = |name: &str| entries.iter().position(|entry| entry.name == name).expect("described");
        let printed = ["min.insync.replicas", "cleanup.policy", "segment.bytes", "retention.ms", "max.message.bytes"];
        assert!(printed.map(at).is_sorted(), "{:?}", printed.map(at));
    }

    #[test]
    fn synonyms_of_another_name_are_not_told() {
        let config = DynamicBrokerConfig::new(broker(&[]));
        let entries = describe_topic(&config, &map(&[]));
        let retention = entry(&entries, "retention.ms");
        assert_eq!((retention.value.as_deref(), retention.source), (Some("604800000"), ConfigSource::Default));
        assert_eq!(retention.synonyms, []);
    }

    #[test]
    fn passwords_and_unknown_names_are_hidden() {
        let config = DynamicBrokerConfig::new(broker(&[("ssl.key.password", "secret"), ("my.plugin", "x")]));
        let entries = describe_broker(&config);
        let password = entry(&entries, "ssl.key.password");
        assert_eq!((password.sensitive, &password.value, &password.synonyms[0].value), (true, &None, &None));
        assert!(entry(&entries, "my.plugin").sensitive && entry(&entries, "my.plugin").read_only);
        assert!(!entry(&entries, "num.io.threads").read_only);
        assert!(entry(&entries, "node.id").read_only);
    }
}
