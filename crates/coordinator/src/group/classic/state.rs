//! The state of one classic group. Nothing here knows of time or records; see `rebalance` for what makes it move.
//! There is at most one leader, it is a member, and every id in `static_members` and `pending_syncs` is a member's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use protocol::messages::join_group_response::JoinGroupResponseMember;
use protocol::messages::{ConsumerProtocolSubscription, JoinGroupResponse, SyncGroupResponse};
use protocol::types::TimestampMs;
use protocol::{ErrorCode, Message, Reader};
use tracing::warn;

use super::member::{Member, MemberProtocol};
use crate::effects::{Effects, GroupResponse, ReplyToken, WriteId};
use crate::error::GroupError;

/// The protocol type of consumers.
pub(crate) const CONSUMER: &str = "consumer";

/// What DescribeGroups says of a group that does not exist.
pub(crate) const DEAD: &str = "Dead";

/// Where a group is between two generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupState {
    /// It has no members.
    Empty,
    /// Members join.
    PreparingRebalance,
    /// The leader assigns.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
}

impl GroupState {
    /// Kafka's name of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// The delay of a group's first rebalance, which each new member prolongs until the rebalance timeout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InitialJoin {
    pub(crate) delay_ms: i32,
    pub(crate) remaining_ms: i32,
}

/// A group.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    pub(crate) group_id: Arc<str>,
    pub(crate) state: GroupState,
    pub(crate) previous_state: Option<GroupState>,
    /// Since when it is in its state.
    pub(crate) state_timestamp_ms: Option<TimestampMs>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol_name: Option<String>,
    pub(crate) leader: Option<Arc<str>>,
    pub(crate) members: BTreeMap<Arc<str>, Member>,
    /// Member ids by instance id.
    pub(crate) static_members: HashMap<Arc<str>, Arc<str>>,
    /// Ids that were given to members that have not come back with them yet.
    pub(crate) pending_joins: BTreeSet<Arc<str>>,
    /// Members of this generation that have not asked for their assignment yet.
    pub(crate) pending_syncs: BTreeSet<Arc<str>>,
    /// Topics that its consumers subscribe to, if they are known.
    pub(crate) subscribed_topics: Option<BTreeSet<String>>,
    /// A member came while the first rebalance was being delayed.
    pub(crate) new_member_added: bool,
    pub(crate) initial_join: Option<InitialJoin>,
    /// The write that stores the group for the first time, if it was made by a member that joined.
    pub(crate) creation: Option<WriteId>,
    awaiting_join: usize,
    /// How many members support each protocol.
    supported_protocols: HashMap<String, usize>,
}

impl ClassicGroup {
    /// A group without members.
    pub(crate) fn new(group_id: Arc<str>, now_ms: TimestampMs) -> Self {
        Self {
            group_id,
            state: GroupState::Empty,
            previous_state: None,
            state_timestamp_ms: Some(now_ms),
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            subscribed_topics: None,
            new_member_added: false,
            initial_join: None,
            creation: None,
            awaiting_join: 0,
            supported_protocols: HashMap::new(),
        }
    }

    pub(crate) fn is(&self, state: GroupState) -> bool {
        self.state == state
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.is(GroupState::Empty)
    }

    /// Whether it has nothing but offsets, which were committed without a group.
    pub(crate) fn is_simple(&self) -> bool {
        self.protocol_type.is_none() && self.is_empty() && self.pending_joins.is_empty()
    }

    pub(crate) fn transition_to(&mut self, state: GroupState, now_ms: TimestampMs) {
        self.previous_state = Some(self.state);
        self.state = state;
        self.state_timestamp_ms = Some(now_ms);
    }

    /// How many members wait for the join phase to end.
    pub(crate) fn awaiting_join(&self) -> usize {
        self.awaiting_join
    }

