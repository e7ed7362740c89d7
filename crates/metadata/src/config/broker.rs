//! The configuration of one node: `server.properties`, overrides, and what follows from them.
//! A value exists only if it is valid: everything is checked when it is read (`KafkaConfig`).

use std::collections::BTreeMap;

use super::{ConfigDef, ConfigError, ConfigFileError, ConfigMap, Value, properties, synonyms};

/// Prefixes under which plugins find their own configurations.
const PLUGIN_PREFIXES: [&str; 7] =
    ["listener.name.", "config.providers.", "rlmm.config.", "rsm.config.", "metrics.", "kafka.metrics.", "confluent."];

/// A name that no definition has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// Line of the file, counted from 1; none for an override.
    pub line: Option<usize>,
    /// The name.
    pub name: String,
}

impl std::fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: unknown configuration {}", self.name),
            None => write!(f, "unknown configuration {}", self.name),
        }
    }
}

/// The valid configuration of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerConfig {
    originals: ConfigMap,
    values: BTreeMap<&'static str, Value>,
}

impl BrokerConfig {
    /// Reads a `server.properties` file; `overrides` win over it, and later entries over earlier ones.
    /// # Errors
    /// A wrong or missing value, with its line.
    pub fn from_properties(
        file: &[u8],
        overrides: &[(String, String)],
    ) -> Result<(Self, Vec<ConfigWarning>), ConfigFileError> {
        let mut originals = ConfigMap::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        for entry in properties::parse(file) {
            lines.insert(entry.name.clone(), entry.line);
            originals.insert(entry.name, entry.value);
        }
        for (name, value) in overrides {
            lines.remove(name);
            originals.insert(name.clone(), value.clone());
        }
        let warnings = originals.keys().filter(|name| !is_known(name));
        let warnings =
            warnings.map(|name| ConfigWarning { line: lines.get(name).copied(), name: name.clone() }).collect();
        let config = Self::from_map(originals)
            .map_err(|error| ConfigFileError { line: lines.get(error.name()).copied(), error })?;
        Ok((config, warnings))
    }

    /// Reads names and values.
    /// # Errors
    /// The first value that is wrong or missing, or the first rule over several values that is broken.
    pub fn from_map(mut originals: ConfigMap) -> Result<Self, ConfigError> {
        // Kafka treats each as set if the other is, and shows both so.
        let (node_id, broker_id) = (originals.get("node.id").cloned(), originals.get("broker.id").cloned());
        match (node_id, broker_id) {
            (Some(id), None) => originals.insert("broker.id".to_owned(), id),
            (None, Some(id)) => originals.insert("node.id".to_owned(), id),
            _ => None,
        };
        let values = ConfigDef::broker().parse(&originals)?;
        let config = Self { originals, values };
        config.check_rules()?;
        Ok(config)
    }

    /// What the user wrote.
    #[must_use]
    pub fn originals(&self) -> &ConfigMap {
        &self.originals
    }

