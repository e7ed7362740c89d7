//! The coordinators of one kind: one shard per partition of the internal topic that this broker leads.
//! Shards come and go with the metadata; each is behind a lock of its own, so that keys of different partitions do not
//! wait for each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use coordinator::{EffectsOf, ReplyToken, partition_for};
use metadata::ImageDelta;
use metadata::config::BrokerConfig;
use parking_lot::RwLock;
use protocol::ErrorCode;
use protocol::types::{PartitionIndex, TimestampMs};

use super::shard::Shard;
use super::{Hosted, load};
use crate::Broker;
use crate::dispatch::Reply;
use crate::markers::{EndMarker, Written};
use crate::partition::Partition;
use crate::promise::Promise;

/// The coordinators of one kind.
pub(crate) struct Coordinator<C: Hosted> {
    config: C::Config,
    /// Partitions of the internal topic, or those that it will have.
    partitions: AtomicI32,
    shards: RwLock<HashMap<PartitionIndex, Arc<Shard<C>>>>,
}

/// What a coordinator says to a request.
pub(crate) enum Answer<R> {
    /// This.
    Now(R),
    /// What comes of this; nothing if the shard goes away first.
    Later(Promise<R>),
    /// It cannot say: the key is loaded elsewhere, or not yet.
    Refused(ErrorCode),
}

impl<R: Send + 'static> Answer<R> {
    /// The reply that `respond` makes of the answer, or of the reason that there is none.
    pub(crate) fn reply<T: Send + 'static>(
        self,
        respond: impl FnOnce(Result<R, ErrorCode>) -> T + Send + 'static,
    ) -> Reply<T> {
        match self {
            Self::Now(response) => Reply::Now(respond(Ok(response))),
            Self::Refused(code) => Reply::Now(respond(Err(code))),
            Self::Later(promise) => {
                Reply::Later(Box::pin(async move { respond(promise.await.ok_or(ErrorCode::NotCoordinator)) }))
            }
        }
    }

    /// The answer, when it is there.
    pub(crate) async fn wait(self) -> Result<R, ErrorCode> {
        match self {
            Self::Now(response) => Ok(response),
            Self::Refused(code) => Err(code),
            Self::Later(promise) => promise.await.ok_or(ErrorCode::NotCoordinator),
        }
    }
}

/// What is done with coordinators of every kind alike.
pub(super) trait Kind {
    /// Their internal topic.
    fn topic(&self) -> &'static str;

    /// Takes over shards, and tells those that there are what changed.
    fn metadata_changed(&self, broker: &Arc<Broker>, delta: &ImageDelta);

    /// Gives up all shards.
    fn unload(&self);

    /// Fires what is due at `now_ms`, and gives the next deadline.
    fn fire(&self, broker: &Arc<Broker>, now_ms: TimestampMs) -> Option<TimestampMs>;
}

impl<C: Hosted> Coordinator<C> {
    pub(super) fn new(config: &BrokerConfig) -> Self {
        Self { config: C::config(config), partitions: AtomicI32::new(C::partitions(config)), shards: RwLock::default() }
    }

    /// Settings of the state machines.
    pub(super) fn config(&self) -> &C::Config {
        &self.config
    }

    /// The partition of the internal topic that a key lives in.
    pub(crate) fn partition_of(&self, key: &str) -> PartitionIndex {
        partition_for(key, self.partitions.load(Ordering::Acquire))
    }

    /// Lets the shard of a key handle a request.
    pub(crate) fn ask(
        &self,
        broker: &Arc<Broker>,
        key: &str,
        request: impl FnOnce(&mut C, ReplyToken, &mut EffectsOf<C>),
    ) -> Answer<C::Response> {
        match self.shard_of(key) {
            Ok(shard) => shard.ask(broker, request),
            Err(code) => Answer::Refused(code),
        }
    }

    /// Lets the shard of a key answer at once, without writing.
    /// # Errors
    /// `NotCoordinator`, `CoordinatorLoadInProgress`.
    pub(crate) fn look<T>(
        &self,
        broker: &Arc<Broker>,
        key: &str,
        request: impl FnOnce(&mut C) -> T,
    ) -> Result<T, ErrorCode> {
        self.shard_of(key)?.look(broker, request)
    }

