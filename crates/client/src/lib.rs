//! A native client for any Kafka broker: connections, metadata, producer, consumer and admin operations on tokio.
//! Depends on `protocol` alone. A [`Client`] is shared by the producer, the consumer and the admin operations built on it.

pub mod admin;
pub mod cluster;
pub mod connection;
pub mod consumer;
pub mod error;
pub mod metadata;
pub mod producer;
pub mod properties;
pub mod share_consumer;

mod clock;
mod coordinator;
mod offsets;

pub use admin::Admin;
pub use cluster::{Client, ClientConfig, Lane, Retries};
pub use connection::{ApiVersionRange, Connection, InFlight};
pub use consumer::{Consumer, ConsumerConfig, ConsumerRecord, IsolationLevel, OffsetAndMetadata, OffsetReset};
pub use coordinator::CoordinatorType;
pub use error::ClientError;
pub use metadata::{Broker, ClusterMetadata, PartitionMetadata, TopicMetadata};
pub use offsets::{ListedOffset, PerPartition};
pub use producer::{Acks, Delivery, Producer, ProducerConfig, Record, RecordMetadata};
pub use properties::Properties;
pub use share_consumer::{Acknowledgement, ShareConsumer, ShareConsumerConfig, ShareRecord};
