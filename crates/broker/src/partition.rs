//! One partition that this broker leads: its log, its high watermark, and who waits for it.
//! Appends hold the log's lock; fetches read the published view and never take it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use protocol::record::ValidBatch;
use protocol::types::{LeaderEpoch, Offset, TimestampMs};
use protocol::{ErrorCode, TopicPartition, Uuid};
use storage::{AppendError, AppendRequest, AppendResult, Log, LogView, LogViewCell, StorageError, VerificationGuard};

use crate::purgatory::Watchers;
use crate::topic_settings::TopicSettings;

/// A partition led by this broker.
pub struct Partition {
    /// Its name.
    pub topic_partition: TopicPartition,
    /// Id of its topic.
    pub topic_id: Uuid,
    log: Mutex<Log>,
    view: Arc<LogViewCell>,
    leader_epoch: AtomicI32,
    settings: ArcSwap<TopicSettings>,
    watchers: Watchers,
    /// The copy that is being made of the log in another directory. Locked after the log, where both are.
    future: Mutex<Option<Log>>,
    /// The log's directory failed.
    offline: AtomicBool,
    /// The topic was deleted; requests that still hold the partition are refused.
    gone: AtomicBool,
}

/// What an append did, and whether it must be synced before it may be acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    /// Offsets and times.
    pub result: AppendResult,
    /// `flush.messages` was reached: the high watermark waits for [`Partition::flushed`].
    pub flush_due: bool,
}

/// Whether an append has to be part of a transaction that its coordinator knows of (KIP-890).
#[derive(Debug, Clone, Copy)]
pub enum Verification {
    /// The batch is of no transaction, or nobody asks.
    Unneeded,
    /// The transaction has written here before, or the batch comes with the guard of its verification.
    Required(Option<VerificationGuard>),
}

