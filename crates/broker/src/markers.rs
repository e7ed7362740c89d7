//! Writes the end of a transaction to one partition: a control batch, which is also the group coordinator's to hear of if the
//! partition is one of `__consumer_offsets`.

use std::sync::Arc;

use coordinator::{Producer, TransactionOutcome};
use protocol::messages::EndTxnMarker;
use protocol::record::{BatchBuilder, BatchHeader, BatchSettings, ControlRecord, ValidBatch};
use protocol::types::TimestampMs;
use protocol::{ErrorCode, TopicPartition};

use crate::Broker;
use crate::auto_create::CONSUMER_OFFSETS;
use crate::promise::Promise;

/// The level of `transaction.version` from which the end of a transaction raises its producer's epoch.
const FIRST_VERSION_WITH_EPOCH_BUMP: i16 = 2;

/// The end of a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndMarker {
    pub(crate) producer: Producer,
    pub(crate) outcome: TransactionOutcome,
    pub(crate) coordinator_epoch: i32,
    pub(crate) transaction_version: i16,
}

/// What became of a marker.
pub(crate) enum Written {
    /// This.
    Now(Result<(), ErrorCode>),
    /// What comes of its sync.
    Later(Promise<Result<(), ErrorCode>>),
}

impl EndMarker {
    /// The control batch.
    pub(crate) fn batch(&self, now_ms: TimestampMs) -> Result<ValidBatch, ErrorCode> {
        let end = EndTxnMarker { coordinator_epoch: self.coordinator_epoch };
        let record = match self.outcome {
            TransactionOutcome::Committed => ControlRecord::Commit(end),
            TransactionOutcome::Aborted => ControlRecord::Abort(end),
        };
        let (key, value) = record.encode().map_err(|_| ErrorCode::UnknownServerError)?;
        let mut builder = BatchBuilder::new(BatchSettings {
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            is_transactional: true,
            is_control: true,
            ..Default::default()
        });
        builder.append(now_ms, Some(&key), Some(&value), &[]);
        let bytes = builder.build();
        let header = BatchHeader::parse(&bytes).map_err(|error| error.code())?;
        Ok(ValidBatch { bytes, header })
    }

    /// Whether the producer's epoch was raised for it.
    pub(crate) fn is_raised(&self) -> bool {
        self.transaction_version >= FIRST_VERSION_WITH_EPOCH_BUMP
    }
}

/// Writes `marker` to a partition that this broker leads.
pub(crate) fn write_marker(broker: &Arc<Broker>, name: &TopicPartition, marker: &EndMarker) -> Written {
    if *name.topic == *CONSUMER_OFFSETS {
        return broker.groups().end_transaction(broker, name.partition, marker);
    }
    let Some(partition) = broker.partitions().get(&name.topic, name.partition) else {
        return Written::Now(Err(ErrorCode::UnknownTopicOrPartition));
    };
    let now_ms = broker.wall_ms();
    let appended = marker
        .batch(now_ms)
        .and_then(|batch| partition.append_marker(&batch, marker.is_raised(), now_ms).map_err(|error| error.code()));
    match appended {
        Ok(appended) if appended.flush_due => {
            Written::Later(broker.flusher().submit(&partition, appended.result.last_offset + 1))
        }
        Ok(_) => Written::Now(Ok(())),
        Err(code) => Written::Now(Err(code)),
    }
}