    /// Whether the user set a configuration.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.originals.contains_key(name)
    }

    /// All values by name, in order of the names.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.values.iter().map(|(name, value)| (*name, value))
    }

    /// The value of a name; none if no definition has it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The values that topics inherit, by the topic's names (`KafkaConfig.extractLogConfigMap`).
    #[must_use]
    pub fn topic_defaults(&self) -> BTreeMap<&'static str, Value> {
        let mut defaults = BTreeMap::new();
        for (topic_name, broker_name) in synonyms::all_topic_synonyms() {
            let value = match topic_name {
                "segment.ms" => Value::Long(self.log_roll_ms()),
                "segment.jitter.ms" => Value::Long(self.log_roll_jitter_ms()),
                "retention.ms" => Value::Long(self.log_retention_ms()),
                "flush.ms" => Value::Long(self.log_flush_interval_ms()),
                _ => self.values.get(broker_name).cloned().unwrap_or(Value::Null),
            };
            defaults.insert(topic_name, value);
        }
        defaults
    }

    /// Rules over several values (`KafkaConfig.validateValues`).
    fn check_rules(&self) -> Result<(), ConfigError> {
        require(self.node_id() == self.broker_id(), "node.id", || {
            "You must set `node.id` to the same value as `broker.id`.".to_owned()
        })?;
        self.check_log_rules()?;
        self.check_listener_rules()?;
        self.check_quorum_rules()?;
        require(
            self.queued_max_request_bytes() <= 0
                || self.queued_max_request_bytes() >= i64::from(self.socket_request_max_bytes()),
            "queued.max.request.bytes",
            || "queued.max.request.bytes must be larger or equal to socket.request.max.bytes".to_owned(),
        )
    }

    fn check_log_rules(&self) -> Result<(), ConfigError> {
        require(self.log_roll_ms() >= 1, "log.roll.ms", || {
            "log.roll.ms must be greater than or equal to 1".to_owned()
        })?;
        require(self.log_roll_jitter_ms() >= 0, "log.roll.jitter.ms", || {
            "log.roll.jitter.ms must be greater than or equal to 0".to_owned()
        })?;
        let retention = self.log_retention_ms();
        require(retention >= 1 || retention == -1, "log.retention.ms", || {
            "log.retention.ms must be unlimited (-1) or, greater than or equal to 1".to_owned()
        })?;
        let threads = i64::from(self.log_cleaner_threads()).max(1);
        require(
            self.log_cleaner_dedupe_buffer_size() / threads > 1024 * 1024,
            "log.cleaner.dedupe.buffer.size",
            || "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.".to_owned(),
        )?;
        let (least, most) = (self.log_cleaner_min_compaction_lag_ms(), self.log_cleaner_max_compaction_lag_ms());
        require(least <= most, "log.cleaner.min.compaction.lag.ms", || {
            format!("conflict topic config setting min.compaction.lag.ms ({least}) > max.compaction.lag.ms ({most})")
        })
    }

    fn check_listener_rules(&self) -> Result<(), ConfigError> {
        const ADVERTISED: &str = "advertised.listeners";
        let listeners = self.parse_listeners()?;
        let advertised = self.parse_advertised_listeners()?;
        if !self.is_broker() {
            return Ok(());
        }
        let broker_listeners: Vec<_> =
            advertised.iter().filter(|endpoint| !self.is_controller_listener(&endpoint.listener)).collect();
        require(!broker_listeners.is_empty(), ADVERTISED, || {
            "There must be at least one broker advertised listener. Perhaps all listeners appear in controller.listener.names?"
                .to_owned()
        })?;
        let names = broker_listeners.iter().map(|endpoint| endpoint.listener.as_str()).collect::<Vec<_>>().join(",");
        let inter_broker = self.parse_inter_broker_listener_name()?;
        require(
            broker_listeners.iter().any(|endpoint| endpoint.listener == inter_broker),
            "inter.broker.listener.name",
            || {
                format!(
                    "inter.broker.listener.name must be a listener name defined in advertised.listeners. \
                 The valid options based on currently configured listeners are {names}"
                )
            },
        )?;
        let known = |name: &str| listeners.iter().any(|endpoint| endpoint.listener == name);
        require(broker_listeners.iter().all(|endpoint| known(&endpoint.listener)), ADVERTISED, || {
            let valid = listeners.iter().map(|endpoint| endpoint.listener.as_str()).collect::<Vec<_>>().join(",");
            format!(
                "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. \
                 Found {names}. The valid options based on the current configuration are {valid}"
            )
        })?;
        require(
            !broker_listeners.iter().any(|endpoint| endpoint.host.as_deref() == Some("0.0.0.0")),
            ADVERTISED,
            || {
                "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."
                    .to_owned()
            },
        )
    }

    fn check_quorum_rules(&self) -> Result<(), ConfigError> {
        let voters = self.controller_quorum_voters();
        require(!voters.is_empty() || !self.controller_quorum_bootstrap_servers().is_empty(), "process.roles", || {
            "If using process.roles, either controller.quorum.bootstrap.servers must contain the set of bootstrap controllers \
             or controller.quorum.voters must contain a parseable set of controllers."
                .to_owned()
        })?;
        let node_id = self.node_id();
        let ids = voters.iter().map(|voter| voter.id.to_string()).collect::<Vec<_>>().join(", ");
        let is_voter = voters.iter().any(|voter| voter.id == node_id);
        if !self.is_controller() {
            return require(!is_voter, "controller.quorum.voters", || {
                format!(
                    "If process.roles contains just the 'broker' role, the node id {node_id} must not be included in the set of \
                     voters controller.quorum.voters=Set({ids})"
                )
            });
        }
        require(voters.is_empty() || is_voter, "controller.quorum.voters", || {
            format!(
                "If process.roles contains the 'controller' role, the node id {node_id} must be included in the set of voters \
                 controller.quorum.voters=Set({ids})"
            )
        })?;
        let listeners = self.listeners();
        let names = self.controller_listener_names();
        require(
            names.iter().all(|name| listeners.iter().any(|endpoint| &endpoint.listener == name)),
            "controller.listener.names",
            || {
                "controller.listener.names must only contain values appearing in the 'listeners' configuration when running the KRaft \
             controller role"
                .to_owned()
            },
        )
    }
}

