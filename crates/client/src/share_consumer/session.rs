//! The share session with one broker: which partitions it delivers, and the number of the next request.

use std::collections::{BTreeMap, BTreeSet};

use protocol::Uuid;
use protocol::messages::share_acknowledge_request::{
    AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch as AcknowledgedBatch,
};
use protocol::messages::share_fetch_request::{AcknowledgementBatch, FetchPartition, FetchTopic, ForgottenTopic};
use protocol::messages::{ShareAcknowledgeRequest, ShareFetchRequest};

use super::acknowledgements::Acknowledgements;
use super::config::ShareConsumerConfig;
use super::membership::TopicIdPartition;

/// The first request of a session.
const INITIAL_EPOCH: i32 = 0;
/// The last one.
const FINAL_EPOCH: i32 = -1;

/// Acknowledgements by partition.
pub(super) type Pending = BTreeMap<TopicIdPartition, Acknowledgements>;

/// A session.
#[derive(Debug, Default)]
pub(super) struct Session {
    epoch: i32,
    partitions: BTreeSet<TopicIdPartition>,
}

impl Session {
    /// Whether the broker knows of it.
    pub(super) fn is_open(&self) -> bool {
        self.epoch != INITIAL_EPOCH
    }

    /// The partitions it delivers.
    pub(super) fn partitions(&self) -> &BTreeSet<TopicIdPartition> {
        &self.partitions
    }

    /// The broker took a request.
    pub(super) fn advance(&mut self) {
        self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
    }

    /// The broker knows of it no longer.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Asks for records of `partitions`, and acknowledges others. With a renewal there is nothing fetched.
    pub(super) fn fetch(
        &mut self,
        config: &ShareConsumerConfig,
        member_id: &str,
        partitions: BTreeSet<TopicIdPartition>,
        pending: &Pending,
    ) -> ShareFetchRequest {
        let mut topics: BTreeMap<TopicIdPartition, Vec<AcknowledgementBatch>> = BTreeMap::new();
        for added in partitions.difference(&self.partitions) {
            topics.insert(*added, Vec::new());
        }
        for (partition, acknowledgements) in pending {
            let ranges = acknowledgements.ranges().into_iter().map(|range| AcknowledgementBatch {
                first_offset: range.first,
                last_offset: range.last,
                acknowledge_types: range.types,
                ..Default::default()
            });
            topics.entry(*partition).or_default().extend(ranges);
        }
        let forgotten = by_topic(self.partitions.difference(&partitions).map(|partition| (*partition, ())));
        self.partitions = partitions;
        let renews = pending.values().any(Acknowledgements::has_renewals);
        let limit = |value: i32| if renews { 0 } else { value };
        let max_records = i32::try_from(config.max_poll_records).unwrap_or(i32::MAX);
        ShareFetchRequest {
            group_id: Some(config.group_id.clone()),
            member_id: Some(member_id.to_owned()),
            share_session_epoch: self.epoch,
            max_wait_ms: limit(i32::try_from(config.fetch_max_wait.as_millis()).unwrap_or(i32::MAX)),
            min_bytes: limit(config.fetch_min_bytes),
            max_bytes: limit(config.fetch_max_bytes),
            max_records: limit(max_records),
            batch_size: limit(max_records),
            share_acquire_mode: config.acquire_mode.code(),
            is_renew_ack: renews,
            topics: by_topic(topics.into_iter())
                .into_iter()
                .map(|(topic_id, partitions)| {
                    let partitions = partitions.into_iter().map(|(index, batches)| FetchPartition {
                        partition_index: index,
                        acknowledgement_batches: batches,
                        ..Default::default()
                    });
                    FetchTopic { topic_id, partitions: partitions.collect(), ..Default::default() }
                })
                .collect(),
            forgotten_topics_data: forgotten
                .into_iter()
                .map(|(topic_id, partitions)| {
                    let partitions = partitions.into_iter().map(|(index, ())| index).collect();
                    ForgottenTopic { topic_id, partitions, ..Default::default() }
                })
                .collect(),
            ..Default::default()
        }
    }

    /// Acknowledges records.
    pub(super) fn acknowledge(&self, group_id: &str, member_id: &str, pending: &Pending) -> ShareAcknowledgeRequest {
        let batches = pending.iter().map(|(partition, acknowledgements)| {
            let ranges = acknowledgements.ranges().into_iter().map(|range| AcknowledgedBatch {
                first_offset: range.first,
                last_offset: range.last,
                acknowledge_types: range.types,
                ..Default::default()
            });
            (*partition, ranges.collect::<Vec<_>>())
        });
        let topics = by_topic(batches).into_iter().map(|(topic_id, partitions)| {
            let partitions = partitions.into_iter().map(|(index, batches)| AcknowledgePartition {
                partition_index: index,
                acknowledgement_batches: batches,
                ..Default::default()
            });
            AcknowledgeTopic { topic_id, partitions: partitions.collect(), ..Default::default() }
        });
        ShareAcknowledgeRequest {
            group_id: Some(group_id.to_owned()),
            member_id: Some(member_id.to_owned()),
            share_session_epoch: self.epoch,
            is_renew_ack: pending.values().any(Acknowledgements::has_renewals),
            topics: topics.collect(),
            ..Default::default()
        }
    }

    /// As [`Session::acknowledge`], and ends the session: what was delivered and not acknowledged is released.
    pub(super) fn close(&self, group_id: &str, member_id: &str, pending: &Pending) -> ShareAcknowledgeRequest {
        ShareAcknowledgeRequest { share_session_epoch: FINAL_EPOCH, ..self.acknowledge(group_id, member_id, pending) }
    }
}

fn by_topic<T>(partitions: impl Iterator<Item = (TopicIdPartition, T)>) -> BTreeMap<Uuid, Vec<(i32, T)>> {
    let mut topics: BTreeMap<Uuid, Vec<(i32, T)>> = BTreeMap::new();
    for ((topic_id, partition), value) in partitions {
        topics.entry(topic_id).or_default().push((partition, value));
    }
    topics
}
