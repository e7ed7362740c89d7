//! ShareGroupHeartbeat: a member joins, stays, changes its topics or leaves. What follows of it is worked out on copies;
//! only the records that it gives change the group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metadata::ClusterImage;
use protocol::messages::initialize_share_group_state_request::{InitializeStateData, PartitionData};
use protocol::messages::share_group_heartbeat_response::{Assignment as Assigned, TopicPartitions};
use protocol::messages::{InitializeShareGroupStateRequest, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use protocol::types::{Offset, TimestampMs};
use protocol::{ErrorCode, Uuid};
use tracing::info;

use super::assignor::{self, MemberSpec};
use super::record;
use super::state::{LEAVING, ShareGroup, ShareMember, StatePartitions, TopicState};
use crate::effects::RequestContext;
use crate::error::Refusal;
use crate::group::modern::assignment::Assignment;
use crate::group::modern::metadata_hash::{group_hash, topic_hash};
use crate::record::modern::GroupRecord;

/// The first delivery decides where a share-partition starts.
const UNINITIALIZED: Offset = -1;
/// Kafka's limit for ids of members.
const MAX_MEMBER_ID_LENGTH: usize = 36;

/// What a group is told beside the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) now_ms: TimestampMs,
    pub(crate) image: &'a ClusterImage,
    pub(crate) max_size: usize,
    pub(crate) heartbeat_interval_ms: i32,
    pub(crate) assignment_interval_ms: i32,
    pub(crate) initialize_retry_interval_ms: i64,
}

/// What comes of a heartbeat.
#[derive(Debug)]
pub(crate) struct Beat {
    pub(crate) records: Vec<GroupRecord>,
    pub(crate) response: ShareGroupHeartbeatResponse,
    /// Share state to set up once the records are stored.
    pub(crate) initialize: Option<InitializeShareGroupStateRequest>,
}

/// Checks a heartbeat by itself.
/// # Errors
/// `InvalidRequest`.
pub(crate) fn validate(request: &ShareGroupHeartbeatRequest) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message.to_owned()));
    let blank = |text: &str| text.trim().is_empty();
    if request.member_id.is_empty() || request.member_id.encode_utf16().count() > MAX_MEMBER_ID_LENGTH {
        return invalid("Invalid member id in the request.");
    }
    if blank(&request.member_id) {
        return invalid("MemberId can't be empty.");
    }
    if blank(&request.group_id) {
        return invalid("GroupId can't be empty.");
    }
    if request.rack_id.as_deref().is_some_and(blank) {
        return invalid("RackId can't be empty.");
    }
    if request.member_epoch == 0 && request.subscribed_topic_names.as_ref().is_none_or(Vec::is_empty) {
        return invalid("SubscribedTopicNames must be set in first request.");
    }
    if request.member_epoch < LEAVING {
        return invalid("MemberEpoch is invalid.");
    }
    Ok(())
}

