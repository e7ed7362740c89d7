//! Streams groups in their shard: their requests, and what their deadlines lead to.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::streams_group_describe_response::DescribedGroup;
use protocol::messages::{StreamsGroupDescribeResponse, StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};
use protocol::types::TimestampMs;
use tracing::info;

use super::error::StreamsError;
use super::heartbeat::{self, RebalanceTimer, Surroundings};
use super::member::MemberState;
use super::settings::GroupSettings;
use super::state::StreamsGroup;
use super::topology::Topology;
use super::{record, validate};
use crate::effects::{Effects, GroupResponse, ReplyToken, RequestContext};
use crate::group::Group;
use crate::group::timer::TimerKey;
use crate::record::modern::{GroupRecord, Records};
use crate::shard::GroupShard;

type MissingTopics = BTreeMap<String, CreatableTopic>;

impl GroupShard {
    /// Answers the heartbeat of a member of a streams group, with the topics that the broker is to create.
    pub fn streams_group_heartbeat(
        &mut self,
        context: &RequestContext,
        request: &StreamsGroupHeartbeatRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        let mut records = Records::default();
        let answer = validate::check(request).and_then(|()| match request.member_epoch {
            validate::LEAVE_EPOCH | validate::LEAVE_STATIC_EPOCH => self.streams_leave(request, &mut records),
            _ => self.streams_heartbeat(context, request, &mut records),
        });
        let (response, missing_topics) = answer.unwrap_or_else(|error| {
            info!(group_id = request.group_id, member_id = request.member_id, %error, "refused a heartbeat");
            let response = StreamsGroupHeartbeatResponse {
                error_code: error.code().code(),
                error_message: error.message(),
                status: Some(Vec::new()),
                ..Default::default()
            };
            (response, MissingTopics::new())
        });
        let reply = Some((token, GroupResponse::StreamsGroupHeartbeat(response, missing_topics)));
        self.write_records(context.now_ms, records, reply, out);
    }

    /// Describes groups in the order asked for.
    pub fn describe_streams_groups(&mut self, group_ids: &[String], token: ReplyToken, out: &mut Effects) {
        let groups = group_ids.iter().map(|group_id| match self.existing_streams_group(group_id) {
            Ok(group) => group.described(),
            Err(error) => DescribedGroup {
                group_id: group_id.clone(),
                error_code: error.code().code(),
                error_message: error.message(),
                ..Default::default()
            },
        });
        let response = StreamsGroupDescribeResponse { groups: groups.collect(), ..Default::default() };
        self.reply_in_order(token, GroupResponse::StreamsGroupDescribe(response), out);
    }

    /// A streams group was loaded: its members have their timeouts from now on.
    pub(crate) fn streams_group_loaded(&mut self, now_ms: TimestampMs, group_id: &str) {
        let session_ms = self.streams_settings(group_id).session_timeout_ms;
        let Some(group) = self.streams_group(group_id) else { return };
        info!(group_id, members = group.members().len(), "loaded streams group");
        let mut timers = Vec::new();
        for member in group.members() {
            let (group, member_id) = (Arc::clone(&group.group_id), Arc::clone(&member.member_id));
            if member.state == MemberState::UnrevokedTasks {
                let key = TimerKey::Rebalance { group: Arc::clone(&group), member: Arc::clone(&member_id) };
                timers.push((key, member.rebalance_timeout_ms));
            }
            timers.push((TimerKey::Session { group, member: member_id }, session_ms));
        }
        for (key, timeout_ms) in timers {
            self.timers().schedule(key, now_ms.saturating_add(i64::from(timeout_ms)));
        }
    }

    /// The session of a member has ended.
    pub(crate) fn streams_session_expired(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        member_id: &str,
        out: &mut Effects,
    ) {
        if self.streams_group(group_id).is_some_and(|group| group.member(member_id).is_some()) {
            info!(group_id, member_id, "fenced a member: its session ended");
            let mut records = Records::default();
            self.fence_streams_member(group_id, member_id, &mut records);
            self.write_records(now_ms, records, None, out);
        }
    }

