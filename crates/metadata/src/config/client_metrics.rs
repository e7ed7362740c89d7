//! Configurations of client metrics subscriptions: which clients push which metrics, and how often (KIP-714).

use super::{ConfigDef, ConfigError, ConfigMap, Value};

const MATCHED: [&str; 6] = [
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// Checks all configurations of a subscription as they will be after a change (`ClientMetricsConfigs.validate`).
/// # Errors
/// [`ConfigError::Request`] for an unknown name or an interval out of range, else a wrong value or pattern.
pub fn validate_client_metrics(subscription: &str, configs: &ConfigMap) -> Result<(), ConfigError> {
    if subscription.is_empty() {
        return Err(ConfigError::Request("Subscription name can't be empty".to_owned()));
    }
    let definition = ConfigDef::client_metrics();
    for (name, text) in configs {
        let unknown = || ConfigError::Request(format!("Unknown client metrics configuration: {name}"));
        match definition.key(name).ok_or_else(unknown)?.parse(text)? {
            Value::Int(interval) if !(100..=3_600_000).contains(&interval) => {
                let reason = "interval must be between 100 and 3600000 (1 hour)";
                return Err(ConfigError::Request(format!("Invalid value {interval} for {name}, {reason}")));
            }
            Value::List(patterns) if name == "match" => {
                patterns.iter().try_for_each(|pattern| check_pattern(pattern))?
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_pattern(pattern: &str) -> Result<(), ConfigError> {
    let valid = pattern.split_once('=').is_some_and(|(name, value)| {
        MATCHED.contains(&name.trim()) && !value.contains('=') && regex::Regex::new(value.trim()).is_ok()
    });
    if valid {
        return Ok(());
    }
    Err(ConfigError::rule("match", format!("Illegal client matching pattern: {pattern}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_validated_with_kafkas_text() {
        let check = |name: &str, value: &str| {
            let configs = ConfigMap::from([(name.to_owned(), value.to_owned())]);
            validate_client_metrics("s", &configs).map_err(|error| error.to_string())
        };
        assert_eq!(check("match", "client_id=app.*"), Ok(()));
        assert_eq!(check("match", "client_id"), Err("Illegal client matching pattern: client_id".to_owned()));
        assert_eq!(check("nope", "1"), Err("Unknown client metrics configuration: nope".to_owned()));
        let text = "Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)";
        assert_eq!(check("interval.ms", "1"), Err(text.to_owned()));
    }
}
