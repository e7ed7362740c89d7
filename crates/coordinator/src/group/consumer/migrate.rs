//! Online migration: a classic group becomes a consumer group with its first member of the new protocol, and a consumer
//! group becomes a classic one when its last member of the new protocol goes (`group.consumer.migration.policy`).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use metadata::ClusterImage;
use protocol::messages::consumer_protocol_assignment::TopicPartition;
use protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use protocol::types::TimestampMs;
use protocol::{Message, Reader, Writer};
use tracing::info;

use super::member::{ClassicMember, ConsumerMember, CurrentAssignment, MemberMetadata};
use super::records;
use super::state::ConsumerGroup;
use crate::effects::Effects;
use crate::error::{GroupError, Refusal};
use crate::group::Group;
use crate::group::classic::member::{Member, MemberProtocol};
use crate::group::classic::state::{CONSUMER, ClassicGroup, GroupState};
use crate::group::modern::assignment::{Assignment, MemberState, with_epoch};
use crate::record;
use crate::record::modern::Records;
use crate::shard::GroupShard;

/// The newest version of the consumer protocol's messages.
const NEWEST_PROTOCOL_VERSION: i16 = 3;

/// A subscription of the classic protocol, in whatever version it was written.
/// # Errors
/// Nothing if it cannot be read.
pub(crate) fn read_subscription(metadata: &Bytes) -> Option<(i16, ConsumerProtocolSubscription)> {
    let mut reader = Reader::new(metadata.clone());
    let version = reader.i16().ok().filter(|version| *version >= 0)?;
    let readable = version.min(NEWEST_PROTOCOL_VERSION);
    Some((version, ConsumerProtocolSubscription::decode(&mut reader, readable).ok()?))
}

/// An assignment as members of the classic protocol get it; topics that are gone are left out.
pub(crate) fn write_assignment(image: &ClusterImage, assignment: &Assignment, version: i16) -> Bytes {
    let version = version.clamp(0, NEWEST_PROTOCOL_VERSION);
    let topics = assignment.iter().filter_map(|(id, partitions)| {
        let topic = image.topic_by_id(*id)?.name.to_string();
        Some(TopicPartition { topic, partitions: partitions.iter().copied().collect() })
    });
    let message = ConsumerProtocolAssignment { assigned_partitions: topics.collect(), ..Default::default() };
    let mut writer = Writer::new();
    writer.put_i16(version);
    match message.encode(&mut writer, version) {
        Ok(()) => writer.into_bytes(),
        Err(_) => Bytes::new(),
    }
}

fn read_assignment(image: &ClusterImage, bytes: &Bytes) -> Result<Assignment, &'static str> {
    const MALFORMED: &str = "the embedded consumer protocol is malformed";
    if bytes.is_empty() {
        return Ok(Assignment::new());
    }
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16().ok().filter(|version| *version >= 0).ok_or(MALFORMED)?;
    let read = ConsumerProtocolAssignment::decode(&mut reader, version.min(NEWEST_PROTOCOL_VERSION));
    let assignment = read.map_err(|_| MALFORMED)?;
    if assignment.user_data.is_some_and(|data| !data.is_empty()) {
        return Err(
            "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default \
                    assignor before re-attempting the upgrade",
        );
    }
    let topics = assignment.assigned_partitions.into_iter();
    let topics = topics.filter_map(|topic| Some((image.topic_id(&topic.topic)?, topic.partitions)));
    Ok(topics.map(|(id, partitions)| (id, partitions.into_iter().collect())).collect())
}

impl GroupShard {
    /// The consumer group that a classic group becomes.
    /// # Errors
    /// `GroupIdNotFound`, as Kafka says when it cannot become one.
    pub(crate) fn upgraded(&self, group_id: &str) -> Result<ConsumerGroup, Refusal> {
        let refuse = |reason: &str| {
            info!(group_id, reason, "cannot upgrade a classic group");
            Refusal::not_found(format!("Cannot upgrade classic group {group_id} to consumer group because {reason}."))
        };
        let Some(classic) = self.classic_group(group_id) else { return Err(refuse("it is gone")) };
        if !self.config().consumer_migration_policy.allows_upgrade() {
            return Err(refuse("online upgrade is disabled"));
        }
        if !classic.uses_consumer_protocol() {
            return Err(refuse("the group does not use the consumer embedded protocol"));
        }
        if classic.members.len() > self.config().consumer.max_size {
            return Err(refuse("the group size exceeds the consumer group maximum size"));
        }
        let protocol = classic.protocol_name.as_deref().unwrap_or_default();
        let mut group = ConsumerGroup::new(Arc::clone(&classic.group_id));
        group.epoch = classic.generation;
        group.target.epoch = classic.generation;
        for member in classic.members.values() {
            let (member, target) =
                upgraded_member(self.topics().image(), member, protocol, classic.generation).map_err(refuse)?;
            group.target.set(Arc::clone(&member.member_id), target);
            group.set_metadata(&member.member_id, member.metadata);
            group.set_current(&member.member_id, member.current);
        }
        Ok(group)
    }