    /// A member has not given up in time what it was told to.
    pub(crate) fn streams_rebalance_expired(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        member_id: &str,
        out: &mut Effects,
    ) {
        let member = self.streams_group(group_id).and_then(|group| group.member(member_id));
        if member.is_some_and(|member| member.state == MemberState::UnrevokedTasks) {
            info!(group_id, member_id, "fenced a member: it kept tasks that it had to give up");
            let mut records = Records::default();
            self.fence_streams_member(group_id, member_id, &mut records);
            self.write_records(now_ms, records, None, out);
        }
    }

    /// A group has waited long enough for more members before its first assignment.
    pub(crate) fn streams_delay_over(&mut self, now_ms: TimestampMs, group_id: &str, out: &mut Effects) {
        let settings = self.streams_settings(group_id);
        let Some(group) = self.streams_group(group_id) else { return };
        let decided = heartbeat::initial_assignment(group, &settings, now_ms);
        let mut records = Records::default();
        self.record_all(decided, &mut records);
        self.write_records(now_ms, records, None, out);
    }

    /// A streams group without members makes way for a group of another type. Its offsets stay.
    pub(crate) fn remove_empty_streams_group(&mut self, group_id: &str, records: &mut Records) {
        let group = self.streams_group(group_id).filter(|group| group.is_empty());
        let Some(ends) = group.map(record::without_group) else { return };
        info!(group_id, "an empty streams group makes way");
        self.record_all(ends, records);
    }

    /// The streams group of an id.
    pub(crate) fn streams_group(&self, group_id: &str) -> Option<&StreamsGroup> {
        match self.group(group_id)? {
            Group::Streams(group) => Some(group),
            Group::Classic(_) | Group::Consumer(_) | Group::Share(_) => None,
        }
    }

    fn streams_heartbeat(
        &mut self,
        context: &RequestContext,
        request: &StreamsGroupHeartbeatRequest,
        records: &mut Records,
    ) -> Result<(StreamsGroupHeartbeatResponse, MissingTopics), StreamsError> {
        let group_id = request.group_id.as_str();
        self.check_streams_group(group_id, request.member_epoch == 0)?;
        let delay = TimerKey::InitialRebalance { group: group_id.into() };
        let is_delayed = self.timers().contains(&delay);
        let settings = self.streams_settings(group_id);
        let image = Arc::clone(self.topics().image());
        let existing = |topic: &str| i32::try_from(image.topic(topic)?.partitions.len()).ok();
        let mut taken = match self.take_group(group_id) {
            Some(Group::Streams(group)) => Some(group),
            Some(other) => {
                self.insert_group(other);
                None
            }
            None => None,
        };
        let is_new = taken.is_none();
        let mut fresh = StreamsGroup::new(group_id.into());
        let group = taken.as_deref_mut().unwrap_or(&mut fresh);
        let topics = self.topics_mut();
        let mut metadata_hash = |topology: &Topology| topics.metadata_hash(topology.required_topics().iter());
        let outcome = heartbeat::heartbeat(
            group,
            request,
            &mut Surroundings {
                now_ms: context.now_ms,
                client_id: &context.client_id,
                client_host: &context.client_host,
                settings,
                existing: &existing,
                metadata_hash: &mut metadata_hash,
                is_new,
                is_delayed,
            },
        );
        if let Some(group) = taken {
            self.insert_group(Group::Streams(group));
        }
        let outcome = outcome?;
        self.remove_empty_classic_group(group_id, records);
        self.record_all(outcome.records, records);
        if outcome.starts_delay {
            let deadline = context.now_ms.saturating_add(i64::from(settings.initial_rebalance_delay_ms));
            self.timers().schedule_if_absent(delay, deadline);
        }
        self.set_streams_timers(context.now_ms, request, settings, outcome.rebalance_timer);
        Ok((outcome.response, outcome.missing_topics))
    }