impl Partition {
    /// Takes over an open log.
    #[must_use]
    pub fn new(
        topic_partition: TopicPartition,
        topic_id: Uuid,
        mut log: Log,
        leader_epoch: LeaderEpoch,
        settings: Arc<TopicSettings>,
    ) -> Self {
        // The only replica is in sync with itself: all that recovery kept is committed.
        let end = log.log_end_offset();
        log.set_high_watermark(end);
        log.assign_epoch(leader_epoch);
        let view = log.view_cell();
        Self {
            topic_partition,
            topic_id,
            log: Mutex::new(log),
            view,
            leader_epoch: AtomicI32::new(leader_epoch),
            settings: ArcSwap::new(settings),
            watchers: Watchers::default(),
            future: Mutex::new(None),
            offline: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// What a fetch may read.
    #[must_use]
    pub fn view(&self) -> Arc<LogView> {
        self.view.load()
    }

    /// The log itself, for what is not on the hot path.
    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    /// The copy that is being made of the log in another directory.
    pub(crate) fn future(&self) -> &Mutex<Option<Log>> {
        &self.future
    }

    /// Whether the log's directory failed.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// The log's directory failed: everyone who waits is told.
    pub(crate) fn set_offline(&self) {
        self.offline.store(true, Ordering::Release);
        self.watchers.wake();
    }

    /// The topic's configuration as the append path needs it.
    #[must_use]
    pub fn settings(&self) -> Arc<TopicSettings> {
        self.settings.load_full()
    }

    /// Replaces the topic's configuration.
    pub fn set_settings(&self, settings: Arc<TopicSettings>) {
        self.log.lock().set_config(Arc::clone(&settings.log));
        self.settings.store(settings);
    }

    /// Epoch in which this broker leads.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch.load(Ordering::Acquire)
    }

    /// Moves to a later epoch.
    pub fn set_leader_epoch(&self, epoch: LeaderEpoch) {
        self.leader_epoch.fetch_max(epoch, Ordering::AcqRel);
        self.log.lock().assign_epoch(epoch);
    }

    /// Refuses an epoch that a client got from other metadata than ours (KIP-320).
    /// # Errors
    /// `FencedLeaderEpoch`, `UnknownLeaderEpoch`; `KafkaStorageError` if the log's directory failed.
    pub fn check_leader_epoch(&self, claimed: LeaderEpoch) -> Result<(), ErrorCode> {
        if self.is_offline() {
            return Err(ErrorCode::KafkaStorageError);
        }
        let ours = self.leader_epoch();
        match claimed {
            -1 => Ok(()),
            _ if claimed < ours => Err(ErrorCode::FencedLeaderEpoch),
            _ if claimed > ours => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Appends a client's validated batch and wakes the fetches that wait for it.
    /// # Errors
    /// As [`Log::append_as_leader`] and [`Log::append_verified`].
    pub fn append(
        &self,
        batch: &ValidBatch,
        verification: Verification,
        now_ms: TimestampMs,
    ) -> Result<Appended, AppendError> {
        self.append_with(batch, now_ms, |log, request| match verification {
            Verification::Unneeded => log.append_as_leader(request),
            Verification::Required(guard) => log.append_verified(request, guard),
        })
    }

    /// As [`Partition::append`], for what a coordinator of this broker wrote.
    /// # Errors
    /// As [`Log::append_as_coordinator`] and [`Log::append_verified_as_coordinator`].
    pub fn append_as_coordinator(
        &self,
        batch: &ValidBatch,
        verification: Verification,
        now_ms: TimestampMs,
    ) -> Result<Appended, AppendError> {
        self.append_with(batch, now_ms, |log, request| match verification {
            Verification::Unneeded => log.append_as_coordinator(request),
            Verification::Required(guard) => log.append_verified_as_coordinator(request, guard),
        })
    }

    /// Appends the end of a transaction. `raised` says that the producer's epoch was raised for it.
    /// # Errors
    /// As [`Log::append_marker`].
    pub fn append_marker(
        &self,
        batch: &ValidBatch,
        raised: bool,
        now_ms: TimestampMs,
    ) -> Result<Appended, AppendError> {
        self.append_with(batch, now_ms, |log, request| log.append_marker(request, raised))
    }

    fn append_with(
        &self,
        batch: &ValidBatch,
        now_ms: TimestampMs,
        append: impl FnOnce(&mut Log, &AppendRequest<'_>) -> Result<AppendResult, AppendError>,
    ) -> Result<Appended, AppendError> {
        let mut log = self.log.lock();
        if self.gone.load(Ordering::Acquire) {
            return Err(AppendError::Storage(StorageError::Deleted));
        }
        let request = AppendRequest { batch, leader_epoch: self.leader_epoch(), now_ms };
        let result = append(&mut log, &request)?;
        let flush_due = log.is_flush_due();
        if !flush_due {
            let end = log.log_end_offset();
            log.set_high_watermark(end);
        }
        drop(log);
        if !flush_due {
            self.watchers.wake();
        }
        Ok(Appended { result, flush_due })
    }

    /// All below `offset` is on disk: it becomes visible.
    pub fn flushed(&self, offset: Offset) {
        {
            let mut log = self.log.lock();
            log.flushed(offset);
            if offset > log.high_watermark() {
                log.set_high_watermark(offset);
            }
        }
        self.watchers.wake();
    }

    /// Deletes records below `offset`; -1 means the high watermark. The new log start offset.
    /// # Errors
    /// `OffsetOutOfRange`, or the disk's.
    pub fn delete_records(&self, offset: Offset) -> Result<Offset, ErrorCode> {
        if self.is_offline() {
            return Err(ErrorCode::KafkaStorageError);
        }
        let mut log = self.log.lock();
        let high_watermark = log.high_watermark();
        let target = if offset == -1 { high_watermark } else { offset };
        if target < 0 || target > high_watermark {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        log.delete_records(target).map_err(|error| error.code())?;
        let start = log.log_start_offset();
        drop(log);
        self.watchers.wake();
        Ok(start)
    }

    /// Marks the partition as deleted and wakes everyone who waits for it.
    pub fn retire(&self) {
        self.gone.store(true, Ordering::Release);
        self.watchers.wake();
    }

    /// Whether the topic was deleted.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Who waits for this partition to change.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }
}
