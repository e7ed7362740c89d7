//! Keys and values of records as text, by what the log holds.

use bytes::Bytes;
use protocol::json;
use protocol::messages;
use protocol::record::Record;
use serde_json::{Value, json as object};

use crate::cli::java::Exception;
use crate::cli::options::Parsed;

/// How to read the records.
#[derive(Debug)]
pub(super) enum Decoder {
    /// By the classes for keys and values.
    Classes(Class, Class),
    /// A coordinator's records, whose key says what they are.
    Coordinator(Coordinator),
    /// `__cluster_metadata`.
    Metadata,
    /// `__remote_log_metadata`.
    RemoteLogMetadata,
}

/// Kafka's own decoders.
#[derive(Debug, Clone, Copy)]
pub(super) enum Class {
    Text,
    Integer,
    Long,
}

/// Whose records they are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Coordinator {
    Group,
    Transaction,
    Share,
}

/// Key and value.
pub(super) type Decoded = (Option<String>, Option<String>);

impl Decoder {
    /// By the options.
    /// # Errors
    /// For a decoder class that is not Kafka's own.
    pub(super) fn new(parsed: &Parsed) -> Result<Self, Exception> {
        Ok(if parsed.has("offsets-decoder") {
            Self::Coordinator(Coordinator::Group)
        } else if parsed.has("transaction-log-decoder") {
            Self::Coordinator(Coordinator::Transaction)
        } else if parsed.has("cluster-metadata-decoder") {
            Self::Metadata
        } else if parsed.has("remote-log-metadata-decoder") {
            Self::RemoteLogMetadata
        } else if parsed.has("share-group-state-decoder") {
            Self::Coordinator(Coordinator::Share)
        } else {
            let value = class(parsed.text("value-decoder-class")?)?;
            Self::Classes(class(parsed.text("key-decoder-class")?)?, value)
        })
    }

    /// Key and value of a record.
    /// # Errors
    /// For a coordinator's record without a key.
    pub(super) fn decode(&self, record: &Record) -> Result<Decoded, Exception> {
        match self {
            Self::Classes(key, value) => {
                let text =
                    |class: &Class, bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| class.text(bytes)).transpose();
                Ok((text(key, &record.key)?, text(value, &record.value)?))
            }
            Self::Coordinator(coordinator) => coordinator.decode(record),
            Self::Metadata => {
                let text = metadata_record(record.value.as_ref())
                    .unwrap_or_else(|error| format!("Error at {}, skipping. {error}", record.offset));
                Ok((None, Some(text)))
            }
            Self::RemoteLogMetadata => {
                let text = metadata_record(record.value.as_ref())
                    .unwrap_or_else(|error| format!("Error at offset {}, skipping. {error}", record.offset));
                Ok((None, Some(text)))
            }
        }
    }
}

fn class(name: &str) -> Result<Class, Exception> {
    match name.strip_prefix("org.apache.kafka.tools.api.") {
        Some("StringDecoder") => Ok(Class::Text),
        Some("IntegerDecoder") => Ok(Class::Integer),
        Some("LongDecoder") => Ok(Class::Long),
        _ => Err(Exception::new("java.lang.RuntimeException", "Failed to load decoder class")),
    }
}

impl Class {
    fn text(self, bytes: &Bytes) -> Result<String, Exception> {
        let short = || Exception::new("java.lang.ArrayIndexOutOfBoundsException", "Index out of bounds");
        Ok(match self {
            Self::Text => String::from_utf8_lossy(bytes).into_owned(),
            Self::Integer => {
                let (head, _) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
                i32::from_be_bytes(*head).to_string()
            }
            Self::Long => {
                let (head, _) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
                i64::from_be_bytes(*head).to_string()
            }
        })
    }
}

/// A metadata record: the versions of the frame, the type and the record, then the record.
fn metadata_record(value: Option<&Bytes>) -> Result<String, String> {
    let mut reader = protocol::Reader::new(value.cloned().unwrap_or_default());
    let mut varint = || reader.uvarint().map_err(|error| error.to_string());
    let frame = varint()?;
    if frame != 1 {
        return Err(format!("Could not deserialize metadata record with frame version {frame}"));
    }
    let (kind, version) = (varint()?, varint()?);
    let name = name_of("metadata", kind.cast_signed(), is_cluster_metadata)
        .ok_or_else(|| format!("Unknown metadata id {kind}"))?;
    let version = i16::try_from(version).map_err(|error| error.to_string())?;
    let bytes = value.cloned().unwrap_or_default();
    let body = bytes.slice(bytes.len() - reader.remaining()..);
    let data = json::decode(name, version, &body).map_err(|error| error.to_string())?;
    Ok(object!({ "type": screaming(name), "version": version, "data": data }).to_string())
}

