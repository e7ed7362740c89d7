//! The active controller's brain. Pure: requests and time come in, metadata records and responses go out.

mod brokers;
mod configs;
mod controller;
mod elections;
mod error;
mod features;
mod leaders;
mod partitions;
mod placement;
mod producer_ids;
mod random;
mod topic_name;
mod topics;

#[cfg(test)]
mod tests;

pub use controller::{Activation, Controller, Outcome};
pub use error::ControllerError;
pub use topic_name::{CLUSTER_METADATA, validate_topic_name};
