//! Settings by Kafka's names, as in a properties file or `--command-property`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{ClientConfig, ClientError};

/// Names that Kafka's clients know and that this client reads or may ignore safely.
const KNOWN: &str = "
acks allow.auto.create.topics auto.commit.interval.ms auto.offset.reset batch.size bootstrap.controllers
bootstrap.servers buffer.memory check.crcs client.dns.lookup client.id client.rack compression.gzip.level
compression.lz4.level compression.type compression.zstd.level config.providers connections.max.idle.ms
default.api.timeout.ms delivery.timeout.ms enable.auto.commit enable.idempotence enable.metrics.push
exclude.internal.topics fetch.max.bytes fetch.max.wait.ms fetch.min.bytes group.id group.instance.id group.protocol
group.remote.assignor heartbeat.interval.ms interceptor.classes isolation.level key.deserializer key.serializer linger.ms
max.block.ms max.in.flight.requests.per.connection max.partition.fetch.bytes max.poll.interval.ms max.poll.records
max.request.size metadata.max.age.ms metadata.max.idle.ms metadata.recovery.rebootstrap.trigger.ms
metadata.recovery.strategy metric.reporters metrics.num.samples metrics.recording.level metrics.sample.window.ms
partition.assignment.strategy partitioner.adaptive.partitioning.enable partitioner.availability.timeout.ms
partitioner.class partitioner.ignore.keys receive.buffer.bytes reconnect.backoff.max.ms reconnect.backoff.ms
request.timeout.ms retries retry.backoff.max.ms retry.backoff.ms security.protocol security.providers send.buffer.bytes
session.timeout.ms share.acknowledgement.mode share.acquire.mode socket.connection.setup.timeout.max.ms socket.connection.setup.timeout.ms transaction.timeout.ms
transaction.two.phase.commit.enable transactional.id value.deserializer value.serializer
";

