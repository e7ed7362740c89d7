//! What every node knows of the cluster: configuration, the image of the metadata log, features. Pure: no I/O, no clock.

pub mod bootstrap;
mod broker;
pub mod checkpoint;
pub mod config;
mod cow_map;
mod delta;
mod error;
pub mod features;
mod image;
mod loader;
mod partition;
pub mod record;
pub mod scram;
mod snapshot;

pub use broker::BrokerRegistration;
pub use cow_map::CowMap;
pub use delta::{ImageDelta, LocalChanges};
pub use error::MetadataError;
pub use image::{
    ClusterImage, ConfigResource, KeptRecords, Provenance, QuotaEntity, QuotaValues, ResourceType, TopicImage,
};
pub use loader::{MetadataLoader, Publication};
pub use partition::{NO_LEADER, NO_LEADER_CHANGE, PartitionRegistration, directory_id};
pub use record::{MetadataRecord, VersionedRecord};
pub use snapshot::{quota_record, snapshot_records};
