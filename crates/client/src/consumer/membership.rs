//! Membership in a classic group: joining, keeping alive, leaving. The requests are made by tasks; what comes of them
//! reaches the consumer as events, so that a cancelled `poll` loses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::messages::join_group_request::JoinGroupRequestProtocol;
use protocol::messages::join_group_response::JoinGroupResponseMember;
use protocol::messages::leave_group_request::MemberIdentity;
use protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use protocol::messages::{HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest};
use protocol::{ErrorCode, TopicPartition};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::assignor::{self, Assignor, Member};
use super::event::Event;
use super::{ConsumerConfig, OffsetAndMetadata};
use crate::offsets::{Committer, commit, follow_coordinator};
use crate::{Client, ClientError, CoordinatorType, Lane};

/// What the group protocol calls consumers.
const PROTOCOL_TYPE: &str = "consumer";
/// How long after the end of a rebalance its answer may come.
const JOIN_GRACE: Duration = Duration::from_secs(5);
/// First version of LeaveGroup that takes several members.
const LEAVE_MEMBERS_VERSION: i16 = 3;

/// What a member is in its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) member_id: String,
    /// Generation of the group, or -1 while the member is in none.
    pub(super) generation: i32,
}

impl Default for Standing {
    fn default() -> Self {
        Self { member_id: String::new(), generation: -1 }
    }
}

/// What it takes to join.
#[derive(Debug, Clone)]
pub(super) struct JoinPlan {
    pub(super) group_id: String,
    pub(super) config: Arc<ConsumerConfig>,
    pub(super) standing: Standing,
    pub(super) topics: Vec<String>,
    pub(super) owned: Vec<TopicPartition>,
    /// Offsets to commit before anything is given up.
    pub(super) commit: BTreeMap<TopicPartition, OffsetAndMetadata>,
}

/// A member's place in a new generation.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) standing: Standing,
    pub(super) assigned: Vec<TopicPartition>,
    /// Where the member leads: how many partitions the topics of the group had.
    pub(super) led: Option<BTreeMap<String, usize>>,
}

/// Why joining failed, and the standing that is left.
#[derive(Debug)]
pub(super) struct JoinFailure {
    pub(super) error: ClientError,
    pub(super) standing: Standing,
}

/// Commits, joins, and gets the assignment.
pub(super) async fn join(client: &Client, plan: JoinPlan) -> Result<Joined, JoinFailure> {
    let mut standing = plan.standing.clone();
    if !plan.commit.is_empty() {
        let committer = committer(&plan.group_id, &standing, plan.config.group_instance_id.clone());
        if let Err(error) = commit(client, &committer, &plan.commit).await {
            debug!(%error, "offsets could not be committed before the rebalance");
        }
    }
    match try_join(client, &plan, &mut standing).await {
        Ok(joined) => Ok(joined),
        Err(error) => {
            follow_coordinator(client, &plan.group_id, &error);
            match error.code() {
                ErrorCode::UnknownMemberId => standing = Standing::default(),
                ErrorCode::IllegalGeneration => standing.generation = -1,
                _ => {}
            }
            Err(JoinFailure { error, standing })
        }
    }
}

async fn try_join(client: &Client, plan: &JoinPlan, standing: &mut Standing) -> Result<Joined, ClientError> {
    let mut response = send_join(client, plan, standing).await?;
    if ErrorCode::from_code(response.error_code) == ErrorCode::MemberIdRequired {
        standing.member_id.clone_from(&response.member_id);
        response = send_join(client, plan, standing).await?;
    }
    ClientError::check(response.error_code, None)?;
    *standing = Standing { member_id: response.member_id.clone(), generation: response.generation_id };
    debug!(group_id = plan.group_id, generation = response.generation_id, "joined group");
    let leads = response.leader == response.member_id && !response.skip_assignment;
    let (assignments, led) = if leads { lead(client, plan, &response).await? } else { (Vec::new(), None) };
    let request = SyncGroupRequest {
        group_id: plan.group_id.clone(),
        generation_id: response.generation_id,
        member_id: response.member_id,
        group_instance_id: plan.config.group_instance_id.clone(),
        protocol_type: Some(PROTOCOL_TYPE.to_owned()),
        protocol_name: response.protocol_name,
        assignments,
        ..SyncGroupRequest::default()
    };
    let connection = client.coordinator(CoordinatorType::Group, &plan.group_id).await?;
    let timeout = plan.config.max_poll_interval + JOIN_GRACE;
    let version = connection.version::<SyncGroupRequest>(None)?;
    let response = connection.send_timeout(&request, version, timeout).await?;
    ClientError::check(response.error_code, None)?;
    let assigned = assignor::decode_assignment(&response.assignment)?;
    Ok(Joined { standing: standing.clone(), assigned, led })
}

async fn send_join(client: &Client, plan: &JoinPlan, standing: &Standing) -> Result<JoinGroupResponse, ClientError> {
    let config = &plan.config;
    let member = Member {
        id: standing.member_id.clone(),
        instance_id: config.group_instance_id.clone(),
        topics: plan.topics.clone(),
        owned: plan.owned.clone(),
        generation: standing.generation,
    };
    let mut protocols = Vec::new();
    for assignor in &config.assignors {
        let metadata = assignor::subscription(*assignor, &member, &client.config().rack)?;
        let name = assignor.name().to_owned();
        protocols.push(JoinGroupRequestProtocol { name, metadata, ..JoinGroupRequestProtocol::default() });
    }
    let request = JoinGroupRequest {
        group_id: plan.group_id.clone(),
        session_timeout_ms: millis(config.session_timeout),
        rebalance_timeout_ms: millis(config.max_poll_interval),
        member_id: standing.member_id.clone(),
        group_instance_id: config.group_instance_id.clone(),
        protocol_type: PROTOCOL_TYPE.to_owned(),
        protocols,
        ..JoinGroupRequest::default()
    };
    let connection = client.coordinator(CoordinatorType::Group, &plan.group_id).await?;
    let version = connection.version::<JoinGroupRequest>(None)?;
    connection.send_timeout(&request, version, config.max_poll_interval + JOIN_GRACE).await
}

