//! The sender: takes batches that are due, one of each partition at a time, and sends them to the leaders.
//! It never waits for a broker: connections, producer ids, metadata and responses are awaited by tasks that wake it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::ErrorCode;
use protocol::messages::InitProducerIdRequest;
use protocol::types::BrokerId;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::batches::{Identity, PartitionQueue, TakeContext, Taken};
use super::request::{self, QueuedBatch};
use super::settle::{settle, settle_failure};
use super::shared::Shared;
use super::{Acks, delivery::Written};
use crate::cluster::Lane;
use crate::{ClientError, ClusterMetadata, Connection};

/// How often batches are checked for their age while there are any.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
/// What a request takes besides its batches, in bytes.
const REQUEST_OVERHEAD: usize = 1024;

pub(super) async fn run(shared: Arc<Shared>) {
    let now = Instant::now();
    let mut sender = Sender {
        shared: shared.clone(),
        active: Vec::new(),
        nodes: HashMap::new(),
        refreshed: now,
        next_expiry: now + EXPIRY_INTERVAL,
    };
    loop {
        let next = sender.pass(Instant::now());
        tokio::select! {
            () = shared.wake.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

struct Sender {
    shared: Arc<Shared>,
    /// Partitions that may have something to send.
    active: Vec<Arc<PartitionQueue>>,
    nodes: HashMap<BrokerId, Arc<Node>>,
    refreshed: Instant,
    next_expiry: Instant,
}

/// A broker that leads a partition.
#[derive(Debug, Default)]
struct Node {
    state: Mutex<NodeState>,
}

#[derive(Debug, Default)]
struct NodeState {
    connection: Option<Connection>,
    connecting: bool,
    in_flight: usize,
}

/// Batches for one broker.
struct Plan {
    connection: Connection,
    node: Arc<Node>,
    batches: Vec<QueuedBatch>,
    room: usize,
}

impl Sender {
    /// Sends what is due; returns when to look again at the latest.
    fn pass(&mut self, now: Instant) -> Instant {
        self.shared.take_scheduled(&mut self.active);
        self.refresh_metadata(now);
        let mut next = self.refreshed + self.shared.client.config().metadata_max_age;
        if self.active.is_empty() {
            return next;
        }
        if self.next_expiry <= now {
            self.next_expiry = now + EXPIRY_INTERVAL;
            for queue in &self.active {
                queue.expire(now).into_iter().for_each(|given_up| self.shared.follow_up(given_up));
            }
        }
        next = next.min(self.next_expiry);
        let identity = self.shared.identity.lock().current;
        if self.shared.config.idempotence && identity.is_none() {
            self.request_identity();
            return next;
        }
        let cluster = self.shared.client.cluster();
        loop {
            let (plans, later) = self.plan(now, identity, &cluster);
            next = later.map_or(next, |later| next.min(later));
            if plans.is_empty() {
                return next;
            }
            for plan in plans {
                self.send(plan, &cluster);
            }
        }
    }

    /// At most one batch of each partition, for brokers that take a further request.
    fn plan(
        &mut self,
        now: Instant,
        identity: Option<Identity>,
        cluster: &Arc<ClusterMetadata>,
    ) -> (Vec<Plan>, Option<Instant>) {
        let force = self.shared.is_pressed();
        let mut plans: HashMap<BrokerId, Plan> = HashMap::new();
        let mut next: Option<Instant> = None;
        let mut active = std::mem::take(&mut self.active);
        // Whoever was first last time is last now, so that full requests leave nobody out.
        let turn = usize::from(active.len() > 1);
        active.rotate_left(turn);
        active.retain(|queue| {
            let topic_partition = &queue.topic_partition;
            let Some((leader, _)) = cluster.leader(&topic_partition.topic, topic_partition.partition) else {
                self.shared.refresh_wanted.store(true, Ordering::Release);
                let retry = now + self.shared.client.config().retry_backoff;
                next = Some(next.map_or(retry, |next| next.min(retry)));
                return true;
            };
            let plan = match plans.entry(leader) {
                Entry::Occupied(plan) => plan.into_mut(),
                Entry::Vacant(place) => match self.open_plan(leader) {
                    Some(plan) => place.insert(plan),
                    None => return true,
                },
            };
            let room = if plan.batches.is_empty() { usize::MAX } else { plan.room };
            match queue.take(TakeContext { now, force, identity, room }) {
                Taken::Batch(batch) => {
                    plan.room = plan.room.saturating_sub(batch.bytes.len());
                    plan.batches.push((queue.clone(), batch));
                    true
                }
                Taken::Later(at) => {
                    next = Some(next.map_or(at, |next| next.min(at)));
                    true
                }
                Taken::Blocked => true,
                Taken::Empty => false,
            }
        });
        self.active = active;
        (plans.into_values().filter(|plan| !plan.batches.is_empty()).collect(), next)
    }

    /// A place for batches to a broker, if it is connected and takes one more request.
    fn open_plan(&mut self, broker: BrokerId) -> Option<Plan> {
        let node = self.nodes.entry(broker).or_default();
        let mut state = node.state.lock();
        let open = state.connection.as_ref().filter(|connection| !connection.is_closed()).cloned();
        let Some(connection) = open else {
            if !std::mem::replace(&mut state.connecting, true) {
                tokio::spawn(connect(self.shared.clone(), node.clone(), broker));
            }
            return None;
        };
        if state.in_flight >= self.shared.config.max_in_flight {
            return None;
        }
        let room = self.shared.config.max_request_size.saturating_sub(REQUEST_OVERHEAD);
        Some(Plan { connection, node: node.clone(), batches: Vec::new(), room })
    }

    fn send(&self, plan: Plan, cluster: &Arc<ClusterMetadata>) {
        let shared = &self.shared;
        let Plan { connection, node, batches, .. } = plan;
        let timeout_ms = i32::try_from(shared.client.config().request_timeout.as_millis()).unwrap_or(i32::MAX);
        let version = match request::version(&connection, cluster, &batches) {
            Ok(version) => version,
            Err(error) => return settle_failure(shared, batches, &error),
        };
        let request = request::build(&shared.config, cluster, &batches, version, timeout_ms);
        if shared.config.acks == Acks::None {
            return self.send_unanswered(&connection, &node, batches, connection.begin_unanswered(&request, version));
        }
        let in_flight = match connection.begin(&request, version) {
            Ok(in_flight) => in_flight,
            Err(error) => return settle_failure(shared, batches, &error),
        };
        node.state.lock().in_flight += 1;
        let (shared, cluster) = (shared.clone(), cluster.clone());
        tokio::spawn(async move {
            let response = in_flight.response().await;
            node.state.lock().in_flight -= 1;
            settle(&shared, &cluster, batches, response);
        });
    }

    fn send_unanswered(
        &self,
        connection: &Connection,
        node: &Arc<Node>,
        batches: Vec<QueuedBatch>,
        sent: Result<(), ClientError>,
    ) {
        if let Err(error) = sent {
            return settle_failure(&self.shared, batches, &error);
        }
        node.state.lock().in_flight += 1;
        let (shared, connection, node) = (self.shared.clone(), connection.clone(), node.clone());
        tokio::spawn(async move {
            let written = connection.written().await;
            node.state.lock().in_flight -= 1;
            match written {
                Ok(()) => {
                    for (queue, batch) in batches {
                        queue.acknowledged(&batch);
                        shared.complete(&batch, Ok(Written { base_offset: -1, log_append_time: -1 }));
                    }
                }
                Err(error) => settle_failure(&shared, batches, &error),
            }
            shared.wake.notify_one();
        });
    }

    fn refresh_metadata(&mut self, now: Instant) {
        let config = self.shared.client.config();
        let since = now.saturating_duration_since(self.refreshed);
        let wanted = self.shared.refresh_wanted.load(Ordering::Acquire) && since >= config.retry_backoff;
        if !wanted && since < config.metadata_max_age {
            return;
        }
        self.refreshed = now;
        self.shared.refresh_wanted.store(false, Ordering::Release);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let names = shared.topics.names();
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            match shared.client.metadata(Some(&names)).await {
                Ok(_) => shared.grow_topics(),
                Err(error) => warn!(%error, "metadata could not be refreshed"),
            }
            shared.wake.notify_one();
        });
    }

    fn request_identity(&self) {
        if std::mem::replace(&mut self.shared.identity.lock().requesting, true) {
            return;
        }
        let shared = self.shared.clone();
        tokio::spawn(async move {
            match await_identity(&shared).await {
                Ok(identity) => {
                    debug!(producer_id = identity.producer_id, epoch = identity.epoch, "producer id assigned");
                    shared.identity.lock().current = Some(identity);
                }
                Err(error) if error.is_retriable() => warn!(%error, "no producer id could be had yet"),
                Err(error) => shared.abandon(&error),
            }
            shared.identity.lock().requesting = false;
            shared.wake.notify_one();
        });
    }
}

async fn await_identity(shared: &Shared) -> Result<Identity, ClientError> {
    let mut retries = shared.client.retries("init producer id");
    loop {
        match fetch_identity(shared).await {
            Err(error) => retries.pause(error).await?,
            assigned => return assigned,
        }
    }
}

async fn fetch_identity(shared: &Shared) -> Result<Identity, ClientError> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    let response = shared.client.send_to_any(&request).await?;
    ClientError::check(response.error_code, None)?;
    if response.producer_id < 0 {
        return Err(ClientError::broker(ErrorCode::UnknownServerError));
    }
    Ok(Identity { producer_id: response.producer_id, epoch: response.producer_epoch })
}

async fn connect(shared: Arc<Shared>, node: Arc<Node>, broker: BrokerId) {
    let connected = shared.client.broker(broker, Lane::Produce).await;
    {
        let mut state = node.state.lock();
        state.connecting = false;
        state.connection = connected.as_ref().ok().cloned();
    }
    if let Err(error) = connected {
        debug!(broker, %error, "leader could not be reached");
        shared.refresh_wanted.store(true, Ordering::Release);
    }
    shared.wake.notify_one();
}
