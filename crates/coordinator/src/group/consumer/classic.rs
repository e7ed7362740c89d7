//! Members of the classic protocol in a consumer group. JoinGroup is their heartbeat of the new protocol: it moves them a
//! step; SyncGroup gives them what they have then; Heartbeat tells them to rejoin when there is another step to take.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::leave_group_response::MemberResponse;
use protocol::messages::{
    ConsumerProtocolSubscription, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupResponse,
    SyncGroupRequest, SyncGroupResponse,
};
use protocol::types::TimestampMs;
use tracing::info;

use super::heartbeat::Told;
use super::member::{ClassicMember, ConsumerMember, MemberMetadata};
use super::migrate::{read_subscription, write_assignment};
use super::state::ConsumerGroup;
use crate::config::MigrationPolicy;
use crate::effects::{Effects, GroupResponse, ReplyToken, RequestContext};
use crate::error::GroupError;
use crate::group::classic::member::new_member_id;
use crate::group::classic::state::{CONSUMER, join_error, sync_error};
use crate::group::modern::assignment::{MemberState, without_epochs};
use crate::group::modern::topics::Topics;
use crate::group::timer::TimerKey;
use crate::record::modern::Records;
use crate::shard::GroupShard;

/// From this version on a member must join with an id that it was given (KIP-394).
const FIRST_VERSION_WITH_REQUIRED_MEMBER_ID: i16 = 4;

/// A member that is about to join.
struct Joining {
    member_id: Arc<str>,
    /// The static member whose place it takes.
    replaces: Option<Arc<str>>,
    protocols: Vec<(String, Bytes)>,
    subscription: ConsumerProtocolSubscription,
}

impl GroupShard {
    /// A member of the classic protocol joins a consumer group, or takes its next step in it.
    pub(crate) fn join_consumer_group(
        &mut self,
        context: &RequestContext,
        request: &JoinGroupRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        let joining = match self.check_classic_join(context, request) {
            Ok(joining) => joining,
            Err((member_id, error)) => {
                let response = join_error(&member_id, error.code());
                return self.reply_in_order(token, response, out);
            }
        };
        let (now_ms, group_id) = (context.now_ms, request.group_id.as_str());
        let mut records = Records::default();
        let downgrades = self.step_classic_member(context, request, &joining, &mut records);
        let group = self.consumer_group(group_id);
        let epoch = group.and_then(|group| group.members.get(&joining.member_id)).map(|member| member.current.epoch);
        let member_key =
            |kind: fn(Arc<str>, Arc<str>) -> TimerKey| kind(group_id.into(), Arc::clone(&joining.member_id));
        self.timers().cancel(&member_key(|group, member| TimerKey::MemberJoin { group, member }));
        if downgrades {
            let rebalances = group_is_behind(self.consumer_group(group_id));
            self.downgrade(now_ms, group_id, &BTreeSet::new(), &mut records, out);
            if rebalances {
                let reason = "downgraded from a consumer group with a stale assignment";
                self.in_group(now_ms, group_id, out, |group, scope| group.prepare_rebalance(reason, scope));
            }
        } else {
            self.expect_heartbeat(now_ms, group_id, &joining.member_id, request.session_timeout_ms);
            let deadline = now_ms.saturating_add(i64::from(request.rebalance_timeout_ms));
            self.timers().schedule(member_key(|group, member| TimerKey::MemberSync { group, member }), deadline);
        }
        let response = JoinGroupResponse {
            member_id: joining.member_id.to_string(),
            generation_id: epoch.unwrap_or(-1),
            protocol_type: Some(CONSUMER.to_owned()),
            protocol_name: joining.protocols.into_iter().next().map(|(name, _)| name),
            ..Default::default()
        };
        self.write_records(now_ms, records, Some((token, GroupResponse::JoinGroup(response))), out);
    }

