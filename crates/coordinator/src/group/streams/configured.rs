//! A topology on the topics that exist: how many tasks each subtopology has, which internal topics are missing, and what
//! keeps the group from being assigned.

use std::collections::{BTreeMap, BTreeSet};

use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::streams_group_describe_response::{
    KeyValue, Subtopology as DescribedSubtopology, TopicInfo as DescribedTopic, Topology as DescribedTopology,
};
use protocol::messages::streams_group_topology_value::{Subtopology, TopicInfo};

use super::error::StreamsError;
use super::partition_counts::{self, PartitionCounts};
use super::topology::Topology;

/// How many topics a message names before it only counts them.
const TOPICS_IN_A_MESSAGE: usize = 3;

const NOWHERE: StreamsError = StreamsError::Malformed("a copartition group names a topic that is not there");

/// What a client is told beside its assignment (`StreamsGroupHeartbeatResponse.Status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusCode {
    /// The member's topology is older than the group's.
    StaleTopology,
    /// A source topic does not exist.
    MissingSourceTopics,
    /// Topics that must have as many partitions as each other do not.
    IncorrectlyPartitionedTopics,
    /// Internal topics are being created.
    MissingInternalTopics,
    /// A member asked everyone to stop.
    ShutdownApplication,
    /// The group is not assigned yet.
    AssignmentDelayed,
}

impl StatusCode {
    /// Its code on the wire.
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::StaleTopology => 0,
            Self::MissingSourceTopics => 1,
            Self::IncorrectlyPartitionedTopics => 2,
            Self::MissingInternalTopics => 3,
            Self::ShutdownApplication => 4,
            Self::AssignmentDelayed => 5,
        }
    }
}

/// Topics that keep a group from being assigned. The client waits for them and is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicFault {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
}

impl TopicFault {
    pub(crate) fn incorrectly_partitioned(detail: String) -> Self {
        Self { status: StatusCode::IncorrectlyPartitionedTopics, detail }
    }
}

/// Why a topology cannot be configured.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It may be later, with other topics.
    Topics(TopicFault),
    /// It never can.
    Request(StreamsError),
}

impl From<TopicFault> for Fault {
    fn from(fault: TopicFault) -> Self {
        Self::Topics(fault)
    }
}

impl From<StreamsError> for Fault {
    fn from(error: StreamsError) -> Self {
        Self::Request(error)
    }
}

/// An internal topic as it is, or is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfiguredTopic {
    pub(crate) partitions: i32,
    /// 0 for the broker's default.
    pub(crate) replication_factor: i16,
    pub(crate) configs: BTreeMap<String, String>,
}

/// A subtopology on the topics that exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfiguredSubtopology {
    pub(crate) tasks: i32,
    pub(crate) source_topics: BTreeSet<String>,
    pub(crate) repartition_source_topics: BTreeMap<String, ConfiguredTopic>,
    pub(crate) repartition_sink_topics: BTreeSet<String>,
    pub(crate) changelog_topics: BTreeMap<String, ConfiguredTopic>,
}

impl ConfiguredSubtopology {
    /// Whether its tasks have state, and so may have standbys.
    pub(crate) fn is_stateful(&self) -> bool {
        !self.changelog_topics.is_empty()
    }
}

/// A topology on the topics that exist.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConfiguredTopology {
    pub(crate) epoch: i32,
    /// Empty if source topics are missing or wrong.
    pub(crate) subtopologies: BTreeMap<String, ConfiguredSubtopology>,
    pub(crate) missing_topics: BTreeMap<String, CreatableTopic>,
    pub(crate) fault: Option<TopicFault>,
}

impl ConfiguredTopology {
    /// Whether tasks can be assigned.
    pub(crate) fn is_ready(&self) -> bool {
        self.fault.is_none()
    }

    /// With the partition counts that were decided.
    pub(crate) fn described(&self) -> DescribedTopology {
        let subtopologies = self
            .subtopologies
            .iter()
            .map(|(id, subtopology)| DescribedSubtopology {
                subtopology_id: id.clone(),
                source_topics: subtopology.source_topics.iter().cloned().collect(),
                repartition_sink_topics: subtopology.repartition_sink_topics.iter().cloned().collect(),
                repartition_source_topics: described_topics(&subtopology.repartition_source_topics),
                state_changelog_topics: described_topics(&subtopology.changelog_topics),
                ..Default::default()
            })
            .collect();
        DescribedTopology { epoch: self.epoch, subtopologies: Some(subtopologies), ..Default::default() }
    }
}

/// Puts a topology on the topics that exist; `existing` gives the partition count of each.
///
/// # Errors
/// [`StreamsError::InvalidTopology`] if no set of topics could do, [`StreamsError::Malformed`] if names or indexes of the
/// topology contradict each other.
pub(crate) fn configure(
    topology: &Topology,
    existing: &dyn Fn(&str) -> Option<i32>,
) -> Result<ConfiguredTopology, StreamsError> {
    let copartition_groups = copartition_groups(topology)?;
    match configure_topics(topology, existing, &copartition_groups) {
        Ok(configured) => Ok(configured),
        Err(Fault::Request(error)) => Err(error),
        Err(Fault::Topics(fault)) => Ok(ConfiguredTopology {
            epoch: topology.epoch,
            subtopologies: BTreeMap::new(),
            missing_topics: BTreeMap::new(),
            fault: Some(fault),
        }),
    }
}

