//! One shard: all share-partitions of one partition of `__share_group_state`. Owned by the broker's shell, behind its lock.
//! What a request changes counts at once for the requests behind it; every answer waits for the writes before it, and a
//! write that is refused makes the shard read its log again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use metadata::{ClusterImage, ImageDelta};
use protocol::messages::{ShareUpdateValue, share_update_value};
use protocol::types::{LeaderEpoch, Offset, ProducerId, TimestampMs};
use protocol::{EncodeError, ErrorCode, Uuid};
use tracing::{info, warn};

use super::batches::{StateBatch, merge};
use super::record::{self, ShareRecord};
use super::redundant::SnapshotOffsets;
use super::state::{NO_START_OFFSET, ShareState};
use super::{ShareAction, ShareAnswer, ShareConfig, ShareError, ShareKey, ShareResponse, ShareSummary, ShareWrite};
use crate::error::{ReplayError, append_error_code};
use crate::runtime::effects::{CoordinatorRecord, Effects, ReplyToken, WriteId};
use crate::runtime::pending::PendingWrites;
use crate::runtime::timers::Timers;
use crate::runtime::{StateMachine, TransactionOutcome};

/// No epoch: do not check it.
const ANY_EPOCH: i32 = -1;

type Out = Effects<ShareResponse, ShareAction>;

/// What is done from time to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Job {
    /// Write snapshots of what has not changed for long, so that the log before them can go.
    SnapshotCold,
    /// Let the records go that nobody needs.
    Prune,
}

/// A share-partition.
#[derive(Debug, Clone, Default)]
struct Entry {
    state: ShareState,
    /// The latest leader that was here.
    leader_epoch: LeaderEpoch,
    /// The highest state epoch that was set.
    state_epoch: i32,
    /// Updates since a snapshot was due.
    updates: u32,
}

/// Snapshots of a write in flight, in the order of its records; tombstones are marked.
#[derive(Debug)]
struct Written(Vec<(ShareKey, Kind)>);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Snapshot,
    Update,
    Tombstone,
}

/// The share-partitions of one partition of `__share_group_state`.
#[derive(Debug)]
pub struct ShareShard {
    config: ShareConfig,
    image: Arc<ClusterImage>,
    entries: HashMap<ShareKey, Entry>,
    snapshots: SnapshotOffsets,
    pruned_below: Option<Offset>,
    writes: PendingWrites<Written, ShareResponse>,
    /// Writes in flight, oldest first.
    in_flight: VecDeque<WriteId>,
    /// Answers, each behind the write that it waits for.
    waiting: VecDeque<(WriteId, ReplyToken, ShareResponse)>,
    jobs: Timers<Job>,
}

impl ShareShard {
    /// Sets the state of a share-partition anew: nothing from `start_offset` on is delivered.
    pub fn initialize(
        &mut self,
        now_ms: TimestampMs,
        key: &ShareKey,
        (state_epoch, start_offset): (i32, Offset),
        token: ReplyToken,
        out: &mut Out,
    ) {
        let entry = self.entries.get(key);
        let fenced = entry.is_some_and(|entry| state_epoch != ANY_EPOCH && entry.state_epoch > state_epoch);
        let checked = self.check_index(key).and(if fenced { Err(ShareError::FencedStateEpoch) } else { Ok(()) });
        if let Err(refusal) = checked.and_then(|()| self.check_exists(key)) {
            return self.answer(token, Err(refusal), out);
        }
        let state = ShareState {
            snapshot_epoch: entry.map_or(0, |entry| entry.state.snapshot_epoch + 1),
            state_epoch,
            start_offset,
            // A lag can be told from the first offset on that somebody chose.
            delivery_complete_count: if start_offset == NO_START_OFFSET { -1 } else { 0 },
            create_timestamp_ms: now_ms,
            write_timestamp_ms: now_ms,
            ..ShareState::default()
        };
        let written = self.write_snapshot(key, &state, out);
        self.answer(token, written.map(|()| ShareAnswer::Done), out);
    }

