//! All messages, headers and records, generated from `schema/*.schema`: one module each, the message re-exported.

use bytes::Bytes;

use crate::Uuid;
use crate::api::ApiKey;
use crate::wire::{DecodeError, EncodeError, RawTaggedField, Reader, Records, Writer};

mod prelude {
    #![allow(unused_imports, reason = "not every message needs every type")]
    pub(super) use super::{
        ApiKey, Bytes, DecodeError, EncodeError, Message, RawTaggedField, Reader, Records, Request, Uuid, Writer,
        check_decode, check_encode,
    };
}

/// A message that can be read and written in each of its versions.
pub trait Message: Sized + Default + Clone + std::fmt::Debug + PartialEq {
    /// Kafka's name of the message.
    const NAME: &'static str;
    /// Oldest version.
    const MIN_VERSION: i16;
    /// Newest version.
    const MAX_VERSION: i16;

    /// Reads one message; bytes after it are left in the reader.
    /// # Errors
    /// On any input that is not such a message.
    fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Writes the message.
    /// # Errors
    /// If the version cannot carry a value that is set.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// For how long the client is throttled; 0 for messages that cannot tell.
    fn throttle_time_ms(&self) -> i32 {
        0
    }

    /// Says for how long the client is throttled, where the message can tell.
    fn set_throttle_time_ms(&mut self, _throttle_time_ms: i32) {}

    /// Reads one message from the start of `bytes`.
    /// # Errors
    /// As [`Message::decode`].
    fn decode_from(bytes: &Bytes, version: i16) -> Result<Self, DecodeError> {
        Self::decode(&mut Reader::new(bytes.clone()), version)
    }

    /// Writes the message into a buffer of its own.
    /// # Errors
    /// As [`Message::encode`].
    fn encode_to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        self.encode(&mut writer, version)?;
        Ok(writer.into_bytes())
    }
}

/// A request, which names its API and its response.
pub trait Request: Message {
    /// The API.
    const API_KEY: ApiKey;
    /// The message that answers it.
    type Response: Message;
}

/// A row of [`ALL`].
#[derive(Debug)]
pub struct MessageEntry {
    /// `request`, `response`, `header`, `data`, `metadata`, `coordinator-key` or `coordinator-value`.
    pub kind: &'static str,
    /// Kafka's name of the message.
    pub name: &'static str,
    /// Versions that exist.
    pub versions: std::ops::RangeInclusive<i16>,
    /// Decodes the whole of a buffer and encodes the result again.
    pub recode: fn(&Bytes, i16) -> Result<Bytes, RecodeError>,
}

/// Why [`MessageEntry::recode`] failed.
#[derive(Debug, thiserror::Error)]
pub enum RecodeError {
    /// The bytes are not such a message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The message could not be written again.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The message ends before its buffer.
    #[error("{0} bytes after the message")]
    TrailingBytes(usize),
}

fn recode<M: Message>(bytes: &Bytes, version: i16) -> Result<Bytes, RecodeError> {
    let mut reader = Reader::new(bytes.clone());
    let message = M::decode(&mut reader, version)?;
    if reader.remaining() > 0 {
        return Err(RecodeError::TrailingBytes(reader.remaining()));
    }
    Ok(message.encode_to_bytes(version)?)
}

fn check_decode<M: Message>(version: i16) -> Result<(), DecodeError> {
    if (M::MIN_VERSION..=M::MAX_VERSION).contains(&version) {
        return Ok(());
    }
    Err(DecodeError::UnsupportedVersion { message: M::NAME, version })
}

fn check_encode<M: Message>(version: i16) -> Result<(), EncodeError> {
    if (M::MIN_VERSION..=M::MAX_VERSION).contains(&version) {
        return Ok(());
    }
    Err(EncodeError::UnsupportedVersion { message: M::NAME, version })
}

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
