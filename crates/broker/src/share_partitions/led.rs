//! One share-partition with its lock: loads its state, stores its changes, and wakes the fetches that wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use coordinator::share::{NO_START_OFFSET, ShareAnswer, ShareError, ShareKey, ShareResponse, ShareState};
use parking_lot::{Mutex, MutexGuard};
use protocol::ErrorCode;
use protocol::types::{Offset, TimestampMs};
use tracing::{error, info, warn};

use super::settings::{self, OffsetReset};
use crate::Broker;
use crate::coordinators::Answer;
use crate::partition::Partition;
use crate::promise::{Promise, Responder, promise};
use crate::purgatory::Watchers;
use crate::share_partition::{Acknowledgement, Persist, SharePartition, WriteId};
use crate::share_state::{self, ShareRequest};

/// No lock is held.
const NEVER: TimestampMs = i64::MAX;

/// A share-partition of a partition that this broker leads.
pub(crate) struct Led {
    key: ShareKey,
    partition: Arc<Partition>,
    stage: Mutex<Stage>,
    /// Answers of the coordinator that came while somebody held the lock.
    answered: Mutex<Vec<Answered>>,
    watchers: Watchers,
    timeout: AtomicI64,
}

/// How far a share-partition is.
pub(super) enum Stage {
    /// Its state is to be read.
    New,
    /// Its state is being read.
    Loading,
    /// It serves fetches.
    Active(Box<SharePartition>),
    /// It does not, and will not.
    Gone(Refusal),
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: code.message().to_owned() }
    }
}

/// What became of a change.
pub(crate) enum Stored {
    /// This.
    Now(Result<(), Refusal>),
    /// What comes of this.
    Later(Promise<Result<(), Refusal>>),
}

struct Answered {
    write: WriteId,
    response: ShareResponse,
    responder: Responder<Result<(), Refusal>>,
}

impl Led {
    pub(super) fn new(key: ShareKey, partition: Arc<Partition>) -> Self {
        Self {
            key,
            partition,
            stage: Mutex::new(Stage::New),
            answered: Mutex::default(),
            watchers: Watchers::default(),
            timeout: AtomicI64::new(NEVER),
        }
    }

    pub(super) fn key(&self) -> &ShareKey {
        &self.key
    }

    pub(crate) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// When the next lock ends.
    pub(super) fn next_timeout(&self) -> Option<TimestampMs> {
        Some(self.timeout.load(Ordering::SeqCst)).filter(|timeout| *timeout != NEVER)
    }

    /// Nobody is served by it any more.
    pub(super) fn fence(&self) {
        let fenced = Refusal::from(ErrorCode::NotLeaderOrFollower);
        let mut stage = self.stage.lock();
        if !matches!(*stage, Stage::Gone(_)) {
            *stage = Stage::Gone(fenced);
        }
        drop(stage);
        self.timeout.store(NEVER, Ordering::SeqCst);
        self.watchers.wake();
    }

    /// Lets `act` look at the share-partition. If its state is not there yet, it is read, and `None` comes back.
    pub(super) fn with<T>(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        act: impl FnOnce(&mut SharePartition) -> T,
    ) -> Result<Option<T>, Refusal> {
        let mut stage = self.stage.lock();
        let done = match &mut *stage {
            Stage::Active(partition) => {
                let done = act(partition);
                self.set_timeout(broker, partition);
                Ok(Some(done))
            }
            Stage::Gone(refusal) => Err(refusal.clone()),
            Stage::Loading => Ok(None),
            Stage::New => {
                *stage = Stage::Loading;
                drop(stage);
                self.load(broker);
                return Ok(None);
            }
        };
        drop(stage);
        self.settle(broker);
        done
    }

    fn load(self: &Arc<Self>, broker: &Arc<Broker>) {
        let request = ShareRequest::Read { leader_epoch: self.partition.leader_epoch() };
        match share_state::ask(broker, &self.key, &request) {
            Answer::Now(response) => self.loaded(broker, response),
            Answer::Refused(code) => self.loaded(broker, Err(ShareError::Refused(code))),
            Answer::Later(promise) => {
                let (led, broker) = (Arc::clone(self), Arc::clone(broker));
                promise.then(move |response| {
                    led.loaded(&broker, response.unwrap_or(Err(ShareError::Refused(ErrorCode::NotCoordinator))));
                });
            }
        }
    }