    /// What is known of a share-partition, for the leader of `leader_epoch`, who fences the leaders before it.
    pub fn read(
        &mut self,
        now_ms: TimestampMs,
        key: &ShareKey,
        leader_epoch: LeaderEpoch,
        token: ReplyToken,
        out: &mut Out,
    ) {
        let (state, known_epoch) = match self.check_read(key, leader_epoch) {
            Ok(entry) => (entry.state.clone(), entry.leader_epoch),
            Err(refusal) => return self.answer(token, Err(refusal), out),
        };
        let mut written = Ok(());
        if leader_epoch != ANY_EPOCH && leader_epoch != known_epoch {
            info!(key = key.coordinator_key(), leader_epoch, "a share-partition was read by a new leader");
            let write = ShareWrite {
                state_epoch: state.state_epoch,
                leader_epoch,
                start_offset: state.start_offset,
                delivery_complete_count: state.delivery_complete_count,
                state_batches: Vec::new(),
            };
            written = self.write_change(now_ms, key, &write, leader_epoch, out);
        }
        self.answer(token, written.map(|()| ShareAnswer::State(Box::new(state))), out);
    }

    /// Stores what the leader of the partition says.
    pub fn write(&mut self, now_ms: TimestampMs, key: &ShareKey, write: &ShareWrite, token: ReplyToken, out: &mut Out) {
        let answer = self.check_write(key, write).and_then(|leader_epoch| {
            self.write_change(now_ms, key, write, leader_epoch, out)?;
            Ok(ShareAnswer::Done)
        });
        self.answer(token, answer, out);
    }

    /// Forgets a share-partition.
    pub fn delete(&mut self, key: &ShareKey, token: ReplyToken, out: &mut Out) {
        let checked = self.check_index(key).and_then(|()| self.check_exists(key));
        let deleted =
            checked.and_then(|()| if self.entries.contains_key(key) { self.write_tombstone(key, out) } else { Ok(()) });
        self.answer(token, deleted.map(|()| ShareAnswer::Done), out);
    }

    /// What is known of a share-partition in short; nothing is not an error.
    pub fn summarize(&mut self, key: &ShareKey, token: ReplyToken, out: &mut Out) {
        let checked = self.check_index(key).and_then(|()| self.check_exists(key));
        let summary = checked.map(|()| {
            let unknown = ShareSummary {
                state_epoch: 0,
                leader_epoch: 0,
                start_offset: NO_START_OFFSET,
                delivery_complete_count: -1,
            };
            ShareAnswer::Summary(self.entries.get(key).map_or(unknown, |entry| ShareSummary {
                state_epoch: entry.state.state_epoch,
                leader_epoch: entry.state.leader_epoch,
                start_offset: entry.state.start_offset,
                delivery_complete_count: entry.state.delivery_complete_count,
            }))
        });
        self.answer(token, summary, out);
    }

    /// The state of a share-partition, with what is not committed yet.
    #[must_use]
    pub fn state(&self, key: &ShareKey) -> Option<&ShareState> {
        self.entries.get(key).map(|entry| &entry.state)
    }

    fn check_index(&self, key: &ShareKey) -> Result<(), ShareError> {
        if key.partition < 0 { Err(ShareError::NegativePartition) } else { Ok(()) }
    }

    fn check_exists(&self, key: &ShareKey) -> Result<(), ShareError> {
        let topic = self.image.topic_by_id(key.topic_id);
        match topic.and_then(|topic| topic.partition(key.partition)) {
            Some(_) => Ok(()),
            None => Err(ShareError::UnknownPartition),
        }
    }

