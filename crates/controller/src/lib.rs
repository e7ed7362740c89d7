//! The active controller's brain. Pure: requests and time come in, metadata records and responses go out.

mod brokers;
mod configs;
mod controller;
mod directories;
mod elections;
mod error;
mod features;
mod leaders;
mod mutations;
mod partitions;
mod placement;
mod producer_ids;
mod quotas;
mod random;
mod reassignments;
mod scram;
mod topic_name;
mod topics;

#[cfg(test)]
mod tests;

pub use controller::{Activation, Controller, Outcome};
pub use error::ControllerError;
pub use mutations::{MutationQuota, Unlimited};
pub use topic_name::{CLUSTER_METADATA, validate_topic_name};
