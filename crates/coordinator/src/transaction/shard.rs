//! One shard: all transactional ids of one partition of `__transaction_state`. Owned by the broker's shell, behind its lock.
//! A transactional id has at most one change in flight; requests that would change it meanwhile are told to come again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use metadata::{ClusterImage, ImageDelta};
use protocol::types::{Offset, ProducerId, TimestampMs};
use protocol::{ErrorCode, TopicPartition};
use tracing::{info, warn};

use super::state::Transaction;
use super::{Markers, TransactionAction, TransactionConfig, TransactionEffects, TransactionResponse, record};
use crate::error::{ReplayError, append_error_code};
use crate::runtime::effects::{ReplyToken, WriteId};
use crate::runtime::pending::PendingWrites;
use crate::runtime::timers::Timers;
use crate::runtime::{StateMachine, TransactionOutcome};

/// The feature that says which level the cluster is at.
const TRANSACTION_VERSION: &str = "transaction.version";

/// How long the end of a transaction waits that could not be written.
const RETRY_MS: i64 = 100;

/// The transactional ids of one partition of `__transaction_state`.
#[derive(Debug)]
pub struct TransactionShard {
    pub(super) config: TransactionConfig,
    pub(super) entries: HashMap<Arc<str>, Entry>,
    pub(super) timers: Timers<TimerKey>,
    writes: PendingWrites<Completion, TransactionResponse>,
    /// The cluster's level of `transaction.version`.
    pub(super) version: i16,
    /// For a transaction that times out when the epochs of its producer are used up.
    pub(super) spare_producer_id: Option<ProducerId>,
}

/// One transactional id.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) current: Transaction,
    /// A change is in flight, or markers are being written.
    pub(super) is_changing: bool,
    /// Partitions that the markers are still to be written to.
    unmarked: BTreeSet<TopicPartition>,
}

impl Entry {
    pub(super) fn new(current: Transaction) -> Self {
        Self { current, is_changing: false, unmarked: BTreeSet::new() }
    }
}

/// What a deadline is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum TimerKey {
    /// Transactions that are open for too long are looked for.
    Abort,
    /// Transactional ids that are out of use are looked for.
    Expiry,
    /// The end of a transaction is to be tried again.
    Retry(Arc<str>),
}

/// What a write is for.
#[derive(Debug)]
enum Completion {
    /// The transactional id is this from now on. Its answer is that of a request.
    Change(Arc<str>, Box<Transaction>),
    /// The transactional ids are forgotten.
    Expiry(Vec<Arc<str>>),
}

impl TransactionShard {
    /// The level of `transaction.version` is this from now on.
    pub fn set_version(&mut self, version: i16) {
        self.version = version;
    }

    /// A producer id that was asked for with [`TransactionAction::AllocateProducerId`].
    pub fn give_producer_id(&mut self, now_ms: TimestampMs, producer_id: ProducerId, out: &mut TransactionEffects) {
        self.spare_producer_id = Some(producer_id);
        self.abort_timed_out(now_ms, out);
    }

    /// The markers of a transaction are written, except for those of `failed` partitions, which are to be tried again.
    pub fn markers_written(
        &mut self,
        now_ms: TimestampMs,
        markers: &Markers,
        failed: Vec<TopicPartition>,
        out: &mut TransactionEffects,
    ) {
        let Some((id, entry)) = self.entries.get_key_value(markers.transactional_id.as_str()) else { return };
        if entry.current.state.prepared().is_none() || entry.current.producer() != markers.producer {
            return;
        }
        let id = Arc::clone(id);
        if failed.is_empty() {
            return self.complete(now_ms, &id, out);
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.unmarked = failed.into_iter().collect();
        }
        self.timers.schedule(TimerKey::Retry(id), now_ms + RETRY_MS);
    }