    fn check_read(&self, key: &ShareKey, leader_epoch: LeaderEpoch) -> Result<&Entry, ShareError> {
        self.check_index(key)?;
        let entry = self.entries.get(key).ok_or(ShareError::ReadUninitialized)?;
        if leader_epoch != ANY_EPOCH && entry.leader_epoch > leader_epoch {
            return Err(ShareError::FencedLeaderEpoch);
        }
        self.check_exists(key)?;
        Ok(entry)
    }

    /// The leader epoch that stays.
    fn check_write(&self, key: &ShareKey, write: &ShareWrite) -> Result<LeaderEpoch, ShareError> {
        self.check_index(key)?;
        let entry = self.entries.get(key).ok_or(ShareError::WriteUninitialized)?;
        if write.leader_epoch != ANY_EPOCH && entry.leader_epoch > write.leader_epoch {
            return Err(ShareError::FencedLeaderEpoch);
        }
        if write.state_epoch != ANY_EPOCH && entry.state_epoch > write.state_epoch {
            return Err(ShareError::FencedStateEpoch);
        }
        self.check_exists(key)?;
        Ok(entry.state.leader_epoch)
    }

    /// Writes an update, or a snapshot where enough updates follow the last one.
    fn write_change(
        &mut self,
        now_ms: TimestampMs,
        key: &ShareKey,
        write: &ShareWrite,
        leader_epoch: LeaderEpoch,
        out: &mut Out,
    ) -> Result<(), ShareError> {
        let Some(entry) = self.entries.get(key) else { return Err(ShareError::WriteUninitialized) };
        if entry.updates >= self.config.updates_per_snapshot {
            let mut state = entry.state.clone();
            state.snapshot_epoch += 1;
            if write.start_offset != NO_START_OFFSET {
                state.start_offset = write.start_offset;
            }
            state.delivery_complete_count = write.delivery_complete_count;
            state.leader_epoch = leader_epoch;
            merge(&mut state.state_batches, write.state_batches.iter().copied(), state.start_offset);
            (state.create_timestamp_ms, state.write_timestamp_ms) = (now_ms, now_ms);
            return self.write_snapshot(key, &state, out);
        }
        let mut batches = Vec::with_capacity(write.state_batches.len());
        merge(&mut batches, write.state_batches.iter().copied(), write.start_offset);
        let value = ShareUpdateValue {
            snapshot_epoch: entry.state.snapshot_epoch,
            leader_epoch,
            start_offset: write.start_offset,
            delivery_complete_count: write.delivery_complete_count,
            state_batches: batches.iter().map(update_batch).collect(),
            ..Default::default()
        };
        self.give_out(key, record::update(key, &value), Kind::Update, out)?;
        self.apply(key, ShareRecord::Update(Box::new(value)));
        Ok(())
    }

    fn write_snapshot(&mut self, key: &ShareKey, state: &ShareState, out: &mut Out) -> Result<(), ShareError> {
        self.give_out(key, record::snapshot(key, state), Kind::Snapshot, out)?;
        self.apply(key, ShareRecord::Snapshot(Box::new(state.to_snapshot())));
        Ok(())
    }

    fn write_tombstone(&mut self, key: &ShareKey, out: &mut Out) -> Result<(), ShareError> {
        self.give_out(key, record::tombstone(key), Kind::Tombstone, out)?;
        self.apply(key, ShareRecord::Tombstone);
        Ok(())
    }

    fn give_out(
        &mut self,
        key: &ShareKey,
        record: Result<CoordinatorRecord, EncodeError>,
        kind: Kind,
        out: &mut Out,
    ) -> Result<(), ShareError> {
        let record = record.map_err(|error| {
            warn!(%error, key = key.coordinator_key(), "could not encode the state of a share-partition");
            ShareError::Refused(ErrorCode::UnknownServerError)
        })?;
        let id = self.writes.start(Ok(vec![record]), Written(vec![(key.clone(), kind)]), out);
        self.in_flight.push_back(id);
        Ok(())
    }

