//! Kafka's protocol: bytes to messages and back. No I/O, no clock.
//! The messages are generated from `schema/*.schema`; records are views over the bytes they came in.

pub mod api;
pub mod error_code;
pub mod frame;
pub mod json;
pub mod messages;
pub mod record;
pub mod schema;
pub mod types;
pub mod wire;

pub use api::ApiKey;
pub use error_code::ErrorCode;
pub use messages::{Message, Request};
pub use types::{TopicIdPartition, TopicPartition, Uuid};
pub use wire::{Chunk, DecodeError, EncodeError, RawTaggedField, Reader, Records, Writer};