impl ShareGroup {
    /// A member joins, or says that it is there.
    /// # Errors
    /// For a full group, an unknown member, and an epoch that is neither the member's nor the one before.
    pub(crate) fn heartbeat(
        &self,
        context: &RequestContext,
        request: &ShareGroupHeartbeatRequest,
        scope: Scope<'_>,
    ) -> Result<Beat, Refusal> {
        let group_id = &*self.group_id;
        let member_id: Arc<str> = request.member_id.as_str().into();
        let before = self.member_for(request, scope.max_size)?;
        let mut member = before.clone();
        if let Some(rack_id) = &request.rack_id {
            member.rack_id = Some(rack_id.clone());
        }
        if let Some(topics) = &request.subscribed_topic_names {
            member.topics = topics.iter().map(|topic| topic.as_str().into()).collect();
        }
        member.client_id.clone_from(&context.client_id);
        member.client_host.clone_from(&context.client_host);

        let mut records = Vec::new();
        if member != before {
            records.push(record::member(group_id, &member_id, Some(&member)));
        }
        let members = self.members_with(&member_id, Some(&member));
        let mut bump = member.topics != before.topics;
        bump |= self.target_epoch >= self.epoch && self.lacks_assignment();
        let mut epoch = self.epoch;
        if bump || !self.metadata_checked {
            let hash = hash_of(&members, scope.image);
            bump |= hash != self.metadata_hash;
            if bump {
                epoch += 1;
                records.push(record::epoch(group_id, Some((epoch, hash))));
                info!(group_id, epoch, "bumped the epoch of a share group");
            }
        }
        let (target_epoch, target) = self.target_for(&member_id, &members, epoch, scope, &mut records);
        let mut reached = member.clone();
        if bump || member.epoch != target_epoch {
            reached = reconciled(&member, target_epoch, &target, scope.image);
            if reached != member {
                records.push(record::current(group_id, &member_id, Some(&reached)));
            }
        }
        let full = request.member_epoch == 0 || request.subscribed_topic_names.is_some();
        let assignment = (full || reached.assigned != before.assigned).then(|| assigned(&reached.assigned));
        let response = ShareGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: reached.epoch,
            heartbeat_interval_ms: scope.heartbeat_interval_ms,
            assignment,
            ..Default::default()
        };
        let topics: BTreeSet<&str> =
            members.values().flat_map(|member| member.topics.iter().map(AsRef::as_ref)).collect();
        let initialize = self.initialize(&topics, epoch, scope, &mut records);
        Ok(Beat { records, response, initialize })
    }

    /// The records that remove a member.
    pub(crate) fn fence(&self, member_id: &str, image: &ClusterImage) -> Vec<GroupRecord> {
        let group_id = &*self.group_id;
        let members = self.members_with(&member_id.into(), None);
        vec![
            record::current(group_id, member_id, None),
            record::target(group_id, member_id, None),
            record::member(group_id, member_id, None),
            record::epoch(group_id, Some((self.epoch + 1, hash_of(&members, image)))),
        ]
    }

    fn member_for(&self, request: &ShareGroupHeartbeatRequest, max_size: usize) -> Result<ShareMember, Refusal> {
        let member = self.members.get(request.member_id.as_str());
        if member.is_none() && self.members.len() >= max_size {
            let message = format!("The share group has reached its maximum capacity of {max_size} members.");
            return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message));
        }
        let received = request.member_epoch;
        let Some(member) = member else {
            if received == 0 {
                info!(group_id = %self.group_id, member_id = request.member_id, "member joined a share group");
                return Ok(ShareMember::default());
            }
            return Err(Refusal::unknown_member(&request.member_id, &self.group_id));
        };
        let (known, previous) = (member.epoch, member.previous_epoch);
        let is_higher = received > known;
        if received == 0 || received == known || (received == previous && !is_higher) {
            return Ok(member.clone());
        }
        let advice = "The member must abandon all its partitions and rejoin.";
        let relation = if is_higher { "greater" } else { "smaller" };
        let reason = match is_higher {
            true => String::new(),
            false => format!(", and it does not match the previous member epoch ({previous})"),
        };
        let message = format!(
            "The share group member has a {relation} member epoch ({received}) than the one known by the group \
             coordinator ({known}){reason}. {advice}"
        );
        Err(Refusal::new(ErrorCode::FencedMemberEpoch, message))
    }

    /// The members as they will be.
    fn members_with<'a>(
        &'a self,
        member_id: &Arc<str>,
        member: Option<&'a ShareMember>,
    ) -> BTreeMap<Arc<str>, &'a ShareMember> {
        let mut members: BTreeMap<Arc<str>, &ShareMember> =
            self.members.iter().map(|(id, member)| (Arc::clone(id), member)).collect();
        match member {
            Some(member) => members.insert(Arc::clone(member_id), member),
            None => members.remove(member_id),
        };
        members
    }

    /// Whether the partitions of a subscribed topic that may be assigned are not those that are.
    fn lacks_assignment(&self) -> bool {
        let Some(partitions) = &self.partitions else { return false };
        let subscribed = self.subscribed_topics();
        let mut assigned = Assignment::new();
        for (topic, partitions) in self.target.values().flatten() {
            assigned.entry(*topic).or_default().extend(partitions);
        }
        let mut initialized = partitions.initialized.iter();
        initialized.any(|(topic, state)| {
            subscribed.contains(state.name.as_str()) && assigned.get(topic) != Some(&state.partitions)
        })
    }

    /// The epoch of the targets and the member's own, made anew if the group has moved on.
    fn target_for(
        &self,
        member_id: &Arc<str>,
        members: &BTreeMap<Arc<str>, &ShareMember>,
        epoch: i32,
        scope: Scope<'_>,
        records: &mut Vec<GroupRecord>,
    ) -> (i32, Assignment) {
        let interval_ms = i64::from(scope.assignment_interval_ms);
        let since_ms = self.target_since_ms;
        let is_due = since_ms == 0 || interval_ms == 0 || scope.now_ms >= since_ms.saturating_add(interval_ms);
        if self.target_epoch >= epoch || !is_due {
            return (self.target_epoch, self.target.get(member_id).cloned().unwrap_or_default());
        }
        let specs = members.iter().map(|(id, member)| {
            let topics = member.topics.iter().filter_map(|name| scope.image.topic_id(name)).collect();
            let assigned = self.target.get(id).cloned().unwrap_or_default();
            (Arc::clone(id), MemberSpec { topics, assigned })
        });
        let mut targets = assignor::assign(&specs.collect(), &self.assignable(scope.image));
        for (id, target) in &targets {
            if self.target.get(id) != Some(target) {
                records.push(record::target(&self.group_id, id, Some(target)));
            }
        }
        records.push(record::target_epoch(&self.group_id, Some((epoch, scope.now_ms))));
        (epoch, targets.remove(member_id).unwrap_or_default())
    }

    /// The partitions that have share state and exist.
    fn assignable(&self, image: &ClusterImage) -> Assignment {
        let mut assignable = self.partitions.as_ref().map(StatePartitions::assignable).unwrap_or_default();
        assignable.retain(|topic, partitions| match image.topic_by_id(*topic) {
            Some(topic) => {
                partitions.retain(|partition| topic.partition(*partition).is_some());
                true
            }
            None => false,
        });
        assignable
    }

    /// Notes the partitions of `topics` that have no share state yet, and asks for it.
    fn initialize(
        &self,
        topics: &BTreeSet<&str>,
        epoch: i32,
        scope: Scope<'_>,
        records: &mut Vec<GroupRecord>,
    ) -> Option<InitializeShareGroupStateRequest> {
        let missing = self.uninitialized(topics, scope);
        if missing.is_empty() {
            return None;
        }
        let request = InitializeShareGroupStateRequest {
            group_id: self.group_id.to_string(),
            topics: missing
                .iter()
                .map(|(topic_id, state)| {
                    let partitions = state.partitions.iter().map(|partition| PartitionData {
                        partition: *partition,
                        state_epoch: epoch,
                        start_offset: UNINITIALIZED,
                        ..Default::default()
                    });
                    InitializeStateData { topic_id: *topic_id, partitions: partitions.collect(), ..Default::default() }
                })
                .collect(),
            ..Default::default()
        };
        records.push(self.initializing_record(missing, scope.image));
        Some(request)
    }

    /// The partitions of `topics` that have no share state, and where nobody has asked for it lately.
    fn uninitialized(&self, topics: &BTreeSet<&str>, scope: Scope<'_>) -> BTreeMap<Uuid, TopicState> {
        let mut missing = BTreeMap::new();
        for topic in topics.iter().filter_map(|name| scope.image.topic(name)) {
            let mut partitions: BTreeSet<i32> = topic.partitions().map(|(index, _)| index).collect();
            if let Some(known) = &self.partitions {
                let fresh = known
                    .initializing
                    .get(&topic.id)
                    .filter(|state| scope.now_ms.saturating_sub(state.since_ms) < scope.initialize_retry_interval_ms);
                for state in known.initialized.get(&topic.id).into_iter().chain(fresh) {
                    partitions.retain(|partition| !state.partitions.contains(partition));
                }
            }
            if !partitions.is_empty() {
                let state = TopicState { name: topic.name.to_string(), partitions, since_ms: scope.now_ms };
                missing.insert(topic.id, state);
            }
        }
        missing
    }
}

