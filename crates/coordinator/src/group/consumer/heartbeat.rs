//! ConsumerGroupHeartbeat: a member joins, changes what it subscribes to, confirms what it has, and learns what it is to have.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions as AssignedPartitions};
use protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use protocol::types::TimestampMs;
use tracing::{debug, info};

use super::member::{ConsumerMember, LEAVE_EPOCH, MemberMetadata, STATIC_LEAVE_EPOCH};
use super::reconcile::Step;
use super::state::ConsumerGroup;
use super::{records, regex};
use crate::effects::{Effects, GroupResponse, ReplyToken, RequestContext};
use crate::error::Refusal;
use crate::group::Group;
use crate::group::modern::assignment::{EpochAssignment, MemberState};
use crate::group::timer::TimerKey;
use crate::record::modern::Records;
use crate::shard::GroupShard;

/// From this version on members make their ids themselves.
const FIRST_VERSION_WITH_CLIENT_IDS: i16 = 1;

/// What a member's next step depends on beside what is known of it.
pub(crate) struct Told<'a> {
    /// It subscribes to something else than before.
    pub(crate) subscription_changed: bool,
    /// What it says that it has; nothing if it does not say.
    pub(crate) owned: Option<&'a [TopicPartitions]>,
}

impl GroupShard {
    /// Answers the heartbeat of a member of a consumer group.
    pub fn consumer_group_heartbeat(
        &mut self,
        context: &RequestContext,
        request: ConsumerGroupHeartbeatRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        let mut records = Records::default();
        let leaves = matches!(request.member_epoch, LEAVE_EPOCH | STATIC_LEAVE_EPOCH);
        let answer = self.validate_heartbeat(context, &request).and_then(|()| {
            if leaves {
                self.consumer_leave(context.now_ms, &request, &mut records, out)
            } else {
                self.consumer_heartbeat(context, &request, &mut records, out)
            }
        });
        let response = answer.unwrap_or_else(|refusal| ConsumerGroupHeartbeatResponse {
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            ..Default::default()
        });
        let reply = Some((token, GroupResponse::ConsumerGroupHeartbeat(response)));
        self.write_records(context.now_ms, records, reply, out);
    }

