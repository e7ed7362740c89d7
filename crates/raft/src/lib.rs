//! KRaft as a state machine: events come in, effects go out; it does no I/O and reads no clock.
//! The shell appends to `__cluster_metadata-0`, syncs, writes `quorum-state` and moves messages, in the order of the effects.
//!
//! A quorum of one voter elects itself and commits what it has synced. Messages between voters belong to larger quorums:
//! a voter set that needs them is refused at the start ([`StartError::NeedsPeers`]).

pub mod event;
pub mod node;
pub mod quorum_state;
pub mod role;
pub mod snapshot;
pub mod voters;

pub use event::{Effect, Event};
pub use node::{Node, NodeConfig, StartError};
pub use quorum_state::QuorumState;
pub use snapshot::SnapshotId;
pub use voters::{Voter, VoterKey, VoterSet};
