//! The consumer's side of a group: when it joins, and what it gives up and takes over.

use std::collections::BTreeMap;
use std::fmt;

use protocol::{ErrorCode, TopicPartition};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{debug, info};

use super::assignment::Wanted;
use super::event::Event;
use super::membership::{self, HeartbeatReports, JoinFailure, JoinPlan, Joined, Standing};
use super::{Consumer, OffsetAndMetadata, Subscription};
use crate::ClientError;
use crate::offsets::Committer;

/// Is told which partitions a rebalance gives and takes, from within `poll`.
pub trait RebalanceListener: Send {
    /// These partitions are read from now on.
    fn assigned(&mut self, partitions: &[TopicPartition]);

    /// These partitions are about to go to others. Returns offsets to commit before they do.
    fn revoked(&mut self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        let _ = partitions;
        Vec::new()
    }

    /// These partitions have gone to others already, as the membership was lost.
    fn lost(&mut self, partitions: &[TopicPartition]) {
        let _ = partitions;
    }
}

/// The listener, if there is one.
#[derive(Default)]
pub(super) struct Listener(pub(super) Option<Box<dyn RebalanceListener>>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Listener" } else { "no Listener" })
    }
}

/// Where a consumer is with its group.
#[derive(Debug, Default)]
pub(super) struct GroupState {
    pub(super) standing: Standing,
    pub(super) needs_join: bool,
    pub(super) joining: Option<AbortHandle>,
    pub(super) heartbeats: Option<AbortHandle>,
    pub(super) retry_at: Option<Instant>,
    pub(super) listener: Listener,
    /// Number of the current attempt to join.
    attempt: u64,
    /// Topics that were subscribed in the last attempt.
    topics: Vec<String>,
    /// What the group last assigned.
    owned: Vec<TopicPartition>,
    /// Offsets of revoked partitions, committed with the next attempt.
    revoked_offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
    /// Where the member leads: topics of the group with their numbers of partitions.
    led: Option<BTreeMap<String, usize>>,
}

impl Consumer {
    /// Joins the group if that is due.
    pub(super) fn rebalance(&mut self, now: Instant) -> Result<(), ClientError> {
        let is_due = self.group.needs_join
            && self.group.joining.is_none()
            && self.metadata.fetched_at.is_some()
            && self.group.retry_at.is_none_or(|at| at <= now);
        let Some(topics) = self.subscribed_topics().filter(|_| is_due) else { return Ok(()) };
        let group_id = self.group_id()?.to_owned();
        self.give_up_before_join(&topics);
        let group = &mut self.group;
        if let Some(heartbeats) = group.heartbeats.take() {
            heartbeats.abort();
        }
        group.needs_join = false;
        group.retry_at = None;
        group.attempt += 1;
        group.topics.clone_from(&topics);
        let plan = JoinPlan {
            group_id,
            config: self.config.clone(),
            standing: group.standing.clone(),
            topics,
            owned: group.owned.clone(),
            commit: std::mem::take(&mut group.revoked_offsets),
        };
        let (client, reports, attempt) = (self.client.clone(), self.reports.clone(), group.attempt);
        let joining = self.tasks.spawn(async move {
            let joined = membership::join(&client, plan).await;
            // Nobody receives it only when the consumer is gone.
            let _ = reports.send(Event::Joined(attempt, joined)).await;
        });
        self.group.joining = Some(joining);
        Ok(())
    }

    /// Topics to read as a member: those that are named, or those that match.
    fn subscribed_topics(&self) -> Option<Vec<String>> {
        match &self.subscription {
            Subscription::None | Subscription::Manual => None,
            Subscription::Topics(topics) => Some(topics.iter().cloned().collect()),
            Subscription::Pattern(pattern) => {
                let cluster = self.client.cluster();
                let matching = cluster.topics.values().filter(|topic| {
                    topic.error == ErrorCode::None
                        && !(topic.is_internal && self.config.exclude_internal_topics)
                        && pattern.is_match(&topic.name)
                });
                let mut names: Vec<String> = matching.map(|topic| topic.name.to_string()).collect();
                names.sort_unstable();
                Some(names)
            }
        }
    }

    /// Eager members let go of everything, cooperative ones of what they no longer subscribe to.
    fn give_up_before_join(&mut self, topics: &[String]) {
        let assigned = self.assignment.names();
        let is_member = self.group.standing.generation >= 0;
        let cooperative = self.config.is_cooperative();
        let kept = |partition: &&TopicPartition| cooperative && topics.iter().any(|topic| **topic == *partition.topic);
        let (kept, revoked): (Vec<TopicPartition>, Vec<TopicPartition>) =
            assigned.into_iter().partition(|partition| kept(&partition));
        if cooperative {
            self.group.owned.clone_from(&kept);
        }
        if is_member {
            if self.config.enable_auto_commit {
                self.group.revoked_offsets.extend(self.assignment.positions());
            }
            self.revoke(&revoked);
        }
        self.assignment.replace(&kept, Wanted::Committed);
        self.drop_unassigned();
    }

    fn revoke(&mut self, revoked: &[TopicPartition]) {
        if revoked.is_empty() {
            return;
        }
        info!(?revoked, "partitions revoked");
        if let Some(listener) = &mut self.group.listener.0 {
            self.group.revoked_offsets.extend(listener.revoked(revoked));
        }
    }