    /// Goes on with the end of a transaction where it failed.
    fn retry(&mut self, now_ms: TimestampMs, id: &Arc<str>, out: &mut TransactionEffects) {
        match self.entries.get_mut(id) {
            Some(entry) if !entry.unmarked.is_empty() => send_markers(id, entry, out),
            _ => self.complete(now_ms, id, out),
        }
    }

    /// Writes down that the end of a transaction is complete.
    fn complete(&mut self, now_ms: TimestampMs, id: &Arc<str>, out: &mut TransactionEffects) {
        if let Some(entry) = self.entries.get(id)
            && entry.current.state.prepared().is_some()
        {
            let next = entry.current.complete(now_ms);
            self.write(id, next, None, out);
        }
        self.settle(now_ms, out);
    }

    /// Writes a change of a transactional id, and answers when it is committed.
    pub(super) fn write(
        &mut self,
        id: &Arc<str>,
        next: Transaction,
        reply: Option<(ReplyToken, TransactionResponse)>,
        out: &mut TransactionEffects,
    ) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.is_changing = true;
        }
        let records = record::changed(id, &next, self.version).map(|record| vec![record]);
        let write = self.writes.start(records, Completion::Change(Arc::clone(id), Box::new(next)), out);
        if let Some((token, response)) = reply {
            self.writes.reply_after(write, token, response);
        }
    }

    /// Writes that transactional ids are forgotten.
    pub(super) fn write_expiry(&mut self, ids: Vec<Arc<str>>, out: &mut TransactionEffects) {
        for id in &ids {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.is_changing = true;
            }
        }
        let records = ids.iter().map(|id| record::tombstone(id)).collect();
        self.writes.start(records, Completion::Expiry(ids), out);
    }

    /// Completes the writes that could not be given out.
    pub(super) fn settle(&mut self, now_ms: TimestampMs, out: &mut TransactionEffects) {
        while let Some(id) = self.writes.next_unwritable() {
            self.finish_write(now_ms, id, Err(ErrorCode::UnknownServerError), out);
        }
    }

    fn finish_write(
        &mut self,
        now_ms: TimestampMs,
        id: WriteId,
        outcome: Result<Offset, ErrorCode>,
        out: &mut TransactionEffects,
    ) {
        let Some(write) = self.writes.take(id) else { return };
        match (write.completion, outcome) {
            (Completion::Change(id, next), Ok(_)) => {
                for (token, response) in write.replies {
                    out.reply(token, response);
                }
                self.apply(&id, *next, out);
            }
            (Completion::Change(id, next), Err(error)) => {
                let code = append_error_code(error);
                warn!(transactional_id = %id, %error, "could not store a transaction");
                for (token, _) in write.replies {
                    out.reply(token, TransactionResponse::Refused(code));
                }
                self.undo(now_ms, &id, &next);
            }
            (Completion::Expiry(ids), Ok(_)) => {
                for id in ids {
                    self.entries.remove(&id);
                    info!(transactional_id = %id, "expired");
                }
            }
            (Completion::Expiry(ids), Err(error)) => {
                warn!(%error, "could not expire transactional ids");
                for id in ids {
                    if let Some(entry) = self.entries.get_mut(&id) {
                        entry.is_changing = false;
                    }
                }
            }
        }
    }

    fn apply(&mut self, id: &Arc<str>, next: Transaction, out: &mut TransactionEffects) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.unmarked.clone_from(&next.partitions);
        entry.current = next;
        entry.is_changing = false;
        send_markers(id, entry, out);
    }

    fn undo(&mut self, now_ms: TimestampMs, id: &Arc<str>, next: &Transaction) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        // The markers are written, so the end is to be written down until that works.
        if next.state.completed().is_some() {
            self.timers.schedule(TimerKey::Retry(Arc::clone(id)), now_ms + RETRY_MS);
        } else {
            entry.is_changing = false;
        }
    }
}

