//! What groups of the newer protocols have in common. Their members send heartbeats only; the coordinator decides who reads
//! what. A request gives records; each record changes the state at once, by the same code that loading uses; the answer,
//! and every later one, waits until the records are in the log. If they are refused, the shard is read again from its log.
//!
//! A group has an epoch that rises with every change of its members, their subscriptions or the topics they read
//! (`metadata_hash`). For each epoch there is a target assignment (`target`). Each member moves from what it has to its
//! target on its own, and has reached it when its member epoch is the target's.

pub(crate) mod assignment;
pub(crate) mod metadata_hash;
pub(crate) mod settings;
pub(crate) mod subscriptions;
pub(crate) mod target;
pub(crate) mod topics;
pub(crate) mod write;
mod xxh3;
