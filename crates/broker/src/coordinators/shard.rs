//! One shard and its partition: appends what the coordinator writes, and answers who waits once that is committed.
//! The shard's lock is taken before the log's, never the other way round.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use coordinator::{Effects, GroupResponse, GroupShard, ReplyToken, Write, WriteId};
use parking_lot::Mutex;
use protocol::ErrorCode;
use protocol::record::{BatchBuilder, BatchHeader, BatchSettings, Compression, ValidBatch};
use protocol::types::{Offset, PartitionIndex, TimestampMs};
use tracing::{info, warn};

use super::Answer;
use crate::Broker;
use crate::partition::Partition;
use crate::promise::{Promise, Responder, promise};

/// No deadline.
const NEVER: TimestampMs = i64::MAX;

/// A shard.
pub(crate) struct Shard {
    partition: Arc<Partition>,
    state: Mutex<State>,
    deadline: AtomicI64,
}

enum State {
    Loading,
    Running(Box<Running>),
    /// Its partition cannot be read, or is led elsewhere.
    Gone,
}

struct Running {
    groups: GroupShard,
    last_token: u64,
    waiting: HashMap<ReplyToken, Responder<GroupResponse>>,
}

/// Resolves when an append is on disk, or cannot be.
type Synced = Promise<Result<(), ErrorCode>>;

/// A write that is in the log and waits for its sync.
struct Unsynced {
    id: WriteId,
    base_offset: Offset,
    synced: Synced,
}

impl Shard {
    /// A shard that is still loading.
    pub(crate) fn new(partition: Arc<Partition>) -> Self {
        Self { partition, state: Mutex::new(State::Loading), deadline: AtomicI64::new(NEVER) }
    }

    pub(crate) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    pub(crate) fn index(&self) -> PartitionIndex {
        self.partition.topic_partition.partition
    }

    /// When its next timeout is due.
    pub(crate) fn deadline(&self) -> Option<TimestampMs> {
        Some(self.deadline.load(Ordering::SeqCst)).filter(|deadline| *deadline != NEVER)
    }

    /// Its partition was read: requests are served from now on. `None` if it could not be read.
    pub(crate) fn loaded(self: &Arc<Self>, broker: &Arc<Broker>, groups: Option<GroupShard>) {
        {
            let mut state = self.state.lock();
            // The topic may have been deleted meanwhile.
            if !matches!(*state, State::Loading) {
                return;
            }
            *state = match groups {
                Some(groups) => State::Running(Box::new(Running { groups, last_token: 0, waiting: HashMap::new() })),
                None => State::Gone,
            };
        }
        let now_ms = broker.coordinators().now_ms(broker);
        self.run(broker, |groups, out| groups.loaded(now_ms, out));
    }

    /// Sends everyone who waits to another coordinator.
    pub(crate) fn unload(&self) {
        let before = std::mem::replace(&mut *self.state.lock(), State::Gone);
        self.deadline.store(NEVER, Ordering::SeqCst);
        if let State::Running(running) = before {
            let Running { groups, mut waiting, .. } = *running;
            let mut out = Effects::default();
            groups.unload(&mut out);
            for (token, response) in out.replies {
                if let Some(responder) = waiting.remove(&token) {
                    responder.send(response);
                }
            }
            info!(partition = %self.partition.topic_partition, "unloaded groups");
        }
    }

    /// Lets the coordinator handle a request.
    pub(crate) fn ask(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        request: impl FnOnce(&mut GroupShard, ReplyToken, &mut Effects),
    ) -> Answer {
        let mut state = self.state.lock();
        let running = match &mut *state {
            State::Running(running) => running,
            State::Loading => return Answer::Refused(ErrorCode::CoordinatorLoadInProgress),
            State::Gone => return Answer::Refused(ErrorCode::NotCoordinator),
        };
        running.last_token += 1;
        let token = ReplyToken(running.last_token);
        let mut out = Effects::default();
        request(&mut running.groups, token, &mut out);
        let (unsynced, mut replies) = self.carry_out(broker, &mut running.groups, out);
        let answer = match replies.iter().position(|(answered, _)| *answered == token) {
            Some(at) => Answer::Now(replies.swap_remove(at).1),
            None => {
                let (responder, promised) = promise();
                running.waiting.insert(token, responder);
                Answer::Later(promised)
            }
        };
        let replies = running.take_waiting(replies);
        let deadline = running.groups.next_deadline();
        drop(state);
        self.finish(broker, unsynced, replies, deadline);
        answer
    }

    /// Lets the coordinator do something that nobody asked for.
    pub(crate) fn run(self: &Arc<Self>, broker: &Arc<Broker>, work: impl FnOnce(&mut GroupShard, &mut Effects)) {
        let mut state = self.state.lock();
        let State::Running(running) = &mut *state else { return };
        let mut out = Effects::default();
        work(&mut running.groups, &mut out);
        let (unsynced, replies) = self.carry_out(broker, &mut running.groups, out);
        let replies = running.take_waiting(replies);
        let deadline = running.groups.next_deadline();
        drop(state);
        self.finish(broker, unsynced, replies, deadline);
    }

