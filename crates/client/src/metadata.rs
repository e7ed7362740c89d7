//! What the client knows of the cluster: brokers, topics, partition leaders.
//! A [`ClusterMetadata`] never changes; [`crate::Client`] replaces it after every Metadata response.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use protocol::messages::MetadataResponse;
use protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use protocol::types::{BrokerId, LeaderEpoch, PartitionIndex};
use protocol::{ErrorCode, Uuid};

/// A broker as its cluster advertises it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: BrokerId,
    /// Advertised host.
    pub host: String,
    /// Advertised port.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

impl Broker {
    /// Host and port, with brackets around an IPv6 address.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}

/// One partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Its index.
    pub index: PartitionIndex,
    /// Its leader, if it has one.
    pub leader: Option<BrokerId>,
    /// Epoch of that leader, or -1 if the broker is too old to tell.
    pub leader_epoch: LeaderEpoch,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Replicas that are in sync.
    pub isr: Vec<BrokerId>,
    /// Replicas that are offline.
    pub offline_replicas: Vec<BrokerId>,
    /// What is wrong with it, if anything.
    pub error: ErrorCode,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its name.
    pub name: Arc<str>,
    /// Its id, or zero if the broker is too old to tell.
    pub id: Uuid,
    /// Whether it is one of Kafka's own.
    pub is_internal: bool,
    /// What is wrong with it, if anything.
    pub error: ErrorCode,
    /// Its partitions by index, without gaps.
    pub partitions: Vec<PartitionMetadata>,
}

/// The cluster as of the last Metadata responses.
#[derive(Debug, Clone, Default)]
pub struct ClusterMetadata {
    /// Id of the cluster.
    pub cluster_id: Option<String>,
    /// Broker that takes requests for the controller, if known.
    pub controller: Option<BrokerId>,
    /// Brokers by id.
    pub brokers: BTreeMap<BrokerId, Broker>,
    /// Topics that were asked for, by name.
    pub topics: HashMap<Arc<str>, Arc<TopicMetadata>>,
    /// Names of those topics by id.
    pub topic_names: HashMap<Uuid, Arc<str>>,
}

impl ClusterMetadata {
    /// A topic that exists and has no error.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicMetadata>> {
        self.topics.get(name).filter(|topic| topic.error == ErrorCode::None)
    }

    /// A partition of a topic.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: PartitionIndex) -> Option<&PartitionMetadata> {
        self.topic(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    /// The leader of a partition and its epoch.
    #[must_use]
    pub fn leader(&self, topic: &str, partition: PartitionIndex) -> Option<(BrokerId, LeaderEpoch)> {
        let partition = self.partition(topic, partition)?;
        Some((partition.leader?, partition.leader_epoch))
    }

    /// This image after `response`, which names all topics if `complete`, else those that were asked for. A partition
    /// whose leader epoch is older than the one known keeps the known one: the answering broker lags behind.
    #[must_use]
    pub fn updated(&self, response: MetadataResponse, complete: bool) -> Self {
        let mut next = Self {
            cluster_id: response.cluster_id.or_else(|| self.cluster_id.clone()),
            controller: (response.controller_id >= 0).then_some(response.controller_id),
            brokers: response
                .brokers
                .into_iter()
                .map(|broker| {
                    let id = broker.node_id;
                    (id, Broker { id, host: broker.host, port: broker.port, rack: broker.rack })
                })
                .collect(),
            topics: if complete { HashMap::new() } else { self.topics.clone() },
            topic_names: HashMap::new(),
        };
        for topic in response.topics {
            let Some(name) = topic.name.as_deref().map(Arc::<str>::from) else { continue };
            let known = self.topics.get(&name);
            next.topics.insert(name.clone(), Arc::new(topic_metadata(name, topic, known)));
        }
        let named = next.topics.values().filter(|topic| !topic.id.is_zero());
        next.topic_names = named.map(|topic| (topic.id, topic.name.clone())).collect();
        next
    }
}

fn topic_metadata(name: Arc<str>, topic: MetadataResponseTopic, known: Option<&Arc<TopicMetadata>>) -> TopicMetadata {
    let same = known.filter(|known| known.id == topic.topic_id);
    let mut partitions: Vec<PartitionMetadata> = topic
        .partitions
        .into_iter()
        .map(|partition| {
            let index = usize::try_from(partition.partition_index).ok();
            let known = same.and_then(|topic| topic.partitions.get(index?));
            let fetched = partition_metadata(partition);
            match known {
                Some(known) if fetched.leader_epoch >= 0 && known.leader_epoch > fetched.leader_epoch => known.clone(),
                _ => fetched,
            }
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    TopicMetadata {
        name,
        id: topic.topic_id,
        is_internal: topic.is_internal,
        error: ErrorCode::from_code(topic.error_code),
        partitions,
    }
}

fn partition_metadata(partition: MetadataResponsePartition) -> PartitionMetadata {
    PartitionMetadata {
        index: partition.partition_index,
        leader: (partition.leader_id >= 0).then_some(partition.leader_id),
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes,
        isr: partition.isr_nodes,
        offline_replicas: partition.offline_replicas,
        error: ErrorCode::from_code(partition.error_code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(leader: i32, epoch: i32) -> MetadataResponse {
        let partition = MetadataResponsePartition { leader_id: leader, leader_epoch: epoch, ..Default::default() };
        let topic =
            MetadataResponseTopic { name: Some("t".to_owned()), partitions: vec![partition], ..Default::default() };
        MetadataResponse { topics: vec![topic], ..Default::default() }
    }

    #[test]
    fn an_older_leader_epoch_does_not_replace_a_newer_one() {
        let image = ClusterMetadata::default().updated(response(1, 5), false);
        assert_eq!(image.updated(response(2, 4), false).leader("t", 0), Some((1, 5)));
        assert_eq!(image.updated(response(2, 6), false).leader("t", 0), Some((2, 6)));
        assert_eq!(image.updated(MetadataResponse::default(), false).leader("t", 0), Some((1, 5)));
        assert_eq!(image.updated(MetadataResponse::default(), true).leader("t", 0), None);
    }
}
