//! The group coordinators that this broker runs: one shard per partition of `__consumer_offsets` that it leads.
//! Shards come and go with the metadata; each is behind a lock of its own, so that groups of different partitions do not
//! wait for each other. [`drive`] fires their timeouts.

mod alarm;
mod load;
mod shard;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use coordinator::{Effects, GroupConfig, GroupResponse, GroupShard, ReplyToken};
use metadata::ImageDelta;
use metadata::config::BrokerConfig;
use parking_lot::RwLock;
use protocol::types::{PartitionIndex, TimestampMs};
use protocol::{ErrorCode, Uuid};

use crate::Broker;
use crate::auto_create::CONSUMER_OFFSETS;
use crate::dispatch::{Reply, RequestContext};
use crate::promise::Promise;
use alarm::Alarm;
use shard::Shard;

/// All shards.
pub struct Coordinators {
    config: GroupConfig,
    /// Partitions of `__consumer_offsets`, or those that it will have.
    partitions: AtomicI32,
    shards: RwLock<HashMap<PartitionIndex, Arc<Shard>>>,
    alarm: Alarm,
    /// What wall time was ahead of monotonic time when the broker started.
    started_ms: OnceLock<TimestampMs>,
}

/// What a coordinator says to a request.
pub(crate) enum Answer {
    /// This.
    Now(GroupResponse),
    /// What comes of this; nothing if the shard goes away first.
    Later(Promise<GroupResponse>),
    /// It cannot say: the group is loaded elsewhere, or not yet.
    Refused(ErrorCode),
}

impl Answer {
    /// The reply that `respond` makes of the answer, or of the reason that there is none.
    pub(crate) fn reply<T: Send + 'static>(
        self,
        respond: impl FnOnce(Result<GroupResponse, ErrorCode>) -> T + Send + 'static,
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
    pub(crate) async fn wait(self) -> Result<GroupResponse, ErrorCode> {
        match self {
            Self::Now(response) => Ok(response),
            Self::Refused(code) => Err(code),
            Self::Later(promise) => promise.await.ok_or(ErrorCode::NotCoordinator),
        }
    }
}

