//! Where to start in each partition, and committing how far it got.

use std::collections::BTreeMap;

use protocol::types::Offset;
use protocol::{ErrorCode, TopicPartition};
use tokio::time::Instant;
use tracing::debug;

use super::assignment::{LATEST, OffsetAndMetadata, Wanted};
use super::event::{Event, Versions};
use super::{Consumer, IsolationLevel};
use crate::ClientError;
use crate::offsets::{self, ListedOffset, PerPartition};

impl Consumer {
    /// Offset of the next record of `partition`; waits until it is known.
    /// # Errors
    /// [`ClientError::InvalidArgument`] if it is not assigned, and what keeps it from being found.
    pub async fn position(&mut self, partition: &TopicPartition) -> Result<Offset, ClientError> {
        let timeout = self.client.config().api_timeout;
        let deadline = Instant::now() + timeout;
        loop {
            if let Some((offset, _)) = self.assigned(partition)?.position {
                return Ok(offset);
            }
            if !self.wait_for_event(deadline).await? {
                return Err(ClientError::Timeout { what: format!("the position of {partition}"), after: timeout });
            }
        }
    }

    /// Asks for the positions that are not known.
    pub(super) fn look_up_positions(&mut self, now: Instant) -> Result<(), ClientError> {
        let mut committed: Versions = Vec::new();
        let mut at: BTreeMap<TopicPartition, i64> = BTreeMap::new();
        let mut at_versions: Versions = Vec::new();
        for (partition, state) in &mut self.assignment.partitions {
            if state.asking || state.position.is_some() || state.retry_at > now {
                continue;
            }
            if state.wanted == Wanted::Committed && self.config.group_id.is_none() {
                reset(partition, state, &self.config)?;
            }
            match state.wanted {
                Wanted::Nothing => continue,
                Wanted::Committed => committed.push((partition.clone(), state.version)),
                Wanted::At(timestamp) => {
                    at.insert(partition.clone(), timestamp);
                    at_versions.push((partition.clone(), state.version));
                }
            }
            state.asking = true;
        }
        self.ask_committed(committed)?;
        self.ask_times(at, at_versions);
        Ok(())
    }

    fn ask_committed(&mut self, versions: Versions) -> Result<(), ClientError> {
        if versions.is_empty() {
            return Ok(());
        }
        let group_id = self.group_id()?.to_owned();
        let (client, reports) = (self.client.clone(), self.reports.clone());
        self.tasks.spawn(async move {
            let partitions: Vec<TopicPartition> = versions.iter().map(|(partition, _)| partition.clone()).collect();
            let committed = offsets::fetch_committed(&client, &group_id, Some(&partitions)).await;
            let _ = reports.send(Event::Committed(versions, committed)).await;
        });
        Ok(())
    }

    fn ask_times(&mut self, times: BTreeMap<TopicPartition, i64>, versions: Versions) {
        if times.is_empty() {
            return;
        }
        let (client, reports) = (self.client.clone(), self.reports.clone());
        let isolation: IsolationLevel = self.config.isolation_level;
        self.tasks.spawn(async move {
            let listed = offsets::list_offsets(&client, times, isolation).await;
            let _ = reports.send(Event::Listed(versions, listed)).await;
        });
    }

    /// Starts at the committed offsets, or as `auto.offset.reset` says where there are none.
    pub(super) fn committed_fetched(
        &mut self,
        versions: Versions,
        committed: Result<PerPartition<OffsetAndMetadata>, ClientError>,
    ) -> Result<(), ClientError> {
        let (mut committed, failure) = match committed {
            Ok(committed) => (committed, None),
            Err(error) => (PerPartition::new(), Some(error)),
        };
        let mut outcome = failure.clone().map_or(Ok(()), Err);
        for (partition, version) in versions {
            let Some(state) = self.assignment.current(&partition, version) else { continue };
            state.asking = false;
            match committed.remove(&partition) {
                Some(Ok(offset)) => state.seek(offset.offset, offset.leader_epoch.unwrap_or(-1)),
                None if failure.is_none() => outcome = outcome.and(reset(&partition, state, &self.config)),
                failed => {
                    state.retry_at = Instant::now() + self.client.config().retry_backoff;
                    outcome = outcome.and(failed.map_or(Ok(()), |failed| failed.map(drop)));
                }
            }
        }
        outcome
    }

    /// Starts at the offsets that were looked up.
    pub(super) fn times_listed(
        &mut self,
        versions: Versions,
        listed: Result<PerPartition<ListedOffset>, ClientError>,
    ) -> Result<(), ClientError> {
        let (mut listed, mut outcome) = match listed {
            Ok(listed) => (listed, Ok(())),
            Err(error) => (PerPartition::new(), Err(error)),
        };
        let retry_at = Instant::now() + self.client.config().retry_backoff;
        for (partition, version) in versions {
            let Some(state) = self.assignment.current(&partition, version) else { continue };
            state.asking = false;
            match listed.remove(&partition) {
                Some(Ok(found)) if found.offset >= 0 => state.seek(found.offset, found.leader_epoch.unwrap_or(-1)),
                // No record is as young: the end is where the first will be.
                Some(Ok(_)) => state.want(Wanted::At(LATEST)),
                Some(Err(error)) => {
                    state.retry_at = retry_at;
                    outcome = outcome.and(Err(error));
                }
                None => state.retry_at = retry_at,
            }
        }
        outcome
    }

    /// Continues as `auto.offset.reset` says, as the position is not in the log.
    pub(super) fn out_of_range(&mut self, partition: &TopicPartition) -> Result<(), ClientError> {
        match self.assignment.partitions.get_mut(partition) {
            Some(state) => reset(partition, state, &self.config),
            None => Ok(()),
        }
    }

    /// Commits if `auto.commit.interval.ms` is over.
    pub(super) fn auto_commit(&mut self, now: Instant) -> Result<(), ClientError> {
        let is_due = self.config.enable_auto_commit && self.config.group_id.is_some() && self.auto_commit_at <= now;
        if !is_due || self.auto_committing || self.group.joining.is_some() {
            return Ok(());
        }
        self.auto_commit_at = now + self.config.auto_commit_interval;
        let positions = self.assignment.positions();
        if positions.is_empty() {
            return Ok(());
        }
        self.auto_committing = true;
        let committer = self.committer()?;
        let (client, reports) = (self.client.clone(), self.reports.clone());
        self.tasks.spawn(async move {
            let committed = offsets::commit(&client, &committer, &positions).await;
            let _ = reports.send(Event::AutoCommitted(committed)).await;
        });
        Ok(())
    }

    /// What failed is committed with the next interval, or by whoever has the partitions then.
    pub(super) fn auto_committed(&mut self, committed: Result<PerPartition<()>, ClientError>) {
        self.auto_committing = false;
        let failure = committed.and_then(|results| results.into_values().collect::<Result<(), _>>());
        if let Err(error) = failure {
            debug!(%error, "offsets could not be committed automatically");
        }
    }
}

fn reset(
    partition: &TopicPartition,
    state: &mut super::assignment::Partition,
    config: &super::ConsumerConfig,
) -> Result<(), ClientError> {
    if state.reset(config.auto_offset_reset) {
        return Ok(());
    }
    let message = Some(format!("no offset to start from in {partition}, and auto.offset.reset is none"));
    Err(ClientError::Broker { code: ErrorCode::OffsetOutOfRange, message })
}
