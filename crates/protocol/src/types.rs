//! The units of the protocol, and the names of topics, partitions and ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Position of a record in a partition.
pub type Offset = i64;
/// How often a partition's leader changed.
pub type LeaderEpoch = i32;
/// Identity of a producer.
pub type ProducerId = i64;
/// How often a producer's identity was fenced.
pub type ProducerEpoch = i16;
/// Number of a producer's record in its partition.
pub type Sequence = i32;
/// `node.id`.
pub type BrokerId = i32;
/// Index of a partition in its topic.
pub type PartitionIndex = i32;
/// Milliseconds since 1970.
pub type TimestampMs = i64;

/// Kafka's 128-bit id, printed as 22 characters of URL-safe base64 (`org.apache.kafka.common.Uuid`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid([u8; 16]);

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Uuid {
    /// No id.
    pub const ZERO: Self = Self([0; 16]);
    /// Topic id of `__cluster_metadata` (`Uuid.METADATA_TOPIC_ID`).
    pub const METADATA_TOPIC_ID: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// The id of these bytes, most significant first.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether this is [`Uuid::ZERO`].
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(22);
        for group in self.0.chunks(3) {
            let mut bits = 0u32;
            for at in 0..3 {
                bits = bits << 8 | u32::from(group.get(at).copied().unwrap_or(0));
            }
            for at in 0..=group.len() {
                text.push(char::from(BASE64[(bits >> (18 - 6 * at) & 63) as usize]));
            }
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no [`Uuid`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Input string `{0}` is not a base64 encoded 16-byte id")]
pub struct ParseUuidError(pub String);

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let bad = || ParseUuidError(text.to_owned());
        let digits = text.trim_end_matches('=');
        if digits.len() != 22 {
            return Err(bad());
        }
        let mut value = 0u128;
        for (at, digit) in digits.bytes().enumerate() {
            let bits = BASE64.iter().position(|candidate| *candidate == digit).ok_or_else(bad)? as u128;
            // 22 digits carry 132 bits: the last one gives only its upper two.
            value = if at < 21 { value << 6 | bits } else { value << 2 | bits >> 4 };
        }
        Ok(Self(value.to_be_bytes()))
    }
}

/// A partition by topic name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Index of the partition.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// A partition of a topic.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: PartitionIndex) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A partition by topic id and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicIdPartition {
    /// Id of the topic.
    pub topic_id: Uuid,
    /// Name and index.
    pub topic_partition: TopicPartition,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_is_kafkas() {
        assert_eq!(Uuid::METADATA_TOPIC_ID.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id: Uuid = "4L6g3nShT-eMCtK--X86sw".parse().expect("valid");
        assert_eq!(id.to_string(), "4L6g3nShT-eMCtK--X86sw");
        assert!("4L6g3nShT-eMCtK--X86s".parse::<Uuid>().is_err());
    }
}
