//! Frames: four bytes of length, a header, a message.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::messages::{Message, Request, RequestHeader, ResponseHeader};
use crate::wire::{Chunk, DecodeError, EncodeError, Reader, Writer};

/// An encoded frame with its length in front, as pieces in order.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    /// The pieces.
    pub chunks: Vec<Chunk>,
    /// Their length in bytes, the four of the length field included.
    pub len: usize,
}

impl Encoded {
    fn finish(mut writer: Writer) -> Result<Self, EncodeError> {
        let len = writer.len();
        let body = i32::try_from(len - 4).map_err(|_| EncodeError::TooLong(len))?;
        writer.patch_i32(0, body);
        Ok(Self { chunks: writer.into_chunks(), len })
    }

    /// The frame as one buffer; external chunks are left out.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let mut joined = Vec::with_capacity(self.len);
        for chunk in self.chunks {
            if let Chunk::Bytes(bytes) = chunk {
                joined.extend_from_slice(&bytes);
            }
        }
        Bytes::from(joined)
    }
}

/// Encodes a request with its header.
/// # Errors
/// As [`Message::encode`].
pub fn encode_request<R: Request>(
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
    version: i16,
) -> Result<Encoded, EncodeError> {
    let mut writer = Writer::new();
    writer.put_i32(0);
    let header = RequestHeader {
        request_api_key: R::API_KEY.code(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
        ..Default::default()
    };
    header.encode(&mut writer, R::API_KEY.request_header_version(version))?;
    request.encode(&mut writer, version)?;
    Encoded::finish(writer)
}

/// Encodes the response to a request of `api` in `version`.
/// # Errors
/// As [`Message::encode`].
pub fn encode_response<M: Message>(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<Encoded, EncodeError> {
    let mut writer = Writer::new();
    writer.put_i32(0);
    let header = ResponseHeader { correlation_id, ..Default::default() };
    header.encode(&mut writer, api.response_header_version(version))?;
    response.encode(&mut writer, version)?;
    Encoded::finish(writer)
}

/// Why the header of a request cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The frame is too short or malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// No such API: Kafka closes the connection.
    #[error("unknown api key {0}")]
    UnknownApi(i16),
}

/// Reads a request's header from a frame without its length; the reader is left at the message. The version may be one
/// that the API lacks: its header is then read as that of the nearest version.
/// # Errors
/// [`HeaderError`].
pub fn decode_request_header(frame: &Bytes) -> Result<(ApiKey, RequestHeader, Reader), HeaderError> {
    let mut peek = Reader::new(frame.clone());
    let (key, version) = (peek.i16()?, peek.i16()?);
    let api = ApiKey::from_code(key).ok_or(HeaderError::UnknownApi(key))?;
    let mut reader = Reader::new(frame.clone());
    let header = RequestHeader::decode(&mut reader, api.request_header_version(version))?;
    Ok((api, header, reader))
}

/// Reads a response's header from a frame without its length; the reader is left at the message.
/// # Errors
/// [`DecodeError`].
pub fn decode_response_header(
    frame: &Bytes,
    api: ApiKey,
    version: i16,
) -> Result<(ResponseHeader, Reader), DecodeError> {
    let mut reader = Reader::new(frame.clone());
    let header = ResponseHeader::decode(&mut reader, api.response_header_version(version))?;
    Ok((header, reader))
}
