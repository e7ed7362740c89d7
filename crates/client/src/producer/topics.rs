//! The topics that a producer has sent to, with a queue for each of their partitions.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use protocol::TopicPartition;
use protocol::types::PartitionIndex;

use super::batches::{BatchLimits, PartitionQueue};
use super::partitioner::StickyPartition;
use crate::clock;

/// One topic's queues, by partition.
#[derive(Debug)]
pub(super) struct TopicQueues {
    name: Arc<str>,
    queues: RwLock<Vec<Arc<PartitionQueue>>>,
    pub(super) sticky: StickyPartition,
}

impl TopicQueues {
    pub(super) fn queue(&self, partition: PartitionIndex) -> Option<Arc<PartitionQueue>> {
        self.queues.read().get(usize::try_from(partition).ok()?).cloned()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn partitions(&self) -> usize {
        self.queues.read().len()
    }

    /// Adds queues for partitions that were added to the topic; a topic never has fewer than before.
    fn grow(&self, partitions: usize, limits: BatchLimits) {
        let mut queues = self.queues.write();
        for index in queues.len()..partitions {
            let index = PartitionIndex::try_from(index).unwrap_or(PartitionIndex::MAX);
            let topic_partition = TopicPartition::new(self.name.clone(), index);
            queues.push(Arc::new(PartitionQueue::new(topic_partition, limits)));
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Topics {
    topics: RwLock<HashMap<Arc<str>, Arc<TopicQueues>>>,
}

impl Topics {
    pub(super) fn existing(&self, name: &str) -> Option<Arc<TopicQueues>> {
        self.topics.read().get(name).cloned()
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.topics.read().keys().cloned().collect()
    }

    /// The topic with at least `partitions` queues.
    pub(super) fn ensure(&self, name: &Arc<str>, partitions: usize, limits: BatchLimits) -> Arc<TopicQueues> {
        let mut topics = self.topics.write();
        let topic = topics.entry(name.clone()).or_insert_with(|| {
            let sticky = StickyPartition::new(clock::wall_ms().cast_unsigned());
            Arc::new(TopicQueues { name: name.clone(), queues: RwLock::default(), sticky })
        });
        topic.grow(partitions, limits);
        topic.clone()
    }

    pub(super) fn queues(&self) -> Vec<Arc<PartitionQueue>> {
        let topics = self.topics.read();
        topics.values().flat_map(|topic| topic.queues.read().clone()).collect()
    }
}
