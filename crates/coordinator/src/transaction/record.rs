//! The records of `__transaction_state`, as Kafka 4.3.1 writes them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protocol::messages::transaction_log_value::PartitionsSchema;
use protocol::messages::{TransactionLogKey, TransactionLogValue};
use protocol::{EncodeError, Message, Reader, TopicPartition};

use super::state::{NO_EPOCH, Transaction, TransactionState};
use crate::error::ReplayError;
use crate::record::prefixed;
use crate::runtime::effects::CoordinatorRecord;

const KEY_VERSION: i16 = 0;
/// The level of `transaction.version` from which values have tagged fields.
const FIRST_VERSION_WITH_FLEXIBLE_VALUES: i16 = 1;

/// What a transactional id is now.
pub(super) fn changed(
    transactional_id: &str,
    transaction: &Transaction,
    transaction_version: i16,
) -> Result<CoordinatorRecord, EncodeError> {
    let version = i16::from(transaction_version >= FIRST_VERSION_WITH_FLEXIBLE_VALUES);
    let mut value = TransactionLogValue {
        producer_id: transaction.producer_id,
        producer_epoch: transaction.epoch,
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_status: transaction.state as i8,
        transaction_partitions: partitions(transaction),
        transaction_last_update_timestamp_ms: transaction.last_update_ms,
        transaction_start_timestamp_ms: transaction.start_ms,
        ..Default::default()
    };
    if version > 0 {
        value.previous_producer_id = transaction.previous_producer_id;
        value.next_producer_id = transaction.next_producer_id;
        value.client_transaction_version = transaction.client_version;
    }
    Ok(CoordinatorRecord { key: key(transactional_id)?, value: Some(prefixed(version, &value, version)?) })
}

/// The end of a transactional id.
pub(super) fn tombstone(transactional_id: &str) -> Result<CoordinatorRecord, EncodeError> {
    Ok(CoordinatorRecord { key: key(transactional_id)?, value: None })
}

/// The transactional id of a record, and what it is from there on.
pub(super) fn parse(
    key: Option<&Bytes>,
    value: Option<&Bytes>,
) -> Result<Option<(String, Option<Transaction>)>, ReplayError> {
    let mut key = Reader::new(key.ok_or(ReplayError::NoKey)?.clone());
    if key.i16()? != TransactionLogKey::API_KEY_CODE {
        return Ok(None);
    }
    let transactional_id = TransactionLogKey::decode(&mut key, KEY_VERSION)?.transactional_id;
    let Some(value) = value else { return Ok(Some((transactional_id, None))) };
    let mut reader = Reader::new(value.clone());
    let version = reader.i16()?;
    let value = TransactionLogValue::decode(&mut reader, version)?;
    let Some(state) = TransactionState::from_code(value.transaction_status) else {
        return Err(ReplayError::UnknownState(value.transaction_status));
    };
    Ok(Some((transactional_id, Some(transaction(state, value)))))
}

fn transaction(state: TransactionState, value: TransactionLogValue) -> Transaction {
    let mut partitions = BTreeSet::new();
    for topic in value.transaction_partitions.unwrap_or_default() {
        let name: std::sync::Arc<str> = topic.topic.into();
        partitions.extend(topic.partition_ids.into_iter().map(|index| TopicPartition::new(name.clone(), index)));
    }
    Transaction {
        state,
        producer_id: value.producer_id,
        previous_producer_id: value.previous_producer_id,
        next_producer_id: value.next_producer_id,
        epoch: value.producer_epoch,
        last_epoch: NO_EPOCH,
        timeout_ms: value.transaction_timeout_ms,
        partitions,
        start_ms: value.transaction_start_timestamp_ms,
        last_update_ms: value.transaction_last_update_timestamp_ms,
        client_version: value.client_transaction_version,
    }
}

fn partitions(transaction: &Transaction) -> Option<Vec<PartitionsSchema>> {
    if transaction.state == TransactionState::Empty {
        return None;
    }
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &transaction.partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let topics = topics.into_iter();
    Some(
        topics
            .map(|(topic, partition_ids)| PartitionsSchema {
                topic: topic.to_owned(),
                partition_ids,
                ..Default::default()
            })
            .collect(),
    )
}

fn key(transactional_id: &str) -> Result<Bytes, EncodeError> {
    let key = TransactionLogKey { transactional_id: transactional_id.to_owned() };
    prefixed(TransactionLogKey::API_KEY_CODE, &key, KEY_VERSION)
}