/// The records of tiered storage have types of their own under the same kind.
fn is_cluster_metadata(name: &str) -> bool {
    !name.starts_with("RemoteLogSegment") && !name.starts_with("RemotePartition")
}

fn name_of(kind: &str, key: i32, accepts: impl Fn(&str) -> bool) -> Option<&'static str> {
    let of_kind = messages::ALL.iter().filter(|entry| entry.kind == kind && accepts(entry.name));
    let has_key = |name: &&str| json::schema(name).and_then(|schema| schema.api_key).map(i32::from) == Some(key);
    of_kind.map(|entry| entry.name).find(has_key)
}

/// `FeatureLevelRecord` as `FEATURE_LEVEL_RECORD`.
fn screaming(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

impl Coordinator {
    fn owns(self, name: &str) -> bool {
        let is_share = name.starts_with("ShareSnapshot") || name.starts_with("ShareUpdate");
        let is_transaction = name.starts_with("TransactionLog");
        match self {
            Self::Group => !is_share && !is_transaction,
            Self::Transaction => is_transaction,
            Self::Share => is_share,
        }
    }

    fn decode(self, record: &Record) -> Result<Decoded, Exception> {
        let Some(key) = &record.key else {
            let reason = "using the specified decoder (message had a missing key)";
            let message = format!("Failed to decode message at offset {} {reason}", record.offset);
            return Err(Exception::new("java.lang.RuntimeException", message));
        };
        let failed = |error: String| (Some(format!("Error at offset {}, skipping. {error}", record.offset)), None);
        let (kind, data) = match self.key(key) {
            Ok(Some(read)) => read,
            Ok(None) => {
                let kind = key.first_chunk::<2>().map_or(-1, |head| i16::from_be_bytes(*head));
                let text = format!("Unknown record type {kind} at offset {}, skipping.", record.offset);
                return Ok((Some(text), None));
            }
            Err(error) => return Ok(failed(error)),
        };
        let key = object!({ "type": kind.to_string(), "data": data }).to_string();
        let Some(value) = &record.value else { return Ok((Some(key), Some("<DELETE>".to_owned()))) };
        Ok(match self.value(kind, value) {
            Ok((version, mut data)) => {
                if name_of("coordinator-value", kind.into(), |name| self.owns(name)) == Some("GroupMetadataValue") {
                    open_members(&mut data, value, version);
                }
                (Some(key), Some(object!({ "version": version.to_string(), "data": data }).to_string()))
            }
            Err(error) => failed(error),
        })
    }

    /// Type and contents of a key; none for a type that is not known.
    /// # Errors
    /// What cannot be read.
    pub(crate) fn key(self, key: &Bytes) -> Result<Option<(i16, Value)>, String> {
        let head = key.first_chunk::<2>().ok_or_else(|| "Could not read version from key's buffer.".to_owned())?;
        let kind = i16::from_be_bytes(*head);
        let Some(name) = name_of("coordinator-key", kind.into(), |name| self.owns(name)) else { return Ok(None) };
        json::decode(name, 0, &key.slice(2..)).map(|data| Some((kind, data))).map_err(|error| error.to_string())
    }

    /// Version and contents of the value that goes with a key of type `kind`.
    /// # Errors
    /// What cannot be read.
    pub(crate) fn value(self, kind: i16, value: &Bytes) -> Result<(i16, Value), String> {
        let head = value.first_chunk::<2>().ok_or_else(|| "Could not read version from value's buffer.".to_owned())?;
        let version = i16::from_be_bytes(*head);
        let name = name_of("coordinator-value", kind.into(), |name| self.owns(name));
        let name = name.ok_or_else(|| format!("Found an unknown record type {kind}"))?;
        json::decode(name, version, &value.slice(2..)).map(|data| (version, data)).map_err(|error| error.to_string())
    }
}

/// Shows what members of a consumer group said in the consumer's own protocol, where it can be read.
fn open_members(data: &mut Value, value: &Bytes, version: i16) {
    use protocol::Message as _;
    if data.get("protocolType").and_then(Value::as_str) != Some("consumer") {
        return;
    }
    let Ok(group) = messages::GroupMetadataValue::decode_from(&value.slice(2..), version) else { return };
    let Some(members) = data.get_mut("members").and_then(Value::as_array_mut) else { return };
    for (shown, member) in members.iter_mut().zip(&group.members) {
        for (field, message, bytes) in [
            ("subscription", "ConsumerProtocolSubscription", &member.subscription),
            ("assignment", "ConsumerProtocolAssignment", &member.assignment),
        ] {
            let Some((head, _)) = bytes.split_first_chunk::<2>() else { continue };
            if let Ok(open) = json::decode(message, i16::from_be_bytes(*head), &bytes.slice(2..)) {
                shown[field] = open;
            }
        }
    }
}
