//! Share groups (KIP-932): queues over the partitions of topics, without an owner for each partition.
//! `state` is what a group is, `heartbeat` and `partitions` give the records that change it, `requests` are the requests.

pub(crate) mod assignor;
pub(crate) mod heartbeat;
pub(crate) mod partitions;
pub(crate) mod record;
mod replay;
mod requests;
pub(crate) mod state;

use std::collections::{BTreeMap, BTreeSet};

use protocol::messages::DeleteShareGroupStateRequest;
use protocol::types::PartitionIndex;
use protocol::{ErrorCode, Uuid};

/// Partitions by topic.
pub type SharePartitions = BTreeMap<Uuid, BTreeSet<PartitionIndex>>;

/// What a share group that is to be deleted needs before.
#[derive(Debug)]
pub struct ShareDeletion {
    /// The group.
    pub group_id: String,
    /// The share state to delete, or why the group stays.
    pub outcome: Result<DeleteShareGroupStateRequest, ErrorCode>,
}