    fn loaded(&self, broker: &Broker, response: ShareResponse) {
        let stage = match response {
            Ok(ShareAnswer::State(state)) => self.take_over(broker, &state),
            Ok(ShareAnswer::Done | ShareAnswer::Summary(_)) => Stage::Gone(ErrorCode::UnknownServerError.into()),
            Err(ShareError::Refused(code)) if share_state::may_retry(code) => Stage::New,
            Err(cause) => {
                warn!(key = self.key.coordinator_key(), %cause, "could not read the state of a share-partition");
                Stage::Gone(refusal(cause))
            }
        };
        let (gone, again) = (matches!(stage, Stage::Gone(_)), matches!(stage, Stage::New));
        {
            let mut current = self.stage.lock();
            if matches!(*current, Stage::Loading) {
                *current = stage;
            }
        }
        if gone {
            broker.share_partitions().remove(self);
        }
        // Who waits looks again from time to time: waking it at once would turn in circles.
        if !again {
            self.watchers.wake();
        }
    }

    fn take_over(&self, broker: &Broker, state: &ShareState) -> Stage {
        let settings = settings::of(broker, &self.key.group_id);
        let start_offset = match state.start_offset {
            NO_START_OFFSET => self.first_start_offset(broker, settings.offset_reset),
            offset => Ok(offset),
        };
        let leader_epoch = self.partition.leader_epoch();
        let loaded = start_offset.and_then(|start_offset| {
            SharePartition::new(settings.partition, leader_epoch, start_offset, state).map_err(|cause| {
                error!(key = self.key.coordinator_key(), %cause, "the state of a share-partition makes no sense");
                ErrorCode::UnknownServerError
            })
        });
        match loaded {
            Ok(partition) => {
                info!(
                    key = self.key.coordinator_key(),
                    start_offset = partition.start_offset(),
                    "loaded a share-partition"
                );
                Stage::Active(Box::new(partition))
            }
            Err(code) => Stage::Gone(code.into()),
        }
    }

    fn first_start_offset(&self, broker: &Broker, reset: OffsetReset) -> Result<Offset, ErrorCode> {
        let view = self.partition.view();
        match reset {
            OffsetReset::Earliest => Ok(view.log_start_offset),
            OffsetReset::Latest => Ok(view.high_watermark),
            OffsetReset::ByDuration(age_ms) => {
                let found = view.offset_for_timestamp(broker.wall_ms() - age_ms).map_err(|error| error.code())?;
                Ok(found.map_or(view.high_watermark, |found| found.offset.min(view.high_watermark)))
            }
        }
    }

    /// Takes what a member says of its records.
    pub(super) fn acknowledge(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        member: &str,
        said: &[Acknowledgement],
    ) -> Stored {
        let settings = settings::of(broker, &self.key.group_id).partition;
        let now_ms = broker.monotonic_ms();
        self.change(broker, |partition| {
            partition.set_settings(settings);
            let changed = partition.acknowledge(member, said, now_ms);
            changed.map_err(|refusal| Refusal { code: refusal.code(), message: refusal.to_string() })
        })
    }

    /// Takes from a member what it has.
    pub(super) fn release(self: &Arc<Self>, broker: &Arc<Broker>, member: &str) {
        drop(self.change(broker, |partition| Ok(partition.release_all(member))));
    }

    /// Takes from all members what they have had for too long.
    pub(super) fn expire(self: &Arc<Self>, broker: &Arc<Broker>) {
        let now_ms = broker.monotonic_ms();
        let mut expired = false;
        drop(self.change(broker, |partition| {
            let persist = partition.expire(now_ms);
            expired = persist.is_some();
            Ok(persist)
        }));
        if expired {
            self.watchers.wake();
        }
    }

    fn change(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        act: impl FnOnce(&mut SharePartition) -> Result<Option<Persist>, Refusal>,
    ) -> Stored {
        let mut stage = self.stage.lock();
        let partition = match &mut *stage {
            Stage::Active(partition) => partition,
            Stage::Gone(refusal) => return Stored::Now(Err(refusal.clone())),
            // Nobody can have records of it.
            Stage::New | Stage::Loading => return Stored::Now(Err(ErrorCode::InvalidRecordState.into())),
        };
        let changed = act(partition);
        self.set_timeout(broker, partition);
        match changed {
            Ok(Some(persist)) => self.store(broker, stage, persist),
            Ok(None) => {
                drop(stage);
                self.settle(broker);
                Stored::Now(Ok(()))
            }
            Err(refusal) => {
                drop(stage);
                self.settle(broker);
                Stored::Now(Err(refusal))
            }
        }
    }

