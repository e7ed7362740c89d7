//! Which partitions this broker leads, by topic name and by topic id.
//! Written by the metadata publisher alone; a reader holds the lock for one look-up.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use protocol::Uuid;
use protocol::types::PartitionIndex;

use crate::partition::Partition;

/// The partitions of one topic.
#[derive(Default)]
struct Topic {
    partitions: HashMap<PartitionIndex, Arc<Partition>>,
}

#[derive(Default)]
struct Maps {
    by_name: HashMap<Arc<str>, Topic>,
    names: HashMap<Uuid, Arc<str>>,
}

/// All partitions.
#[derive(Default)]
pub struct PartitionMap(RwLock<Maps>);

impl PartitionMap {
    /// A partition by the name of its topic.
    #[must_use]
    pub fn get(&self, topic: &str, partition: PartitionIndex) -> Option<Arc<Partition>> {
        self.0.read().by_name.get(topic)?.partitions.get(&partition).cloned()
    }

    /// A partition by the id of its topic.
    #[must_use]
    pub fn get_by_id(&self, topic_id: Uuid, partition: PartitionIndex) -> Option<Arc<Partition>> {
        let maps = self.0.read();
        let name = maps.names.get(&topic_id)?;
        maps.by_name.get(name)?.partitions.get(&partition).cloned()
    }

    /// The name of a topic.
    #[must_use]
    pub fn name(&self, topic_id: Uuid) -> Option<Arc<str>> {
        self.0.read().names.get(&topic_id).cloned()
    }

    /// Adds a partition.
    pub fn insert(&self, partition: Arc<Partition>) {
        let mut maps = self.0.write();
        let name = Arc::clone(&partition.topic_partition.topic);
        maps.names.insert(partition.topic_id, Arc::clone(&name));
        maps.by_name.entry(name).or_default().partitions.insert(partition.topic_partition.partition, partition);
    }

    /// Removes a topic and returns its partitions.
    pub fn remove_topic(&self, topic: &str) -> Vec<Arc<Partition>> {
        let mut maps = self.0.write();
        let Some(removed) = maps.by_name.remove(topic) else { return Vec::new() };
        for partition in removed.partitions.values() {
            maps.names.remove(&partition.topic_id);
        }
        removed.partitions.into_values().collect()
    }

    /// The partitions of one topic.
    #[must_use]
    pub fn of_topic(&self, topic: &str) -> Vec<Arc<Partition>> {
        self.0.read().by_name.get(topic).map(|topic| topic.partitions.values().cloned().collect()).unwrap_or_default()
    }

    /// All partitions.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.0.read().by_name.values().flat_map(|topic| topic.partitions.values().cloned()).collect()
    }
}