    /// Lets every shard answer. One that is still loading fails the whole.
    /// # Errors
    /// `CoordinatorLoadInProgress`.
    pub(crate) fn look_at_all<T>(&self, broker: &Arc<Broker>, request: impl Fn(&C) -> T) -> Result<Vec<T>, ErrorCode> {
        let answers = self.all().into_iter().map(|shard| shard.look(broker, |machine| request(machine)));
        answers.filter(|answer| !matches!(answer, Err(ErrorCode::NotCoordinator))).collect()
    }

    /// Lets the shard of a key do something that nobody waits for.
    pub(crate) fn run(&self, broker: &Arc<Broker>, key: &str, work: impl FnOnce(&mut C, &mut EffectsOf<C>)) {
        if let Ok(shard) = self.shard_of(key) {
            shard.run(broker, work);
        }
    }

    /// The partition of the log that a key lives in, if this broker leads it.
    /// # Errors
    /// `NotCoordinator`.
    pub(crate) fn log_of(&self, key: &str) -> Result<Arc<Partition>, ErrorCode> {
        Ok(Arc::clone(self.shard_of(key)?.partition()))
    }

    /// Writes the end of a transaction to a partition of the internal topic, and lets its shard know.
    pub(crate) fn end_transaction(&self, broker: &Arc<Broker>, index: PartitionIndex, marker: &EndMarker) -> Written {
        let shard = self.shards.read().get(&index).cloned();
        match shard {
            Some(shard) => shard.end_transaction(broker, marker),
            None => Written::Now(Err(ErrorCode::NotLeaderOrFollower)),
        }
    }

    fn shard_of(&self, key: &str) -> Result<Arc<Shard<C>>, ErrorCode> {
        self.shards.read().get(&self.partition_of(key)).cloned().ok_or(ErrorCode::NotCoordinator)
    }

    /// All shards, in the order of their partitions.
    fn all(&self) -> Vec<Arc<Shard<C>>> {
        let mut shards: Vec<Arc<Shard<C>>> = self.shards.read().values().cloned().collect();
        shards.sort_unstable_by_key(|shard| shard.index());
        shards
    }

    /// Takes over shards as this broker becomes leader of partitions of the internal topic.
    fn take_over(&self, broker: &Arc<Broker>) {
        let image = broker.image();
        let Some(topic) = image.topic(C::TOPIC) else { return };
        let count = i32::try_from(topic.partitions().count()).unwrap_or(i32::MAX);
        self.partitions.store(count, Ordering::Release);
        for partition in broker.partitions().of_topic(C::TOPIC) {
            let index = partition.topic_partition.partition;
            if self.shards.read().contains_key(&index) {
                continue;
            }
            let shard = Arc::new(Shard::new(partition));
            self.shards.write().insert(index, Arc::clone(&shard));
            load::load(broker, &shard);
        }
    }
}

impl<C: Hosted> Kind for Coordinator<C> {
    fn topic(&self) -> &'static str {
        C::TOPIC
    }

    fn metadata_changed(&self, broker: &Arc<Broker>, delta: &ImageDelta) {
        let now_ms = broker.coordinators().now_ms(broker);
        let image = broker.image();
        for shard in self.all() {
            shard.run(broker, |machine, out| machine.metadata_changed(now_ms, &image, delta, out));
        }
        self.take_over(broker);
    }

    fn unload(&self) {
        for shard in std::mem::take(&mut *self.shards.write()).into_values() {
            shard.unload();
        }
    }

    fn fire(&self, broker: &Arc<Broker>, now_ms: TimestampMs) -> Option<TimestampMs> {
        let shards = self.all();
        for shard in shards.iter().filter(|shard| shard.deadline().is_some_and(|deadline| deadline <= now_ms)) {
            shard.run(broker, |machine, out| machine.tick(now_ms, out));
        }
        shards.iter().filter_map(|shard| shard.deadline()).min()
    }
}
