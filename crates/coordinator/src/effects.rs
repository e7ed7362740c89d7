//! What goes into the coordinator beside a request, and what comes out: replies to send and records to append.

use bytes::Bytes;
use protocol::messages::{
    DeleteGroupsResponse, JoinGroupResponse, LeaveGroupResponse, OffsetCommitResponse, OffsetDeleteResponse,
    SyncGroupResponse,
};
use protocol::types::TimestampMs;
use protocol::{ErrorCode, Uuid};

/// Names one request that waits for its answer. Every token given to a shard is answered exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyToken(pub u64);

/// Who sends a request, and when.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The time.
    pub now_ms: TimestampMs,
    /// `client.id`.
    pub client_id: String,
    /// The client's address as Kafka prints it: `/127.0.0.1`.
    pub client_host: String,
    /// Version of the request.
    pub api_version: i16,
    /// A random id that was never used, for a member that has none yet.
    pub fresh_id: Uuid,
}

/// The answer to a request that was given with a [`ReplyToken`].
#[derive(Debug, Clone, PartialEq)]
pub enum GroupResponse {
    /// To JoinGroup.
    JoinGroup(JoinGroupResponse),
    /// To SyncGroup.
    SyncGroup(SyncGroupResponse),
    /// To LeaveGroup.
    LeaveGroup(LeaveGroupResponse),
    /// To OffsetCommit.
    OffsetCommit(OffsetCommitResponse),
    /// To OffsetDelete.
    OffsetDelete(OffsetDeleteResponse),
    /// To DeleteGroups.
    DeleteGroups(DeleteGroupsResponse),
}

impl GroupResponse {
    /// The answer that Kafka gives in place of this one when its records could not be written.
    pub(crate) fn into_error(self, error: ErrorCode) -> Self {
        let error_code = error.code();
        match self {
            Self::JoinGroup(_) => Self::JoinGroup(JoinGroupResponse { error_code, ..Default::default() }),
            Self::SyncGroup(_) => Self::SyncGroup(SyncGroupResponse { error_code, ..Default::default() }),
            Self::LeaveGroup(_) => Self::LeaveGroup(LeaveGroupResponse { error_code, ..Default::default() }),
            Self::OffsetDelete(_) => Self::OffsetDelete(OffsetDeleteResponse { error_code, ..Default::default() }),
            Self::OffsetCommit(mut response) => {
                for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    partition.error_code = error_code;
                }
                Self::OffsetCommit(response)
            }
            Self::DeleteGroups(mut response) => {
                for result in &mut response.results {
                    result.error_code = error_code;
                }
                Self::DeleteGroups(response)
            }
        }
    }
}

/// One record of `__consumer_offsets`. No value means a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorRecord {
    /// Record type and key.
    pub key: Bytes,
    /// Version and value.
    pub value: Option<Bytes>,
}

/// Names a [`Write`] until it is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId(pub(crate) u64);

/// Records to append to the shard's partition as one batch. Once they are committed, or could not be, the shell calls
/// [`GroupShard::complete_write`](crate::GroupShard::complete_write); until then the shard answers as if they did not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What to name when it is completed.
    pub id: WriteId,
    /// Never empty.
    pub records: Vec<CoordinatorRecord>,
}

/// What a call wants done.
#[derive(Debug, Default)]
pub struct Effects {
    /// To send now, in any order.
    pub replies: Vec<(ReplyToken, GroupResponse)>,
    /// To append, in this order.
    pub writes: Vec<Write>,
}

impl Effects {
    pub(crate) fn reply(&mut self, token: ReplyToken, response: GroupResponse) {
        self.replies.push((token, response));
    }
}