    fn validate_heartbeat(
        &self,
        context: &RequestContext,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(), Refusal> {
        let epoch = request.member_epoch;
        let needs_id = context.api_version >= FIRST_VERSION_WITH_CLIENT_IDS || epoch > 0 || epoch == LEAVE_EPOCH;
        let is_blank = |text: Option<&str>| text.is_some_and(|text| text.trim().is_empty());
        let refused = [
            (needs_id && is_blank(Some(&request.member_id)), "MemberId can't be empty."),
            (is_blank(Some(&request.group_id)), "GroupId can't be empty."),
            (is_blank(request.instance_id.as_deref()), "InstanceId can't be empty."),
            (is_blank(request.rack_id.as_deref()), "RackId can't be empty."),
            (epoch == 0 && request.rebalance_timeout_ms == -1, "RebalanceTimeoutMs must be provided in first request."),
            (
                epoch == 0 && request.topic_partitions.as_ref().is_none_or(|topics| !topics.is_empty()),
                "TopicPartitions must be empty when (re-)joining.",
            ),
            (
                epoch == 0 && request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none(),
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            ),
            (epoch == STATIC_LEAVE_EPOCH && request.instance_id.is_none(), "InstanceId can't be null."),
            (epoch < STATIC_LEAVE_EPOCH, "MemberEpoch is invalid."),
        ];
        if let Some((_, message)) = refused.iter().find(|(refused, _)| *refused) {
            return Err(Refusal::new(ErrorCode::InvalidRequest, (*message).to_owned()));
        }
        let assignors = &self.config().consumer_assignors;
        match &request.server_assignor {
            Some(name) if !assignors.iter().any(|assignor| assignor.name() == name) => {
                let supported: Vec<&str> = assignors.iter().map(|assignor| assignor.name()).collect();
                let supported = supported.join(", ");
                let message = format!("ServerAssignor {name} is not supported. Supported assignors: {supported}.");
                Err(Refusal::new(ErrorCode::UnsupportedAssignor, message))
            }
            _ => Ok(()),
        }
    }

    /// Everything that can refuse the heartbeat comes before the first record.
    fn consumer_heartbeat(
        &mut self,
        context: &RequestContext,
        request: &ConsumerGroupHeartbeatRequest,
        records: &mut Records,
        out: &mut Effects,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let (now_ms, group_id) = (context.now_ms, request.group_id.as_str());
        let joins = request.member_epoch == 0;
        let upgraded = self.check_consumer_group(group_id, joins)?;
        let group = upgraded.as_ref().or_else(|| self.consumer_group(group_id));
        self.check_size(group, &request.member_id)?;
        let member_id: Arc<str> = if request.member_id.is_empty() {
            context.fresh_id.to_string().into()
        } else {
            request.member_id.as_str().into()
        };
        let replaced = check_member(group, &member_id, request, joins)?;
        let known = group.and_then(|group| group.members.get(replaced.as_ref().unwrap_or(&member_id)));
        if let Some(new) = request.subscribed_topic_regex.as_deref().filter(|new| !new.is_empty()) {
            let is_new = group.is_none_or(|group| group.members_with_regex(new) == 0);
            let before = known.and_then(|member| member.metadata.regex.as_deref());
            if is_new && before != Some(new) {
                regex::validate(new)?;
            }
        }
        if let Some(upgraded) = upgraded {
            self.upgrade(now_ms, upgraded, records, out);
        } else {
            self.remove_empty_classic_group(group_id, records);
        }
        if let Some(replaced) = replaced.filter(|replaced| *replaced != member_id) {
            self.replace_member(group_id, &replaced, &member_id, records);
        }
        let before = self.consumer_group(group_id).and_then(|group| group.members.get(&member_id));
        let assigned_before = before.map(|member| member.current.assigned.clone()).unwrap_or_default();
        let metadata = updated_metadata(before, context, request);
        let changed = self.update_member(now_ms, group_id, &member_id, metadata, records);
        self.update_target(now_ms, group_id, records);
        let told = Told { subscription_changed: changed, owned: request.topic_partitions.as_deref() };
        self.reconcile(now_ms, group_id, &member_id, &told, records);
        let session_ms = self.consumer_setting(group_id, |settings| settings.session_timeout_ms, "session.timeout.ms");
        self.expect_heartbeat(now_ms, group_id, &member_id, session_ms);
        Ok(self.heartbeat_response(request, &member_id, &assigned_before))
    }

    /// The group that a heartbeat is for must be there, or be made of what is there: then it is given.
    fn check_consumer_group(&mut self, group_id: &str, joins: bool) -> Result<Option<ConsumerGroup>, Refusal> {
        match self.group(group_id) {
            None if joins => Ok(None),
            None => Err(Refusal::not_found(format!("Consumer group {group_id} not found."))),
            Some(Group::Consumer(_)) => Ok(None),
            Some(Group::Classic(group)) if joins && group.is_empty() => Ok(None),
            Some(Group::Classic(_)) if joins => self.upgraded(group_id).map(Some),
            Some(_) => Err(Refusal::not_found(format!("Group {group_id} is not a consumer group."))),
        }
    }

    pub(crate) fn check_size(&self, group: Option<&ConsumerGroup>, member_id: &str) -> Result<(), Refusal> {
        let max_size = self.config().consumer.max_size;
        let is_full =
            group.is_some_and(|group| group.members.len() >= max_size && !group.members.contains_key(member_id));
        if is_full {
            let message = format!("The consumer group has reached its maximum capacity of {max_size} members.");
            return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message));
        }
        Ok(())
    }

    /// Takes over what a member says of itself, and gives the group a new epoch if that changes what it reads.
    /// True if the member's own subscription changed.
    pub(crate) fn update_member(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        member_id: &Arc<str>,
        metadata: Option<MemberMetadata>,
        records: &mut Records,
    ) -> bool {
        let mut topics_changed = false;
        let mut regex_changed = false;
        let mut resolved_changed = false;
        if let Some(metadata) = metadata {
            let before = self.consumer_group(group_id).and_then(|group| group.members.get(member_id));
            let nothing = MemberMetadata::default();
            let before = before.map_or(&nothing, |member| &member.metadata);
            topics_changed = before.topics != metadata.topics;
            regex_changed = before.regex != metadata.regex;
            let old_regex = before.regex().cloned();
            self.record(records::member(group_id, member_id, Some(&metadata)), records);
            if regex_changed {
                resolved_changed = self.forget_regex(group_id, old_regex.as_deref(), records);
                let group = self.consumer_group(group_id);
                let is_resolved = |regex: &Arc<str>| group.is_some_and(|group| group.resolved.contains_key(regex));
                resolved_changed |= old_regex.is_some() && metadata.regex().is_none();
                resolved_changed |= metadata.regex().is_some_and(is_resolved);
            }
        }
        resolved_changed |= self.refresh_regexes(now_ms, group_id, records);
        self.update_epoch(group_id, topics_changed || resolved_changed, records);
        topics_changed || regex_changed
    }

    /// Forgets what an expression matches if no member has it any more.
    pub(crate) fn forget_regex(&mut self, group_id: &str, regex: Option<&str>, records: &mut Records) -> bool {
        let group = self.consumer_group(group_id);
        let unused = |regex: &&str| group.is_some_and(|group| group.members_with_regex(regex) == 0);
        let Some(regex) = regex.filter(unused) else { return false };
        self.record(records::regex(group_id, regex, None), records);
        true
    }

    /// Gives the group a new epoch if it must have one, or if its topics have changed.
    fn update_epoch(&mut self, group_id: &str, must: bool, records: &mut Records) {
        let Some(group) = self.consumer_group(group_id) else { return };
        if !must && !group.metadata_stale {
            return;
        }
        let (epoch, hash_before, legacy) = (group.epoch, group.metadata_hash, group.has_partition_metadata);
        // A member at epoch 0 would have to join with every heartbeat.
        let must = must || epoch == 0;
        let hash = self.consumer_metadata_hash(group_id);
        if must || hash != hash_before {
            info!(group_id, epoch = epoch + 1, "bumped a group's epoch");
            self.record(records::epoch(group_id, epoch + 1, hash), records);
        }
        if legacy {
            self.record(records::no_partition_metadata(group_id), records);
        }
        if let Some(group) = self.consumer_group_mut(group_id) {
            group.metadata_stale = false;
        }
    }

    /// Moves a member a step towards its target.
    pub(crate) fn reconcile(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        member_id: &Arc<str>,
        told: &Told<'_>,
        records: &mut Records,
    ) {
        let Told { subscription_changed, owned } = *told;
        let Some(group) = self.consumer_group(group_id) else { return };
        let Some(member) = group.members.get(member_id) else { return };
        if !subscription_changed && member.current.is_reconciled_to(group.target.epoch) {
            return;
        }
        let subscribed: BTreeSet<_> = self.topics().ids(group.topics_of(&member.metadata));
        let step = Step {
            target_epoch: group.target.epoch,
            target: group.target.of(member_id),
            subscribed: &subscribed,
            subscription_changed,
            owned,
        };
        let is_free = |topic, index| group.partition_epoch(topic, index).is_none();
        // A member in an unknown state was refused before.
        let Ok(next) = step.take(&member.current, is_free) else { return };
        if next == member.current {
            return;
        }
        debug!(group_id, %member_id, epoch = next.epoch, state = ?next.state, "reconciled a member");
        let record = records::current(group_id, member_id, Some(&next));
        let is_classic = member.uses_classic_protocol();
        let key = TimerKey::Rebalance { group: Arc::clone(&group.group_id), member: Arc::clone(member_id) };
        let timeout_ms = i64::from(member.metadata.rebalance_timeout_ms);
        self.record(record, records);
        if is_classic {
            return;
        }
        if next.state == MemberState::UnrevokedPartitions {
            self.timers().schedule(key, now_ms.saturating_add(timeout_ms));
        } else {
            self.timers().cancel(&key);
        }
    }

    fn heartbeat_response(
        &self,
        request: &ConsumerGroupHeartbeatRequest,
        member_id: &Arc<str>,
        assigned_before: &EpochAssignment,
    ) -> ConsumerGroupHeartbeatResponse {
        let group_id = &request.group_id;
        let interval_ms =
            self.consumer_setting(group_id, |settings| settings.heartbeat_interval_ms, "heartbeat.interval.ms");
        let member = self.consumer_group(group_id).and_then(|group| group.members.get(member_id));
        let Some(current) = member.map(|member| &member.current) else {
            return ConsumerGroupHeartbeatResponse::default();
        };
        let says_all = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
            && request.topic_partitions.is_some();
        let tells = request.member_epoch == 0 || says_all || *assigned_before != current.assigned;
        ConsumerGroupHeartbeatResponse {
            member_id: Some(member_id.to_string()),
            member_epoch: current.epoch,
            heartbeat_interval_ms: interval_ms,
            assignment: tells.then(|| to_assignment(&current.assigned)),
            ..Default::default()
        }
    }
}