    fn check_classic_join(
        &self,
        context: &RequestContext,
        request: &JoinGroupRequest,
    ) -> Result<Joining, (String, GroupError)> {
        let refuse = |error| (request.member_id.clone(), error);
        let group = self.consumer_group(&request.group_id).ok_or_else(|| refuse(GroupError::UnknownMember))?;
        if self.config().consumer_migration_policy == MigrationPolicy::Disabled {
            return Err(refuse(GroupError::InconsistentProtocol));
        }
        let is_new = request.member_id.is_empty();
        let member_id: Arc<str> = if is_new {
            new_member_id(request.group_instance_id.as_deref().unwrap_or(&context.client_id), context.fresh_id)
        } else {
            request.member_id.as_str().into()
        };
        if self.check_size(Some(group), &member_id).is_err() {
            return Err((String::new(), GroupError::GroupMaxSizeReached));
        }
        let names = request.protocols.iter().map(|protocol| protocol.name.as_str());
        if request.protocol_type != CONSUMER || !group.supports_classic(names) {
            return Err(refuse(GroupError::InconsistentProtocol));
        }
        let needs_id = is_new && context.api_version >= FIRST_VERSION_WITH_REQUIRED_MEMBER_ID;
        if needs_id && request.group_instance_id.is_none() {
            return Err((member_id.to_string(), GroupError::MemberIdRequired));
        }
        let replaces = match request.group_instance_id.as_deref() {
            None => None,
            Some(instance_id) => {
                let known = group.static_member(instance_id).map(|member| Arc::clone(&member.member_id));
                match known {
                    Some(known) if is_new => Some(known),
                    Some(known) if known != member_id => return Err(refuse(GroupError::FencedInstance)),
                    None if !is_new => return Err(refuse(GroupError::UnknownMember)),
                    _ => None,
                }
            }
        };
        let protocols: Vec<(String, Bytes)> = request
            .protocols
            .iter()
            .map(|protocol| (protocol.name.clone(), Bytes::copy_from_slice(&protocol.metadata)))
            .collect();
        let first = protocols.first().and_then(|(_, metadata)| read_subscription(metadata));
        let (_, subscription) = first.ok_or_else(|| refuse(GroupError::InconsistentProtocol))?;
        Ok(Joining { member_id, replaces, protocols, subscription })
    }

    /// Takes over what the member says of itself and moves it a step. True if the group is to become a classic one.
    fn step_classic_member(
        &mut self,
        context: &RequestContext,
        request: &JoinGroupRequest,
        joining: &Joining,
        records: &mut Records,
    ) -> bool {
        let (now_ms, group_id) = (context.now_ms, request.group_id.as_str());
        let downgrades = self.consumer_group(group_id).is_some_and(|group| {
            let replaced = joining.replaces.as_ref().and_then(|replaced| group.members.get(replaced));
            let is_last = replaced.is_some_and(|replaced| !replaced.uses_classic_protocol())
                && group.classic_members + 1 == group.members.len();
            is_last && self.allows_downgrade(group.members.len())
        });
        if let Some(replaced) = &joining.replaces {
            self.replace_member(group_id, replaced, &joining.member_id, records);
        }
        let before = self.consumer_group(group_id).and_then(|group| group.members.get(&joining.member_id));
        let metadata = classic_metadata(before, context, request, joining);
        let metadata = Some(metadata).filter(|metadata| before.is_none_or(|before| before.metadata != *metadata));
        let changed = self.update_member(now_ms, group_id, &joining.member_id, metadata, records);
        if !downgrades {
            self.update_target(now_ms, group_id, records);
        }
        if !downgrades || !group_is_behind(self.consumer_group(group_id)) {
            let owned = owned_partitions(&joining.subscription, self.topics());
            let told = Told { subscription_changed: changed, owned: Some(&owned) };
            self.reconcile(now_ms, group_id, &joining.member_id, &told, records);
        }
        downgrades
    }

