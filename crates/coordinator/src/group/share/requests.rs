//! The requests to share groups: each gives records, which change the group at once, and an answer that waits for them.
//! Share state is held by the share coordinator: what is to be asked of it is given back to the caller, who tells what came
//! of that.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::messages::share_group_describe_response::DescribedGroup;
use protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse, DeleteShareGroupStateRequest, InitializeShareGroupStateRequest,
    ShareGroupDescribeResponse, ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse,
};
use protocol::types::TimestampMs;
use protocol::{ErrorCode, Uuid};
use tracing::info;

use super::heartbeat::{Beat, Scope, validate};
use super::state::{LEAVING, ShareGroup};
use super::{ShareDeletion, SharePartitions};
use crate::effects::{Effects, GroupResponse, ReplyToken, RequestContext};
use crate::error::Refusal;
use crate::group::Group;
use crate::group::modern::settings::{Bounded, TypeSettings};
use crate::group::timer::TimerKey;
use crate::record::modern::{GroupRecord, Records};
use crate::shard::GroupShard;

impl GroupShard {
    /// Answers the heartbeat of a member of a share group. Gives the share state that is to be set up once the answer is
    /// there; what comes of that is told to [`GroupShard::share_state_initialized`].
    pub fn share_group_heartbeat(
        &mut self,
        context: &RequestContext,
        request: &ShareGroupHeartbeatRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) -> Option<InitializeShareGroupStateRequest> {
        let beaten = validate(request).and_then(|()| match request.member_epoch {
            LEAVING => self.share_leave(request),
            _ => self.share_beat(context, request),
        });
        let beat = beaten.unwrap_or_else(|refusal| Beat {
            records: Vec::new(),
            response: ShareGroupHeartbeatResponse {
                error_code: refusal.code.code(),
                error_message: Some(refusal.message),
                ..Default::default()
            },
            initialize: None,
        });
        let accepted = beat.response.error_code == 0;
        let reply = (token, GroupResponse::ShareGroupHeartbeat(beat.response));
        self.write_share_records(context.now_ms, beat.records, Some(reply), out);
        if accepted {
            self.share_member_beat(context.now_ms, request, beat.initialize.as_ref());
        }
        beat.initialize
    }

    /// Describes share groups in the order asked for.
    pub fn describe_share_groups(&mut self, group_ids: &[String], token: ReplyToken, out: &mut Effects) {
        let groups = group_ids.iter().map(|group_id| match self.existing_share_group(group_id) {
            Ok(group) => group.describe(self.topics().image()),
            Err(refusal) => DescribedGroup {
                group_id: group_id.clone(),
                error_code: refusal.code.code(),
                error_message: Some(refusal.message),
                ..Default::default()
            },
        });
        let response = ShareGroupDescribeResponse { groups: groups.collect(), ..Default::default() };
        self.reply_in_order(token, GroupResponse::ShareGroupDescribe(response), out);
    }

    /// The partitions of a group that have share state.
    #[must_use]
    pub fn initialized_share_partitions(&self, group_id: &str) -> SharePartitions {
        self.share_group(group_id).map(ShareGroup::initialized).unwrap_or_default()
    }

    /// Share state of `partitions` is there, or could not be set up.
    pub fn share_state_initialized(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        partitions: &Result<SharePartitions, SharePartitions>,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        let group = self.share_group(group_id);
        let record = group.and_then(|group| {
            let image = self.topics().image();
            match partitions {
                Ok(done) if done.is_empty() => None,
                Ok(done) => Some(group.initialized_record(now_ms, done, image)),
                Err(failed) => group.uninitialized_record(failed, image),
            }
        });
        let reply = (token, GroupResponse::ShareStateNoted(ErrorCode::None));
        self.write_share_records(now_ms, record.into_iter().collect(), Some(reply), out);
    }

    /// Sets where an empty group starts. Gives the share state that is to be set.
    pub fn alter_share_group_offsets(
        &mut self,
        now_ms: TimestampMs,
        request: &AlterShareGroupOffsetsRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) -> Option<InitializeShareGroupStateRequest> {
        let new = ShareGroup::new(request.group_id.as_str().into());
        let group = match self.group(&request.group_id) {
            None => Ok(&new),
            Some(Group::Share(group)) => Ok(group),
            Some(_) => Err(not_a_share_group(&request.group_id)),
        };
        let altered = group.and_then(|group| group.alter_offsets(now_ms, &request.topics, self.topics().image()));
        match altered {
            Ok((records, response, initialize)) => {
                let reply = (token, GroupResponse::AlterShareGroupOffsets(response));
                self.write_share_records(now_ms, records, Some(reply), out);
                Some(initialize).filter(|request| !request.topics.is_empty())
            }
            Err(refusal) => {
                let response = AlterShareGroupOffsetsResponse {
                    error_code: refusal.code.code(),
                    error_message: Some(refusal.message),
                    ..Default::default()
                };
                self.reply_in_order(token, GroupResponse::AlterShareGroupOffsets(response), out);
                None
            }
        }
    }