/// The member whose place the sender takes: itself, or the static member that it replaces. None if it is new.
fn check_member(
    group: Option<&ConsumerGroup>,
    member_id: &Arc<str>,
    request: &ConsumerGroupHeartbeatRequest,
    joins: bool,
) -> Result<Option<Arc<str>>, Refusal> {
    let group_id = &request.group_id;
    let known = match request.instance_id.as_deref() {
        None => group.and_then(|group| group.members.get(member_id)),
        Some(instance_id) => {
            let known = group.and_then(|group| group.static_member(instance_id));
            match known {
                Some(known) if joins => {
                    let releases = known.uses_classic_protocol() || known.current.epoch == STATIC_LEAVE_EPOCH;
                    if !releases {
                        return Err(Refusal::unreleased(member_id, instance_id, &known.member_id));
                    }
                    return Ok(Some(Arc::clone(&known.member_id)));
                }
                Some(known) if known.member_id != *member_id => {
                    return Err(Refusal::fenced_instance(member_id, instance_id, &known.member_id));
                }
                None if !joins => {
                    let message = format!("Instance id {instance_id} is unknown.");
                    return Err(Refusal::new(ErrorCode::UnknownMemberId, message));
                }
                known => known,
            }
        }
    };
    match known {
        Some(known) => check_epoch(known, request)?,
        None if !joins => {
            let message = format!("Member {member_id} is not a member of group {group_id}.");
            return Err(Refusal::new(ErrorCode::UnknownMemberId, message));
        }
        None => {}
    }
    Ok(known.map(|known| Arc::clone(&known.member_id)))
}

