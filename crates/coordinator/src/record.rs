//! The records of `__consumer_offsets`, in the versions that Kafka 4.3.1 writes.
//! A key is its record type and the key of version 0; a value is its version and the value.

pub(crate) mod modern;

use bytes::Bytes;
use protocol::messages::group_metadata_value::MemberMetadata;
use protocol::messages::{GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue};
use protocol::{EncodeError, Message, Reader, Writer};

use crate::effects::CoordinatorRecord;
use crate::error::ReplayError;
use crate::group::classic::state::ClassicGroup;
use crate::group::offsets::{CommittedOffset, OffsetKey};

pub(crate) const KEY_VERSION: i16 = 0;
const GROUP_METADATA_VERSION: i16 = 3;
const OFFSET_COMMIT_VERSION: i16 = 4;
/// The only version that carries an expiry of its own.
const OFFSET_COMMIT_VERSION_WITH_EXPIRY: i16 = 1;

/// A key or a value behind its record type or version.
pub(crate) fn prefixed<M: Message>(prefix: i16, message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.put_i16(prefix);
    message.encode(&mut writer, version)?;
    Ok(writer.into_bytes())
}

/// The value of a record; nothing if it is a tombstone.
/// # Errors
/// If it cannot be read.
pub(crate) fn decode_value<M: Message>(value: Option<&Bytes>) -> Result<Option<M>, ReplayError> {
    let Some(value) = value else { return Ok(None) };
    let mut reader = Reader::new(value.clone());
    let version = reader.i16()?;
    Ok(Some(M::decode(&mut reader, version)?))
}

fn offset_key(key: &OffsetKey) -> Result<Bytes, EncodeError> {
    let key = OffsetCommitKey { group: key.group.to_string(), topic: key.topic.to_string(), partition: key.partition };
    prefixed(OffsetCommitKey::API_KEY_CODE, &key, KEY_VERSION)
}

fn group_key(group_id: &str) -> Result<Bytes, EncodeError> {
    prefixed(GroupMetadataKey::API_KEY_CODE, &GroupMetadataKey { group: group_id.to_owned() }, KEY_VERSION)
}

/// A committed offset.
pub(crate) fn offset_commit(key: &OffsetKey, committed: &CommittedOffset) -> Result<CoordinatorRecord, EncodeError> {
    let version = match committed.expire_timestamp_ms {
        Some(_) => OFFSET_COMMIT_VERSION_WITH_EXPIRY,
        None => OFFSET_COMMIT_VERSION,
    };
    let value = OffsetCommitValue {
        offset: committed.offset,
        leader_epoch: committed.leader_epoch,
        metadata: committed.metadata.to_string(),
        commit_timestamp: committed.commit_timestamp_ms,
        expire_timestamp: committed.expire_timestamp_ms.unwrap_or(-1),
        topic_id: committed.topic_id,
        ..Default::default()
    };
    Ok(CoordinatorRecord { key: offset_key(key)?, value: Some(prefixed(version, &value, version)?) })
}

/// The end of a committed offset.
pub(crate) fn offset_tombstone(key: &OffsetKey) -> Result<CoordinatorRecord, EncodeError> {
    Ok(CoordinatorRecord { key: offset_key(key)?, value: None })
}

/// A group that was just created and has neither a protocol nor members.
pub(crate) fn new_group(group: &ClassicGroup) -> Result<CoordinatorRecord, EncodeError> {
    let value = GroupMetadataValue {
        protocol: None,
        leader: None,
        current_state_timestamp: group.state_timestamp_ms.unwrap_or(-1),
        ..Default::default()
    };
    group_value(&group.group_id, &value)
}

/// A generation: its members, each with the assignment that `assignment_of` gives.
pub(crate) fn group_metadata<'a>(
    group: &'a ClassicGroup,
    assignment_of: impl Fn(&'a str) -> Bytes,
) -> Result<CoordinatorRecord, EncodeError> {
    let protocol = group.protocol_name.as_deref();
    let members = group
        .members
        .values()
        .map(|member| MemberMetadata {
            member_id: member.member_id.to_string(),
            group_instance_id: member.instance_id.as_deref().map(str::to_owned),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: protocol.map(|name| member.metadata(name)).unwrap_or_default(),
            assignment: assignment_of(&member.member_id),
            ..Default::default()
        })
        .collect();
    let value = GroupMetadataValue {
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        generation: group.generation,
        protocol: group.protocol_name.clone(),
        leader: group.leader.as_deref().map(str::to_owned),
        current_state_timestamp: group.state_timestamp_ms.unwrap_or(-1),
        members,
        ..Default::default()
    };
    group_value(&group.group_id, &value)
}

fn group_value(group_id: &str, value: &GroupMetadataValue) -> Result<CoordinatorRecord, EncodeError> {
    let value = prefixed(GROUP_METADATA_VERSION, value, GROUP_METADATA_VERSION)?;
    Ok(CoordinatorRecord { key: group_key(group_id)?, value: Some(value) })
}

/// The end of a group.
pub(crate) fn group_tombstone(group_id: &str) -> Result<CoordinatorRecord, EncodeError> {
    Ok(CoordinatorRecord { key: group_key(group_id)?, value: None })
}