    /// Answers behind the last write in flight.
    fn answer(&mut self, token: ReplyToken, response: ShareResponse, out: &mut Out) {
        match self.in_flight.back() {
            Some(id) => self.waiting.push_back((*id, token, response)),
            None => out.reply(token, response),
        }
    }

    /// The one way in which state changes.
    fn apply(&mut self, key: &ShareKey, record: ShareRecord) {
        match record {
            ShareRecord::Snapshot(value) => {
                let limit = self.config.updates_per_snapshot;
                let entry = self.entries.entry(key.clone()).or_default();
                entry.leader_epoch = entry.leader_epoch.max(value.leader_epoch);
                entry.state_epoch = entry.state_epoch.max(value.state_epoch);
                entry.state = ShareState::from_snapshot(&value);
                if entry.updates >= limit {
                    entry.updates = 0;
                }
            }
            ShareRecord::Update(value) => {
                let known = self.entries.contains_key(key);
                let entry = self.entries.entry(key.clone()).or_default();
                entry.leader_epoch = entry.leader_epoch.max(value.leader_epoch);
                let before = known.then(|| std::mem::take(&mut entry.state));
                entry.state = ShareState::update(before, &value);
                entry.updates += 1;
            }
            ShareRecord::Tombstone => {
                self.entries.remove(key);
            }
        }
    }

    fn note(&mut self, key: &ShareKey, kind: Kind, offset: Offset) {
        match kind {
            Kind::Snapshot => self.snapshots.snapshot(key, offset),
            Kind::Tombstone => self.snapshots.tombstone(key, offset),
            Kind::Update => {}
        }
    }

    /// Forgets the share-partitions of topics that are gone.
    fn topics_deleted(&mut self, gone: impl Fn(Uuid) -> bool, out: &mut Out) {
        let keys: Vec<ShareKey> = self.entries.keys().filter(|key| gone(key.topic_id)).cloned().collect();
        for key in keys {
            if let Err(cause) = self.write_tombstone(&key, out) {
                warn!(%cause, key = key.coordinator_key(), "could not forget a share-partition");
            }
        }
    }

    fn snapshot_cold(&mut self, now_ms: TimestampMs, out: &mut Out) {
        let is_cold = |entry: &Entry| entry.state.create_timestamp_ms != entry.state.write_timestamp_ms;
        if self.entries.values().all(is_cold) {
            return;
        }
        let due = |entry: &Entry| now_ms - entry.state.write_timestamp_ms >= self.config.cold_snapshot_interval_ms;
        let old: Vec<_> = self.entries.iter().filter(|(_, entry)| due(entry)).collect();
        let states: Vec<_> = old.into_iter().map(|(key, entry)| (key.clone(), entry.state.clone())).collect();
        for (key, mut state) in states {
            state.snapshot_epoch += 1;
            state.write_timestamp_ms = now_ms;
            if let Err(cause) = self.write_snapshot(&key, &state, out) {
                warn!(%cause, key = key.coordinator_key(), "could not write a snapshot");
            }
        }
    }

    fn prune(&mut self, out: &mut Out) {
        let redundant_below = self.snapshots.redundant_below();
        let due = redundant_below.filter(|_| redundant_below != self.pruned_below);
        if let Some((below, key)) = due.zip(self.snapshots.any_key().cloned()) {
            out.actions.push(ShareAction::DeleteRecords { key, below });
            self.pruned_below = redundant_below;
        }
    }

    fn schedule(&mut self, job: Job, now_ms: TimestampMs) {
        let interval_ms = match job {
            Job::SnapshotCold => self.config.cold_snapshot_interval_ms,
            Job::Prune => self.config.prune_interval_ms,
        };
        self.jobs.schedule(job, now_ms + interval_ms);
    }
}

impl StateMachine for ShareShard {
    type Config = ShareConfig;
    type Response = ShareResponse;
    type Action = ShareAction;

    const TOPIC: &'static str = "__share_group_state";