    fn set_streams_timers(
        &mut self,
        now_ms: TimestampMs,
        request: &StreamsGroupHeartbeatRequest,
        settings: GroupSettings,
        rebalance: RebalanceTimer,
    ) {
        let in_ms = |timeout_ms: i32| now_ms.saturating_add(i64::from(timeout_ms));
        let (group, member): (Arc<str>, Arc<str>) =
            (request.group_id.as_str().into(), request.member_id.as_str().into());
        let key = TimerKey::Rebalance { group: Arc::clone(&group), member: Arc::clone(&member) };
        match rebalance {
            RebalanceTimer::Unchanged => {}
            RebalanceTimer::Start { timeout_ms } => self.timers().schedule(key, in_ms(timeout_ms)),
            RebalanceTimer::Stop => self.timers().cancel(&key),
        }
        self.timers().schedule(TimerKey::Session { group, member }, in_ms(settings.session_timeout_ms));
    }

    fn streams_leave(
        &mut self,
        request: &StreamsGroupHeartbeatRequest,
        records: &mut Records,
    ) -> Result<(StreamsGroupHeartbeatResponse, MissingTopics), StreamsError> {
        let group_id = request.group_id.as_str();
        self.existing_streams_group(group_id)?.known_member(&request.member_id)?;
        if request.shutdown_application
            && let Some(Group::Streams(group)) = self.group_mut(group_id)
        {
            group.request_shutdown(&request.member_id.as_str().into());
        }
        info!(group_id, member_id = request.member_id, "member left the streams group");
        self.fence_streams_member(group_id, &request.member_id, records);
        let response = StreamsGroupHeartbeatResponse {
            member_id: request.member_id.clone(),
            member_epoch: request.member_epoch,
            status: Some(Vec::new()),
            ..Default::default()
        };
        Ok((response, MissingTopics::new()))
    }

    /// Removes a member, and gives the group a new epoch.
    fn fence_streams_member(&mut self, group_id: &str, member_id: &str, records: &mut Records) {
        let Some(group) = self.streams_group(group_id) else { return };
        let (hash, validated) = (group.metadata_hash, group.validated_topology_epoch);
        let epoch = record::epoch(group_id, group.epoch + 1, hash, validated, &group.last_assignment_configs);
        self.record_all(record::without_member(group_id, member_id), records);
        self.record(epoch, records);
        self.cancel_member_timers(group_id, &member_id.into());
    }

    fn record_all(&mut self, decided: impl IntoIterator<Item = GroupRecord>, records: &mut Records) {
        for record in decided {
            self.record(record, records);
        }
    }

    fn streams_settings(&self, group_id: &str) -> GroupSettings {
        self.config().streams.of(self.topics().group_configs(group_id))
    }

    /// A member may join what is there, or what was empty. Whoever is a member needs its group.
    fn check_streams_group(&self, group_id: &str, joins: bool) -> Result<(), StreamsError> {
        match self.group(group_id) {
            Some(Group::Streams(_)) => Ok(()),
            None if joins => Ok(()),
            Some(Group::Classic(group)) if joins && group.is_empty() => Ok(()),
            Some(_) => Err(StreamsError::NotAStreamsGroup(group_id.to_owned())),
            None => Err(StreamsError::GroupNotFound(format!("Streams group {group_id} not found."))),
        }
    }

    fn existing_streams_group(&self, group_id: &str) -> Result<&StreamsGroup, StreamsError> {
        match self.group(group_id) {
            Some(Group::Streams(group)) => Ok(group),
            Some(_) => Err(StreamsError::NotAStreamsGroup(group_id.to_owned())),
            None => Err(StreamsError::GroupNotFound(format!("Group {group_id} not found."))),
        }
    }
}