    fn store(self: &Arc<Self>, broker: &Arc<Broker>, mut stage: MutexGuard<'_, Stage>, persist: Persist) -> Stored {
        let Persist { id, write } = persist;
        let response = match share_state::ask(broker, &self.key, &ShareRequest::Write(write)) {
            Answer::Now(response) => response,
            Answer::Refused(code) => Err(ShareError::Refused(code)),
            Answer::Later(waiting) => {
                drop(stage);
                let (responder, promised) = promise();
                let (led, owner) = (Arc::clone(self), Arc::clone(broker));
                waiting.then(move |response| {
                    let response = response.unwrap_or(Err(ShareError::Refused(ErrorCode::NotCoordinator)));
                    led.answered.lock().push(Answered { write: id, response, responder });
                    led.settle(&owner);
                });
                self.settle(broker);
                return Stored::Later(promised);
            }
        };
        let (outcome, wake) = take(&mut stage, broker, id, response);
        drop(stage);
        self.stored(broker, &outcome, wake);
        self.settle(broker);
        Stored::Now(outcome)
    }

    /// Takes the answers that came while the lock was held. Whoever gives the lock back comes here.
    fn settle(&self, broker: &Arc<Broker>) {
        while !self.answered.lock().is_empty() {
            // Whoever holds it comes here afterwards.
            let Some(mut stage) = self.stage.try_lock() else { return };
            let answered = std::mem::take(&mut *self.answered.lock());
            let mut settled = Vec::with_capacity(answered.len());
            for Answered { write, response, responder } in answered {
                settled.push((take(&mut stage, broker, write, response), responder));
            }
            drop(stage);
            for ((outcome, wake), responder) in settled {
                self.stored(broker, &outcome, wake);
                responder.send(outcome);
            }
        }
    }

    fn stored(&self, broker: &Broker, outcome: &Result<(), Refusal>, wake: bool) {
        let fenced = outcome.as_ref().is_err_and(|refusal| {
            matches!(
                refusal.code,
                ErrorCode::NotLeaderOrFollower | ErrorCode::GroupIdNotFound | ErrorCode::UnknownTopicOrPartition
            )
        });
        if fenced {
            info!(key = self.key.coordinator_key(), "a share-partition was fenced");
            broker.share_partitions().remove(self);
        } else if wake {
            self.watchers.wake();
        }
    }

    fn set_timeout(&self, broker: &Broker, partition: &SharePartition) {
        let timeout = partition.next_timeout().unwrap_or(NEVER);
        if self.timeout.swap(timeout, Ordering::SeqCst) != timeout {
            broker.share_partitions().alarm().ring(timeout);
        }
    }
}

/// Tells a share-partition that a change is stored, or not.
fn take(stage: &mut Stage, broker: &Broker, id: WriteId, response: ShareResponse) -> (Result<(), Refusal>, bool) {
    let outcome = response.map(drop).map_err(|cause| {
        if !matches!(cause, ShareError::FencedStateEpoch | ShareError::UnknownPartition) {
            warn!(%cause, "could not store the state of a share-partition");
        }
        refusal(cause)
    });
    let Stage::Active(partition) = stage else { return (outcome, false) };
    let wake = partition.persisted(id, outcome.is_ok(), broker.monotonic_ms());
    (outcome, wake)
}

/// What a member is told if the coordinator refuses.
fn refusal(cause: ShareError) -> Refusal {
    let code = match cause.code() {
        code if share_state::may_retry(code) => ErrorCode::CoordinatorNotAvailable,
        code @ (ErrorCode::GroupIdNotFound | ErrorCode::UnknownTopicOrPartition) => code,
        ErrorCode::FencedLeaderEpoch | ErrorCode::FencedStateEpoch => ErrorCode::NotLeaderOrFollower,
        _ => ErrorCode::UnknownServerError,
    };
    Refusal { code, message: cause.to_string() }
}