fn configure_topics(
    topology: &Topology,
    existing: &dyn Fn(&str) -> Option<i32>,
    copartition_groups: &[BTreeSet<&str>],
) -> Result<ConfiguredTopology, Fault> {
    let missing_sources: BTreeSet<&str> = topology
        .subtopologies
        .values()
        .flat_map(|subtopology| &subtopology.source_topics)
        .map(String::as_str)
        .filter(|topic| existing(topic).is_none())
        .collect();
    if !missing_sources.is_empty() {
        let detail = format!("Source topics {} are missing.", summary(missing_sources.into_iter()));
        return Err(TopicFault { status: StatusCode::MissingSourceTopics, detail }.into());
    }
    let decided = partition_counts::decide(topology, existing, copartition_groups)?;
    let mut subtopologies = BTreeMap::new();
    for (id, subtopology) in &topology.subtopologies {
        subtopologies.insert(id.clone(), configured_subtopology(subtopology, existing, &decided)?);
    }
    let missing_topics = missing_topics(&subtopologies, existing)?;
    let fault = (!missing_topics.is_empty()).then(|| TopicFault {
        status: StatusCode::MissingInternalTopics,
        detail: format!("Internal topics are missing: {}", summary(missing_topics.keys().map(String::as_str))),
    });
    Ok(ConfiguredTopology { epoch: topology.epoch, subtopologies, missing_topics, fault })
}

fn copartition_groups(topology: &Topology) -> Result<Vec<BTreeSet<&str>>, StreamsError> {
    let mut groups = Vec::new();
    for subtopology in topology.subtopologies.values() {
        for group in &subtopology.copartition_groups {
            let at = |index: &i16| usize::try_from(*index).ok();
            let sources = group
                .source_topics
                .iter()
                .map(|index| at(index).and_then(|at| subtopology.source_topics.get(at)).map(String::as_str));
            let repartitions = group.repartition_source_topics.iter().map(|index| {
                at(index).and_then(|at| subtopology.repartition_source_topics.get(at)).map(|topic| topic.name.as_str())
            });
            groups.push(sources.chain(repartitions).collect::<Option<_>>().ok_or(NOWHERE)?);
        }
    }
    Ok(groups)
}

fn configured_subtopology(
    subtopology: &Subtopology,
    existing: &dyn Fn(&str) -> Option<i32>,
    decided: &PartitionCounts,
) -> Result<ConfiguredSubtopology, StreamsError> {
    let tasks = partition_counts::task_count(subtopology, existing, decided)?
        .filter(|tasks| *tasks > 0)
        .ok_or(StreamsError::Malformed("a subtopology without tasks"))?;
    Ok(ConfiguredSubtopology {
        tasks,
        source_topics: subtopology.source_topics.iter().cloned().collect(),
        repartition_source_topics: configured_topics(&subtopology.repartition_source_topics, decided)?,
        repartition_sink_topics: subtopology.repartition_sink_topics.iter().cloned().collect(),
        changelog_topics: configured_topics(&subtopology.state_changelog_topics, decided)?,
    })
}

fn configured_topics(
    topics: &[TopicInfo],
    decided: &PartitionCounts,
) -> Result<BTreeMap<String, ConfiguredTopic>, StreamsError> {
    let mut configured = BTreeMap::new();
    for topic in topics {
        let partitions = if topic.partitions == 0 { decided.get(&topic.name).copied() } else { Some(topic.partitions) }
            .filter(|partitions| *partitions > 0)
            .ok_or(StreamsError::Malformed("an internal topic without partitions"))?;
        let mut configs = BTreeMap::new();
        for config in &topic.topic_configs {
            if configs.insert(config.key.clone(), config.value.clone()).is_some() {
                return Err(StreamsError::Malformed("a topic configuration that is given twice"));
            }
        }
        let topic_of = ConfiguredTopic { partitions, replication_factor: topic.replication_factor, configs };
        if configured.insert(topic.name.clone(), topic_of).is_some() {
            return Err(StreamsError::Malformed("an internal topic that is named twice"));
        }
    }
    Ok(configured)
}

fn missing_topics(
    subtopologies: &BTreeMap<String, ConfiguredSubtopology>,
    existing: &dyn Fn(&str) -> Option<i32>,
) -> Result<BTreeMap<String, CreatableTopic>, TopicFault> {
    let mut missing = BTreeMap::new();
    for subtopology in subtopologies.values() {
        for (name, topic) in subtopology.repartition_source_topics.iter().chain(&subtopology.changelog_topics) {
            match existing(name) {
                None => {
                    missing.insert(name.clone(), creatable(name, topic));
                }
                Some(found) if found != topic.partitions => {
                    return Err(TopicFault::incorrectly_partitioned(format!(
                        "Existing topic {name} has different number of partitions: expected {}, found {found}",
                        topic.partitions
                    )));
                }
                Some(_) => {}
            }
        }
    }
    Ok(missing)
}

fn creatable(name: &str, topic: &ConfiguredTopic) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions: topic.partitions,
        replication_factor: if topic.replication_factor == 0 { -1 } else { topic.replication_factor },
        configs: topic
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: name.clone(),
                value: Some(value.clone()),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn described_topics(topics: &BTreeMap<String, ConfiguredTopic>) -> Vec<DescribedTopic> {
    topics
        .iter()
        .map(|(name, topic)| DescribedTopic {
            name: name.clone(),
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            topic_configs: topic
                .configs
                .iter()
                .map(|(key, value)| KeyValue { key: key.clone(), value: value.clone(), ..Default::default() })
                .collect(),
            ..Default::default()
        })
        .collect()
}

fn summary<'a>(topics: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = topics.len();
    let shown: Vec<&str> = topics.take(TOPICS_IN_A_MESSAGE).collect();
    let shown = shown.join(", ");
    match count.checked_sub(TOPICS_IN_A_MESSAGE) {
        Some(more) if more > 0 => format!("{shown} and {more} additional topics"),
        _ => shown,
    }
}
