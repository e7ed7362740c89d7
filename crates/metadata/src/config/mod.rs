//! Kafka's configuration: names, types, defaults, validation, where a value came from.
//! The definitions are data (`data/configs.tsv`); values are parsed once and never change in place.
//! Errors carry Kafka's own text, because clients and tests match on it.

mod accessors;
mod broker;
mod client_metrics;
mod definition;
mod describe;
mod dynamic;
mod error;
mod listeners;
pub mod properties;
mod synonyms;
mod topic;
mod validator;
mod value;

pub use accessors::ProcessRole;
pub use broker::{BrokerConfig, ConfigWarning};
pub use client_metrics::validate_client_metrics;
pub use definition::{ConfigDef, ConfigKey, Importance, UpdateMode};
pub use describe::{
    ConfigEntry, ConfigSource, ConfigSynonym, describe_broker, describe_broker_defaults, describe_client_metrics,
    describe_group, describe_topic,
};
pub use dynamic::DynamicBrokerConfig;
pub use error::{ConfigError, ConfigFileError};
pub use listeners::{Endpoint, QuorumVoter, SecurityProtocol, parse_host_port, parse_listeners, parse_quorum_voters};
pub use synonyms::{broker_synonyms, topic_synonyms};
pub use topic::{CompressionSetting, TopicConfig, topic_values, validate_group, validate_topic};
pub use value::{ConfigType, Value};

/// Names and values as a user wrote them.
pub type ConfigMap = std::collections::BTreeMap<String, String>;