/// Settings by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    values: BTreeMap<String, String>,
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(settings: I) -> Self {
        Self { values: settings.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

impl Properties {
    /// Sets `name`, replacing its value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// The value of `name`, without white space around it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.trim())
    }

    /// Whether `name` is set.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Names that are no setting of Kafka's clients; `sasl.` and `ssl.` are taken for known.
    #[must_use]
    pub fn unknown(&self) -> Vec<&str> {
        let known = |name: &&str| {
            name.starts_with("sasl.")
                || name.starts_with("ssl.")
                || KNOWN.split_whitespace().any(|known| known == *name)
        };
        self.values.keys().map(String::as_str).filter(|name| !known(name)).collect()
    }

    pub(crate) fn bool(&self, name: &str, default: bool) -> Result<bool, ClientError> {
        self.choice(name, default, |text| text.to_ascii_lowercase().parse().ok())
    }

    pub(crate) fn choice<T>(
        &self,
        name: &str,
        default: T,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ClientError> {
        let Some(text) = self.value(name) else { return Ok(default) };
        parse(text).ok_or_else(|| self.invalid(name, "it is not one of the valid values"))
    }

    pub(crate) fn list(&self, name: &str) -> Option<Vec<String>> {
        let entries = self.value(name)?.split(',').map(str::trim);
        Some(entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect())
    }

    pub(crate) fn millis(&self, name: &str, default: Duration) -> Result<Duration, ClientError> {
        let Some(text) = self.value(name) else { return Ok(default) };
        let millis = text.parse().map_err(|_| self.invalid(name, "it is not a number of milliseconds"))?;
        Ok(Duration::from_millis(millis))
    }

    pub(crate) fn size(
        &self,
        name: &str,
        default: usize,
        least: usize,
        most: impl Into<i64>,
    ) -> Result<usize, ClientError> {
        let most = usize::try_from(most.into()).unwrap_or(usize::MAX);
        let Some(text) = self.value(name) else { return Ok(default) };
        let size = text.parse().ok().filter(|size| (least..=most).contains(size));
        size.ok_or_else(|| self.invalid(name, "it is no number in range"))
    }

    pub(crate) fn optional_number(&self, name: &str, least: i32, most: i32) -> Result<Option<i32>, ClientError> {
        let Some(text) = self.value(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| self.invalid(name, "it is no number in range"))
    }

    pub(crate) fn invalid(&self, name: &str, reason: &str) -> ClientError {
        ClientError::InvalidConfig {
            name: name.to_owned(),
            value: self.value(name).unwrap_or_default().to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn buffer_size(&self, name: &str) -> Result<Option<usize>, ClientError> {
        // Java's own default is kept only where it is asked for: the system's tuning serves better.
        let size = self.optional_number(name, -1, i32::MAX)?;
        Ok(size.and_then(|size| usize::try_from(size).ok()))
    }
}

impl ClientConfig {
    /// Reads Kafka's names, with Kafka's defaults for those that are absent.
    /// # Errors
    /// [`ClientError::InvalidConfig`] for a value out of range, or a security protocol that this client lacks.
    pub fn from_properties(properties: &Properties) -> Result<Self, ClientError> {
        let default = Self::default();
        let plaintext = properties.value("security.protocol").is_none_or(|name| name.eq_ignore_ascii_case("PLAINTEXT"));
        if !plaintext {
            return Err(properties.invalid("security.protocol", "this client speaks PLAINTEXT only"));
        }
        let text = |name: &str| properties.value(name).unwrap_or_default().to_owned();
        Ok(Self {
            bootstrap_servers: properties.list("bootstrap.servers").unwrap_or_default(),
            client_id: text("client.id"),
            request_timeout: properties.millis("request.timeout.ms", default.request_timeout)?,
            api_timeout: properties.millis("default.api.timeout.ms", default.api_timeout)?,
            connection_setup_timeout: properties
                .millis("socket.connection.setup.timeout.ms", default.connection_setup_timeout)?,
            reconnect_backoff: properties.millis("reconnect.backoff.ms", default.reconnect_backoff)?,
            reconnect_backoff_max: properties.millis("reconnect.backoff.max.ms", default.reconnect_backoff_max)?,
            retry_backoff: properties.millis("retry.backoff.ms", default.retry_backoff)?,
            retry_backoff_max: properties.millis("retry.backoff.max.ms", default.retry_backoff_max)?,
            metadata_max_age: properties.millis("metadata.max.age.ms", default.metadata_max_age)?,
            send_buffer: properties.buffer_size("send.buffer.bytes")?,
            receive_buffer: properties.buffer_size("receive.buffer.bytes")?,
            rack: text("client.rack"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::{Acks, ProducerConfig};

    #[test]
    fn unknown_names_are_reported() {
        let properties: Properties = [("bootstrap.servers", "a:1, b:2"), ("linger.mss", "1")].into_iter().collect();
        assert_eq!(properties.unknown(), ["linger.mss"]);
        let config = ClientConfig::from_properties(&properties).unwrap();
        assert_eq!(config.bootstrap_servers, ["a:1", "b:2"]);
    }

    #[test]
    fn acks_of_one_turns_default_idempotence_off_and_contradicts_explicit_one() {
        let mut properties: Properties = [("acks", "1")].into_iter().collect();
        let config = ProducerConfig::from_properties(&properties).unwrap();
        assert_eq!((config.acks, config.idempotence), (Acks::Leader, false));
        properties.set("enable.idempotence", "true");
        assert!(ProducerConfig::from_properties(&properties).is_err());
    }

    #[test]
    fn absent_settings_have_kafkas_defaults() {
        let empty = Properties::default();
        assert_eq!(ProducerConfig::from_properties(&empty).unwrap(), ProducerConfig::default());
        assert_eq!(ClientConfig::from_properties(&empty).unwrap(), ClientConfig::default());
    }
}
