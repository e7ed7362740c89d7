//! The consumer: reads partitions that are assigned by hand or by a group, in order of their offsets.
//! [`Consumer`] is owned by one task. Everything it waits for is done by tasks of its own that report [`event::Event`]s,
//! and only [`Consumer::poll`] takes these in: a `poll` that is cancelled loses neither records nor offsets.

mod assignment;
mod assignor;
pub(crate) mod completed;
mod config;
mod event;
mod fetcher;
mod membership;
mod poll;
mod positions;
mod rebalance;
mod session;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::TopicPartition;
use protocol::record::{Header, TimestampType};
use protocol::types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs};
use regex::Regex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use crate::offsets::{self, ListedOffset, PerPartition};
use crate::{Client, ClientError};
use assignment::{Assignment, EARLIEST, LATEST, Wanted};
use completed::CompletedFetch;
use event::Event;
use fetcher::Fetcher;
use rebalance::GroupState;

pub(crate) use assignor::decode_assignment;

pub use assignment::OffsetAndMetadata;
pub use assignor::Assignor;
pub use config::{ConsumerConfig, IsolationLevel, OffsetReset};
pub use rebalance::RebalanceListener;

/// Reports that wait for the next `poll`; tasks wait beyond that.
const MAX_EVENTS: usize = 1024;

/// A record that was read; key, value and headers are slices of the response it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its offset.
    pub offset: Offset,
    /// Its time.
    pub timestamp: TimestampMs,
    /// Whose clock that is from.
    pub timestamp_type: TimestampType,
    /// Epoch of the leader that wrote it, or -1 if unknown.
    pub leader_epoch: LeaderEpoch,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<Header>,
}

/// What a consumer reads.
#[derive(Debug)]
enum Subscription {
    None,
    Manual,
    Topics(BTreeSet<String>),
    Pattern(Regex),
}

#[derive(Debug, Default)]
struct MetadataState {
    fetched_at: Option<Instant>,
    wanted: bool,
    fetching: bool,
    retry_at: Option<Instant>,
}

/// Reads records; see the module. Dropping it keeps its place in the group until `session.timeout.ms` is over:
/// [`Consumer::close`] does not.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    config: Arc<ConsumerConfig>,
    subscription: Subscription,
    assignment: Assignment,
    fetcher: Fetcher,
    completed: VecDeque<CompletedFetch>,
    metadata: MetadataState,
    group: GroupState,
    auto_commit_at: Instant,
    auto_committing: bool,
    last_poll: Arc<Mutex<Instant>>,
    /// Found while records were there to be returned first.
    failure: Option<ClientError>,
    events: mpsc::Receiver<Event>,
    reports: mpsc::Sender<Event>,
    tasks: JoinSet<()>,
}

impl Consumer {
    /// A consumer with connections of its own to the cluster of `client`: fetches and joins hold a connection back.
    /// # Errors
    /// [`ClientError::InvalidArgument`] for settings that contradict each other.
    pub fn new(client: &Client, config: ConsumerConfig) -> Result<Self, ClientError> {
        if config.assignors.is_empty() {
            return Err(ClientError::InvalidArgument("partition.assignment.strategy is empty"));
        }
        if config.heartbeat_interval >= config.session_timeout {
            return Err(ClientError::InvalidArgument("heartbeat.interval.ms is not below session.timeout.ms"));
        }
        let (reports, events) = mpsc::channel(MAX_EVENTS);
        Ok(Self {
            client: client.with_own_connections(&default_client_id(&config)),
            auto_commit_at: Instant::now() + config.auto_commit_interval,
            config: Arc::new(config),
            subscription: Subscription::None,
            assignment: Assignment::default(),
            fetcher: Fetcher::default(),
            completed: VecDeque::new(),
            metadata: MetadataState::default(),
            group: GroupState::default(),
            auto_committing: false,
            last_poll: Arc::new(Mutex::new(Instant::now())),
            failure: None,
            events,
            reports,
            tasks: JoinSet::new(),
        })
    }

    /// Reads `topics` as a member of the group.
    /// # Errors
    /// [`ClientError::InvalidArgument`] without a `group.id`.
    pub fn subscribe<T: Into<String>>(&mut self, topics: impl IntoIterator<Item = T>) -> Result<(), ClientError> {
        self.change_subscription(Subscription::Topics(topics.into_iter().map(Into::into).collect()))
    }