fn is_known(name: &str) -> bool {
    ConfigDef::broker().key(name).is_some() || PLUGIN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn require(holds: bool, name: &'static str, reason: impl FnOnce() -> String) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::rule(name, reason())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:9093\n\
        listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\ncontroller.listener.names=CONTROLLER\n";

    fn read(more: &str) -> Result<(BrokerConfig, Vec<ConfigWarning>), ConfigFileError> {
        BrokerConfig::from_properties(format!("{MINIMAL}{more}").as_bytes(), &[])
    }

    #[test]
    fn a_combined_node_needs_five_lines() {
        let (config, warnings) = read("").expect("valid");
        assert_eq!((config.node_id(), config.broker_id(), config.num_partitions()), (1, 1, 1));
        assert_eq!(config.log_retention_ms(), 168 * 3_600_000);
        assert_eq!(warnings, []);
        assert_eq!(config.advertised_broker_listeners().len(), 1);
    }

    #[test]
    fn wrong_values_are_refused_with_their_line() {
        let error = read("# note\nnum.partitions=many\n").expect_err("invalid");
        assert_eq!(
            error.to_string(),
            "line 7: Invalid value many for configuration num.partitions: Not a number of type INT"
        );
        let error = BrokerConfig::from_properties(b"", &[]).expect_err("incomplete");
        assert_eq!(
            error.to_string(),
            "Missing required configuration \"controller.listener.names\" which has no default value."
        );
    }

    #[test]
    fn unknown_names_are_warned_about() {
        let (_, warnings) =
            read("num.partition=3\nlistener.name.plaintext.sasl.enabled.mechanisms=PLAIN\n").expect("valid");
        assert_eq!(warnings, [ConfigWarning { line: Some(6), name: "num.partition".to_owned() }]);
    }

    #[test]
    fn overrides_win_over_the_file() {
        let overrides = [("num.partitions".to_owned(), "9".to_owned())];
        let (config, _) = BrokerConfig::from_properties(format!("{MINIMAL}num.partitions=3\n").as_bytes(), &overrides)
            .expect("valid");
        assert_eq!(config.num_partitions(), 9);
    }

    #[test]
    fn minutes_win_over_hours_of_retention() {
        let (config, _) = read("log.retention.hours=1\nlog.retention.minutes=5\n").expect("valid");
        assert_eq!(config.log_retention_ms(), 300_000);
        assert_eq!(config.topic_defaults()["retention.ms"], Value::Long(300_000));
    }

    #[test]
    fn a_controller_must_be_among_its_voters() {
        let error = read("controller.quorum.voters=2@localhost:9093\n").expect_err("invalid").to_string();
        assert!(error.contains("the node id 1 must be included in the set of voters"), "{error}");
    }
}