    /// Takes over what a new generation assigned.
    pub(super) fn joined(&mut self, attempt: u64, joined: Result<Joined, JoinFailure>) -> Result<(), ClientError> {
        if attempt != self.group.attempt || self.group.joining.take().is_none() {
            return Ok(());
        }
        let joined = match joined {
            Ok(joined) => joined,
            Err(failure) => return self.join_failed(failure),
        };
        info!(generation = joined.standing.generation, assigned = ?joined.assigned, "partitions assigned");
        self.group.standing = joined.standing;
        self.group.led = joined.led;
        let before = self.assignment.names();
        let revoked: Vec<TopicPartition> =
            before.iter().filter(|partition| !joined.assigned.contains(partition)).cloned().collect();
        if !revoked.is_empty() {
            if self.config.enable_auto_commit {
                let positions = self.assignment.positions();
                let given_up = positions.into_iter().filter(|(partition, _)| revoked.contains(partition));
                self.group.revoked_offsets.extend(given_up);
            }
            self.revoke(&revoked);
            // They go to their new owners in the next generation.
            self.group.needs_join = true;
        }
        let added: Vec<TopicPartition> =
            joined.assigned.iter().filter(|partition| !before.contains(partition)).cloned().collect();
        self.assignment.replace(&joined.assigned, Wanted::Committed);
        self.drop_unassigned();
        self.group.owned = joined.assigned;
        if let Some(listener) = &mut self.group.listener.0 {
            listener.assigned(&added);
        }
        self.auto_commit_at = Instant::now() + self.config.auto_commit_interval;
        self.start_heartbeats()
    }

    fn start_heartbeats(&mut self) -> Result<(), ClientError> {
        let reports = HeartbeatReports { last_poll: self.last_poll.clone(), events: self.reports.clone() };
        let heartbeats = membership::keep_alive(
            self.client.clone(),
            self.group_id()?.to_owned(),
            self.config.clone(),
            self.group.standing.clone(),
            reports,
        );
        self.group.heartbeats = Some(self.tasks.spawn(heartbeats));
        Ok(())
    }

    fn join_failed(&mut self, failure: JoinFailure) -> Result<(), ClientError> {
        let JoinFailure { error, standing } = failure;
        debug!(%error, "group could not be joined");
        self.group.standing = standing;
        self.group.needs_join = true;
        match error.code() {
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => self.lose(),
            ErrorCode::RebalanceInProgress | ErrorCode::MemberIdRequired => {}
            _ => {
                self.group.retry_at = Some(Instant::now() + self.client.config().retry_backoff);
                if !error.is_retriable() {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// The group rebalances: rejoin with the next `poll`.
    pub(super) fn rebalance_announced(&mut self, generation: i32) {
        if generation == self.group.standing.generation && self.group.joining.is_none() {
            self.group.needs_join = true;
        }
    }

    /// The group has given the partitions to others.
    pub(super) fn expelled(&mut self, generation: i32, error: ClientError) -> Result<(), ClientError> {
        if generation != self.group.standing.generation || self.group.joining.is_some() {
            return Ok(());
        }
        info!(%error, generation, "membership lost");
        self.group.heartbeats = None;
        self.group.needs_join = true;
        match error.code() {
            ErrorCode::IllegalGeneration => self.group.standing.generation = -1,
            _ => self.group.standing = Standing::default(),
        }
        self.lose();
        if error.code() == ErrorCode::FencedInstanceId { Err(error) } else { Ok(()) }
    }

    fn lose(&mut self) {
        let lost = self.assignment.names();
        self.clear_assignment();
        self.group.owned.clear();
        self.group.revoked_offsets.clear();
        if let Some(listener) = self.group.listener.0.as_mut().filter(|_| !lost.is_empty()) {
            listener.lost(&lost);
        }
    }

    /// Rejoins if the topics are not what they were when the group last assigned them.
    pub(super) fn check_topics_of_group(&mut self) {
        let Some(topics) = self.subscribed_topics() else { return };
        let cluster = self.client.cluster();
        let partitions = |name: &String| cluster.topic(name).map(|topic| topic.partitions.len());
        let led = self.group.led.as_ref();
        let grown = led.is_some_and(|led| {
            let known = led.iter().any(|(name, count)| partitions(name).is_some_and(|now| now != *count));
            known || topics.iter().any(|name| !led.contains_key(name) && partitions(name).is_some())
        });
        if self.group.standing.generation >= 0 && (grown || topics != self.group.topics) {
            self.group.needs_join = true;
        }
    }

    /// Leaves the group, if this is a member of one.
    pub(super) async fn leave_group(&mut self) -> Result<(), ClientError> {
        for task in [self.group.heartbeats.take(), self.group.joining.take()].into_iter().flatten() {
            task.abort();
        }
        self.group.needs_join = false;
        let revoked = self.assignment.names();
        if !matches!(self.subscription, Subscription::Topics(_) | Subscription::Pattern(_)) {
            return Ok(());
        }
        self.revoke(&revoked);
        let offsets = std::mem::take(&mut self.group.revoked_offsets);
        if let Err(error) = self.commit_offsets(&offsets).await {
            debug!(%error, "offsets of revoked partitions could not be committed");
        }
        let standing = std::mem::take(&mut self.group.standing);
        self.group.owned.clear();
        let group_id = self.group_id()?.to_owned();
        membership::leave(&self.client, &group_id, &standing, &self.config).await
    }

    /// Who commits: the member, or somebody outside of the membership where partitions are assigned by hand.
    pub(super) fn committer(&self) -> Result<Committer, ClientError> {
        let group_id = self.group_id()?;
        Ok(match &self.subscription {
            Subscription::Topics(_) | Subscription::Pattern(_) => {
                membership::committer(group_id, &self.group.standing, self.config.group_instance_id.clone())
            }
            Subscription::None | Subscription::Manual => Committer::outside(group_id),
        })
    }
}
