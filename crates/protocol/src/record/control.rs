//! Control records: what brokers and controllers write between the records of clients. The key is a version and a
//! type; the value is a message of that type.

use bytes::{BufMut, Bytes, BytesMut};

use super::BatchError;
use super::entry::Record;
use crate::messages::{
    EndTxnMarker, KRaftVersionRecord, LeaderChangeMessage, Message, SnapshotFooterRecord, SnapshotHeaderRecord,
    VotersRecord,
};
use crate::wire::{DecodeError, EncodeError, Reader, Writer};

/// The newest version of the keys, the transaction markers and the messages: there is only one.
const VERSION: i16 = 0;

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum ControlRecordType {
    /// A transaction was aborted.
    Abort = 0,
    /// A transaction was committed.
    Commit = 1,
    /// A quorum has a new leader.
    LeaderChange = 2,
    /// A snapshot begins.
    SnapshotHeader = 3,
    /// A snapshot is complete.
    SnapshotFooter = 4,
    /// The version of the quorum's protocol.
    KRaftVersion = 5,
    /// The voters of the quorum.
    KRaftVoters = 6,
    /// A type of a later release, to be skipped.
    Unknown = -1,
}

impl ControlRecordType {
    const KNOWN: [Self; 7] = [
        Self::Abort,
        Self::Commit,
        Self::LeaderChange,
        Self::SnapshotHeader,
        Self::SnapshotFooter,
        Self::KRaftVersion,
        Self::KRaftVoters,
    ];

    /// The type that the key of a control record names.
    /// # Errors
    /// [`BatchError::InvalidRecord`] if the key is too short or its version negative.
    pub fn parse(key: &[u8]) -> Result<Self, BatchError> {
        let Some(([v0, v1, t0, t1], _)) = key.split_first_chunk::<4>() else {
            return Err(BatchError::InvalidRecord("Invalid value size found for control record key"));
        };
        if i16::from_be_bytes([*v0, *v1]) < VERSION {
            return Err(BatchError::InvalidRecord("Invalid version found for control record"));
        }
        let id = i16::from_be_bytes([*t0, *t1]);
        Ok(Self::KNOWN.into_iter().find(|known| *known as i16 == id).unwrap_or(Self::Unknown))
    }

    /// The key of control records of this type.
    #[must_use]
    pub fn key(self) -> Bytes {
        let mut key = BytesMut::with_capacity(4);
        key.put_i16(VERSION);
        key.put_i16(self as i16);
        key.freeze()
    }

    /// Kafka's name of the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Abort => "ABORT",
            Self::Commit => "COMMIT",
            Self::LeaderChange => "LEADER_CHANGE",
            Self::SnapshotHeader => "SNAPSHOT_HEADER",
            Self::SnapshotFooter => "SNAPSHOT_FOOTER",
            Self::KRaftVersion => "KRAFT_VERSION",
            Self::KRaftVoters => "KRAFT_VOTERS",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A control record with its message.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlRecord {
    /// A transaction was aborted.
    Abort(EndTxnMarker),
    /// A transaction was committed.
    Commit(EndTxnMarker),
    /// A quorum has a new leader.
    LeaderChange(LeaderChangeMessage),
    /// A snapshot begins.
    SnapshotHeader(SnapshotHeaderRecord),
    /// A snapshot is complete.
    SnapshotFooter(SnapshotFooterRecord),
    /// The version of the quorum's protocol.
    KRaftVersion(KRaftVersionRecord),
    /// The voters of the quorum.
    KRaftVoters(VotersRecord),
    /// A type of a later release.
    Unknown,
}

impl ControlRecord {
    /// Its type.
    #[must_use]
    pub fn record_type(&self) -> ControlRecordType {
        match self {
            Self::Abort(_) => ControlRecordType::Abort,
            Self::Commit(_) => ControlRecordType::Commit,
            Self::LeaderChange(_) => ControlRecordType::LeaderChange,
            Self::SnapshotHeader(_) => ControlRecordType::SnapshotHeader,
            Self::SnapshotFooter(_) => ControlRecordType::SnapshotFooter,
            Self::KRaftVersion(_) => ControlRecordType::KRaftVersion,
            Self::KRaftVoters(_) => ControlRecordType::KRaftVoters,
            Self::Unknown => ControlRecordType::Unknown,
        }
    }

    /// Reads a record of a control batch.
    /// # Errors
    /// [`BatchError::InvalidRecord`] and [`BatchError::Control`] if it is none.
    pub fn decode(record: &Record) -> Result<Self, BatchError> {
        let key = record.key.as_ref().ok_or(BatchError::InvalidRecord("Control record without a key"))?;
        let record_type = ControlRecordType::parse(key)?;
        if record_type == ControlRecordType::Unknown {
            return Ok(Self::Unknown);
        }
        let value = record.value.as_ref().ok_or(BatchError::InvalidRecord("Control record without a value"))?;
        Ok(Self::decode_value(record_type, value)?)
    }

    fn decode_value(record_type: ControlRecordType, value: &Bytes) -> Result<Self, DecodeError> {
        Ok(match record_type {
            ControlRecordType::Abort => Self::Abort(decode_marker(value)?),
            ControlRecordType::Commit => Self::Commit(decode_marker(value)?),
            ControlRecordType::LeaderChange => Self::LeaderChange(Message::decode_from(value, VERSION)?),
            ControlRecordType::SnapshotHeader => Self::SnapshotHeader(Message::decode_from(value, VERSION)?),
            ControlRecordType::SnapshotFooter => Self::SnapshotFooter(Message::decode_from(value, VERSION)?),
            ControlRecordType::KRaftVersion => Self::KRaftVersion(Message::decode_from(value, VERSION)?),
            ControlRecordType::KRaftVoters => Self::KRaftVoters(Message::decode_from(value, VERSION)?),
            ControlRecordType::Unknown => Self::Unknown,
        })
    }

    /// Key and value of the record.
    /// # Errors
    /// If the message has a list too long for its length field.
    pub fn encode(&self) -> Result<(Bytes, Bytes), EncodeError> {
        let value = match self {
            Self::Abort(marker) | Self::Commit(marker) => encode_marker(marker)?,
            Self::LeaderChange(message) => message.encode_to_bytes(VERSION)?,
            Self::SnapshotHeader(message) => message.encode_to_bytes(VERSION)?,
            Self::SnapshotFooter(message) => message.encode_to_bytes(VERSION)?,
            Self::KRaftVersion(message) => message.encode_to_bytes(VERSION)?,
            Self::KRaftVoters(message) => message.encode_to_bytes(VERSION)?,
            Self::Unknown => Bytes::new(),
        };
        Ok((self.record_type().key(), value))
    }
}

/// Markers carry their version in front; a later one is read as far as it is known.
fn decode_marker(value: &Bytes) -> Result<EndTxnMarker, DecodeError> {
    let mut reader = Reader::new(value.clone());
    let version = reader.i16()?;
    EndTxnMarker::decode(&mut reader, version.min(VERSION))
}

fn encode_marker(marker: &EndTxnMarker) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.put_i16(VERSION);
    marker.encode(&mut writer, VERSION)?;
    Ok(writer.into_bytes())
}
