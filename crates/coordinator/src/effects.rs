//! What goes into the group coordinator beside a request, and what answers it.

use std::collections::BTreeMap;

use protocol::messages::consumer_group_describe_response::DescribedGroup;
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::share_group_describe_response::DescribedGroup as DescribedShareGroup;
use protocol::messages::streams_group_describe_response::DescribedGroup as DescribedStreamsGroup;
use protocol::messages::{
    AlterShareGroupOffsetsResponse, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatResponse,
    DeleteGroupsResponse, DeleteShareGroupOffsetsResponse, JoinGroupResponse, LeaveGroupResponse, OffsetCommitResponse,
    OffsetDeleteResponse, ShareGroupDescribeResponse, ShareGroupHeartbeatResponse, StreamsGroupDescribeResponse,
    StreamsGroupHeartbeatResponse, SyncGroupResponse, TxnOffsetCommitResponse,
};
use protocol::types::TimestampMs;
use protocol::{ErrorCode, Uuid};

pub(crate) use crate::runtime::effects::{CoordinatorRecord, ReplyToken, WriteId};

/// What a call of the group coordinator wants done.
pub type Effects = crate::runtime::effects::Effects<GroupResponse>;

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
    /// To ConsumerGroupHeartbeat.
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse),
    /// To ConsumerGroupDescribe.
    ConsumerGroupDescribe(ConsumerGroupDescribeResponse),
    /// To ShareGroupHeartbeat.
    ShareGroupHeartbeat(ShareGroupHeartbeatResponse),
    /// To ShareGroupDescribe.
    ShareGroupDescribe(ShareGroupDescribeResponse),
    /// To AlterShareGroupOffsets.
    AlterShareGroupOffsets(AlterShareGroupOffsetsResponse),
    /// To DeleteShareGroupOffsets.
    DeleteShareGroupOffsets(DeleteShareGroupOffsetsResponse),
    /// What became of share state is noted, or why not.
    ShareStateNoted(ErrorCode),
    /// To TxnOffsetCommit.
    TxnOffsetCommit(TxnOffsetCommitResponse),
    /// To StreamsGroupHeartbeat, with the topics that the group waits for.
    StreamsGroupHeartbeat(StreamsGroupHeartbeatResponse, BTreeMap<String, CreatableTopic>),
    /// To StreamsGroupDescribe.
    StreamsGroupDescribe(StreamsGroupDescribeResponse),
}

impl GroupResponse {
    /// The answer that Kafka gives in place of this one when its records could not be written.
    pub(crate) fn into_error(self, error: ErrorCode) -> Self {
        let error_code = error.code();
        match self {
            Self::JoinGroup(_) => Self::JoinGroup(JoinGroupResponse { error_code, ..Default::default() }),
            Self::SyncGroup(_) => Self::SyncGroup(SyncGroupResponse { error_code, ..Default::default() }),
            Self::LeaveGroup(_) => Self::LeaveGroup(LeaveGroupResponse { error_code, ..Default::default() }),
            Self::ShareGroupHeartbeat(_) => Self::ShareGroupHeartbeat(ShareGroupHeartbeatResponse {
                error_code,
                error_message: Some(error.message().to_owned()),
                ..Default::default()
            }),
            Self::ShareGroupDescribe(mut response) => {
                for group in &mut response.groups {
                    let group_id = std::mem::take(&mut group.group_id);
                    *group = DescribedShareGroup { group_id, error_code, ..Default::default() };
                }
                Self::ShareGroupDescribe(response)
            }
            Self::AlterShareGroupOffsets(_) => Self::AlterShareGroupOffsets(AlterShareGroupOffsetsResponse {
                error_code,
                error_message: Some(error.message().to_owned()),
                ..Default::default()
            }),
            Self::DeleteShareGroupOffsets(_) => Self::DeleteShareGroupOffsets(DeleteShareGroupOffsetsResponse {
                error_code,
                error_message: Some(error.message().to_owned()),
                ..Default::default()
            }),
            Self::ShareStateNoted(_) => Self::ShareStateNoted(error),
            Self::OffsetDelete(_) => Self::OffsetDelete(OffsetDeleteResponse { error_code, ..Default::default() }),
            Self::OffsetCommit(mut response) => {
                for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    partition.error_code = error_code;
                }
                Self::OffsetCommit(response)
            }
            Self::ConsumerGroupHeartbeat(_) => Self::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse {
                error_code,
                error_message: Some(error.message().to_owned()),
                ..Default::default()
            }),
            Self::StreamsGroupHeartbeat(..) => Self::StreamsGroupHeartbeat(
                StreamsGroupHeartbeatResponse { error_code, status: Some(Vec::new()), ..Default::default() },
                BTreeMap::new(),
            ),
            Self::StreamsGroupDescribe(response) => Self::StreamsGroupDescribe(streams_error(response, error_code)),
            Self::ConsumerGroupDescribe(response) => {
                let of_group = |group: DescribedGroup| DescribedGroup {
                    group_id: group.group_id,
                    error_code,
                    ..Default::default()
                };
                let groups = response.groups.into_iter().map(of_group).collect();
                Self::ConsumerGroupDescribe(ConsumerGroupDescribeResponse { groups, ..response })
            }
            Self::TxnOffsetCommit(mut response) => {
                for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                    partition.error_code = error_code;
                }
                Self::TxnOffsetCommit(response)
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

fn streams_error(response: StreamsGroupDescribeResponse, error_code: i16) -> StreamsGroupDescribeResponse {
    let of_group = |group: DescribedStreamsGroup| DescribedStreamsGroup {
        group_id: group.group_id,
        error_code,
        ..Default::default()
    };
    StreamsGroupDescribeResponse { groups: response.groups.into_iter().map(of_group).collect(), ..response }
}
