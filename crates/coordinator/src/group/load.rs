//! From the records of a partition of `__consumer_offsets` to the state that they stand for.

use std::sync::Arc;

use ::metadata::ClusterImage;
use bytes::Bytes;
use protocol::messages::group_metadata_value::MemberMetadata;
use protocol::messages::{
    GroupMetadataKey, GroupMetadataValue, LegacyOffsetCommitKey, LegacyOffsetCommitValue, OffsetCommitKey,
    OffsetCommitValue,
};
use protocol::types::{Offset, ProducerId, TimestampMs};
use protocol::{Message, Reader};
use tracing::{debug, info};

use super::Group;
use crate::effects::Effects;
use crate::error::ReplayError;
use crate::group::classic::member::{Member, MemberProtocol};
use crate::group::classic::state::{ClassicGroup, GroupState};
use crate::group::completion::OffsetChange;
use crate::group::offsets::{CommittedOffset, OffsetKey};
use crate::record::modern::GroupRecord;
use crate::record::{KEY_VERSION, decode_value};
use crate::runtime::TransactionOutcome;
use crate::shard::GroupShard;

impl GroupShard {
    /// Takes over one record of the log, in the order of the log. `producer_id` is set if the record is part of a
    /// transaction. Records of groups of other types are left alone.
    /// # Errors
    /// If the record cannot be read; the state is as if it were not there.
    pub fn replay(
        &mut self,
        now_ms: TimestampMs,
        offset: Offset,
        producer_id: Option<ProducerId>,
        (key, value): (Option<&Bytes>, Option<&Bytes>),
    ) -> Result<(), ReplayError> {
        let mut key = Reader::new(key.ok_or(ReplayError::NoKey)?.clone());
        match key.i16()? {
            LegacyOffsetCommitKey::API_KEY_CODE => {
                let key = LegacyOffsetCommitKey::decode(&mut key, KEY_VERSION)?;
                let key = offset_key(&key.group, &key.topic, key.partition);
                let committed = decode_value::<LegacyOffsetCommitValue>(value)?.map(legacy_offset);
                self.replay_offset(now_ms, offset, producer_id, OffsetChange { key, committed });
            }
            OffsetCommitKey::API_KEY_CODE => {
                let key = OffsetCommitKey::decode(&mut key, KEY_VERSION)?;
                let key = offset_key(&key.group, &key.topic, key.partition);
                let committed = decode_value::<OffsetCommitValue>(value)?.map(committed_offset);
                self.replay_offset(now_ms, offset, producer_id, OffsetChange { key, committed });
            }
            GroupMetadataKey::API_KEY_CODE => {
                let group_id = GroupMetadataKey::decode(&mut key, KEY_VERSION)?.group;
                let value = decode_value::<GroupMetadataValue>(value)?;
                self.remove_group(&group_id);
                if let Some(value) = value {
                    self.insert_group(Group::Classic(loaded_group(group_id.as_str().into(), value)));
                }
            }
            record_type => match GroupRecord::decode(record_type, &mut key, value)? {
                Some(record) => self.replay_group(record),
                None => debug!(record_type, offset, "left a record alone"),
            },
        }
        Ok(())
    }

    /// Takes over the end of a transaction.
    pub fn replay_transaction_end(&mut self, producer_id: ProducerId, outcome: TransactionOutcome) {
        match outcome {
            TransactionOutcome::Committed => self.offsets_mut().commit_transaction(producer_id),
            TransactionOutcome::Aborted => self.offsets_mut().abort_transaction(producer_id),
        }
    }

    /// All records are there: members have their session timeouts from now on.
    pub fn loaded(&mut self, now_ms: TimestampMs, image: &Arc<ClusterImage>, out: &mut Effects) {
        self.topics_mut().loaded(image);
        let max_size = self.config().max_size;
        for group_id in self.group_ids() {
            self.in_group(now_ms, &group_id, out, |group, scope| {
                info!(%group_id, members = group.members.len(), "loaded group");
                for member_id in group.members.keys() {
                    group.renew_session(member_id, scope);
                }
                if group.members.len() > max_size {
                    group.prepare_rebalance("the loaded group is larger than group.max.size", scope);
                }
            });
            self.consumer_group_loaded(now_ms, &group_id);
            self.share_group_loaded(now_ms, &group_id);
            self.streams_group_loaded(now_ms, &group_id);
        }
        self.schedule_expiry(now_ms);
        self.settle(now_ms, out);
    }

