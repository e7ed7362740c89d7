//! Membership in a share group: one task that sends ShareGroupHeartbeats and keeps what comes back. The consumer reads it
//! and says what it subscribes to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use protocol::types::PartitionIndex;
use protocol::{ErrorCode, Uuid};
use tokio::sync::Notify;
use tracing::debug;

use crate::cluster::backoff;
use crate::offsets::follow_coordinator;
use crate::{Client, ClientError};

/// A partition of a topic by its id.
pub(super) type TopicIdPartition = (Uuid, PartitionIndex);

/// Asks to leave.
const LEAVE: i32 = -1;

/// What the member is, shared by the task and the consumer.
#[derive(Debug, Default)]
struct State {
    topics: Vec<String>,
    /// The broker has not been told of `topics`.
    topics_changed: bool,
    epoch: i32,
    assigned: BTreeSet<TopicIdPartition>,
    failure: Option<ClientError>,
}

/// A member.
#[derive(Debug)]
pub(super) struct Membership {
    group_id: String,
    member_id: String,
    state: Mutex<State>,
    /// There are other topics to tell of.
    changed: Notify,
    /// The assignment or the failure is new.
    pub(super) updated: Notify,
}

impl Membership {
    /// A member that has not joined.
    pub(super) fn new(group_id: &str, member_id: String) -> Arc<Self> {
        Arc::new(Self {
            group_id: group_id.to_owned(),
            member_id,
            state: Mutex::default(),
            changed: Notify::new(),
            updated: Notify::new(),
        })
    }

    pub(super) fn member_id(&self) -> &str {
        &self.member_id
    }

    pub(super) fn subscribe(&self, topics: Vec<String>) {
        let mut state = self.state.lock();
        state.topics_changed |= state.topics != topics;
        state.topics = topics;
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn topics(&self) -> Vec<String> {
        self.state.lock().topics.clone()
    }

    pub(super) fn assigned(&self) -> BTreeSet<TopicIdPartition> {
        self.state.lock().assigned.clone()
    }

    /// Why the member is in no group and will not be.
    pub(super) fn failure(&self) -> Option<ClientError> {
        self.state.lock().failure.clone()
    }

    /// Joins and stays, until a failure that will not pass.
    pub(super) async fn run(self: Arc<Self>, client: Client) {
        let mut failures = 0;
        loop {
            let pause = match self.beat(&client).await {
                Ok(interval) => {
                    failures = 0;
                    interval
                }
                Err(error) => {
                    follow_coordinator(&client, &self.group_id, &error);
                    debug!(group_id = self.group_id, %error, "heartbeat failed");
                    if !self.rejoins(&error) && !error.is_retriable() {
                        self.state.lock().failure = Some(error);
                        self.updated.notify_one();
                        return;
                    }
                    failures += 1;
                    let config = client.config();
                    backoff(config.retry_backoff, config.retry_backoff_max, failures)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Leaves the group.
    pub(super) async fn leave(&self, client: &Client) -> Result<(), ClientError> {
        {
            let mut state = self.state.lock();
            state.assigned.clear();
            if state.epoch == 0 {
                return Ok(());
            }
            state.epoch = 0;
        }
        let request = ShareGroupHeartbeatRequest { member_epoch: LEAVE, ..self.request() };
        let response = client.send_to_coordinator(&self.group_id, &request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())
    }

    fn request(&self) -> ShareGroupHeartbeatRequest {
        ShareGroupHeartbeatRequest {
            group_id: self.group_id.clone(),
            member_id: self.member_id.clone(),
            ..Default::default()
        }
    }

    async fn beat(&self, client: &Client) -> Result<Duration, ClientError> {
        let mut request = self.request();
        {
            let mut state = self.state.lock();
            request.member_epoch = state.epoch;
            if state.epoch == 0 || state.topics_changed {
                request.subscribed_topic_names = Some(state.topics.clone());
                state.topics_changed = false;
            }
        }
        if request.member_epoch == 0 {
            request.rack_id = Some(client.config().rack.clone()).filter(|rack| !rack.is_empty());
        }
        let told = request.subscribed_topic_names.is_some();
        let answer = client.send_to_coordinator(&self.group_id, &request).await;
        let answer = answer.and_then(|response| {
            ClientError::check(response.error_code, response.error_message.as_deref()).map(|()| response)
        });
        match answer {
            Ok(response) => Ok(self.take(response)),
            Err(error) => {
                self.state.lock().topics_changed |= told;
                Err(error)
            }
        }
    }

    fn take(&self, response: ShareGroupHeartbeatResponse) -> Duration {
        let mut state = self.state.lock();
        state.epoch = response.member_epoch;
        if let Some(assignment) = response.assignment {
            let topics = assignment.topic_partitions.into_iter();
            let assigned: BTreeSet<TopicIdPartition> = topics
                .flat_map(|topic| topic.partitions.into_iter().map(move |partition| (topic.topic_id, partition)))
                .collect();
            if state.assigned != assigned {
                debug!(group_id = self.group_id, partitions = assigned.len(), "assigned");
                state.assigned = assigned;
                self.updated.notify_one();
            }
        }
        Duration::from_millis(u64::try_from(response.heartbeat_interval_ms).unwrap_or(0).max(1))
    }

    /// Whether the member starts over as one that the group does not know.
    fn rejoins(&self, error: &ClientError) -> bool {
        if !matches!(error.code(), ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId) {
            return false;
        }
        let mut state = self.state.lock();
        state.epoch = 0;
        state.assigned.clear();
        true
    }
}
