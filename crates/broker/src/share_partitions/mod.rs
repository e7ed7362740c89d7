//! The share-partitions that this broker leads, and the sessions of their members (`SharePartitionManager`).
//! Each share-partition is behind a lock of its own, which is taken before the share coordinator's and the log's. What is to
//! be stored is given to the coordinator under that lock, so that it arrives in the order of the changes.

pub(crate) mod acknowledgements;
pub(crate) mod fetch;
mod led;
pub(crate) mod sessions;
pub(crate) mod settings;

use std::collections::HashMap;
use std::sync::Arc;

use coordinator::share::ShareKey;
use metadata::config::BrokerConfig;
use parking_lot::RwLock;
use protocol::types::TimestampMs;
use protocol::{ErrorCode, Uuid};
use tracing::{debug, info};

use crate::Broker;
use crate::coordinators::Alarm;
use crate::dispatch::Connection;
use crate::share_partition::Acknowledgement;

pub(crate) use led::{Led, Refusal, Stored};
use sessions::{SessionKey, ShareSessions, TopicIdPartition};

/// The feature that share groups need.
pub(crate) const SHARE_VERSION: &str = "share.version";

/// All share-partitions and sessions.
pub(crate) struct SharePartitions {
    led: RwLock<HashMap<ShareKey, Arc<Led>>>,
    sessions: ShareSessions,
    alarm: Alarm,
}

impl SharePartitions {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        let limit = usize::try_from(config.group_share_max_share_sessions()).unwrap_or(0);
        Self { led: RwLock::default(), sessions: ShareSessions::new(limit), alarm: Alarm::default() }
    }

    pub(crate) fn sessions(&self) -> &ShareSessions {
        &self.sessions
    }

    pub(super) fn alarm(&self) -> &Alarm {
        &self.alarm
    }

    fn key(group_id: &Arc<str>, (topic_id, partition): TopicIdPartition) -> ShareKey {
        ShareKey { group_id: Arc::clone(group_id), topic_id, partition }
    }

    fn find(&self, key: &ShareKey) -> Option<Arc<Led>> {
        self.led.read().get(key).cloned()
    }

    /// The share-partition of a partition that this broker leads.
    /// # Errors
    /// `NotLeaderOrFollower`, `UnknownTopicOrPartition`.
    pub(super) fn find_or_create(&self, broker: &Broker, key: &ShareKey) -> Result<Arc<Led>, ErrorCode> {
        if let Some(led) = self.find(key) {
            return Ok(led);
        }
        let partition = broker.partitions().get_by_id(key.topic_id, key.partition);
        let partition = partition.ok_or(ErrorCode::NotLeaderOrFollower)?;
        if partition.is_gone() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let mut led = self.led.write();
        let led = led.entry(key.clone()).or_insert_with(|| Arc::new(Led::new(key.clone(), partition)));
        Ok(Arc::clone(led))
    }

    /// Forgets a share-partition: the next fetch reads its state again.
    pub(super) fn remove(&self, led: &Led) {
        let mut all = self.led.write();
        if all.get(led.key()).is_some_and(|other| std::ptr::eq(&**other, led)) {
            all.remove(led.key());
        }
        drop(all);
        led.fence();
    }

    /// Takes what a member says of its records in one partition.
    pub(crate) fn acknowledge(
        &self,
        broker: &Arc<Broker>,
        session: &SessionKey,
        partition: TopicIdPartition,
        said: &[Acknowledgement],
    ) -> Stored {
        match self.find(&Self::key(&session.group_id, partition)) {
            Some(led) => led.acknowledge(broker, &session.member, said),
            None => Stored::Now(Err(ErrorCode::UnknownTopicOrPartition.into())),
        }
    }

    /// Ends the session of a member and releases what it has.
    pub(crate) fn release_session(&self, broker: &Arc<Broker>, session: &SessionKey) {
        if let Some(partitions) = self.sessions.end(session) {
            self.release(broker, session, &partitions);
            info!(group = %session.group_id, member = %session.member, "released a share session");
        }
    }

    fn release(&self, broker: &Arc<Broker>, session: &SessionKey, partitions: &[TopicIdPartition]) {
        for partition in partitions {
            if let Some(led) = self.find(&Self::key(&session.group_id, *partition)) {
                led.release(broker, &session.member);
            }
        }
    }

    /// A connection is closed: its sessions end, and groups without sessions are forgotten, so that the next member of such a
    /// group begins with what the coordinator knows then.
    pub(crate) fn disconnected(&self, broker: &Arc<Broker>, connection: u64) {
        let gone = self.sessions.disconnected(connection);
        for (session, partitions) in &gone.ended {
            debug!(group = %session.group_id, member = %session.member, "a share session ended with its connection");
            self.release(broker, session, partitions);
        }
        if !gone.empty_groups.is_empty() {
            self.remove_where(|key| gone.empty_groups.contains(&key.group_id));
        }
    }

    /// Forgets the share-partitions of a topic that is deleted.
    pub(crate) fn topic_deleted(&self, topic_id: Uuid) {
        self.remove_where(|key| key.topic_id == topic_id);
    }

    /// Share groups are not supported any more.
    pub(crate) fn clear(&self) {
        self.sessions.clear();
        self.remove_where(|_| true);
    }

    fn remove_where(&self, chosen: impl Fn(&ShareKey) -> bool) {
        let removed: Vec<_> = self.led.write().extract_if(|key, _| chosen(key)).collect();
        for (_, led) in removed {
            led.fence();
        }
    }

    /// Ends the locks that are due, and gives when the next ends.
    fn fire(&self, broker: &Arc<Broker>) -> Option<TimestampMs> {
        let now_ms = broker.monotonic_ms();
        let all: Vec<_> = self.led.read().values().cloned().collect();
        for led in all.iter().filter(|led| led.next_timeout().is_some_and(|at| at <= now_ms)) {
            led.expire(broker);
        }
        all.iter().filter_map(|led| led.next_timeout()).min()
    }
}

impl Broker {
    /// A client's connection is closed.
    pub fn disconnected(self: &Arc<Self>, connection: &Connection) {
        self.share_partitions().disconnected(self, connection.id);
    }
}

/// Ends the locks of share groups for as long as it is polled.
pub async fn drive(broker: Arc<Broker>) {
    loop {
        let shares = broker.share_partitions();
        shares.alarm().reset();
        let next_ms = shares.fire(&broker);
        let deadline = next_ms.map(|next_ms| broker.timers().deadline(next_ms));
        shares.alarm().wait(next_ms, deadline).await;
    }
}