    pub(crate) fn replay_offset(
        &mut self,
        now_ms: TimestampMs,
        offset: Offset,
        producer_id: Option<ProducerId>,
        change: OffsetChange,
    ) {
        match (producer_id, change) {
            (Some(producer_id), OffsetChange { key, committed: Some(mut committed) }) => {
                self.create_group_of_offset(now_ms, &key);
                committed.record_offset = offset;
                self.offsets_mut().put_open(producer_id, key, committed);
            }
            (_, change) => self.apply_offset(now_ms, change, offset),
        }
    }

    /// Sets or removes an offset. Offsets that come without a group make one: whoever commits needs no membership.
    pub(crate) fn apply_offset(&mut self, now_ms: TimestampMs, change: OffsetChange, record_offset: Offset) {
        match change.committed {
            Some(mut committed) => {
                self.create_group_of_offset(now_ms, &change.key);
                committed.record_offset = record_offset;
                self.offsets_mut().put(change.key, committed);
            }
            None => self.offsets_mut().remove(&change.key),
        }
    }

    fn create_group_of_offset(&mut self, now_ms: TimestampMs, key: &OffsetKey) {
        if self.pending_writes().deletes_group(&key.group) {
            // A commit that was in flight before its group was deleted does not bring the group back.
            return;
        }
        match self.group_mut(&key.group) {
            Some(Group::Classic(group)) => group.creation = None,
            Some(Group::Consumer(_) | Group::Share(_) | Group::Streams(_)) => {}
            None => self.insert_group(Group::Classic(ClassicGroup::new(Arc::clone(&key.group), now_ms))),
        }
    }
}

fn offset_key(group: &str, topic: &str, partition: i32) -> OffsetKey {
    OffsetKey { group: group.into(), topic: topic.into(), partition }
}

fn legacy_offset(value: LegacyOffsetCommitValue) -> CommittedOffset {
    committed_offset(OffsetCommitValue {
        offset: value.offset,
        metadata: value.metadata,
        commit_timestamp: value.commit_timestamp,
        ..Default::default()
    })
}

fn committed_offset(value: OffsetCommitValue) -> CommittedOffset {
    CommittedOffset {
        record_offset: -1,
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.into(),
        commit_timestamp_ms: value.commit_timestamp,
        expire_timestamp_ms: (value.expire_timestamp != -1).then_some(value.expire_timestamp),
        topic_id: value.topic_id,
    }
}

fn loaded_group(group_id: Arc<str>, value: GroupMetadataValue) -> ClassicGroup {
    let mut group = ClassicGroup::new(group_id, value.current_state_timestamp);
    group.state_timestamp_ms = (value.current_state_timestamp != -1).then_some(value.current_state_timestamp);
    group.state = if value.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
    group.generation = value.generation;
    group.leader = value.leader.map(Arc::from);
    let protocol = value.protocol.clone().unwrap_or_default();
    for member in value.members {
        if group.members.contains_key(member.member_id.as_str()) {
            continue;
        }
        group.add(loaded_member(member, &protocol), &value.protocol_type);
    }
    group.protocol_type = (!value.protocol_type.is_empty()).then_some(value.protocol_type);
    group.protocol_name = value.protocol;
    group.subscribed_topics = group.compute_subscribed_topics();
    group
}

fn loaded_member(value: MemberMetadata, protocol: &str) -> Member {
    Member {
        member_id: value.member_id.into(),
        instance_id: value.group_instance_id.map(Arc::from),
        client_id: value.client_id,
        client_host: value.client_host,
        // Version 0 has no rebalance timeout.
        rebalance_timeout_ms: if value.rebalance_timeout == -1 {
            value.session_timeout
        } else {
            value.rebalance_timeout
        },
        session_timeout_ms: value.session_timeout,
        protocols: vec![MemberProtocol {
            name: protocol.to_owned(),
            metadata: Bytes::copy_from_slice(&value.subscription),
        }],
        assignment: Bytes::copy_from_slice(&value.assignment),
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
    }
}