/// Lets the markers be written if the transaction is at its end.
fn send_markers(id: &Arc<str>, entry: &mut Entry, out: &mut TransactionEffects) {
    let Some(outcome) = entry.current.state.prepared() else { return };
    entry.is_changing = true;
    out.actions.push(TransactionAction::WriteMarkers(Markers {
        transactional_id: id.to_string(),
        producer: entry.current.producer(),
        outcome,
        partitions: std::mem::take(&mut entry.unmarked),
        transaction_version: entry.current.client_version,
    }));
}

impl StateMachine for TransactionShard {
    type Config = TransactionConfig;
    type Response = TransactionResponse;
    type Action = TransactionAction;

    const TOPIC: &'static str = "__transaction_state";

    fn new(config: TransactionConfig) -> Self {
        Self {
            config,
            entries: HashMap::new(),
            timers: Timers::default(),
            writes: PendingWrites::default(),
            version: 0,
            spare_producer_id: None,
        }
    }

    fn replay(
        &mut self,
        _now_ms: TimestampMs,
        _offset: Offset,
        _producer_id: Option<ProducerId>,
        (key, value): (Option<&Bytes>, Option<&Bytes>),
    ) -> Result<(), ReplayError> {
        match record::parse(key, value)? {
            Some((id, Some(current))) => {
                self.entries.insert(id.into(), Entry::new(current));
            }
            Some((id, None)) => {
                self.entries.remove(id.as_str());
            }
            None => {}
        }
        Ok(())
    }

    /// Nobody writes to `__transaction_state` in a transaction.
    fn replay_transaction_end(&mut self, _producer_id: ProducerId, _outcome: TransactionOutcome) {}

    fn loaded(&mut self, now_ms: TimestampMs, image: &Arc<ClusterImage>, out: &mut TransactionEffects) {
        self.version = version_of(image);
        let mut ids: Vec<Arc<str>> = self.entries.keys().cloned().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.unmarked.clone_from(&entry.current.partitions);
                send_markers(&id, entry, out);
            }
        }
        self.timers.schedule(TimerKey::Abort, now_ms.saturating_add(self.config.abort_interval_ms));
        self.timers.schedule(TimerKey::Expiry, now_ms.saturating_add(self.config.expiry_interval_ms));
    }

    fn metadata_changed(
        &mut self,
        _now_ms: TimestampMs,
        image: &Arc<ClusterImage>,
        _delta: &ImageDelta,
        _out: &mut TransactionEffects,
    ) {
        self.version = version_of(image);
    }

    fn next_deadline(&self) -> Option<TimestampMs> {
        self.timers.next_deadline()
    }

    fn tick(&mut self, now_ms: TimestampMs, out: &mut TransactionEffects) {
        while let Some(key) = self.timers.pop_due(now_ms) {
            match key {
                TimerKey::Abort => {
                    self.abort_timed_out(now_ms, out);
                    self.timers.schedule(TimerKey::Abort, now_ms.saturating_add(self.config.abort_interval_ms.max(1)));
                }
                TimerKey::Expiry => {
                    self.expire(now_ms, out);
                    self.timers
                        .schedule(TimerKey::Expiry, now_ms.saturating_add(self.config.expiry_interval_ms.max(1)));
                }
                TimerKey::Retry(id) => self.retry(now_ms, &id, out),
            }
        }
        self.settle(now_ms, out);
    }

    fn complete_write(
        &mut self,
        now_ms: TimestampMs,
        id: WriteId,
        outcome: Result<Offset, ErrorCode>,
        out: &mut TransactionEffects,
    ) {
        self.finish_write(now_ms, id, outcome, out);
        self.settle(now_ms, out);
    }

    fn unload(mut self, out: &mut TransactionEffects) {
        while let Some(write) = self.writes.take_any() {
            for (token, _) in write.replies {
                out.reply(token, TransactionResponse::Refused(ErrorCode::NotCoordinator));
            }
        }
    }
}

fn version_of(image: &ClusterImage) -> i16 {
    image.features().find(|(name, _)| *name == TRANSACTION_VERSION).map_or(0, |(_, level)| level)
}
