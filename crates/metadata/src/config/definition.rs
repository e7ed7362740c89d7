//! The definitions of all broker, topic and group configurations, from `data/configs.tsv`.
//! Parsed once, on first use; a bad row is a bug of the build and stops the process.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::validator::Validator;
use super::{ConfigError, ConfigMap, ConfigType, Value};

const CONFIGS: &str = include_str!("../../data/configs.tsv");

/// Rows that Kafka does not document: internal ones, and those that exist only dynamically.
const UNDOCUMENTED: &str = "\
broker\tunclean.leader.election.interval.ms\tlong\t300000\t[1,...]\tmedium\tinternal
broker\tinternal.metadata.log.segment.bytes\tint\tnull\t\tlow\tinternal
broker\tinternal.metadata.max.batch.size.in.bytes\tint\t8388608\t\tlow\tinternal
broker\tinternal.metadata.delete.delay.millis\tlong\t60000\t\tlow\tinternal
broker\tcontroller.performance.sample.period.ms\tlong\t60000\t[100,...]\tmedium\tinternal
broker\tcontroller.performance.always.log.threshold.ms\tlong\t2000\t[0,...]\tmedium\tinternal
broker\tserver.max.startup.time.ms\tlong\t9223372036854775807\t[0,...]\tmedium\tinternal
broker\tlog.initial.task.delay.ms\tlong\t30000\t[0,...]\tlow\tinternal
broker\tunstable.api.versions.enable\tboolean\tfalse\t\thigh\tinternal
broker\tunstable.feature.versions.enable\tboolean\tfalse\t\thigh\tinternal
broker\tgroup.consumer.regex.refresh.interval.ms\tint\t600000\t[10000,...]\tmedium\tinternal
broker\tgroup.share.initialize.retry.interval.ms\tint\t30000\t[1,...]\tlow\tinternal
broker\tgroup.share.persister.class.name\tstring\torg.apache.kafka.server.share.persister.DefaultStatePersister\t\tmedium\tinternal
broker\tshare.coordinator.state.topic.prune.interval.ms\tint\t300000\t[1,...]\tlow\tinternal
broker\tshare.coordinator.cold.partition.snapshot.interval.ms\tint\t300000\t[1,...]\tlow\tinternal
broker\tproducer.id.expiration.check.interval.ms\tint\t600000\t[1,...]\tlow\tinternal
dynamic\tleader.replication.throttled.rate\tlong\t9223372036854775807\t[0,...]\tmedium\tper-broker
dynamic\tfollower.replication.throttled.rate\tlong\t9223372036854775807\t[0,...]\tmedium\tper-broker
dynamic\treplica.alter.log.dirs.io.max.bytes.per.second\tlong\t9223372036854775807\t[0,...]\tmedium\tper-broker
client-metrics\tinterval.ms\tint\t300000\t\tmedium\t
client-metrics\tmatch\tlist\t[]\t\tmedium\t
client-metrics\tmetrics\tlist\t[]\t\tmedium\t
topic\tinternal.segment.bytes\tint\tnull\t\tmedium\tinternal
";

/// How important a configuration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// Most users set it.
    High,
    /// Some do.
    Medium,
    /// Few do.
    Low,
}

/// Whether and how a broker configuration changes while the broker runs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateMode {
    /// Only with a restart.
    ReadOnly,
    /// Dynamically, for one broker.
    PerBroker,
    /// Dynamically, for one broker or as the cluster's default.
    ClusterWide,
}

/// One configuration (`ConfigDef.ConfigKey`).
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigKey {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub value_type: ConfigType,
    /// Its default; none if it must be set.
    pub default: Option<Value>,
    /// Its importance.
    pub importance: Importance,
    /// Whether it changes dynamically.
    pub update_mode: UpdateMode,
    /// Not shown unless set.
    pub internal: bool,
    pub(crate) validator: Validator,
}

impl ConfigKey {
    fn from_row(row: &'static str) -> Self {
        let mut columns = row.split('\t');
        let mut next = || columns.next().unwrap_or_default();
        let (_, name, type_name, default, valid, importance, mode) =
            (next(), next(), next(), next(), next(), next(), next());
        let value_type = ConfigType::from_name(type_name).expect("the table is part of the build: its types are known");
        Self {
            name,
            value_type,
            default: parse_default(name, default, value_type),
            importance: match importance {
                "high" => Importance::High,
                "medium" => Importance::Medium,
                _ => Importance::Low,
            },
            update_mode: match mode {
                "per-broker" => UpdateMode::PerBroker,
                "cluster-wide" => UpdateMode::ClusterWide,
                _ => UpdateMode::ReadOnly,
            },
            internal: mode == "internal",
            validator: Validator::from_text(name, value_type, valid),
        }
    }

