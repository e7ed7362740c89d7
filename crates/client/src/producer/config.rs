//! The producer's settings.

use std::time::Duration;

use protocol::record::Compression;

use crate::ClientError;
use crate::properties::Properties;

/// Which replicas must have a record before it counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Nobody answers: a record counts as delivered when it is handed to the system.
    None,
    /// The leader.
    Leader,
    /// All in-sync replicas.
    All,
}

impl Acks {
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// Settings of a [`super::Producer`]; names and defaults are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerConfig {
    /// `acks`.
    pub acks: Acks,
    /// `linger.ms`: how long a record may wait for others to share its batch.
    pub linger: Duration,
    /// `batch.size`: a batch with this many bytes before compression is sent at once.
    pub batch_size: usize,
    /// `buffer.memory`: bytes of records that wait for delivery; `send` waits beyond that.
    pub buffer_memory: usize,
    /// `compression.type`.
    pub compression: Compression,
    /// `compression.<type>.level`, or the codec's default.
    pub compression_level: Option<i32>,
    /// `enable.idempotence`: retries neither duplicate nor reorder records (KIP-98).
    pub idempotence: bool,
    /// `max.in.flight.requests.per.connection`.
    pub max_in_flight: usize,
    /// `delivery.timeout.ms`: how long after `send` a record is given up.
    pub delivery_timeout: Duration,
    /// `retries`: how often a batch is sent again.
    pub retries: u32,
    /// `max.request.size`: bytes of one request, and of one record before compression.
    pub max_request_size: usize,
    /// `max.block.ms`: how long `send` waits for metadata and memory.
    pub max_block: Duration,
    /// `partitioner.ignore.keys`: choose partitions as if records had no keys.
    pub ignore_keys: bool,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            linger: Duration::from_millis(5),
            batch_size: 16384,
            buffer_memory: 33_554_432,
            compression: Compression::None,
            compression_level: None,
            idempotence: true,
            max_in_flight: 5,
            delivery_timeout: Duration::from_secs(120),
            retries: i32::MAX.cast_unsigned(),
            max_request_size: 1_048_576,
            max_block: Duration::from_secs(60),
            ignore_keys: false,
        }
    }
}

impl ProducerConfig {
    /// Most requests in flight that a broker can tell duplicates among.
    const MAX_IDEMPOTENT_IN_FLIGHT: usize = 5;

    /// Reads Kafka's names, with Kafka's defaults for those that are absent.
    /// # Errors
    /// [`ClientError::InvalidConfig`] for a value out of range, or settings that exclude each other.
    pub fn from_properties(properties: &Properties) -> Result<Self, ClientError> {
        for name in ["transactional.id", "partitioner.class"] {
            if properties.value(name).is_some_and(|value| !value.is_empty()) {
                return Err(properties.invalid(name, "this client does not support it"));
            }
        }
        let default = Self::default();
        let compression = properties.choice("compression.type", default.compression, Compression::from_name)?;
        let level = match compression {
            Compression::Gzip => properties.optional_number("compression.gzip.level", -1, 9)?,
            Compression::Lz4 => properties.optional_number("compression.lz4.level", 1, 17)?,
            Compression::Zstd => properties.optional_number("compression.zstd.level", -131_072, 22)?,
            Compression::None | Compression::Snappy => None,
        };
        let acks = properties.choice("acks", default.acks, |text| match text {
            "all" | "-1" => Some(Acks::All),
            "1" => Some(Acks::Leader),
            "0" => Some(Acks::None),
            _ => None,
        })?;
        let max_in_flight =
            properties.size("max.in.flight.requests.per.connection", default.max_in_flight, 1, i32::MAX)?;
        let retries = properties.size("retries", i32::MAX as usize, 0, i32::MAX)?;
        let mut config = Self {
            acks,
            linger: properties.millis("linger.ms", default.linger)?,
            batch_size: properties.size("batch.size", default.batch_size, 0, i32::MAX)?,
            buffer_memory: properties.size("buffer.memory", default.buffer_memory, 0, i64::MAX)?,
            compression,
            compression_level: level.filter(|level| !(compression == Compression::Gzip && *level == -1)),
            idempotence: properties.bool("enable.idempotence", default.idempotence)?,
            max_in_flight,
            delivery_timeout: properties.millis("delivery.timeout.ms", default.delivery_timeout)?,
            retries: u32::try_from(retries).unwrap_or(u32::MAX),
            max_request_size: properties.size("max.request.size", default.max_request_size, 0, i32::MAX)?,
            max_block: properties.millis("max.block.ms", default.max_block)?,
            ignore_keys: properties.bool("partitioner.ignore.keys", default.ignore_keys)?,
        };
        // Kafka turns idempotence off where it is only the default and other settings contradict it.
        if !properties.contains("enable.idempotence") && config.idempotence_conflict().is_some() {
            config.idempotence = false;
        }
        config.check()?;
        Ok(config)
    }

    /// Whether the settings go together.
    /// # Errors
    /// [`ClientError::InvalidConfig`].
    pub fn check(&self) -> Result<(), ClientError> {
        match self.idempotence_conflict() {
            Some((name, value)) if self.idempotence => Err(ClientError::InvalidConfig {
                name: name.to_owned(),
                value,
                reason: "it excludes the idempotent producer".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn idempotence_conflict(&self) -> Option<(&'static str, String)> {
        if self.acks != Acks::All {
            return Some(("acks", self.acks.code().to_string()));
        }
        if self.retries == 0 {
            return Some(("retries", "0".to_owned()));
        }
        let too_many = self.max_in_flight > Self::MAX_IDEMPOTENT_IN_FLIGHT;
        too_many.then(|| ("max.in.flight.requests.per.connection", self.max_in_flight.to_string()))
    }
}
