//! The records of `__share_group_state`, in the versions that Kafka 4.3.1 writes. A snapshot says all of a share-partition; an
//! update says what has changed since the snapshot; a snapshot without a value ends the share-partition.

use bytes::Bytes;
use protocol::messages::{ShareSnapshotKey, ShareSnapshotValue, ShareUpdateKey, ShareUpdateValue};
use protocol::{EncodeError, Message, Reader, Writer};

use super::ShareKey;
use super::state::ShareState;
use crate::effects::CoordinatorRecord;
use crate::error::ReplayError;

const VERSION: i16 = 0;

/// A record as it is read.
#[derive(Debug)]
pub(super) enum ShareRecord {
    Snapshot(Box<ShareSnapshotValue>),
    Update(Box<ShareUpdateValue>),
    Tombstone,
}

pub(super) fn snapshot(key: &ShareKey, state: &ShareState) -> Result<CoordinatorRecord, EncodeError> {
    Ok(CoordinatorRecord { key: snapshot_key(key)?, value: Some(prefixed(VERSION, &state.to_snapshot())?) })
}

pub(super) fn update(key: &ShareKey, value: &ShareUpdateValue) -> Result<CoordinatorRecord, EncodeError> {
    let update_key =
        ShareUpdateKey { group_id: key.group_id.to_string(), topic_id: key.topic_id, partition: key.partition };
    let key = prefixed(ShareUpdateKey::API_KEY_CODE, &update_key)?;
    Ok(CoordinatorRecord { key, value: Some(prefixed(VERSION, value)?) })
}

pub(super) fn tombstone(key: &ShareKey) -> Result<CoordinatorRecord, EncodeError> {
    Ok(CoordinatorRecord { key: snapshot_key(key)?, value: None })
}

/// Reads a record; nothing for types that this release does not know.
pub(super) fn read(key: &Bytes, value: Option<&Bytes>) -> Result<Option<(ShareKey, ShareRecord)>, ReplayError> {
    let mut reader = Reader::new(key.clone());
    match reader.i16()? {
        ShareSnapshotKey::API_KEY_CODE => {
            let key = ShareSnapshotKey::decode(&mut reader, VERSION)?;
            let key = ShareKey { group_id: key.group_id.into(), topic_id: key.topic_id, partition: key.partition };
            let record = match value {
                Some(value) => ShareRecord::Snapshot(Box::new(decode(value)?)),
                None => ShareRecord::Tombstone,
            };
            Ok(Some((key, record)))
        }
        ShareUpdateKey::API_KEY_CODE => {
            let key = ShareUpdateKey::decode(&mut reader, VERSION)?;
            let key = ShareKey { group_id: key.group_id.into(), topic_id: key.topic_id, partition: key.partition };
            let Some(value) = value else { return Ok(None) };
            Ok(Some((key, ShareRecord::Update(Box::new(decode(value)?)))))
        }
        _ => Ok(None),
    }
}

fn decode<M: Message>(value: &Bytes) -> Result<M, ReplayError> {
    let mut reader = Reader::new(value.clone());
    let version = reader.i16()?;
    Ok(M::decode(&mut reader, version)?)
}

fn snapshot_key(key: &ShareKey) -> Result<Bytes, EncodeError> {
    let key = ShareSnapshotKey { group_id: key.group_id.to_string(), topic_id: key.topic_id, partition: key.partition };
    prefixed(ShareSnapshotKey::API_KEY_CODE, &key)
}

fn prefixed<M: Message>(prefix: i16, message: &M) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.put_i16(prefix);
    message.encode(&mut writer, VERSION)?;
    Ok(writer.into_bytes())
}