    /// Reads all topics whose whole name matches, also those created later, as a member of the group.
    /// # Errors
    /// [`ClientError::InvalidArgument`] without a `group.id`, or for a malformed pattern.
    pub fn subscribe_pattern(&mut self, pattern: &str) -> Result<(), ClientError> {
        let whole = Regex::new(&format!("^(?:{pattern})$"));
        let pattern = whole.map_err(|_| ClientError::InvalidArgument("the pattern is not a regular expression"))?;
        self.change_subscription(Subscription::Pattern(pattern))
    }

    fn change_subscription(&mut self, subscription: Subscription) -> Result<(), ClientError> {
        if self.config.group_id.is_none() {
            return Err(ClientError::InvalidArgument("a subscription needs a group.id"));
        }
        if matches!(self.subscription, Subscription::Manual) {
            self.clear_assignment();
        }
        self.subscription = subscription;
        self.metadata.wanted = true;
        self.group.needs_join = true;
        Ok(())
    }

    /// Reads exactly `partitions`, without membership in a group.
    /// # Errors
    /// [`ClientError::InvalidArgument`] while there is a subscription.
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        if matches!(self.subscription, Subscription::Topics(_) | Subscription::Pattern(_)) {
            return Err(ClientError::InvalidArgument("partitions cannot be assigned while topics are subscribed"));
        }
        self.subscription = Subscription::Manual;
        self.metadata.wanted = true;
        self.assignment.replace(partitions, Wanted::Committed);
        self.drop_unassigned();
        Ok(())
    }

    /// Reads nothing any more and leaves the group; offsets are committed before if that is automatic. Where the group
    /// has given the partitions to others already, there is nothing to commit.
    /// # Errors
    /// The failure of leaving.
    pub async fn unsubscribe(&mut self) -> Result<(), ClientError> {
        if self.config.enable_auto_commit
            && self.config.group_id.is_some()
            && let Err(error) = self.commit().await
        {
            warn!(%error, "offsets could not be committed at the end");
        }
        let left = self.leave_group().await;
        self.subscription = Subscription::None;
        self.clear_assignment();
        left
    }

    /// The partitions that are read now.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.assignment.names()
    }

    /// Id in the group and the group's generation; -1 while there is no membership.
    #[must_use]
    pub fn membership(&self) -> (&str, i32) {
        (&self.group.standing.member_id, self.group.standing.generation)
    }

    /// Tells `listener` which partitions come and go; replaces the one before.
    pub fn set_rebalance_listener(&mut self, listener: Box<dyn RebalanceListener>) {
        self.group.listener = rebalance::Listener(Some(listener));
    }

    /// Continues in `partition` at `offset`.
    /// # Errors
    /// [`ClientError::InvalidArgument`] if it is not assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), ClientError> {
        self.assigned(partition)?.seek(offset, -1);
        Ok(())
    }

    /// Continues at the oldest records.
    /// # Errors
    /// [`ClientError::InvalidArgument`] if one is not assigned.
    pub fn seek_to_beginning(&mut self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        partitions.iter().try_for_each(|partition| {
            self.assigned(partition)?.want(Wanted::At(EARLIEST));
            Ok(())
        })
    }

    /// Continues after the newest records.
    /// # Errors
    /// [`ClientError::InvalidArgument`] if one is not assigned.
    pub fn seek_to_end(&mut self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        partitions.iter().try_for_each(|partition| {
            self.assigned(partition)?.want(Wanted::At(LATEST));
            Ok(())
        })
    }

    /// Returns no records of `partitions` until [`Consumer::resume`]; they stay assigned.
    /// # Errors
    /// [`ClientError::InvalidArgument`] if one is not assigned.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        self.set_paused(partitions, true)
    }

    /// Ends a pause.
    /// # Errors
    /// [`ClientError::InvalidArgument`] if one is not assigned.
    pub fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        self.set_paused(partitions, false)
    }

    /// The partitions that are paused.
    #[must_use]
    pub fn paused(&self) -> Vec<TopicPartition> {
        let paused = self.assignment.partitions.iter().filter(|(_, state)| state.paused);
        paused.map(|(partition, _)| partition.clone()).collect()
    }

    /// Offset of the next record of `partition`, if it is known already; see [`Consumer::position`].
    #[must_use]
    pub fn current_position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.assignment.partitions.get(partition)?.position.map(|(offset, _)| offset)
    }

    /// Records between the position and the end of what may be read, if both are known.
    #[must_use]
    pub fn current_lag(&self, partition: &TopicPartition) -> Option<i64> {
        let state = self.assignment.partitions.get(partition)?;
        let end = match self.config.isolation_level {
            IsolationLevel::ReadUncommitted => state.high_watermark,
            IsolationLevel::ReadCommitted => state.last_stable_offset,
        };
        Some((end? - state.position?.0).max(0))
    }

    /// Commits the offsets of everything that `poll` has returned, and waits until that is done.
    /// # Errors
    /// `REBALANCE_IN_PROGRESS` until the member has rejoined by `poll`; `ILLEGAL_GENERATION`, `UNKNOWN_MEMBER_ID` if the
    /// partitions have been given to others.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        self.commit_offsets(&self.assignment.positions()).await
    }

    /// Commits `offsets` and waits until that is done.
    /// # Errors
    /// As [`Consumer::commit`].
    pub async fn commit_offsets(
        &mut self,
        offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
    ) -> Result<(), ClientError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let committer = self.committer()?;
        let results = offsets::commit(&self.client, &committer, offsets).await?;
        results.into_values().collect()
    }

    /// Offsets that the group has committed; partitions without one are left out.
    /// # Errors
    /// [`ClientError::InvalidArgument`] without a `group.id`, and those of the request.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>, ClientError> {
        let committed = offsets::fetch_committed(&self.client, self.group_id()?, Some(partitions)).await?;
        committed.into_iter().map(|(partition, offset)| Ok((partition, offset?))).collect()
    }

    /// The first records at or after these times; offset -1 where there is none.
    /// # Errors
    /// Those of the request.
    pub async fn offsets_for_times(
        &self,
        times: BTreeMap<TopicPartition, TimestampMs>,
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>, ClientError> {
        let listed = offsets::list_offsets(&self.client, times, self.config.isolation_level).await?;
        listed.into_iter().map(|(partition, offset)| Ok((partition, offset?))).collect()
    }

    /// Offsets of the oldest records.
    /// # Errors
    /// Those of the request.
    pub async fn beginning_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        self.ends(partitions, EARLIEST).await
    }

    /// Offsets after the newest records that may be read.
    /// # Errors
    /// Those of the request.
    pub async fn end_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        self.ends(partitions, LATEST).await
    }

    async fn ends(
        &self,
        partitions: &[TopicPartition],
        end: TimestampMs,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        let times = partitions.iter().map(|partition| (partition.clone(), end)).collect();
        let listed: PerPartition<ListedOffset> =
            offsets::list_offsets(&self.client, times, self.config.isolation_level).await?;
        listed.into_iter().map(|(partition, offset)| Ok((partition, offset?.offset))).collect()
    }

    /// Commits if that is automatic, and leaves the group; both for at most `timeout`.
    /// # Errors
    /// The failure of either.
    pub async fn close(mut self, timeout: Duration) -> Result<(), ClientError> {
        let closed = tokio::time::timeout(timeout, self.unsubscribe()).await;
        closed.unwrap_or_else(|_| Err(ClientError::Timeout { what: "closing the consumer".to_owned(), after: timeout }))
    }

    fn group_id(&self) -> Result<&str, ClientError> {
        self.config.group_id.as_deref().ok_or(ClientError::InvalidArgument("there is no group.id"))
    }

    fn assigned(&mut self, partition: &TopicPartition) -> Result<&mut assignment::Partition, ClientError> {
        let state = self.assignment.partitions.get_mut(partition);
        state.ok_or(ClientError::InvalidArgument("the partition is not assigned"))
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) -> Result<(), ClientError> {
        partitions.iter().try_for_each(|partition| {
            self.assigned(partition)?.paused = paused;
            Ok(())
        })
    }
}

/// What Kafka's consumers call themselves without a `client.id`; ids of members begin with it.
fn default_client_id(config: &ConsumerConfig) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let group = config.group_id.as_deref().unwrap_or("null");
    match &config.group_instance_id {
        Some(instance) => format!("consumer-{group}-{instance}"),
        None => format!("consumer-{group}-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
    }
}