    /// Gives a member of the classic protocol what it has.
    pub(crate) fn sync_consumer_group(
        &mut self,
        now_ms: TimestampMs,
        request: &SyncGroupRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        let response = match self.classic_sync(now_ms, request) {
            Ok(assignment) => GroupResponse::SyncGroup(SyncGroupResponse {
                protocol_type: request.protocol_type.clone(),
                protocol_name: request.protocol_name.clone(),
                assignment,
                ..Default::default()
            }),
            Err(error) => sync_error(error.code()),
        };
        self.reply_in_order(token, response, out);
    }

    fn classic_sync(&mut self, now_ms: TimestampMs, request: &SyncGroupRequest) -> Result<Bytes, GroupError> {
        let instance_id = request.group_instance_id.as_deref();
        let group = self.consumer_group(&request.group_id).ok_or(GroupError::UnknownMember)?;
        let (member, classic) = classic_member(group, &request.member_id, instance_id)?;
        if request.generation_id != member.current.epoch {
            return Err(GroupError::IllegalGeneration);
        }
        let first = classic.protocols.first();
        let is_other = |asked: &Option<String>, ours: Option<&str>| asked.is_some() && asked.as_deref() != ours;
        if is_other(&request.protocol_type, Some(CONSUMER))
            || is_other(&request.protocol_name, first.map(|(name, _)| name.as_str()))
        {
            return Err(GroupError::InconsistentProtocol);
        }
        let (group_id, member_id) = (Arc::clone(&group.group_id), Arc::clone(&member.member_id));
        if group.target.epoch > member.current.epoch && member.current.state != MemberState::UnrevokedPartitions {
            let timeout_ms = member.metadata.rebalance_timeout_ms;
            self.expect_rejoin(now_ms, group_id, member_id, timeout_ms);
            return Err(GroupError::RebalanceInProgress);
        }
        let version = first.and_then(|(_, metadata)| read_subscription(metadata)).map_or(0, |(version, _)| version);
        let has = without_epochs(&member.current.assigned);
        let assignment = write_assignment(self.topics().image(), &has, version);
        let session_ms = classic.session_timeout_ms;
        self.timers().cancel(&TimerKey::MemberSync { group: Arc::clone(&group_id), member: Arc::clone(&member_id) });
        self.expect_heartbeat(now_ms, &group_id, &member_id, session_ms);
        Ok(assignment)
    }