    pub(crate) fn has_all_members_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_joins.is_empty()
    }

    pub(crate) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// The longest time that a member asks for to rejoin.
    pub(crate) fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).fold(0, i32::max)
    }

    pub(crate) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether a consumer may read the topic. A consumer group whose subscriptions cannot be read may read any.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Adds a member; the first one leads and decides the type of the protocol.
    pub(crate) fn add(&mut self, member: Member, protocol_type: &str) {
        let member_id = Arc::clone(&member.member_id);
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(Arc::clone(instance_id), Arc::clone(&member_id));
        }
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if self.leader.is_none() {
            self.leader = Some(Arc::clone(&member_id));
        }
        self.awaiting_join += usize::from(member.awaiting_join.is_some());
        self.count_protocols(&member);
        self.pending_joins.remove(&member_id);
        self.members.insert(member_id, member);
    }

    /// Removes a member, pending or not; another one leads if it did. Whoever waits with the member's name is told so.
    pub(crate) fn remove(&mut self, member_id: &str, out: &mut Effects) {
        if let Some(mut member) = self.members.remove(member_id) {
            self.uncount_protocols(&member);
            if let Some(token) = member.awaiting_join.take() {
                self.awaiting_join -= 1;
                out.reply(token, join_error("", GroupError::UnknownMember.code()));
            }
            if let Some(token) = member.awaiting_sync.take() {
                out.reply(token, sync_error(GroupError::UnknownMember.code()));
            }
            if let Some(instance_id) = &member.instance_id {
                self.static_members.remove(instance_id);
            }
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
    }

    /// Gives a static member a new id; requests that wait with the old one are fenced.
    pub(crate) fn replace_static_member(&mut self, old_id: &str, new_id: &Arc<str>, out: &mut Effects) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        let fenced = GroupError::FencedInstance.code();
        if let Some(token) = member.awaiting_join.take() {
            self.awaiting_join -= 1;
            let response = JoinGroupResponse {
                error_code: fenced.code(),
                member_id: old_id.to_owned(),
                protocol_name: None,
                ..Default::default()
            };
            out.reply(token, GroupResponse::JoinGroup(response));
        }
        if let Some(token) = member.awaiting_sync.take() {
            out.reply(token, sync_error(fenced));
        }
        member.member_id = Arc::clone(new_id);
        member.is_new = false;
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(Arc::clone(instance_id), Arc::clone(new_id));
        }
        if self.is_leader(old_id) {
            self.leader = Some(Arc::clone(new_id));
        }
        self.pending_syncs.remove(old_id);
        self.members.insert(Arc::clone(new_id), member);
    }

    /// Takes over what a member says of itself now, and its request that waits.
    pub(crate) fn update_member(&mut self, member_id: &str, update: MemberUpdate, out: &mut Effects) {
        let Some(mut member) = self.members.remove(member_id) else { return };
        self.uncount_protocols(&member);
        member.protocols = update.protocols;
        member.rebalance_timeout_ms = update.rebalance_timeout_ms;
        member.session_timeout_ms = update.session_timeout_ms;
        let before = std::mem::replace(&mut member.awaiting_join, update.awaiting_join);
        self.awaiting_join += usize::from(member.awaiting_join.is_some());
        self.awaiting_join -= usize::from(before.is_some());
        if let Some(token) = before {
            out.reply(token, join_error(member_id, GroupError::RebalanceInProgress.code()));
        }
        self.count_protocols(&member);
        self.members.insert(Arc::clone(&member.member_id), member);
    }

    /// Answers the JoinGroup that a member waits with. False if it does not wait.
    pub(crate) fn complete_join(&mut self, member_id: &str, response: JoinGroupResponse, out: &mut Effects) -> bool {
        let Some(token) = self.members.get_mut(member_id).and_then(|member| member.awaiting_join.take()) else {
            return false;
        };
        self.awaiting_join -= 1;
        out.reply(token, GroupResponse::JoinGroup(response));
        true
    }

    /// Answers the SyncGroup that a member waits with. False if it does not wait.
    pub(crate) fn complete_sync(&mut self, member_id: &str, response: SyncGroupResponse, out: &mut Effects) -> bool {
        let Some(token) = self.members.get_mut(member_id).and_then(|member| member.awaiting_sync.take()) else {
            return false;
        };
        out.reply(token, GroupResponse::SyncGroup(response));
        true
    }

    /// Answers everyone who waits with `error`.
    pub(crate) fn fail_all(&mut self, error: ErrorCode, out: &mut Effects) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let join = JoinGroupResponse { member_id: id.to_string(), error_code: error.code(), ..Default::default() };
            self.complete_join(&id, join, out);
            self.complete_sync(&id, SyncGroupResponse { error_code: error.code(), ..Default::default() }, out);
        }
    }

    /// If the leader has not rejoined, someone who has leads. False if nobody can.
    pub(crate) fn elect_joined_leader(&mut self) -> bool {
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        if leader.is_some_and(|leader| leader.awaiting_join.is_some()) {
            return true;
        }
        let Some(joined) = self.members.values().find(|member| member.awaiting_join.is_some()) else { return false };
        self.leader = Some(Arc::clone(&joined.member_id));
        true
    }

    /// # Errors
    /// [`GroupError::UnknownMember`], or [`GroupError::FencedInstance`] if the instance has another member id by now.
    pub(crate) fn validate_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(GroupError::UnknownMember),
                Some(current) if **current != *member_id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        if !self.members.contains_key(member_id) {
            return Err(GroupError::UnknownMember);
        }
        Ok(())
    }

    /// Whether a member that speaks these protocols can be in the group.
    pub(crate) fn supports<'a>(&self, protocol_type: &str, mut names: impl Iterator<Item = &'a str>) -> bool {
        if self.is(GroupState::Empty) {
            return !protocol_type.is_empty() && names.next().is_some();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && names.any(|name| self.supported_protocols.get(name).copied().unwrap_or(0) == self.members.len())
    }

    /// The protocol that most members prefer among those that all support.
    pub(crate) fn select_protocol(&self) -> Option<String> {
        let supported_by_all = |name: &str| self.supported_protocols.get(name) == Some(&self.members.len());
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let choice = member.protocols.iter().find(|protocol| supported_by_all(&protocol.name));
            if let Some(choice) = choice {
                *votes.entry(&choice.name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }

    /// Starts the next generation with whoever is a member.
    pub(crate) fn init_next_generation(&mut self, now_ms: TimestampMs) {
        self.generation = self.generation.wrapping_add(1);
        self.protocol_name = self.select_protocol();
        self.subscribed_topics = self.compute_subscribed_topics();
        let empty = self.members.is_empty();
        self.transition_to(if empty { GroupState::Empty } else { GroupState::CompletingRebalance }, now_ms);
        self.pending_syncs.clear();
    }

    /// Everyone, with what each says of itself in the chosen protocol.
    pub(crate) fn join_response_members(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        self.members
            .values()
            .map(|member| JoinGroupResponseMember {
                member_id: member.member_id.to_string(),
                group_instance_id: member.instance_id.as_deref().map(str::to_owned),
                metadata: member.metadata(protocol),
                ..Default::default()
            })
            .collect()
    }

    /// The answer to a JoinGroup of this generation, without members.
    pub(crate) fn join_response(&self, member_id: &str) -> JoinGroupResponse {
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.as_deref().unwrap_or_default().to_owned(),
            member_id: member_id.to_owned(),
            ..Default::default()
        }
    }

    /// The topics of all members' subscriptions; `None` if one cannot be read.
    pub(crate) fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let Some(subscription) = subscription_topics(member, protocol) else {
                warn!(group_id = %self.group_id, protocol, "could not read a subscription of the group");
                return None;
            };
            topics.extend(subscription);
        }
        Some(topics)
    }

    fn count_protocols(&mut self, member: &Member) {
        for name in member.protocol_names() {
            match self.supported_protocols.get_mut(name) {
                Some(count) => *count += 1,
                None => {
                    self.supported_protocols.insert(name.to_owned(), 1);
                }
            }
        }
    }

    fn uncount_protocols(&mut self, member: &Member) {
        for name in member.protocol_names() {
            if let Some(count) = self.supported_protocols.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.supported_protocols.remove(name);
                }
            }
        }
    }
}

/// What a member that joins again says of itself.
#[derive(Debug, Clone)]
pub(crate) struct MemberUpdate {
    pub(crate) protocols: Vec<MemberProtocol>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) awaiting_join: Option<ReplyToken>,
}

/// The topics of a member's subscription. Every version of the consumer protocol starts with version 0, so that is read.
fn subscription_topics(member: &Member, protocol: &str) -> Option<Vec<String>> {
    let mut reader = Reader::new(member.metadata(protocol));
    let version = reader.i16().ok()?;
    if version < 0 {
        return None;
    }
    ConsumerProtocolSubscription::decode(&mut reader, 0).ok().map(|subscription| subscription.topics)
}

/// A JoinGroup that is refused.
pub(crate) fn join_error(member_id: &str, error: ErrorCode) -> GroupResponse {
    GroupResponse::JoinGroup(JoinGroupResponse {
        member_id: member_id.to_owned(),
        error_code: error.code(),
        ..Default::default()
    })
}

/// A SyncGroup that is refused.
pub(crate) fn sync_error(error: ErrorCode) -> GroupResponse {
    GroupResponse::SyncGroup(SyncGroupResponse { error_code: error.code(), ..Default::default() })
}