    /// Begins to delete where an empty group starts. The answer has what is refused; gives the share state that is to be
    /// deleted before [`GroupShard::share_offsets_deleted`] is called.
    pub fn delete_share_group_offsets(
        &mut self,
        now_ms: TimestampMs,
        request: &DeleteShareGroupOffsetsRequest,
        token: ReplyToken,
        out: &mut Effects,
    ) -> Option<DeleteShareGroupStateRequest> {
        let group = self.existing_share_group(&request.group_id);
        let deleted = group.and_then(|group| group.delete_offsets(request, self.topics().image()));
        let (response, records, delete) = match deleted {
            Ok(deletion) => {
                let responses = deletion.refused;
                let response = DeleteShareGroupOffsetsResponse { responses, ..Default::default() };
                (response, deletion.records, deletion.request)
            }
            Err(refusal) => {
                let response = DeleteShareGroupOffsetsResponse {
                    error_code: refusal.code.code(),
                    error_message: Some(refusal.message),
                    ..Default::default()
                };
                (response, Vec::new(), None)
            }
        };
        let reply = (token, GroupResponse::DeleteShareGroupOffsets(response));
        self.write_share_records(now_ms, records, Some(reply), out);
        delete
    }

    /// The share state of `topics` was deleted.
    pub fn share_offsets_deleted(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        topics: &BTreeSet<Uuid>,
        token: ReplyToken,
        out: &mut Effects,
    ) {
        let group = self.share_group(group_id);
        let record = group.and_then(|group| group.offsets_deleted(topics, self.topics().image()));
        let reply = (token, GroupResponse::ShareStateNoted(ErrorCode::None));
        self.write_share_records(now_ms, record.into_iter().collect(), Some(reply), out);
    }

    /// Begins to delete share groups: those of other types are left out. Gives the share state that is to be deleted before
    /// the groups are.
    pub fn delete_share_states(
        &mut self,
        now_ms: TimestampMs,
        group_ids: &[String],
        token: ReplyToken,
        out: &mut Effects,
    ) -> Vec<ShareDeletion> {
        let (mut records, mut deletions) = (Vec::new(), Vec::new());
        for group_id in group_ids {
            let Some(group) = self.share_group(group_id) else { continue };
            let outcome = match group.delete_all(self.topics().image()) {
                Ok((mut noted, request)) => {
                    records.append(&mut noted);
                    request.map(Ok)
                }
                Err(refusal) => Some(Err(refusal.code)),
            };
            deletions.extend(outcome.map(|outcome| ShareDeletion { group_id: group_id.clone(), outcome }));
        }
        let reply = (token, GroupResponse::ShareStateNoted(ErrorCode::None));
        self.write_share_records(now_ms, records, Some(reply), out);
        deletions
    }

    /// Topics were deleted.
    pub(crate) fn share_topics_deleted(&mut self, now_ms: TimestampMs, topics: BTreeSet<Uuid>, out: &mut Effects) {
        let image = Arc::clone(self.topics().image());
        let mut records = Vec::new();
        for group_id in self.group_ids() {
            records.extend(self.share_group(&group_id).and_then(|group| group.topics_deleted(&topics, &image)));
        }
        self.write_share_records(now_ms, records, None, out);
    }

    /// The session of a member has ended.
    pub(crate) fn share_member_expired(
        &mut self,
        now_ms: TimestampMs,
        group_id: &str,
        member_id: &str,
        out: &mut Effects,
    ) {
        let Some(group) = self.share_group(group_id).filter(|group| group.members.contains_key(member_id)) else {
            return;
        };
        info!(group_id, member_id, "fenced a member of a share group: its session ended");
        let records = group.fence(member_id, self.topics().image());
        self.write_share_records(now_ms, records, None, out);
    }