/// A member may be one epoch behind if it has no partition that it is not to have: it did not get the last answer.
fn check_epoch(member: &ConsumerMember, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let (sent, known) = (request.member_epoch, member.current.epoch);
    let owned = request.topic_partitions.as_deref();
    if member.current.state == MemberState::Unknown && owned.is_none_or(|owned| !owned.is_empty()) {
        let message =
            "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.";
        return Err(Refusal::new(ErrorCode::FencedMemberEpoch, message.to_owned()));
    }
    let may_catch_up = sent == member.current.previous_epoch && is_subset(owned, &member.current.assigned);
    let compared = match sent.cmp(&known) {
        _ if sent == 0 => return Ok(()),
        std::cmp::Ordering::Greater => "greater",
        std::cmp::Ordering::Less if !may_catch_up => "smaller",
        _ => return Ok(()),
    };
    let message = format!(
        "The consumer group member has a {compared} member epoch ({sent}) than the one known by the group coordinator \
         ({known}). The member must abandon all its partitions and rejoin."
    );
    Err(Refusal::new(ErrorCode::FencedMemberEpoch, message))
}

fn is_subset(owned: Option<&[TopicPartitions]>, assigned: &EpochAssignment) -> bool {
    owned.is_some_and(|owned| {
        owned.iter().all(|topic| {
            let assigned = assigned.get(&topic.topic_id);
            assigned.is_some_and(|assigned| topic.partitions.iter().all(|index| assigned.contains_key(index)))
        })
    })
}

/// What the member says of itself with this heartbeat; nothing if that is what is known of it.
fn updated_metadata(
    member: Option<&ConsumerMember>,
    context: &RequestContext,
    request: &ConsumerGroupHeartbeatRequest,
) -> Option<MemberMetadata> {
    let mut metadata = member.map(|member| member.metadata.clone()).unwrap_or_default();
    if let Some(instance_id) = &request.instance_id {
        metadata.instance_id = Some(instance_id.as_str().into());
    }
    if let Some(rack_id) = &request.rack_id {
        metadata.rack_id = Some(rack_id.clone());
    }
    if request.rebalance_timeout_ms != -1 {
        metadata.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(assignor) = &request.server_assignor {
        metadata.assignor = Some(assignor.clone());
    }
    if let Some(topics) = &request.subscribed_topic_names {
        metadata.topics = topics.iter().map(|topic| Arc::from(topic.as_str())).collect();
    }
    if let Some(regex) = &request.subscribed_topic_regex {
        metadata.regex = Some(regex.as_str().into());
    }
    metadata.client_id.clone_from(&context.client_id);
    metadata.client_host.clone_from(&context.client_host);
    metadata.classic = None;
    let is_known = member.is_some_and(|member| member.metadata == metadata);
    (!is_known).then_some(metadata)
}

fn to_assignment(assigned: &EpochAssignment) -> Assignment {
    let topics = assigned.iter().map(|(topic_id, partitions)| AssignedPartitions {
        topic_id: *topic_id,
        partitions: partitions.keys().copied().collect(),
        ..Default::default()
    });
    Assignment { topic_partitions: topics.collect(), ..Default::default() }
}
