//! Reads a partition of an internal topic into its shard, beside the requests to other shards.

use std::sync::Arc;

use coordinator::{StateMachine, TransactionOutcome};
use protocol::record::{Batch, BatchError, ControlRecordType, batches};
use protocol::types::{Offset, TimestampMs};
use storage::{LogView, ReadError};
use tracing::{error, info, warn};

use super::Hosted;
use super::shard::Shard;
use crate::Broker;

/// Why a partition cannot be loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Storage(#[from] storage::StorageError),
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// Loads `shard`: at once if there is nothing to read, else where it may block.
pub(crate) fn load<C: Hosted>(broker: &Arc<Broker>, shard: &Arc<Shard<C>>) {
    let view = shard.partition().view();
    let machine = C::new(C::of(broker.coordinators()).config().clone());
    if view.log_start_offset == view.log_end_offset {
        shard.loaded(broker, Some(machine));
        return;
    }
    let shard = Arc::clone(shard);
    drop(broker.blocking(move |broker| {
        let machine = read(broker, &view, machine);
        let partition = &shard.partition().topic_partition;
        match &machine {
            Ok(_) => info!(%partition, records_below = view.log_end_offset, "loaded a coordinator"),
            Err(cause) => error!(%partition, %cause, "could not load a coordinator"),
        }
        shard.loaded(broker, machine.ok());
    }));
}

/// Reads to the end of the log: what is not synced yet is still what all later records follow on.
fn read<C: Hosted>(broker: &Arc<Broker>, view: &LogView, mut machine: C) -> Result<C, LoadError> {
    let now_ms = broker.coordinators().now_ms(broker);
    let max_bytes = u32::try_from(C::load_buffer_size(&broker.config())).unwrap_or(1);
    let mut offset = view.log_start_offset;
    while let Some(slice) = view.read(offset, max_bytes, view.log_end_offset, true)? {
        let bytes = slice.read_all()?;
        let before = offset;
        for batch in batches(&bytes) {
            let batch = batch?;
            replay(&mut machine, &batch, offset, now_ms)?;
            offset = offset.max(batch.header.next_offset());
        }
        if offset == before {
            break;
        }
    }
    Ok(machine)
}

fn replay(machine: &mut impl StateMachine, batch: &Batch, from: Offset, now_ms: TimestampMs) -> Result<(), LoadError> {
    let header = &batch.header;
    let producer_id = header.is_transactional().then_some(header.producer_id);
    for record in batch.records()? {
        let record = record?;
        if record.offset < from {
            continue;
        }
        if header.is_control() {
            let outcome = match ControlRecordType::parse(record.key.as_deref().unwrap_or_default())? {
                ControlRecordType::Commit => TransactionOutcome::Committed,
                ControlRecordType::Abort => TransactionOutcome::Aborted,
                _ => continue,
            };
            machine.replay_transaction_end(header.producer_id, outcome);
            continue;
        }
        let pair = (record.key.as_ref(), record.value.as_ref());
        if let Err(cause) = machine.replay(now_ms, record.offset, producer_id, pair) {
            warn!(offset = record.offset, %cause, "skipped a coordinator record");
        }
    }
    Ok(())
}