    /// A share group was loaded: its members have their session timeouts from now on.
    pub(crate) fn share_group_loaded(&mut self, now_ms: TimestampMs, group_id: &str) {
        let Some(group) = self.share_group(group_id) else { return };
        let members: Vec<Arc<str>> = group.members.keys().cloned().collect();
        info!(group_id, members = members.len(), "loaded share group");
        let timeout_ms = self.share_setting(group_id, |settings| settings.session_timeout_ms, "session.timeout.ms");
        for member_id in members {
            self.expect_heartbeat(now_ms, group_id, &member_id, timeout_ms);
        }
    }

    /// What a heartbeat changes beside the records: the member's deadline, and what need not be looked at again.
    fn share_member_beat(
        &mut self,
        now_ms: TimestampMs,
        request: &ShareGroupHeartbeatRequest,
        asked: Option<&InitializeShareGroupStateRequest>,
    ) {
        let group_id = request.group_id.as_str();
        let Some(Group::Share(group)) = self.group_mut(group_id) else { return };
        let Some(member_id) = group.members.get_key_value(request.member_id.as_str()) else { return };
        let member_id = Arc::clone(member_id.0);
        group.metadata_checked = true;
        if let Some(asked) = asked {
            group.asked_for(now_ms, asked.topics.iter().map(|topic| topic.topic_id));
        }
        let timeout_ms = self.share_setting(group_id, |settings| settings.session_timeout_ms, "session.timeout.ms");
        self.expect_heartbeat(now_ms, group_id, &member_id, timeout_ms);
    }

    fn share_beat(&self, context: &RequestContext, request: &ShareGroupHeartbeatRequest) -> Result<Beat, Refusal> {
        let group_id = request.group_id.as_str();
        let new = ShareGroup::new(group_id.into());
        let group = match self.group(group_id) {
            None if request.member_epoch == 0 => &new,
            None => return Err(Refusal::not_found(format!("Share group {group_id} not found."))),
            Some(Group::Share(group)) => group,
            Some(_) => return Err(not_a_share_group(group_id)),
        };
        let setting = |setting: fn(&TypeSettings) -> Bounded, name: &str| self.share_setting(group_id, setting, name);
        let scope = Scope {
            now_ms: context.now_ms,
            image: self.topics().image(),
            max_size: self.config().share.max_size,
            heartbeat_interval_ms: setting(|settings| settings.heartbeat_interval_ms, "heartbeat.interval.ms"),
            assignment_interval_ms: setting(|settings| settings.assignment_interval_ms, "assignment.interval.ms"),
            initialize_retry_interval_ms: self.config().share_initialize_retry_interval_ms,
        };
        group.heartbeat(context, request, scope)
    }

    fn share_leave(&mut self, request: &ShareGroupHeartbeatRequest) -> Result<Beat, Refusal> {
        let group = self.existing_share_group(&request.group_id)?;
        if !group.members.contains_key(request.member_id.as_str()) {
            return Err(Refusal::unknown_member(&request.member_id, &request.group_id));
        }
        info!(group_id = request.group_id, member_id = request.member_id, "member left a share group");
        let records = group.fence(&request.member_id, self.topics().image());
        let (group, member) = (Arc::clone(&group.group_id), request.member_id.as_str().into());
        self.timers().cancel(&TimerKey::Session { group, member });
        let response = ShareGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..Default::default()
        };
        Ok(Beat { records, response, initialize: None })
    }

    /// What holds for a share group: what is configured for it as `share.<name>`, else for all.
    fn share_setting(&self, group_id: &str, setting: impl FnOnce(&TypeSettings) -> Bounded, name: &str) -> i32 {
        setting(&self.config().share).of(self.topics().group_configs(group_id), &format!("share.{name}"))
    }

    fn existing_share_group(&self, group_id: &str) -> Result<&ShareGroup, Refusal> {
        if !self.has_group(group_id) {
            return Err(Refusal::not_found(format!("Group {group_id} not found.")));
        }
        self.share_group(group_id).ok_or_else(|| not_a_share_group(group_id))
    }

    fn write_share_records(
        &mut self,
        now_ms: TimestampMs,
        changes: Vec<GroupRecord>,
        reply: Option<(ReplyToken, GroupResponse)>,
        out: &mut Effects,
    ) {
        let mut records = Records::default();
        for change in changes {
            self.record(change, &mut records);
        }
        self.write_records(now_ms, records, reply, out);
    }
}

fn not_a_share_group(group_id: &str) -> Refusal {
    Refusal::not_found(format!("Group {group_id} is not a share group."))
}