type Led = (Vec<SyncGroupRequestAssignment>, Option<BTreeMap<String, usize>>);

/// Assigns partitions to all members.
async fn lead(client: &Client, plan: &JoinPlan, response: &JoinGroupResponse) -> Result<Led, ClientError> {
    let name = response.protocol_name.as_deref().unwrap_or_default();
    let chosen = plan.config.assignors.iter().find(|assignor| assignor.name() == name);
    let assignor = *chosen.ok_or(ClientError::broker(ErrorCode::InconsistentGroupProtocol))?;
    let members = members(assignor, &response.members)?;
    let topics: BTreeSet<&str> = members.iter().flat_map(|member| &member.topics).map(String::as_str).collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    let cluster = client.metadata(Some(&topics)).await?;
    let sizes = topics.iter().filter_map(|name| Some(((*name).to_owned(), cluster.topic(name)?.partitions.len())));
    let sizes: BTreeMap<String, usize> = sizes.collect();
    let mut assignments = Vec::new();
    for (member_id, partitions) in assignor.assign(&sizes, &members) {
        let assignment = assignor::encode_assignment(&partitions)?;
        assignments.push(SyncGroupRequestAssignment { member_id, assignment, ..SyncGroupRequestAssignment::default() });
    }
    Ok((assignments, Some(sizes)))
}

fn members(assignor: Assignor, members: &[JoinGroupResponseMember]) -> Result<Vec<Member>, ClientError> {
    let decode = |member: &JoinGroupResponseMember| {
        let (id, instance_id) = (member.member_id.clone(), member.group_instance_id.clone());
        Ok(assignor::decode_member(assignor, id, instance_id, &member.metadata)?)
    };
    members.iter().map(decode).collect()
}

/// Keeps a member alive until its generation is over; then says so.
pub(super) async fn keep_alive(
    client: Client,
    group_id: String,
    config: Arc<ConsumerConfig>,
    standing: Standing,
    reports: HeartbeatReports,
) {
    let request = HeartbeatRequest {
        group_id: group_id.clone(),
        generation_id: standing.generation,
        member_id: standing.member_id.clone(),
        group_instance_id: config.group_instance_id.clone(),
        ..HeartbeatRequest::default()
    };
    let generation = standing.generation;
    let mut pause = config.heartbeat_interval;
    loop {
        tokio::time::sleep(pause).await;
        pause = config.heartbeat_interval;
        if reports.last_poll.lock().elapsed() > config.max_poll_interval {
            debug!(group_id, "left group as poll was not called within max.poll.interval.ms");
            let _ = leave(&client, &group_id, &standing, &config).await;
            let error = ClientError::broker(ErrorCode::UnknownMemberId);
            // The consumer is not reading: it will find the event when it does, as the channel has room for this one.
            let _ = reports.events.try_send(Event::Expelled(generation, error));
            return;
        }
        let answer = client.send_to_coordinator(&group_id, &request).await;
        let Err(error) = answer.and_then(|response| ClientError::check(response.error_code, None)) else { continue };
        follow_coordinator(&client, &group_id, &error);
        match error.code() {
            // Heartbeats go on until the member rejoins; a lost event is repeated by the next one.
            ErrorCode::RebalanceInProgress => drop(reports.events.try_send(Event::Rebalance(generation))),
            ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                let _ = reports.events.send(Event::Expelled(generation, error)).await;
                return;
            }
            _ => pause = client.config().retry_backoff.min(config.heartbeat_interval),
        }
    }
}

/// Where a heartbeat task looks and reports.
#[derive(Debug)]
pub(super) struct HeartbeatReports {
    pub(super) last_poll: Arc<Mutex<Instant>>,
    pub(super) events: mpsc::Sender<Event>,
}

/// Leaves the group, so that it need not wait for the session timeout. A static member stays: it may come back.
pub(super) async fn leave(
    client: &Client,
    group_id: &str,
    standing: &Standing,
    config: &ConsumerConfig,
) -> Result<(), ClientError> {
    if standing.member_id.is_empty() || config.group_instance_id.is_some() {
        return Ok(());
    }
    let connection = client.coordinator_on(Lane::Request, CoordinatorType::Group, group_id).await?;
    let version = connection.version::<LeaveGroupRequest>(None)?;
    let mut request = LeaveGroupRequest { group_id: group_id.to_owned(), ..LeaveGroupRequest::default() };
    if version >= LEAVE_MEMBERS_VERSION {
        let member_id = standing.member_id.clone();
        request.members = vec![MemberIdentity { member_id, ..MemberIdentity::default() }];
    } else {
        request.member_id.clone_from(&standing.member_id);
    }
    let response = connection.send_version(&request, version).await?;
    ClientError::check(response.error_code, None)
}

pub(super) fn committer(group_id: &str, standing: &Standing, instance_id: Option<String>) -> Committer {
    Committer {
        group_id: group_id.to_owned(),
        generation: standing.generation,
        member_id: standing.member_id.clone(),
        instance_id,
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
