//! The topology that the members of a streams group run: subtopologies, and the topics between them.
//! It is the record `StreamsGroupTopologyValue`; the first member that joins sets it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::messages::StreamsGroupTopologyValue;
use protocol::messages::streams_group_describe_response::{
    KeyValue, Subtopology as DescribedSubtopology, TopicInfo as DescribedTopic, Topology as DescribedTopology,
};
use protocol::messages::streams_group_heartbeat_request::{TopicInfo as RequestTopic, Topology as RequestTopology};
use protocol::messages::streams_group_topology_value::{CopartitionGroup, Subtopology, TopicConfig, TopicInfo};

use super::error::StreamsError;

/// A topology.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Topology {
    pub(crate) epoch: i32,
    pub(crate) subtopologies: BTreeMap<String, Subtopology>,
}

impl Topology {
    /// The topology of a record.
    ///
    /// # Errors
    /// [`StreamsError::Malformed`] if two subtopologies share an id, or the epoch is negative.
    pub(crate) fn from_record(record: &StreamsGroupTopologyValue) -> Result<Self, StreamsError> {
        if record.epoch < 0 {
            return Err(StreamsError::Malformed("negative topology epoch"));
        }
        let mut subtopologies = BTreeMap::new();
        for subtopology in &record.subtopologies {
            if subtopologies.insert(subtopology.subtopology_id.clone(), subtopology.clone()).is_some() {
                return Err(StreamsError::Malformed("two subtopologies of one id"));
            }
        }
        Ok(Self { epoch: record.epoch, subtopologies })
    }

    /// The names of all topics that members read or keep their state in.
    pub(crate) fn required_topics(&self) -> BTreeSet<Arc<str>> {
        self.subtopologies
            .values()
            .flat_map(|subtopology| input_topics(subtopology).chain(names(&subtopology.state_changelog_topics)))
            .map(Arc::from)
            .collect()
    }

    /// The subtopology that reads a topic; the last one if there are several.
    pub(crate) fn reader_of(&self, topic: &str) -> Option<&Subtopology> {
        self.subtopologies.values().rev().find(|subtopology| input_topics(subtopology).any(|name| name == topic))
    }

    /// The topology as it was given, for a group whose topics are not there yet.
    pub(crate) fn described(&self) -> DescribedTopology {
        let subtopologies = self
            .subtopologies
            .iter()
            .map(|(id, subtopology)| DescribedSubtopology {
                subtopology_id: id.clone(),
                source_topics: sorted(subtopology.source_topics.clone()),
                repartition_sink_topics: sorted(subtopology.repartition_sink_topics.clone()),
                repartition_source_topics: described_topics(&subtopology.repartition_source_topics),
                state_changelog_topics: described_topics(&subtopology.state_changelog_topics),
                ..Default::default()
            })
            .collect();
        DescribedTopology { epoch: self.epoch, subtopologies: Some(subtopologies), ..Default::default() }
    }
}

/// The topics that a subtopology reads.
pub(crate) fn input_topics(subtopology: &Subtopology) -> impl Iterator<Item = &str> {
    subtopology.source_topics.iter().map(String::as_str).chain(names(&subtopology.repartition_source_topics))
}

/// The record of a topology in a request.
pub(crate) fn to_record(topology: &RequestTopology) -> StreamsGroupTopologyValue {
    let subtopologies = topology
        .subtopologies
        .iter()
        .map(|subtopology| Subtopology {
            subtopology_id: subtopology.subtopology_id.clone(),
            source_topics: subtopology.source_topics.clone(),
            source_topic_regex: subtopology.source_topic_regex.clone(),
            state_changelog_topics: subtopology.state_changelog_topics.iter().map(topic_to_record).collect(),
            repartition_sink_topics: subtopology.repartition_sink_topics.clone(),
            repartition_source_topics: subtopology.repartition_source_topics.iter().map(topic_to_record).collect(),
            copartition_groups: subtopology
                .copartition_groups
                .iter()
                .map(|group| CopartitionGroup {
                    source_topics: group.source_topics.clone(),
                    source_topic_regex: group.source_topic_regex.clone(),
                    repartition_source_topics: group.repartition_source_topics.clone(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        })
        .collect();
    StreamsGroupTopologyValue { epoch: topology.epoch, subtopologies, ..Default::default() }
}

/// Strings in order.
pub(crate) fn sorted(mut strings: Vec<String>) -> Vec<String> {
    strings.sort_unstable();
    strings
}

fn names(topics: &[TopicInfo]) -> impl Iterator<Item = &str> {
    topics.iter().map(|topic| topic.name.as_str())
}

fn topic_to_record(topic: &RequestTopic) -> TopicInfo {
    TopicInfo {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        topic_configs: topic
            .topic_configs
            .iter()
            .map(|config| TopicConfig { key: config.key.clone(), value: config.value.clone(), ..Default::default() })
            .collect(),
        ..Default::default()
    }
}

fn described_topics(topics: &[TopicInfo]) -> Vec<DescribedTopic> {
    let mut described: Vec<DescribedTopic> = topics
        .iter()
        .map(|topic| DescribedTopic {
            name: topic.name.clone(),
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            topic_configs: topic
                .topic_configs
                .iter()
                .map(|config| KeyValue { key: config.key.clone(), value: config.value.clone(), ..Default::default() })
                .collect(),
            ..Default::default()
        })
        .collect();
    described.sort_by(|one, other| one.name.cmp(&other.name));
    described
}
