//! `poll`: takes in what happened, starts what is due, returns what was fetched.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::messages::FetchResponse;
use protocol::messages::fetch_response::PartitionData;
use protocol::types::BrokerId;
use protocol::{ErrorCode, TopicPartition};
use tokio::time::Instant;
use tracing::debug;

use super::assignment::Wanted;
use super::completed::{CompletedFetch, ReadOptions};
use super::event::Event;
use super::fetcher::{self, Asked, Fetched};
use super::session::FetchTarget;
use super::{Consumer, ConsumerRecord, IsolationLevel, Subscription};
use crate::ClientError;

/// Longest time without a look at what is due.
const TICK: Duration = Duration::from_secs(1);

impl Consumer {
    /// The next records, at most `max.poll.records`; none when `timeout` is over. Has to be called at least every
    /// `max.poll.interval.ms`, as rebalances happen in it, too.
    /// # Errors
    /// What keeps a partition from being read; it is tried again by the next `poll`.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ClientError> {
        let deadline = Instant::now() + timeout;
        *self.last_poll.lock() = Instant::now();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        loop {
            while let Ok(event) = self.events.try_recv() {
                self.take_in(event)?;
            }
            self.start_due(Instant::now())?;
            let records = self.collect()?;
            self.start_fetches(Instant::now());
            if !records.is_empty() || Instant::now() >= deadline {
                return Ok(records);
            }
            self.wait(deadline).await?;
        }
    }

    /// Lets things go on without returning records; false when `deadline` is over.
    pub(super) async fn wait_for_event(&mut self, deadline: Instant) -> Result<bool, ClientError> {
        *self.last_poll.lock() = Instant::now();
        self.start_due(Instant::now())?;
        self.wait(deadline).await?;
        Ok(Instant::now() < deadline)
    }

    async fn wait(&mut self, deadline: Instant) -> Result<(), ClientError> {
        while self.tasks.try_join_next().is_some() {}
        let wake = self.next_due(Instant::now()).min(deadline);
        tokio::select! {
            event = self.events.recv() => event.map_or(Ok(()), |event| self.take_in(event)),
            () = tokio::time::sleep_until(wake) => Ok(()),
        }
    }

    fn start_due(&mut self, now: Instant) -> Result<(), ClientError> {
        self.refresh_metadata(now);
        self.rebalance(now)?;
        self.look_up_positions(now)?;
        self.auto_commit(now)
    }

    fn next_due(&self, now: Instant) -> Instant {
        let retries = self.assignment.partitions.values().map(|state| state.retry_at).filter(|at| *at > now);
        let group = self.group.retry_at.filter(|_| self.group.needs_join);
        let metadata = self.metadata.retry_at.filter(|_| self.metadata.wanted && !self.metadata.fetching);
        let commit = Some(self.auto_commit_at).filter(|_| self.config.enable_auto_commit);
        let due = retries.chain(group).chain(metadata).chain(commit).filter(|at| *at > now);
        due.fold(now + TICK, Instant::min)
    }

    fn take_in(&mut self, event: Event) -> Result<(), ClientError> {
        match event {
            Event::Fetched(fetched) => self.fetched(fetched),
            Event::Metadata(result) => self.metadata_fetched(result),
            Event::Committed(versions, committed) => self.committed_fetched(versions, committed),
            Event::Listed(versions, listed) => self.times_listed(versions, listed),
            Event::AutoCommitted(committed) => {
                self.auto_committed(committed);
                Ok(())
            }
            Event::Joined(attempt, joined) => self.joined(attempt, joined),
            Event::Rebalance(generation) => {
                self.rebalance_announced(generation);
                Ok(())
            }
            Event::Expelled(generation, error) => self.expelled(generation, error),
        }
    }

    fn refresh_metadata(&mut self, now: Instant) {
        let state = &self.metadata;
        let stale = state.fetched_at.is_none_or(|at| now >= at + self.client.config().metadata_max_age);
        let is_due = (state.wanted || stale) && state.retry_at.is_none_or(|at| at <= now);
        if state.fetching || !is_due {
            return;
        }
        let topics: Option<Vec<String>> = match &self.subscription {
            Subscription::None => return,
            Subscription::Manual => {
                let mut topics: Vec<String> =
                    self.assignment.partitions.keys().map(|partition| partition.topic.to_string()).collect();
                topics.dedup();
                Some(topics)
            }
            Subscription::Topics(topics) => Some(topics.iter().cloned().collect()),
            Subscription::Pattern(_) => None,
        };
        self.metadata.fetching = true;
        self.metadata.wanted = false;
        self.metadata.retry_at = None;
        let (client, reports) = (self.client.clone(), self.reports.clone());
        let create = self.config.allow_auto_create_topics && topics.is_some();
        self.tasks.spawn(async move {
            let names: Option<Vec<&str>> = topics.as_ref().map(|topics| topics.iter().map(String::as_str).collect());
            let fetched = client.metadata_creating(names.as_deref(), create).await;
            let _ = reports.send(Event::Metadata(fetched.map(drop))).await;
        });
    }

    fn metadata_fetched(&mut self, result: Result<(), ClientError>) -> Result<(), ClientError> {
        let now = Instant::now();
        self.metadata.fetching = false;
        let retry_at = now + self.client.config().retry_backoff;
        if let Err(error) = result {
            self.metadata.wanted = true;
            self.metadata.retry_at = Some(retry_at);
            debug!(%error, "metadata could not be refreshed");
            return if error.is_retriable() { Ok(()) } else { Err(error) };
        }
        self.metadata.fetched_at = Some(now);
        self.check_topics_of_group();
        let cluster = self.client.cluster();
        let assigned = self.assignment.partitions.keys().map(|partition| &*partition.topic);
        let named = match &self.subscription {
            Subscription::Topics(topics) => Some(topics.iter().map(String::as_str)),
            Subscription::None | Subscription::Manual | Subscription::Pattern(_) => None,
        };
        let mut outcome = Ok(());
        for topic in assigned.chain(named.into_iter().flatten()) {
            let code = cluster.topics.get(topic).map_or(ErrorCode::UnknownTopicOrPartition, |topic| topic.error);
            if code.is_retriable() {
                self.metadata.wanted = true;
                self.metadata.retry_at = Some(retry_at);
            } else if code != ErrorCode::None {
                outcome = Err(ClientError::Broker { code, message: Some(topic.to_owned()) });
            }
        }
        outcome
    }

    /// Sends fetches for partitions that have nothing left to return, to the brokers that have none to answer.
    fn start_fetches(&mut self, now: Instant) {
        let cluster = self.client.cluster();
        let mut by_node: BTreeMap<BrokerId, (BTreeMap<TopicPartition, FetchTarget>, Asked)> = BTreeMap::new();
        for (partition, state) in &mut self.assignment.partitions {
            let Some((offset, _)) = state.position.filter(|_| !state.paused && !state.buffered) else { continue };
            if state.retry_at > now {
                continue;
            }
            let Some((leader, leader_epoch)) = cluster.leader(&partition.topic, partition.partition) else {
                self.metadata.wanted = true;
                continue;
            };
            let preferred =
                state.preferred_replica.filter(|(node, until)| *until > now && cluster.brokers.contains_key(node));
            let node = preferred.map_or(leader, |(node, _)| node);
            if !self.fetcher.is_idle(node) {
                continue;
            }
            let topic_id = cluster.topic(&partition.topic).map_or(protocol::Uuid::ZERO, |topic| topic.id);
            let max_bytes = self.config.max_partition_fetch_bytes;
            let (targets, asked) = by_node.entry(node).or_default();
            targets.insert(partition.clone(), FetchTarget { topic_id, offset, leader_epoch, max_bytes });
            asked.insert(partition.clone(), (offset, state.version));
        }
        for (node, (targets, asked)) in by_node {
            let session = self.fetcher.start(node, targets);
            let (client, config, reports) = (self.client.clone(), self.config.clone(), self.reports.clone());
            self.tasks.spawn(async move {
                let response = fetcher::fetch(&client, &config, node, &session).await;
                let _ = reports.send(Event::Fetched(Fetched { node, asked, response })).await;
            });
        }
    }

    fn fetched(&mut self, fetched: Fetched) -> Result<(), ClientError> {
        self.fetcher.finish(&fetched);
        let Fetched { asked, response, .. } = fetched;
        match response.and_then(check_fetch) {
            Ok(response) => self.take_fetched(&asked, response),
            Err(error) => {
                debug!(%error, "fetch failed");
                self.metadata.wanted = true;
                self.retry_later(asked.keys());
                if error.is_retriable() { Ok(()) } else { Err(error) }
            }
        }
    }

    fn take_fetched(&mut self, asked: &Asked, response: FetchResponse) -> Result<(), ClientError> {
        let cluster = self.client.cluster();
        let mut outcome = Ok(());
        for topic in response.responses {
            let by_id = cluster.topic_names.get(&topic.topic_id).filter(|_| topic.topic.is_empty());
            let name: std::sync::Arc<str> = by_id.map_or_else(|| topic.topic.as_str().into(), Clone::clone);
            for data in topic.partitions {
                let partition = TopicPartition::new(name.clone(), data.partition_index);
                outcome = outcome.and(self.take_partition(partition, asked, data));
            }
        }
        outcome
    }

    fn take_partition(
        &mut self,
        partition: TopicPartition,
        asked: &Asked,
        data: PartitionData,
    ) -> Result<(), ClientError> {
        let Some((offset, version)) = asked.get(&partition).copied() else { return Ok(()) };
        let Some(state) = self.assignment.current(&partition, version) else { return Ok(()) };
        match ErrorCode::from_code(data.error_code) {
            ErrorCode::None => {
                state.high_watermark = Some(data.high_watermark);
                state.last_stable_offset = Some(data.last_stable_offset);
                if data.preferred_read_replica >= 0 {
                    let until = Instant::now() + self.client.config().metadata_max_age;
                    state.preferred_replica = Some((data.preferred_read_replica, until));
                }
                let Some(records) = data.records.bytes().filter(|records| !records.is_empty()) else { return Ok(()) };
                state.buffered = true;
                let options = ReadOptions {
                    check_crcs: self.config.check_crcs,
                    committed_only: self.config.isolation_level == IsolationLevel::ReadCommitted,
                };
                let completed = CompletedFetch::new(partition, version, offset, records, options);
                self.completed.push_back(completed.with_aborted(data.aborted_transactions));
                Ok(())
            }
            // A replica that lags behind its leader says so, too.
            ErrorCode::OffsetOutOfRange if state.preferred_replica.take().is_some() => Ok(()),
            ErrorCode::OffsetOutOfRange => self.out_of_range(&partition),
            code => {
                debug!(%partition, %code, "partition could not be fetched");
                state.preferred_replica = None;
                self.metadata.wanted = true;
                self.retry_later(std::iter::once(&partition));
                let message = Some(partition.to_string());
                if code.is_retriable() { Ok(()) } else { Err(ClientError::Broker { code, message }) }
            }
        }
    }

    fn retry_later<'a>(&mut self, partitions: impl Iterator<Item = &'a TopicPartition>) {
        let retry_at = Instant::now() + self.client.config().retry_backoff;
        for partition in partitions {
            if let Some(state) = self.assignment.partitions.get_mut(partition) {
                state.retry_at = retry_at;
            }
        }
    }

    /// Fetched records up to `max.poll.records`, and moves the positions behind them.
    fn collect(&mut self) -> Result<Vec<ConsumerRecord>, ClientError> {
        let mut records = Vec::new();
        let mut at = 0;
        while at < self.completed.len() && records.len() < self.config.max_poll_records {
            let fetch = &mut self.completed[at];
            let Some(state) = self.assignment.current(&fetch.topic_partition, fetch.version) else {
                self.completed.remove(at);
                continue;
            };
            if state.paused {
                at += 1;
                continue;
            }
            let failure = loop {
                if records.len() >= self.config.max_poll_records {
                    break None;
                }
                match fetch.next_record() {
                    Ok(Some(record)) => records.push(record),
                    Ok(None) => {
                        state.buffered = false;
                        break None;
                    }
                    Err(error) => {
                        state.buffered = false;
                        break Some(error);
                    }
                }
            };
            state.position = Some((fetch.next_offset, fetch.leader_epoch));
            if !state.buffered {
                self.completed.remove(at);
            }
            match failure {
                Some(error) if records.is_empty() => return Err(error),
                Some(error) => {
                    self.failure = Some(error);
                    break;
                }
                None => {}
            }
        }
        Ok(records)
    }

    pub(super) fn clear_assignment(&mut self) {
        self.assignment.replace(&[], Wanted::Nothing);
        self.completed.clear();
    }

    /// Forgets fetched records of partitions that are not assigned any more.
    pub(super) fn drop_unassigned(&mut self) {
        let assigned = &mut self.assignment;
        self.completed.retain(|fetch| assigned.current(&fetch.topic_partition, fetch.version).is_some());
    }
}

/// Sessions that the broker does not know, or knows otherwise, are opened again at once; other failures are errors.
fn check_fetch(response: FetchResponse) -> Result<FetchResponse, ClientError> {
    match ErrorCode::from_code(response.error_code) {
        ErrorCode::None | ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch => Ok(response),
        code => Err(ClientError::broker(code)),
    }
}