fn hash_of(members: &BTreeMap<Arc<str>, &ShareMember>, image: &ClusterImage) -> i64 {
    let topics: BTreeSet<&str> = members.values().flat_map(|member| member.topics.iter().map(AsRef::as_ref)).collect();
    group_hash(topics.into_iter().filter_map(|topic| topic_hash(image, topic)))
}

/// The member at the epoch of the targets, with those of its partitions that it subscribes to.
fn reconciled(member: &ShareMember, target_epoch: i32, target: &Assignment, image: &ClusterImage) -> ShareMember {
    let topics: BTreeSet<Uuid> = member.topics.iter().filter_map(|name| image.topic_id(name)).collect();
    let mut updated = member.clone();
    updated.assigned = target.clone();
    updated.assigned.retain(|topic, partitions| topics.contains(topic) && !partitions.is_empty());
    if target_epoch != member.epoch {
        updated.previous_epoch = member.epoch;
        updated.epoch = target_epoch;
    }
    updated
}

fn assigned(partitions: &Assignment) -> Assigned {
    let topics = partitions.iter().map(|(topic_id, partitions)| TopicPartitions {
        topic_id: *topic_id,
        partitions: partitions.iter().copied().collect(),
        ..Default::default()
    });
    Assigned { topic_partitions: topics.collect(), ..Default::default() }
}
