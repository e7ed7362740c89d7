//! Validators of single values, read from the text by which Kafka documents them.

use super::listeners::{parse_bootstrap_server, parse_quorum_voters};
use super::{ConfigError, ConfigType, Value};

/// Lists that must have an entry, or may be null, though their documentation does not say so.
const NON_EMPTY_LISTS: [&str; 3] = ["log.dir", "listeners", "controller.listener.names"];
const NON_EMPTY_OR_NULL_LISTS: [&str; 2] = ["log.dirs", "advertised.listeners"];

/// What a value must satisfy (`ConfigDef.Validator`).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Validator {
    Any,
    Range { least: Option<&'static str>, most: Option<&'static str> },
    OneOf(Vec<&'static str>),
    OneOfIgnoringCase(Vec<&'static str>),
    ListOf { values: Vec<&'static str>, may_be_empty: bool },
    DistinctList { may_be_empty: bool, may_be_null: bool },
    NonEmptyString,
    NonNull,
    GzipLevel,
    ThrottledReplicas,
    QuorumVoters,
    BootstrapServers,
    AutoOffsetReset,
}

impl Validator {
    /// The validator that Kafka documents as `text` for the configuration `name`.
    pub(crate) fn from_text(name: &str, value_type: ConfigType, text: &'static str) -> Self {
        match text {
            "" => return Self::undocumented(name, value_type),
            "[1,...,9] or -1" => return Self::GzipLevel,
            "non-empty string" => return Self::NonEmptyString,
            "non-null string" => return Self::NonNull,
            "non-empty list" if name == "controller.quorum.voters" => return Self::QuorumVoters,
            "non-empty list" => return Self::BootstrapServers,
            _ => {}
        }
        if text.starts_with("[partitionId]") {
            return Self::ThrottledReplicas;
        }
        if text.contains("by_duration:") {
            return Self::AutoOffsetReset;
        }
        if let Some(values) = text.strip_prefix("(case insensitive) ") {
            return Self::OneOfIgnoringCase(items(values));
        }
        if let Some((least, rest)) = text.trim_start_matches('[').trim_end_matches(']').split_once(",...") {
            return Self::Range { least: Some(least), most: rest.strip_prefix(',') };
        }
        match value_type {
            ConfigType::List => Self::ListOf { values: items(text), may_be_empty: name != "process.roles" },
            _ => Self::OneOf(items(text)),
        }
    }

    fn undocumented(name: &str, value_type: ConfigType) -> Self {
        if value_type != ConfigType::List {
            return Self::Any;
        }
        let may_be_null = NON_EMPTY_OR_NULL_LISTS.contains(&name);
        Self::DistinctList {
            may_be_empty: !may_be_null && !NON_EMPTY_LISTS.contains(&name),
            may_be_null: may_be_null || name == "early.start.listeners",
        }
    }

    /// Whether duplicates are dropped before the check (`ConfigDef.ValidList`).
    pub(crate) fn drops_duplicates(&self) -> bool {
        matches!(self, Self::ListOf { .. } | Self::DistinctList { .. })
    }

    /// Checks a value.
    pub(crate) fn check(&self, name: &str, value: &Value) -> Result<(), ConfigError> {
        match self {
            Self::Any => Ok(()),
            Self::Range { least, most } => check_range(name, value, *least, *most),
            Self::OneOf(values) => match value {
                Value::String(text) if values.contains(&text.as_str()) => Ok(()),
                _ => Err(invalid(name, value, format!("String must be one of: {}", values.join(", ")))),
            },
            Self::OneOfIgnoringCase(values) => match value {
                Value::String(text) if values.iter().any(|one| one.eq_ignore_ascii_case(text)) => Ok(()),
                _ => Err(invalid(
                    name,
                    value,
                    format!("String must be one of (case insensitive): {}", values.join(", ")),
                )),
            },
            Self::ListOf { values, may_be_empty } => check_list(name, value, values, (*may_be_empty, false)),
            Self::DistinctList { may_be_empty, may_be_null } => {
                check_list(name, value, &[], (*may_be_empty, *may_be_null))
            }
            Self::NonEmptyString => match value {
                Value::String(text) if text.is_empty() => Err(invalid(name, value, "String must be non-empty")),
                _ => Ok(()),
            },
            Self::NonNull if *value == Value::Null => Err(invalid(name, value, "entry must be non null")),
            Self::NonNull => Ok(()),
            Self::GzipLevel => match value {
                Value::Int(-1 | 1..=9) => Ok(()),
                Value::Null => Err(invalid(name, value, "Value must be non-null")),
                _ => Err(invalid(name, value, "Value must be between 1 and 9 or equal to -1")),
            },
            Self::ThrottledReplicas => check_throttled_replicas(name, value),
            Self::QuorumVoters => parse_quorum_voters(list(value)).map(drop),
            Self::BootstrapServers => {
                list(value).iter().try_for_each(|server| parse_bootstrap_server(server).map(drop))
            }
            Self::AutoOffsetReset => check_auto_offset_reset(name, value),
        }
    }
}

fn check_auto_offset_reset(name: &str, value: &Value) -> Result<(), ConfigError> {
    if let Value::String(text) = value {
        let duration = text.strip_prefix("by_duration:");
        if text == "latest" || text == "earliest" || duration.is_some_and(is_duration) {
            return Ok(());
        }
    }
    let format = "'by_duration:<PnDTnHnMn.nS>'";
    let reason = format!(
        "Invalid value `{value}` for configuration {name}. The value must be either 'earliest', 'latest' or of the \
         format {format}."
    );
    Err(invalid(name, value, reason))
}

/// Whether the text is a duration as Java reads it that is not negative: `PnDTnHnMn.nS`.
fn is_duration(text: &str) -> bool {
    let Some(parts) = text.strip_prefix('P') else { return false };
    let (days, time) = parts.split_once('T').map_or((parts, None), |(days, time)| (days, Some(time)));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_days = days.is_empty() || days.strip_suffix('D').is_some_and(is_number);
    let Some(mut rest) = time else { return is_days && !days.is_empty() };
    let has_time = !rest.is_empty();
    for unit in ['H', 'M', 'S'] {
        let Some((number, after)) = rest.split_once(unit) else { continue };
        let whole = if unit == 'S' { number.split_once('.').map_or(number, |(whole, _)| whole) } else { number };
        if !is_number(whole) {
            return false;
        }
        rest = after;
    }
    is_days && has_time && rest.is_empty()
}

fn invalid(name: &str, value: &Value, reason: impl Into<String>) -> ConfigError {
    ConfigError::invalid(name, value.to_string(), reason)
}

fn items(text: &'static str) -> Vec<&'static str> {
    text.trim_start_matches('[').trim_end_matches(']').split(", ").filter(|item| !item.is_empty()).collect()
}

fn list(value: &Value) -> &[String] {
    match value {
        Value::List(values) => values,
        _ => &[],
    }
}

fn check_range(name: &str, value: &Value, least: Option<&str>, most: Option<&str>) -> Result<(), ConfigError> {
    let Some(number) = value.as_f64() else {
        return Err(invalid(name, value, "Value must be non-null"));
    };
    let bound = |text: &str| text.parse::<f64>().unwrap_or(0.0);
    if let Some(least) = least.filter(|least| number < bound(least)) {
        return Err(invalid(name, value, format!("Value must be at least {least}")));
    }
    if let Some(most) = most.filter(|most| number > bound(most)) {
        return Err(invalid(name, value, format!("Value must be no more than {most}")));
    }
    Ok(())
}

fn check_list(
    name: &str,
    value: &Value,
    allowed: &[&str],
    (may_be_empty, may_be_null): (bool, bool),
) -> Result<(), ConfigError> {
    let refuse = |reason: String| Err(ConfigError::List { name: name.to_owned(), reason });
    let Value::List(values) = value else {
        return if may_be_null { Ok(()) } else { refuse("values must not be null.".to_owned()) };
    };
    if values.is_empty() && !may_be_empty {
        let valid =
            if allowed.is_empty() { "any non-empty value".to_owned() } else { format!("[{}]", allowed.join(", ")) };
        return refuse(format!("must not be empty. Valid values include: {valid}"));
    }
    for item in values {
        if item.is_empty() {
            return refuse("values must not be empty.".to_owned());
        }
        if !allowed.is_empty() && !allowed.contains(&item.as_str()) {
            return Err(ConfigError::invalid(
                name,
                item.as_str(),
                format!("String must be one of: {}", allowed.join(", ")),
            ));
        }
    }
    Ok(())
}

fn check_throttled_replicas(name: &str, value: &Value) -> Result<(), ConfigError> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let replica =
        |text: &str| text.is_empty() || text.split_once(':').is_some_and(|(left, right)| digits(left) && digits(right));
    let values = list(value);
    if values.iter().all(|item| replica(item)) || values.concat() == "*" {
        return Ok(());
    }
    Err(invalid(
        name,
        value,
        format!(
            "{name} must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_java_that_are_not_negative() {
        for text in ["P1D", "PT5S", "PT1H30M", "P2DT3H4M5.6S"] {
            assert!(is_duration(text), "{text}");
        }
        for text in ["", "P", "PT", "P1DT", "5S", "P-1D", "PT5", "PT5X", "P1H"] {
            assert!(!is_duration(text), "{text}");
        }
    }
}