    /// Lets the coordinator answer at once.
    /// # Errors
    /// `CoordinatorLoadInProgress`, `NotCoordinator`.
    pub(crate) fn look<T>(
        &self,
        broker: &Arc<Broker>,
        request: impl FnOnce(&mut GroupShard) -> T,
    ) -> Result<T, ErrorCode> {
        let mut state = self.state.lock();
        match &mut *state {
            State::Running(running) => {
                let answer = request(&mut running.groups);
                let deadline = running.groups.next_deadline();
                drop(state);
                self.set_deadline(broker, deadline);
                Ok(answer)
            }
            State::Loading => Err(ErrorCode::CoordinatorLoadInProgress),
            State::Gone => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Appends what is to be written, and what comes of that, until nothing is left but syncs.
    fn carry_out(
        &self,
        broker: &Arc<Broker>,
        groups: &mut GroupShard,
        mut out: Effects,
    ) -> (Vec<Unsynced>, Vec<(ReplyToken, GroupResponse)>) {
        let now_ms = broker.coordinators().now_ms(broker);
        let mut unsynced = Vec::new();
        let mut replies = std::mem::take(&mut out.replies);
        while !out.writes.is_empty() {
            let mut next = Effects::default();
            for write in out.writes {
                match self.append(broker, &write, now_ms) {
                    Ok((base_offset, None)) => groups.complete_write(now_ms, write.id, Ok(base_offset), &mut next),
                    Ok((base_offset, Some(synced))) => unsynced.push(Unsynced { id: write.id, base_offset, synced }),
                    Err(code) => groups.complete_write(now_ms, write.id, Err(code), &mut next),
                }
            }
            replies.append(&mut next.replies);
            out = next;
        }
        (unsynced, replies)
    }

    fn append(
        &self,
        broker: &Arc<Broker>,
        write: &Write,
        now_ms: TimestampMs,
    ) -> Result<(Offset, Option<Synced>), ErrorCode> {
        let settings = self.partition.settings();
        // A coordinator writes with acks=all, and this broker is the only replica in sync.
        if settings.min_insync_replicas > 1 {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        let compression = compression(broker.config().offsets_topic_compression_codec());
        let mut builder = BatchBuilder::new(BatchSettings { compression, ..Default::default() });
        for record in &write.records {
            builder.append(now_ms, Some(&record.key), record.value.as_deref(), &[]);
        }
        let bytes: Bytes = builder.build();
        if bytes.len() > settings.log.max_message_bytes as usize {
            return Err(ErrorCode::RecordListTooLarge);
        }
        let header = BatchHeader::parse(&bytes).map_err(|error| error.code())?;
        let appended = self.partition.append(&ValidBatch { bytes, header }, now_ms).map_err(|cause| {
            warn!(partition = %self.partition.topic_partition, %cause, "could not append coordinator records");
            cause.code()
        })?;
        let synced =
            appended.flush_due.then(|| broker.flusher().submit(&self.partition, appended.result.last_offset + 1));
        Ok((appended.result.first_offset, synced))
    }

    /// What is left to do without the lock: answers, the next deadline, and completions that wait for a sync.
    fn finish(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        unsynced: Vec<Unsynced>,
        replies: Vec<(Responder<GroupResponse>, GroupResponse)>,
        deadline: Option<TimestampMs>,
    ) {
        for (responder, response) in replies {
            responder.send(response);
        }
        self.set_deadline(broker, deadline);
        for write in unsynced {
            let (shard, broker) = (Arc::clone(self), Arc::clone(broker));
            write.synced.then(move |synced| {
                let now_ms = broker.coordinators().now_ms(&broker);
                let outcome = synced.unwrap_or(Err(ErrorCode::KafkaStorageError)).map(|()| write.base_offset);
                shard.run(&broker, |groups, out| groups.complete_write(now_ms, write.id, outcome, out));
            });
        }
    }

    fn set_deadline(&self, broker: &Arc<Broker>, deadline: Option<TimestampMs>) {
        let deadline = deadline.unwrap_or(NEVER);
        self.deadline.store(deadline, Ordering::SeqCst);
        broker.coordinators().alarm().ring(deadline);
    }
}

impl Running {
    fn take_waiting(
        &mut self,
        replies: Vec<(ReplyToken, GroupResponse)>,
    ) -> Vec<(Responder<GroupResponse>, GroupResponse)> {
        let answered = replies.into_iter();
        answered.filter_map(|(token, response)| Some((self.waiting.remove(&token)?, response))).collect()
    }
}

/// `offsets.topic.compression.codec`.
fn compression(code: i32) -> Compression {
    match code {
        1 => Compression::Gzip,
        2 => Compression::Snappy,
        3 => Compression::Lz4,
        4 => Compression::Zstd,
        _ => Compression::None,
    }
}
