//! Reads a partition of `__consumer_offsets` into its shard, beside the requests of other groups.

use std::sync::Arc;

use coordinator::{GroupConfig, GroupShard, TransactionOutcome};

use protocol::record::{Batch, BatchError, ControlRecordType, batches};
use protocol::types::{Offset, TimestampMs};
use storage::{LogView, ReadError};
use tracing::{error, info, warn};

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
pub(crate) fn load(broker: &Arc<Broker>, shard: &Arc<Shard>, config: GroupConfig) {
    let view = shard.partition().view();
    if view.log_start_offset == view.high_watermark {
        shard.loaded(broker, Some(GroupShard::new(config)));
        return;
    }
    let shard = Arc::clone(shard);
    drop(broker.blocking(move |broker| {
        let groups = read(broker, &view, config);
        let partition = &shard.partition().topic_partition;
        match &groups {
            Ok(_) => info!(%partition, records_below = view.high_watermark, "loaded groups"),
            Err(cause) => error!(%partition, %cause, "could not load groups"),
        }
        shard.loaded(broker, groups.ok());
    }));
}

fn read(broker: &Arc<Broker>, view: &LogView, config: GroupConfig) -> Result<GroupShard, LoadError> {
    let now_ms = broker.coordinators().now_ms(broker);
    let max_bytes = u32::try_from(broker.config().offsets_load_buffer_size()).unwrap_or(1);
    let mut groups = GroupShard::new(config);
    let mut offset = view.log_start_offset;
    while let Some(slice) = view.read(offset, max_bytes, view.high_watermark, true)? {
        let bytes = slice.read_all()?;
        let before = offset;
        for batch in batches(&bytes) {
            let batch = batch?;
            replay(&mut groups, &batch, offset, now_ms)?;
            offset = offset.max(batch.header.next_offset());
        }
        if offset == before {
            break;
        }
    }
    Ok(groups)
}

fn replay(groups: &mut GroupShard, batch: &Batch, from: Offset, now_ms: TimestampMs) -> Result<(), LoadError> {
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
            groups.replay_transaction_end(header.producer_id, outcome);
            continue;
        }
        let pair = (record.key.as_ref(), record.value.as_ref());
        if let Err(cause) = groups.replay(now_ms, record.offset, producer_id, pair) {
            warn!(offset = record.offset, %cause, "skipped a coordinator record");
        }
    }
    Ok(())
}
