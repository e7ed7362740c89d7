//! One shard and its partition: appends what the coordinator writes, and answers who waits once that is committed.
//! The shard's lock is taken before the log's, never the other way round.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use coordinator::{EffectsOf, ReplyToken, Write, WriteId};
use parking_lot::Mutex;
use protocol::ErrorCode;
use protocol::record::{BatchBuilder, BatchHeader, BatchSettings, ValidBatch};
use protocol::types::{Offset, PartitionIndex, TimestampMs};
use storage::VerificationGuard;
use tracing::{info, warn};

use super::coordinator::Answer;
use super::{Hosted, load};
use crate::Broker;
use crate::markers::{EndMarker, Written};
use crate::partition::{Partition, Verification};
use crate::promise::{Promise, Responder, promise};

/// No deadline.
const NEVER: TimestampMs = i64::MAX;

/// A shard.
pub(crate) struct Shard<C: Hosted> {
    partition: Arc<Partition>,
    state: Mutex<State<C>>,
    deadline: AtomicI64,
}

enum State<C: Hosted> {
    /// How often the partition was read before.
    Loading(u64),
    Running(Box<Running<C>>),
    /// Its partition cannot be read, or is led elsewhere.
    Gone,
}

struct Running<C: Hosted> {
    machine: C,
    /// How often the partition was read before: a write of an earlier state machine is none of this one's.
    life: u64,
    last_token: u64,
    waiting: HashMap<ReplyToken, Responder<C::Response>>,
}

/// Resolves when an append is on disk, or cannot be.
type Synced = Promise<Result<(), ErrorCode>>;

/// A write that is in the log and waits for its sync.
struct Unsynced {
    id: WriteId,
    life: u64,
    base_offset: Offset,
    synced: Synced,
}

/// What is left to do without the lock.
struct Aftermath<C: Hosted> {
    replies: Vec<(Responder<C::Response>, C::Response)>,
    actions: Vec<C::Action>,
    unsynced: Vec<Unsynced>,
    deadline: Option<TimestampMs>,
    /// The state machine is gone and its partition to be read again.
    reload: bool,
}