    /// Answers the heartbeat of a member of the classic protocol.
    pub(crate) fn heartbeat_consumer_group(
        &mut self,
        now_ms: TimestampMs,
        request: &HeartbeatRequest,
    ) -> Result<(), GroupError> {
        let instance_id = request.group_instance_id.as_deref();
        let group = self.consumer_group(&request.group_id).ok_or(GroupError::UnknownMember)?;
        let (member, classic) = classic_member(group, &request.member_id, instance_id)?;
        if request.generation_id != member.current.epoch {
            return Err(GroupError::IllegalGeneration);
        }
        let must_rejoin = member.current.epoch < group.target.epoch
            || match member.current.state {
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !waits_for_others(group, member),
                MemberState::Stable | MemberState::Unknown => false,
            };
        let (group_id, member_id) = (Arc::clone(&group.group_id), Arc::clone(&member.member_id));
        let (session_ms, timeout_ms) = (classic.session_timeout_ms, member.metadata.rebalance_timeout_ms);
        self.expect_heartbeat(now_ms, &group_id, &member_id, session_ms);
        if must_rejoin {
            self.expect_rejoin(now_ms, group_id, member_id, timeout_ms);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Members leave a consumer group by LeaveGroup.
    pub(crate) fn leave_consumer_group(
        &mut self,
        now_ms: TimestampMs,
        (group_id, identities): (&str, &[MemberIdentity]),
        respond: impl FnOnce(Vec<MemberResponse>) -> LeaveGroupResponse,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        let Some(group) = self.consumer_group(group_id) else { return };
        let mut leaving = BTreeSet::new();
        let mut members = Vec::with_capacity(identities.len());
        for identity in identities {
            let found = leaving_member(group, identity);
            members.push(crate::group::classic::leave::response(identity, found.as_ref().map(drop).map_err(|e| *e)));
            leaving.extend(found.ok());
        }
        info!(group_id, members = ?leaving, "members left");
        let mut records = Records::default();
        self.fence_members(now_ms, group_id, &leaving, &mut records, out);
        let response = GroupResponse::LeaveGroup(respond(members));
        self.write_records(now_ms, records, Some((token, response)), out);
    }

    /// Expects a member of the classic protocol to join again.
    fn expect_rejoin(&mut self, now_ms: TimestampMs, group: Arc<str>, member: Arc<str>, timeout_ms: i32) {
        let key = TimerKey::MemberJoin { group, member };
        self.timers().schedule_if_absent(key, now_ms.saturating_add(i64::from(timeout_ms)));
    }
}

fn group_is_behind(group: Option<&ConsumerGroup>) -> bool {
    group.is_some_and(|group| group.target.epoch < group.epoch)
}

fn classic_member<'a>(
    group: &'a ConsumerGroup,
    member_id: &str,
    instance_id: Option<&str>,
) -> Result<(&'a ConsumerMember, &'a ClassicMember), GroupError> {
    let member = match instance_id {
        None => group.members.get(member_id),
        Some(instance_id) => group.static_member(instance_id),
    };
    let member = member.ok_or(GroupError::UnknownMember)?;
    if *member.member_id != *member_id {
        return Err(GroupError::FencedInstance);
    }
    let classic = member.metadata.classic.as_ref().ok_or(GroupError::UnknownMember)?;
    Ok((member, classic))
}

fn leaving_member(group: &ConsumerGroup, identity: &MemberIdentity) -> Result<Arc<str>, GroupError> {
    let member = match identity.group_instance_id.as_deref() {
        None => group.members.get(identity.member_id.as_str()),
        Some(instance_id) => group.static_member(instance_id),
    };
    let member = member.ok_or(GroupError::UnknownMember)?;
    if !identity.member_id.is_empty() && *member.member_id != *identity.member_id {
        return Err(GroupError::FencedInstance);
    }
    Ok(Arc::clone(&member.member_id))
}

/// Whether a partition of the member's target is still another's.
fn waits_for_others(group: &ConsumerGroup, member: &ConsumerMember) -> bool {
    group.target.of(&member.member_id).iter().any(|(topic, partitions)| {
        let has = member.current.assigned.get(topic);
        let mut missing = partitions.iter().filter(|index| has.is_none_or(|has| !has.contains_key(index)));
        missing.any(|index| group.partition_epoch(*topic, *index).is_some())
    })
}

fn classic_metadata(
    member: Option<&ConsumerMember>,
    context: &RequestContext,
    request: &JoinGroupRequest,
    joining: &Joining,
) -> MemberMetadata {
    let subscription = &joining.subscription;
    let mut metadata = member.map(|member| member.metadata.clone()).unwrap_or_default();
    if let Some(instance_id) = &request.group_instance_id {
        metadata.instance_id = Some(instance_id.as_str().into());
    }
    if let Some(rack_id) = subscription.rack_id.as_ref().filter(|rack_id| !rack_id.is_empty()) {
        metadata.rack_id = Some(rack_id.clone());
    }
    if request.rebalance_timeout_ms != -1 {
        metadata.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    metadata.topics = subscription.topics.iter().map(|topic| Arc::from(topic.as_str())).collect();
    // A regular expression is matched by the classic client itself.
    metadata.regex = Some("".into());
    metadata.client_id.clone_from(&context.client_id);
    metadata.client_host.clone_from(&context.client_host);
    metadata.classic =
        Some(ClassicMember { session_timeout_ms: request.session_timeout_ms, protocols: joining.protocols.clone() });
    metadata
}

fn owned_partitions(subscription: &ConsumerProtocolSubscription, topics: &Topics) -> Vec<TopicPartitions> {
    let owned = subscription.owned_partitions.iter().filter_map(|owned| {
        let topic_id = topics.image().topic_id(&owned.topic)?;
        Some(TopicPartitions { topic_id, partitions: owned.partitions.clone(), ..Default::default() })
    });
    owned.collect()
}