    /// Puts a consumer group in the place of the classic group that it was made of.
    pub(crate) fn upgrade(
        &mut self,
        now_ms: TimestampMs,
        mut group: ConsumerGroup,
        records: &mut Records,
        out: &mut Effects,
    ) {
        let group_id = Arc::clone(&group.group_id);
        group.metadata_hash = self.topics_mut().metadata_hash(group.subscriptions.names());
        if let Some(Group::Classic(mut classic)) = self.remove_group(&group_id) {
            classic.fail_all(GroupError::RebalanceInProgress.code(), out);
        }
        records.push(record::group_tombstone(&group_id));
        for record in records::whole_group(&group) {
            self.record(record, records);
        }
        let sessions: Vec<(Arc<str>, i32)> = group
            .members
            .values()
            .filter_map(|member| Some((Arc::clone(&member.member_id), member.classic_session_timeout_ms()?)))
            .collect();
        for (member_id, timeout_ms) in sessions {
            self.expect_heartbeat(now_ms, &group_id, &member_id, timeout_ms);
        }
        info!(%group_id, "converted a classic group to a consumer group");
    }

    /// Whether the group is left with members of the classic protocol only, when these members are gone.
    pub(crate) fn may_downgrade(&self, group: &ConsumerGroup, leaving: &BTreeSet<Arc<str>>) -> bool {
        let left = group.members.values().filter(|member| !leaving.contains(&member.member_id));
        let (mut count, mut all_classic) = (0, true);
        for member in left {
            count += 1;
            all_classic &= member.uses_classic_protocol();
        }
        all_classic && count > 0 && self.allows_downgrade(count)
    }

    /// Whether a consumer group with so many members may become a classic one.
    pub(crate) fn allows_downgrade(&self, members: usize) -> bool {
        self.config().consumer_migration_policy.allows_downgrade() && members <= self.config().max_size
    }

    /// The consumer group becomes a classic one, without these members, and rebalances.
    pub(crate) fn downgrade_without(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        leaving: &BTreeSet<Arc<str>>,
        records: &mut Records,
        out: &mut Effects,
    ) {
        self.downgrade(now_ms, group_id, leaving, records, out);
        self.in_group(now_ms, group_id, out, |group, scope| {
            group.prepare_rebalance("downgraded from a consumer group because a member left", scope)
        });
    }

    /// The consumer group becomes a classic one, with those members that stay.
    pub(crate) fn downgrade(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        leaving: &BTreeSet<Arc<str>>,
        records: &mut Records,
        out: &mut Effects,
    ) {
        let Some(group) = self.consumer_group(group_id) else { return };
        let classic = downgraded(group, leaving, self.topics().image(), now_ms);
        let ends = records::without_group(group);
        let members: Vec<Arc<str>> = group.members.keys().cloned().collect();
        for member_id in members {
            self.cancel_member_timers(group_id, &member_id);
        }
        for record in ends {
            self.record(record, records);
        }
        records.push(record::group_metadata(&classic, |id| {
            classic.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default()
        }));
        self.insert_group(Group::Classic(classic));
        self.in_group(now_ms, group_id, out, |group, scope| {
            let members: Vec<Arc<str>> = group.members.keys().cloned().collect();
            members.iter().for_each(|member_id| group.renew_session(member_id, scope));
        });
        info!(group_id, "converted a consumer group to a classic group");
    }
}

fn upgraded_member(
    image: &ClusterImage,
    member: &Member,
    protocol: &str,
    generation: i32,
) -> Result<(ConsumerMember, Assignment), &'static str> {
    let assignment = read_assignment(image, &member.assignment)?;
    let (_, subscription) =
        read_subscription(&member.metadata(protocol)).ok_or("the embedded consumer protocol is malformed")?;
    let metadata = MemberMetadata {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id.filter(|rack| !rack.is_empty()),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        topics: subscription.topics.into_iter().map(Arc::from).collect(),
        regex: None,
        assignor: None,
        classic: Some(ClassicMember {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.iter().map(|each| (each.name.clone(), each.metadata.clone())).collect(),
        }),
    };
    let current = CurrentAssignment {
        epoch: generation,
        previous_epoch: generation,
        state: MemberState::Stable,
        assigned: with_epoch(&assignment, generation),
        revoking: Default::default(),
    };
    Ok((ConsumerMember { member_id: Arc::clone(&member.member_id), metadata, current }, assignment))
}

fn downgraded(
    group: &ConsumerGroup,
    leaving: &BTreeSet<Arc<str>>,
    image: &ClusterImage,
    now_ms: TimestampMs,
) -> ClassicGroup {
    let mut classic = ClassicGroup::new(Arc::clone(&group.group_id), now_ms);
    classic.state = GroupState::Stable;
    classic.generation = group.epoch;
    for member in group.members.values().filter(|member| !leaving.contains(&member.member_id)) {
        let Some(of_classic) = &member.metadata.classic else { continue };
        let joining = Member {
            member_id: Arc::clone(&member.member_id),
            instance_id: member.metadata.instance_id.clone(),
            client_id: member.metadata.client_id.clone(),
            client_host: member.metadata.client_host.clone(),
            rebalance_timeout_ms: member.metadata.rebalance_timeout_ms,
            session_timeout_ms: of_classic.session_timeout_ms,
            protocols: of_classic
                .protocols
                .iter()
                .map(|(name, metadata)| MemberProtocol { name: name.clone(), metadata: metadata.clone() })
                .collect(),
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        };
        classic.add(joining, CONSUMER);
    }
    classic.protocol_name = classic.select_protocol();
    classic.subscribed_topics = classic.compute_subscribed_topics();
    let protocol = classic.protocol_name.clone().unwrap_or_default();
    for member in classic.members.values_mut() {
        let version = read_subscription(&member.metadata(&protocol)).map_or(0, |(version, _)| version);
        member.assignment = write_assignment(image, group.target.of(&member.member_id), version);
    }
    classic
}