impl<C: Hosted> Shard<C> {
    /// A shard that is still loading.
    pub(crate) fn new(partition: Arc<Partition>) -> Self {
        Self { partition, state: Mutex::new(State::Loading(0)), deadline: AtomicI64::new(NEVER) }
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
    pub(crate) fn loaded(self: &Arc<Self>, broker: &Arc<Broker>, machine: Option<C>) {
        {
            let mut state = self.state.lock();
            // The topic may have been deleted meanwhile.
            let State::Loading(life) = *state else { return };
            *state = match machine {
                Some(machine) => {
                    State::Running(Box::new(Running { machine, life, last_token: 0, waiting: HashMap::new() }))
                }
                None => State::Gone,
            };
        }
        let now_ms = broker.coordinators().now_ms(broker);
        let image = broker.image();
        self.run(broker, |machine, out| machine.loaded(now_ms, &image, out));
    }

    /// Sends everyone who waits to another coordinator.
    pub(crate) fn unload(&self) {
        let before = std::mem::replace(&mut *self.state.lock(), State::Gone);
        self.deadline.store(NEVER, Ordering::SeqCst);
        if let State::Running(running) = before {
            for (responder, response) in running.unload() {
                responder.send(response);
            }
            info!(partition = %self.partition.topic_partition, "unloaded a coordinator");
        }
    }

    /// Lets the coordinator handle a request.
    pub(crate) fn ask(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        request: impl FnOnce(&mut C, ReplyToken, &mut EffectsOf<C>),
    ) -> Answer<C::Response> {
        let mut state = self.state.lock();
        let running = match &mut *state {
            State::Running(running) => running,
            State::Loading(_) => return Answer::Refused(ErrorCode::CoordinatorLoadInProgress),
            State::Gone => return Answer::Refused(ErrorCode::NotCoordinator),
        };
        running.last_token += 1;
        let token = ReplyToken(running.last_token);
        let mut out = EffectsOf::<C>::default();
        request(&mut running.machine, token, &mut out);
        let unsynced = self.carry_out(broker, running, &mut out);
        let answer = match out.replies.iter().position(|(answered, _)| *answered == token) {
            Some(at) => Answer::Now(out.replies.swap_remove(at).1),
            None => {
                let (responder, promised) = promise();
                running.waiting.insert(token, responder);
                Answer::Later(promised)
            }
        };
        let aftermath = settle(&mut state, out, unsynced);
        drop(state);
        self.finish(broker, aftermath);
        answer
    }

    /// Lets the coordinator do something that nobody asked for.
    pub(crate) fn run(self: &Arc<Self>, broker: &Arc<Broker>, work: impl FnOnce(&mut C, &mut EffectsOf<C>)) {
        self.run_in(None, broker, work);
    }

    /// As [`Shard::run`], but only in the life given, if there is one.
    fn run_in(self: &Arc<Self>, life: Option<u64>, broker: &Arc<Broker>, work: impl FnOnce(&mut C, &mut EffectsOf<C>)) {
        let mut state = self.state.lock();
        let State::Running(running) = &mut *state else { return };
        if life.is_some_and(|life| life != running.life) {
            return;
        }
        let mut out = EffectsOf::<C>::default();
        work(&mut running.machine, &mut out);
        let unsynced = self.carry_out(broker, running, &mut out);
        let aftermath = settle(&mut state, out, unsynced);
        drop(state);
        self.finish(broker, aftermath);
    }

    /// Writes the end of a transaction that wrote to the partition, and lets the coordinator know once it is committed.
    pub(crate) fn end_transaction(self: &Arc<Self>, broker: &Arc<Broker>, marker: &EndMarker) -> Written {
        let mut state = self.state.lock();
        // The transaction coordinator comes again.
        let State::Running(running) = &mut *state else { return Written::Now(Err(ErrorCode::NotLeaderOrFollower)) };
        let now_ms = broker.coordinators().now_ms(broker);
        let appended = marker.batch(now_ms).and_then(|batch| {
            self.partition.append_marker(&batch, marker.is_raised(), now_ms).map_err(|error| error.code())
        });
        let appended = match appended {
            Ok(appended) => appended,
            Err(code) => return Written::Now(Err(code)),
        };
        let EndMarker { producer, outcome, .. } = *marker;
        if !appended.flush_due {
            running.machine.replay_transaction_end(producer.id, outcome);
            return Written::Now(Ok(()));
        }
        let life = running.life;
        drop(state);
        let (responder, promised) = promise();
        let (shard, broker) = (Arc::clone(self), Arc::clone(broker));
        let synced = broker.flusher().submit(&self.partition, appended.result.last_offset + 1);
        synced.then(move |synced| {
            let synced = synced.unwrap_or(Err(ErrorCode::KafkaStorageError));
            if synced.is_ok() {
                shard.run_in(Some(life), &broker, |machine, _| machine.replay_transaction_end(producer.id, outcome));
            }
            responder.send(synced);
        });
        Written::Later(promised)
    }

    /// Lets the coordinator answer at once.
    /// # Errors
    /// `CoordinatorLoadInProgress`, `NotCoordinator`.
    pub(crate) fn look<T>(&self, broker: &Arc<Broker>, request: impl FnOnce(&mut C) -> T) -> Result<T, ErrorCode> {
        let mut state = self.state.lock();
        match &mut *state {
            State::Running(running) => {
                let answer = request(&mut running.machine);
                let deadline = running.machine.next_deadline();
                drop(state);
                self.set_deadline(broker, deadline);
                Ok(answer)
            }
            State::Loading(_) => Err(ErrorCode::CoordinatorLoadInProgress),
            State::Gone => Err(ErrorCode::NotCoordinator),
        }
    }

    /// Appends what is to be written, and what comes of that, until nothing is left but syncs. `out` keeps the rest.
    fn carry_out(&self, broker: &Arc<Broker>, running: &mut Running<C>, out: &mut EffectsOf<C>) -> Vec<Unsynced> {
        let now_ms = broker.coordinators().now_ms(broker);
        let mut unsynced = Vec::new();
        while !out.writes.is_empty() {
            for write in std::mem::take(&mut out.writes) {
                let outcome = match self.append(broker, &write, now_ms) {
                    Ok((base_offset, None)) => Ok(base_offset),
                    Ok((base_offset, Some(synced))) => {
                        unsynced.push(Unsynced { id: write.id, life: running.life, base_offset, synced });
                        continue;
                    }
                    Err(code) => Err(code),
                };
                running.machine.complete_write(now_ms, write.id, outcome, out);
                if out.reload {
                    // What came later was decided on what was refused.
                    out.writes.clear();
                    return unsynced;
                }
            }
        }
        unsynced
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
        let mut batch = BatchSettings { compression: C::compression(&broker.config()), ..Default::default() };
        if let Some(producer) = write.producer {
            batch.producer_id = producer.id;
            batch.producer_epoch = producer.epoch;
            batch.base_sequence = 0;
            batch.is_transactional = true;
        }
        let mut builder = BatchBuilder::new(batch);
        for record in &write.records {
            builder.append(now_ms, Some(&record.key), record.value.as_deref(), &[]);
        }
        let bytes: Bytes = builder.build();
        if bytes.len() > settings.log.max_message_bytes as usize {
            return Err(ErrorCode::RecordListTooLarge);
        }
        let header = BatchHeader::parse(&bytes).map_err(|error| error.code())?;
        let batch = ValidBatch { bytes, header };
        let verification = match write.producer {
            Some(producer) => Verification::Required(producer.guard.map(VerificationGuard::from_number)),
            None => Verification::Unneeded,
        };
        let appended = self.partition.append_as_coordinator(&batch, verification, now_ms).map_err(|cause| {
            warn!(partition = %self.partition.topic_partition, %cause, "could not append coordinator records");
            cause.code()
        })?;
        let synced =
            appended.flush_due.then(|| broker.flusher().submit(&self.partition, appended.result.last_offset + 1));
        Ok((appended.result.first_offset, synced))
    }

    /// What is left to do without the lock: answers, actions, the next deadline, and completions that wait for a sync.
    fn finish(self: &Arc<Self>, broker: &Arc<Broker>, aftermath: Aftermath<C>) {
        for (responder, response) in aftermath.replies {
            responder.send(response);
        }
        self.set_deadline(broker, aftermath.deadline);
        for action in aftermath.actions {
            C::act(broker, action);
        }
        for write in aftermath.unsynced {
            let (shard, broker) = (Arc::clone(self), Arc::clone(broker));
            write.synced.then(move |synced| {
                let now_ms = broker.coordinators().now_ms(&broker);
                let outcome = synced.unwrap_or(Err(ErrorCode::KafkaStorageError)).map(|()| write.base_offset);
                shard.run_in(Some(write.life), &broker, |machine, out| {
                    machine.complete_write(now_ms, write.id, outcome, out);
                });
            });
        }
        if aftermath.reload {
            warn!(partition = %self.partition.topic_partition, "reading a coordinator's partition again");
            load::load(broker, self);
        }
    }

    fn set_deadline(&self, broker: &Arc<Broker>, deadline: Option<TimestampMs>) {
        let deadline = deadline.unwrap_or(NEVER);
        self.deadline.store(deadline, Ordering::SeqCst);
        broker.coordinators().alarm().ring(deadline);
    }
}

/// Sorts out what came of a call. A state machine that is to be reloaded ends here.
fn settle<C: Hosted>(state: &mut State<C>, out: EffectsOf<C>, unsynced: Vec<Unsynced>) -> Aftermath<C> {
    let mut aftermath =
        Aftermath { replies: Vec::new(), actions: out.actions, unsynced, deadline: None, reload: out.reload };
    let State::Running(running) = state else { return aftermath };
    aftermath.replies = running.take_waiting(out.replies);
    if !out.reload {
        aftermath.deadline = running.machine.next_deadline();
        return aftermath;
    }
    let next = State::Loading(running.life + 1);
    if let State::Running(running) = std::mem::replace(state, next) {
        aftermath.replies.extend(running.unload());
    }
    aftermath
}

impl<C: Hosted> Running<C> {
    fn take_waiting(&mut self, replies: Vec<(ReplyToken, C::Response)>) -> Vec<(Responder<C::Response>, C::Response)> {
        let answered = replies.into_iter();
        answered.filter_map(|(token, response)| Some((self.waiting.remove(&token)?, response))).collect()
    }

    /// Ends the state machine, and gives what those who wait are told.
    fn unload(self) -> Vec<(Responder<C::Response>, C::Response)> {
        let Self { machine, mut waiting, .. } = self;
        let mut out = EffectsOf::<C>::default();
        machine.unload(&mut out);
        let told = out.replies.into_iter();
        told.filter_map(|(token, response)| Some((waiting.remove(&token)?, response))).collect()
    }
}