impl Coordinators {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        Self {
            config: group_config(config),
            partitions: AtomicI32::new(config.offsets_topic_num_partitions()),
            shards: RwLock::default(),
            alarm: Alarm::default(),
            started_ms: OnceLock::new(),
        }
    }

    /// The time of the coordinators: wall time when the broker started, but never jumping afterwards, since members would
    /// lose their sessions.
    pub(crate) fn now_ms(&self, broker: &Broker) -> TimestampMs {
        let monotonic_ms = broker.monotonic_ms();
        monotonic_ms + self.started_ms.get_or_init(|| broker.wall_ms() - monotonic_ms)
    }

    /// The partition of `__consumer_offsets` that a group lives in.
    pub(crate) fn partition_of(&self, group_id: &str) -> PartitionIndex {
        coordinator::partition_for(group_id, self.partitions.load(Ordering::Acquire))
    }

    /// Lets the shard of a group handle a request.
    pub(crate) fn ask(
        &self,
        broker: &Arc<Broker>,
        group_id: &str,
        request: impl FnOnce(&mut GroupShard, ReplyToken, &mut Effects),
    ) -> Answer {
        match self.shard_of(group_id) {
            Ok(shard) => shard.ask(broker, request),
            Err(code) => Answer::Refused(code),
        }
    }

    /// Lets the shard of a group answer at once, without writing.
    /// # Errors
    /// `NotCoordinator`, `CoordinatorLoadInProgress`.
    pub(crate) fn look<T>(
        &self,
        broker: &Arc<Broker>,
        group_id: &str,
        request: impl FnOnce(&mut GroupShard) -> T,
    ) -> Result<T, ErrorCode> {
        self.shard_of(group_id)?.look(broker, request)
    }

    /// Lets every shard answer. One that is still loading fails the whole.
    /// # Errors
    /// `CoordinatorLoadInProgress`.
    pub(crate) fn look_at_all<T>(
        &self,
        broker: &Arc<Broker>,
        request: impl Fn(&GroupShard) -> T,
    ) -> Result<Vec<T>, ErrorCode> {
        let answers = self.all().into_iter().map(|shard| shard.look(broker, |groups| request(groups)));
        answers.filter(|answer| !matches!(answer, Err(ErrorCode::NotCoordinator))).collect()
    }

    /// Takes over shards as this broker becomes leader of partitions of `__consumer_offsets`.
    pub(crate) fn metadata_changed(&self, broker: &Arc<Broker>, _delta: &ImageDelta) {
        let image = broker.image();
        let Some(topic) = image.topic(CONSUMER_OFFSETS) else { return };
        let count = i32::try_from(topic.partitions().count()).unwrap_or(i32::MAX);
        self.partitions.store(count, Ordering::Release);
        for partition in broker.partitions().of_topic(CONSUMER_OFFSETS) {
            let index = partition.topic_partition.partition;
            if self.shards.read().contains_key(&index) {
                continue;
            }
            let shard = Arc::new(Shard::new(partition));
            self.shards.write().insert(index, Arc::clone(&shard));
            load::load(broker, &shard, self.config.clone());
        }
    }

    /// Forgets the offsets of a topic that is about to be deleted, and every group if it is `__consumer_offsets` itself.
    pub(crate) fn topic_deleted(&self, broker: &Arc<Broker>, topic: &str) {
        if topic == CONSUMER_OFFSETS {
            let shards = std::mem::take(&mut *self.shards.write());
            for shard in shards.into_values() {
                shard.unload();
            }
            return;
        }
        let topic_id = broker.partitions().of_topic(topic).first().map_or(Uuid::ZERO, |partition| partition.topic_id);
        let topics = [(topic.to_owned(), topic_id)];
        let now_ms = self.now_ms(broker);
        for shard in self.all() {
            shard.run(broker, |groups, out| groups.topics_deleted(now_ms, &topics, out));
        }
    }

    /// Lets whoever waits for a shard know that the broker goes down.
    pub(crate) fn shut_down(&self) {
        for shard in std::mem::take(&mut *self.shards.write()).into_values() {
            shard.unload();
        }
    }

    /// Fires what is due, and gives the next deadline.
    fn fire(&self, broker: &Arc<Broker>) -> Option<TimestampMs> {
        let now_ms = self.now_ms(broker);
        let shards = self.all();
        for shard in shards.iter().filter(|shard| shard.deadline().is_some_and(|deadline| deadline <= now_ms)) {
            shard.run(broker, |groups, out| groups.tick(now_ms, out));
        }
        shards.iter().filter_map(|shard| shard.deadline()).min()
    }

    fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    fn shard_of(&self, group_id: &str) -> Result<Arc<Shard>, ErrorCode> {
        self.shards.read().get(&self.partition_of(group_id)).cloned().ok_or(ErrorCode::NotCoordinator)
    }

    /// All shards, in the order of their partitions.
    fn all(&self) -> Vec<Arc<Shard>> {
        let mut shards: Vec<Arc<Shard>> = self.shards.read().values().cloned().collect();
        shards.sort_unstable_by_key(|shard| shard.index());
        shards
    }
}

/// Fires the timeouts of the group coordinators for as long as it is polled.
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

fn group_config(config: &BrokerConfig) -> GroupConfig {
    GroupConfig {
        min_session_timeout_ms: config.group_min_session_timeout_ms(),
        max_session_timeout_ms: config.group_max_session_timeout_ms(),
        initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms(),
        max_size: usize::try_from(config.group_max_size()).unwrap_or(0),
        offset_metadata_max_size: usize::try_from(config.offset_metadata_max_bytes()).unwrap_or(0),
        offsets_retention_ms: i64::from(config.offsets_retention_minutes()) * 60_000,
        offsets_retention_check_interval_ms: config.offsets_retention_check_interval_ms(),
        ..GroupConfig::default()
    }
}

/// What a coordinator is told of whoever sends a request.
pub(crate) fn coordinator_context(broker: &Arc<Broker>, context: &RequestContext) -> coordinator::RequestContext {
    coordinator::RequestContext {
        now_ms: broker.coordinators().now_ms(broker),
        client_id: context.client_id.clone(),
        client_host: java_address(context.connection.peer),
        api_version: context.version,
        fresh_id: broker.random_uuid(),
    }
}

/// An address as Java's `InetAddress` prints it: without a host name, and IPv6 in full.
fn java_address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => format!("/{}", address.segments().map(|segment| format!("{segment:x}")).join(":")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_by_java() {
        let printed = |text: &str| java_address(text.parse().expect("an address"));
        assert_eq!(printed("127.0.0.1"), "/127.0.0.1");
        assert_eq!(printed("::ffff:10.0.0.1"), "/10.0.0.1");
        assert_eq!(printed("fe80::1"), "/fe80:0:0:0:0:0:0:1");
    }
}
