//! A native client for any Kafka broker: connections, metadata, producer, consumer and admin operations on tokio.
//! Depends on `protocol` alone. A [`Client`] is shared by the producer, the consumer and the admin operations built on it.

pub mod cluster;
pub mod connection;
pub mod error;
pub mod metadata;

#[expect(dead_code, reason = "the producer stamps records with it")]
mod clock;
mod coordinator;

pub use cluster::{Client, ClientConfig, Lane};
pub use connection::{ApiVersionRange, Connection, InFlight};
pub use coordinator::CoordinatorType;
pub use error::ClientError;
pub use metadata::{Broker, ClusterMetadata, PartitionMetadata, TopicMetadata};
