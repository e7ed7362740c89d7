//! A node's configuration together with what was changed dynamically (KIP-226).
//! The strongest wins: this broker's dynamic value, the cluster's dynamic default, the file, the default.

use std::sync::Arc;

use super::{BrokerConfig, ConfigDef, ConfigError, ConfigMap, UpdateMode, Value, broker_synonyms, synonyms};

/// Configurations of listeners that may be set for all brokers at once.
const CLUSTER_LEVEL_LISTENER: [&str; 3] = ["max.connections", "max.connection.creation.rate", "num.network.threads"];

/// Numbers of threads.
const THREAD_POOLS: [&str; 5] = [
    "background.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
];

/// A configuration and its dynamic changes.
#[derive(Debug, Clone)]
pub struct DynamicBrokerConfig {
    file: Arc<BrokerConfig>,
    per_broker: ConfigMap,
    defaults: ConfigMap,
    current: Arc<BrokerConfig>,
}

impl DynamicBrokerConfig {
    /// Nothing is changed dynamically yet.
    #[must_use]
    pub fn new(file: BrokerConfig) -> Self {
        let file = Arc::new(file);
        Self { current: Arc::clone(&file), file, per_broker: ConfigMap::new(), defaults: ConfigMap::new() }
    }

    /// The configuration in force.
    #[must_use]
    pub fn current(&self) -> &Arc<BrokerConfig> {
        &self.current
    }

    /// The configuration of the file.
    #[must_use]
    pub fn file(&self) -> &Arc<BrokerConfig> {
        &self.file
    }

    /// Dynamic values of this broker.
    #[must_use]
    pub fn per_broker(&self) -> &ConfigMap {
        &self.per_broker
    }

    /// Dynamic defaults of the cluster.
    #[must_use]
    pub fn defaults(&self) -> &ConfigMap {
        &self.defaults
    }

    /// Takes over what the metadata log says. Single values that are not allowed or not valid are left out.
    /// # Errors
    /// If the values contradict each other: then the configuration in force stays as it is.
    pub fn update(&mut self, per_broker: &ConfigMap, defaults: &ConfigMap) -> Result<(), ConfigError> {
        let keep = |given: &ConfigMap, for_one_broker: bool| -> ConfigMap {
            let allowed = given.iter().filter(|(name, value)| {
                check_allowed(std::iter::once(name.as_str()), for_one_broker).is_ok()
                    && check_value(name, value).is_ok()
            });
            allowed.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        self.per_broker = keep(per_broker, true);
        self.defaults = keep(defaults, false);
        self.current = Arc::new(self.overridden(&self.per_broker, &self.defaults)?);
        Ok(())
    }

    /// Checks what all dynamic values of this broker (or of the cluster's default) will be after a change.
    /// # Errors
    /// Names that are read-only or may be set for one broker only, wrong values, broken rules.
    pub fn validate_per_broker(&self, values: &ConfigMap) -> Result<(), ConfigError> {
        validate(values, true)?;
        self.check_change(&self.overridden(values, &self.defaults)?)
    }

    /// As [`Self::validate_per_broker`] for the cluster's default.
    /// # Errors
    /// As there.
    pub fn validate_defaults(&self, values: &ConfigMap) -> Result<(), ConfigError> {
        validate(values, false)?;
        self.check_change(&self.overridden(&self.per_broker, values)?)
    }

    /// Kafka lets a pool of threads at most double or halve at once (`DynamicThreadPool`).
    fn check_change(&self, next: &BrokerConfig) -> Result<(), ConfigError> {
        for name in THREAD_POOLS {
            let (Some(Value::Int(now)), Some(Value::Int(next))) = (self.current.value(name), next.value(name)) else {
                continue;
            };
            let rule = match (next, now) {
                _ if next == now => continue,
                (next, now) if *next < now / 2 => format!("value should be at least half the current value {now}"),
                (next, now) if *next > now * 2 => {
                    format!("value should not be greater than double the current value {now}")
                }
                _ => continue,
            };
            let reason = format!(
                "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation failed for \
                 {name}={next}, {rule} for configuration Invalid dynamic configuration"
            );
            return Err(ConfigError::rule(name, reason));
        }
        Ok(())
    }

    fn overridden(&self, per_broker: &ConfigMap, defaults: &ConfigMap) -> Result<BrokerConfig, ConfigError> {
        let mut values = self.file.originals().clone();
        for (name, value) in defaults.iter().chain(per_broker) {
            // A weaker source must not win by using a stronger synonym, such as log.roll.ms over log.roll.hours.
            for synonym in broker_synonyms(name) {
                if synonyms::listener_base_name(name).is_none() {
                    values.remove(synonym);
                }
            }
            values.insert(name.clone(), value.clone());
        }
        BrokerConfig::from_map(values)
    }
}

fn validate(values: &ConfigMap, for_one_broker: bool) -> Result<(), ConfigError> {
    check_allowed(values.keys().map(String::as_str), for_one_broker)?;
    values.iter().try_for_each(|(name, value)| check_value(name, value))
}

fn check_allowed<'a>(names: impl Iterator<Item = &'a str> + Clone, for_one_broker: bool) -> Result<(), ConfigError> {
    let refuse = |refused: Vec<&str>, reason: &str| {
        let text = format!("{reason}: [{}]", refused.join(", "));
        if refused.is_empty() { Ok(()) } else { Err(ConfigError::rule("node.id", text)) }
    };
    let dynamic = ConfigDef::dynamic_broker();
    let read_only = |name: &&str| ConfigDef::broker().key(name).is_some() && dynamic.key(name).is_none();
    refuse(names.clone().filter(read_only).collect(), "Cannot update these configs dynamically")?;
    let secures = |name: &&str| is_security(name);
    refuse(
        names.clone().filter(secures).collect(),
        "These security configs can be dynamically updated only per-listener using the listener prefix",
    )?;
    if for_one_broker {
        return Ok(());
    }
    let one_broker_only = |name: &&str| match synonyms::listener_base_name(name) {
        Some(base) => !CLUSTER_LEVEL_LISTENER.contains(&base),
        None => {
            let quota = name.ends_with(".throttled.rate") || name.ends_with(".io.max.bytes.per.second");
            !quota && dynamic.key(name).is_some_and(|key| key.update_mode == UpdateMode::PerBroker)
        }
    };
    refuse(
        names.filter(one_broker_only).collect(),
        "Cannot update these configs at default cluster level, broker id must be specified",
    )
}