    /// Whether its value must not be shown.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.value_type == ConfigType::Password
    }

    /// Reads and checks a value.
    /// # Errors
    /// [`ConfigError`] with Kafka's text.
    pub fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        let mut value = Value::parse(self.name, text, self.value_type)?;
        if let (Value::List(items), true) = (&mut value, self.validator.drops_duplicates()) {
            let mut seen = std::collections::HashSet::new();
            items.retain(|item| seen.insert(item.clone()));
        }
        self.validator.check(self.name, &value)?;
        Ok(value)
    }
}

fn parse_default(name: &str, text: &str, value_type: ConfigType) -> Option<Value> {
    match text {
        "(required)" => return None,
        "null" => return Some(Value::Null),
        _ => {}
    }
    let text = match value_type {
        ConfigType::List => text.trim_start_matches('[').trim_end_matches(']'),
        _ => text,
    };
    Some(Value::parse(name, text, value_type).expect("the table is part of the build: its defaults have their types"))
}

/// The configurations of one scope (`ConfigDef`).
#[derive(Debug)]
pub struct ConfigDef {
    keys: BTreeMap<&'static str, ConfigKey>,
}

impl ConfigDef {
    fn of(scopes: &[&str]) -> Self {
        let rows = CONFIGS.lines().chain(UNDOCUMENTED.lines());
        let of_scope = rows.filter(|row| row.split_once('\t').is_some_and(|(scope, _)| scopes.contains(&scope)));
        let keys = of_scope.map(ConfigKey::from_row).map(|key| (key.name, key)).collect();
        Self { keys }
    }

    /// Configurations of `server.properties`.
    #[must_use]
    pub fn broker() -> &'static Self {
        static DEFINITION: LazyLock<ConfigDef> = LazyLock::new(|| ConfigDef::of(&["broker"]));
        &DEFINITION
    }

    /// Configurations of brokers that change dynamically, those included that a file cannot set.
    #[must_use]
    pub fn dynamic_broker() -> &'static Self {
        static DEFINITION: LazyLock<ConfigDef> = LazyLock::new(|| {
            let mut definition = ConfigDef::of(&["broker", "dynamic"]);
            definition.keys.retain(|_, key| key.update_mode != UpdateMode::ReadOnly);
            definition
        });
        &DEFINITION
    }

    /// Configurations of topics.
    #[must_use]
    pub fn topic() -> &'static Self {
        static DEFINITION: LazyLock<ConfigDef> = LazyLock::new(|| ConfigDef::of(&["topic"]));
        &DEFINITION
    }

    /// Configurations of groups.
    #[must_use]
    pub fn group() -> &'static Self {
        static DEFINITION: LazyLock<ConfigDef> = LazyLock::new(|| ConfigDef::of(&["group"]));
        &DEFINITION
    }

    /// Configurations of client metrics subscriptions (KIP-714).
    #[must_use]
    pub fn client_metrics() -> &'static Self {
        static DEFINITION: LazyLock<ConfigDef> = LazyLock::new(|| ConfigDef::of(&["client-metrics"]));
        &DEFINITION
    }

    /// The configuration of a name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&ConfigKey> {
        self.keys.get(name)
    }

    /// All configurations in order of their names.
    pub fn keys(&self) -> impl Iterator<Item = &ConfigKey> {
        self.keys.values()
    }

    /// Reads all values: of `given` where it has the name, else the default. Unknown names are ignored.
    /// # Errors
    /// The first value that is missing or wrong, in order of the names.
    pub fn parse(&self, given: &ConfigMap) -> Result<BTreeMap<&'static str, Value>, ConfigError> {
        let mut values = BTreeMap::new();
        for key in self.keys.values() {
            let value = match given.get(key.name) {
                Some(text) => key.parse(text)?,
                None => key.default.clone().ok_or_else(|| ConfigError::Missing(key.name.to_owned()))?,
            };
            values.insert(key.name, value);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_passes_its_own_validator() {
        for definition in [ConfigDef::broker(), ConfigDef::topic(), ConfigDef::group(), ConfigDef::dynamic_broker()] {
            for key in definition.keys() {
                if let Some(default) = &key.default {
                    assert_eq!(key.validator.check(key.name, default), Ok(()), "{}", key.name);
                }
            }
        }
    }

    #[test]
    fn ranges_and_lists_refuse_with_kafkas_text() {
        let refuse = |name: &str, text: &str| {
            let key = ConfigDef::topic().key(name).expect("known");
            key.parse(text).expect_err("invalid").to_string()
        };
        assert_eq!(
            refuse("segment.bytes", "5"),
            "Invalid value 5 for configuration segment.bytes: Value must be at least 1048576"
        );
        assert_eq!(
            refuse("cleanup.policy", "delete,shred"),
            "Invalid value shred for configuration cleanup.policy: String must be one of: compact, delete"
        );
        assert_eq!(
            refuse("compression.type", "rar"),
            "Invalid value rar for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"
        );
        assert_eq!(
            refuse("min.cleanable.dirty.ratio", "2"),
            "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"
        );
    }
}
