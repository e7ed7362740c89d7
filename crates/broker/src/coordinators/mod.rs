//! The coordinators that this broker runs, one [`Coordinator`] of each kind over the partitions of its internal topic that
//! this broker leads. [`drive`] fires the timeouts of all of them.

mod alarm;
mod coordinator;
mod groups;
mod load;
mod shard;
mod share;
mod transactions;

use std::sync::{Arc, OnceLock};

use ::coordinator::share::ShareShard;
use ::coordinator::{GroupShard, StateMachine, TransactionShard};
use metadata::ImageDelta;
use metadata::config::BrokerConfig;
use protocol::record::Compression;
use protocol::types::TimestampMs;

use crate::Broker;
pub(crate) use alarm::Alarm;
use coordinator::Kind;

pub(crate) use coordinator::{Answer, Coordinator};
pub(crate) use groups::coordinator_context;
pub(crate) use transactions::decide;

/// All coordinators.
pub(crate) struct Coordinators {
    groups: Coordinator<GroupShard>,
    transactions: Coordinator<TransactionShard>,
    share: Coordinator<ShareShard>,
    alarm: Alarm,
    /// What wall time was ahead of monotonic time when the broker started.
    started_ms: OnceLock<TimestampMs>,
}

/// A state machine that this broker runs as a coordinator, and its settings.
pub(crate) trait Hosted: StateMachine {
    /// The coordinators of this kind.
    fn of(coordinators: &Coordinators) -> &Coordinator<Self>;

    /// Settings of the state machine.
    fn config(config: &BrokerConfig) -> Self::Config;

    /// How many partitions the internal topic is created with.
    fn partitions(config: &BrokerConfig) -> i32;

    /// Codec of its records.
    fn compression(config: &BrokerConfig) -> Compression;

    /// Bytes that are read at a time when a partition is loaded.
    fn load_buffer_size(config: &BrokerConfig) -> i32;

    /// Does what a state machine wants done beside answers and writes.
    fn act(broker: &Arc<Broker>, action: Self::Action);
}

impl Coordinators {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        Self {
            groups: Coordinator::new(config),
            transactions: Coordinator::new(config),
            share: Coordinator::new(config),
            alarm: Alarm::default(),
            started_ms: OnceLock::new(),
        }
    }

    /// The group coordinators.
    pub(crate) fn groups(&self) -> &Coordinator<GroupShard> {
        &self.groups
    }

    /// The transaction coordinators.
    pub(crate) fn transactions(&self) -> &Coordinator<TransactionShard> {
        &self.transactions
    }

    /// The share coordinators.
    pub(crate) fn share(&self) -> &Coordinator<ShareShard> {
        &self.share
    }

    /// The time of the coordinators: wall time when the broker started, but never jumping afterwards, since members would
    /// lose their sessions.
    pub(crate) fn now_ms(&self, broker: &Broker) -> TimestampMs {
        let monotonic_ms = broker.monotonic_ms();
        monotonic_ms + self.started_ms.get_or_init(|| broker.wall_ms() - monotonic_ms)
    }

    /// Takes over partitions as this broker becomes their leader, and tells what changed to those that it has.
    pub(crate) fn metadata_changed(&self, broker: &Arc<Broker>, delta: &ImageDelta) {
        for kind in self.kinds() {
            kind.metadata_changed(broker, delta);
        }
    }

    /// Gives up all shards of an internal topic that is about to be deleted.
    pub(crate) fn topic_deleted(&self, topic: &str) {
        for kind in self.kinds().into_iter().filter(|kind| kind.topic() == topic) {
            kind.unload();
        }
    }

    /// Lets whoever waits for a coordinator know that the broker goes down.
    pub(crate) fn shut_down(&self) {
        for kind in self.kinds() {
            kind.unload();
        }
    }

    /// Groups first: transactions that end while they are loaded have offsets to commit.
    fn kinds(&self) -> [&dyn Kind; 3] {
        [&self.groups, &self.transactions, &self.share]
    }

    /// Fires what is due, and gives the next deadline.
    fn fire(&self, broker: &Arc<Broker>) -> Option<TimestampMs> {
        let now_ms = self.now_ms(broker);
        self.kinds().into_iter().filter_map(|kind| kind.fire(broker, now_ms)).min()
    }

    fn alarm(&self) -> &Alarm {
        &self.alarm
    }
}

/// Fires the timeouts of the coordinators for as long as it is polled.
pub async fn drive(broker: Arc<Broker>) {
    loop {
        let coordinators = broker.coordinators();
        coordinators.alarm().reset();
        let next_ms = coordinators.fire(&broker);
        // The broker's timers count monotonic time.
        let ahead_ms = coordinators.now_ms(&broker) - broker.monotonic_ms();
        let deadline = next_ms.map(|next_ms| broker.timers().deadline(next_ms - ahead_ms));
        coordinators.alarm().wait(next_ms, deadline).await;
    }
}