fn is_security(name: &str) -> bool {
    let keystore = name.starts_with("ssl.keystore.") || name.starts_with("ssl.truststore.");
    keystore
        || matches!(
            name,
            "ssl.key.password" | "ssl.engine.factory.class" | "ssl.allow.dn.changes" | "ssl.allow.san.changes"
        )
}

fn check_value(name: &str, value: &str) -> Result<(), ConfigError> {
    let base = synonyms::listener_base_name(name).unwrap_or(name);
    match ConfigDef::dynamic_broker().key(base) {
        Some(key) => key.parse(value).map(drop),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn broker(more: &[(&str, &str)]) -> BrokerConfig {
        let minimal = [
            ("process.roles", "broker,controller"),
            ("node.id", "1"),
            ("controller.quorum.voters", "1@localhost:9093"),
            ("listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"),
            ("controller.listener.names", "CONTROLLER"),
        ];
        BrokerConfig::from_map(map(&[&minimal, more].concat())).expect("valid")
    }

    pub(crate) fn map(pairs: &[(&str, &str)]) -> ConfigMap {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_dynamic_value_beats_a_stronger_synonym_of_the_file() {
        let mut config = DynamicBrokerConfig::new(broker(&[("log.retention.ms", "1000")]));
        config.update(&map(&[]), &map(&[("log.retention.ms", "5000")])).expect("valid");
        assert_eq!(config.current().log_retention_ms(), 5000);
        config.update(&map(&[("log.retention.ms", "7000")]), &map(&[("log.retention.ms", "5000")])).expect("valid");
        assert_eq!(config.current().log_retention_ms(), 7000);
        config.update(&map(&[]), &map(&[])).expect("valid");
        assert_eq!(config.current().log_retention_ms(), 1000);
    }

    #[test]
    fn read_only_and_per_broker_names_are_refused() {
        let config = DynamicBrokerConfig::new(broker(&[]));
        let text = config.validate_per_broker(&map(&[("num.partitions", "2")])).expect_err("read-only").to_string();
        assert_eq!(text, "Cannot update these configs dynamically: [num.partitions]");
        let text =
            config.validate_defaults(&map(&[("listeners", "PLAINTEXT://:1")])).expect_err("per broker").to_string();
        assert_eq!(
            text,
            "Cannot update these configs at default cluster level, broker id must be specified: [listeners]"
        );
        let text = config.validate_defaults(&map(&[("num.io.threads", "0")])).expect_err("range").to_string();
        assert_eq!(text, "Invalid value 0 for configuration num.io.threads: Value must be at least 1");
        assert!(config.validate_defaults(&map(&[("leader.replication.throttled.rate", "5")])).is_ok());
        let text = config.validate_per_broker(&map(&[("num.io.threads", "17")])).expect_err("double").to_string();
        assert!(
            text.contains("num.io.threads=17, value should not be greater than double the current value 8"),
            "{text}"
        );
        assert!(config.validate_per_broker(&map(&[("num.io.threads", "16")])).is_ok());
    }
}
