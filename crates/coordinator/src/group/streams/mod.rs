//! Streams groups (KIP-1071): the members run a topology of Kafka Streams, and the coordinator decides which member runs
//! which task. The first member that joins brings the topology; the broker creates the topics inside of it.
//!
//! A heartbeat is decided on the group as it is (`heartbeat`), and gives records; their replay changes the group. The
//! topology is put on the topics that exist (`configured`), tasks are given to members (`assignor`), and each member moves
//! from what it has to what it is to have (`reconcile`).

mod assignor;
mod configured;
#[cfg(test)]
mod configured_tests;
mod endpoints;
mod error;
mod heartbeat;
mod member;
mod offsets;
mod owners;
mod partition_counts;
mod reconcile;
pub(crate) mod record;
mod replay;
mod requests;
pub(crate) mod settings;
pub(crate) mod state;
mod tasks;
#[cfg(test)]
mod tests;
mod topology;
mod validate;