    fn new(config: ShareConfig) -> Self {
        Self {
            config,
            image: Arc::default(),
            entries: HashMap::new(),
            snapshots: SnapshotOffsets::default(),
            pruned_below: None,
            writes: PendingWrites::default(),
            in_flight: VecDeque::new(),
            waiting: VecDeque::new(),
            jobs: Timers::default(),
        }
    }

    fn replay(
        &mut self,
        _now_ms: TimestampMs,
        offset: Offset,
        _producer_id: Option<ProducerId>,
        (key, value): (Option<&Bytes>, Option<&Bytes>),
    ) -> Result<(), ReplayError> {
        let Some((key, record)) = record::read(key.ok_or(ReplayError::NoKey)?, value)? else { return Ok(()) };
        let kind = match record {
            ShareRecord::Snapshot(_) => Kind::Snapshot,
            ShareRecord::Update(_) => Kind::Update,
            ShareRecord::Tombstone => Kind::Tombstone,
        };
        self.note(&key, kind, offset);
        self.apply(&key, record);
        Ok(())
    }

    fn replay_transaction_end(&mut self, _producer_id: ProducerId, _outcome: TransactionOutcome) {}

    fn loaded(&mut self, now_ms: TimestampMs, image: &Arc<ClusterImage>, _out: &mut Out) {
        self.image = Arc::clone(image);
        self.schedule(Job::SnapshotCold, now_ms);
        self.schedule(Job::Prune, now_ms);
    }

    fn metadata_changed(&mut self, _now_ms: TimestampMs, image: &Arc<ClusterImage>, delta: &ImageDelta, out: &mut Out) {
        self.image = Arc::clone(image);
        if !delta.deleted_topics.is_empty() {
            self.topics_deleted(|topic_id| delta.deleted_topics.contains_key(&topic_id), out);
        }
    }

    fn next_deadline(&self) -> Option<TimestampMs> {
        self.jobs.next_deadline()
    }

    fn tick(&mut self, now_ms: TimestampMs, out: &mut Out) {
        while let Some(job) = self.jobs.pop_due(now_ms) {
            match job {
                Job::SnapshotCold => self.snapshot_cold(now_ms, out),
                Job::Prune => self.prune(out),
            }
            self.schedule(job, now_ms);
        }
    }

    fn complete_write(&mut self, _now_ms: TimestampMs, id: WriteId, outcome: Result<Offset, ErrorCode>, out: &mut Out) {
        let Some(write) = self.writes.take(id) else { return };
        self.in_flight.retain(|other| *other != id);
        match outcome {
            Ok(offset) => {
                for ((key, kind), offset) in write.completion.0.iter().zip(offset..) {
                    self.note(key, *kind, offset);
                }
                let oldest = self.in_flight.front().copied();
                let answered =
                    self.waiting.iter().take_while(|(after, ..)| oldest.is_none_or(|oldest| *after < oldest));
                let answered = answered.count();
                out.replies.extend(self.waiting.drain(..answered).map(|(_, token, response)| (token, response)));
            }
            // What is in memory is more than what the log says.
            Err(code) => {
                let refused = ShareError::Refused(append_error_code(code));
                out.replies.extend(self.waiting.drain(..).map(|(_, token, _)| (token, Err(refused))));
                out.reload = true;
            }
        }
    }

    fn unload(mut self, out: &mut Out) {
        let refused = ShareError::Refused(ErrorCode::NotCoordinator);
        out.replies.extend(self.waiting.drain(..).map(|(_, token, _)| (token, Err(refused))));
    }
}

fn update_batch(batch: &StateBatch) -> share_update_value::StateBatch {
    share_update_value::StateBatch {
        first_offset: batch.first_offset,
        last_offset: batch.last_offset,
        delivery_state: batch.delivery_state,
        delivery_count: batch.delivery_count,
        ..Default::default()
    }
}
