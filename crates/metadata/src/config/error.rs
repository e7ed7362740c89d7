//! Why a configuration is refused, in Kafka's words (`ConfigException`, `InvalidConfigurationException`).

use protocol::ErrorCode;

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The value is of the wrong type or out of range.
    #[error("Invalid value {value} for configuration {name}: {reason}")]
    Invalid {
        /// Name of the configuration.
        name: String,
        /// The value as Kafka prints it.
        value: String,
        /// Kafka's reason.
        reason: String,
    },
    /// A list has a value that it may not have.
    #[error("Configuration '{name}' {reason}")]
    List {
        /// Name of the configuration.
        name: String,
        /// Kafka's reason.
        reason: String,
    },
    /// A configuration without default is not set.
    #[error("Missing required configuration \"{0}\" which has no default value.")]
    Missing(String),
    /// There is no such topic configuration.
    #[error("Unknown topic config name: {0}")]
    UnknownTopicConfig(String),
    /// There is no such group configuration.
    #[error("Unknown group config name: {0}")]
    UnknownGroupConfig(String),
    /// What Kafka refuses as an invalid request and not as an invalid configuration.
    #[error("{0}")]
    Request(String),
    /// Values that are right one by one contradict each other.
    #[error("{reason}")]
    Rule {
        /// Name of the configuration to look at first.
        name: &'static str,
        /// Kafka's reason.
        reason: String,
    },
}

impl ConfigError {
    pub(crate) fn invalid(name: &str, value: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { name: name.to_owned(), value: value.into(), reason: reason.into() }
    }

    pub(crate) fn rule(name: &'static str, reason: impl Into<String>) -> Self {
        Self::Rule { name, reason: reason.into() }
    }

    /// Name of the configuration that is at fault.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Invalid { name, .. } | Self::List { name, .. } => name,
            Self::Missing(name) | Self::UnknownTopicConfig(name) | Self::UnknownGroupConfig(name) => name,
            Self::Rule { name, .. } => name,
            Self::Request(_) => "",
        }
    }

    /// The code on the wire.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Request(_) => ErrorCode::InvalidRequest,
            Self::Invalid { .. }
            | Self::List { .. }
            | Self::Missing(_)
            | Self::UnknownTopicConfig(_)
            | Self::UnknownGroupConfig(_)
            | Self::Rule { .. } => ErrorCode::InvalidConfig,
        }
    }
}

/// A configuration file that is refused, with the line at fault where one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFileError {
    /// Line of the file, counted from 1; none for an override or a missing name.
    pub line: Option<usize>,
    /// What is wrong.
    pub error: ConfigError,
}

impl std::fmt::Display for ConfigFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for ConfigFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
