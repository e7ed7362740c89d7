//! How many partitions the internal topics of a topology have: what is fixed stays, what is copartitioned is made equal,
//! and the rest follows from the topics upstream.

use std::collections::{BTreeMap, BTreeSet};

use protocol::messages::streams_group_topology_value::Subtopology;

use super::configured::{Fault, TopicFault};
use super::error::StreamsError;
use super::topology::{Topology, input_topics};

/// Partition counts of topics, by name.
pub(crate) type PartitionCounts = BTreeMap<String, i32>;

/// Decides the partition counts of all repartition and changelog topics. All source topics exist.
pub(crate) fn decide(
    topology: &Topology,
    existing: &dyn Fn(&str) -> Option<i32>,
    copartition_groups: &[BTreeSet<&str>],
) -> Result<PartitionCounts, Fault> {
    let mut decided = repartition_topics(topology, existing)?;
    enforce_copartitioning(topology, existing, copartition_groups, &mut decided)?;
    for subtopology in topology.subtopologies.values() {
        let Some(tasks) = task_count(subtopology, existing, &decided)? else {
            let id = &subtopology.subtopology_id;
            return Err(StreamsError::InvalidTopology(format!("No source topics found for subtopology {id}")).into());
        };
        decided.extend(subtopology.state_changelog_topics.iter().map(|topic| (topic.name.clone(), tasks)));
    }
    Ok(decided)
}

/// The number of tasks of a subtopology: as many as its largest input has partitions. `None` if it has no input.
pub(crate) fn task_count(
    subtopology: &Subtopology,
    existing: &dyn Fn(&str) -> Option<i32>,
    decided: &PartitionCounts,
) -> Result<Option<i32>, StreamsError> {
    let mut largest = None;
    for topic in input_topics(subtopology) {
        largest = largest.max(Some(count_of(topic, existing, decided)?));
    }
    Ok(largest)
}

/// What exists counts before what was decided, so that an existing internal topic of a wrong size is found later.
fn count_of(
    topic: &str,
    existing: &dyn Fn(&str) -> Option<i32>,
    decided: &PartitionCounts,
) -> Result<i32, StreamsError> {
    existing(topic)
        .or_else(|| decided.get(topic).copied())
        .ok_or(StreamsError::Malformed("a topic without a partition count"))
}

/// Repartition topics without a fixed count get that of the largest input of the subtopology that writes them, which may
/// itself be a repartition topic: so the topology is walked until nothing changes.
fn repartition_topics(
    topology: &Topology,
    existing: &dyn Fn(&str) -> Option<i32>,
) -> Result<PartitionCounts, StreamsError> {
    let mut counts = PartitionCounts::new();
    for topic in topology.subtopologies.values().flat_map(|subtopology| &subtopology.repartition_source_topics) {
        if topic.partitions != 0 {
            counts.insert(topic.name.clone(), topic.partitions);
        }
    }
    loop {
        let (mut progressed, mut is_missing) = (false, false);
        for subtopology in topology.subtopologies.values() {
            for sink in &subtopology.repartition_sink_topics {
                if counts.contains_key(sink) {
                    continue;
                }
                match largest_known_input(subtopology, existing, &counts) {
                    Some(count) => {
                        counts.insert(sink.clone(), count);
                        progressed = true;
                    }
                    None => is_missing = true,
                }
            }
        }
        if !is_missing {
            break;
        }
        if !progressed {
            return Err(StreamsError::InvalidTopology(
                "Failed to compute number of partitions for all repartition topics. There may be loops in the topology \
                 that cannot be resolved."
                    .to_owned(),
            ));
        }
    }
    let mut sources = topology.subtopologies.values().flat_map(|subtopology| &subtopology.repartition_source_topics);
    if sources.any(|topic| !counts.contains_key(&topic.name)) {
        return Err(StreamsError::InvalidTopology(
            "Failed to compute number of partitions for all repartition topics, because a repartition source topic is \
             never used as a sink topic."
                .to_owned(),
        ));
    }
    Ok(counts)
}

fn largest_known_input(
    subtopology: &Subtopology,
    existing: &dyn Fn(&str) -> Option<i32>,
    counts: &PartitionCounts,
) -> Option<i32> {
    let repartition = subtopology.repartition_source_topics.iter().filter_map(|topic| counts.get(&topic.name).copied());
    let external = subtopology.source_topics.iter().filter_map(|topic| existing(topic));
    repartition.chain(external).max()
}

fn enforce_copartitioning(
    topology: &Topology,
    existing: &dyn Fn(&str) -> Option<i32>,
    copartition_groups: &[BTreeSet<&str>],
    decided: &mut PartitionCounts,
) -> Result<(), Fault> {
    let repartition = |is_fixed: bool| -> BTreeSet<&str> {
        topology
            .subtopologies
            .values()
            .flat_map(|subtopology| &subtopology.repartition_source_topics)
            .filter(|topic| (topic.partitions != 0) == is_fixed)
            .map(|topic| topic.name.as_str())
            .collect()
    };
    let (fixed, flexible) = (repartition(true), repartition(false));
    for group in copartition_groups.iter().filter(|group| !group.is_empty()) {
        let mut internal = BTreeMap::new();
        let mut external = BTreeMap::new();
        for topic in group {
            let count = count_of(topic, existing, decided)?;
            let is_internal = fixed.contains(topic) || flexible.contains(topic);
            if is_internal { &mut internal } else { &mut external }.insert(*topic, count);
        }
        let count = if !external.is_empty() {
            same_count(&external, external.values().copied())?
        } else if fixed.is_empty() {
            let largest = internal.values().copied().max().filter(|count| *count > 0);
            largest.ok_or_else(|| {
                let topics: Vec<&str> = internal.keys().copied().collect();
                StreamsError::InvalidTopology(format!(
                    "All topics in the copartition group had undefined partition number: [{}]",
                    topics.join(", ")
                ))
            })?
        } else {
            let mut counts = Vec::new();
            for topic in &fixed {
                counts.push(count_of(topic, existing, decided)?);
            }
            same_count(&internal, counts.into_iter())?
        };
        for (topic, found) in &internal {
            if fixed.contains(topic) && *found != count {
                return Err(TopicFault::incorrectly_partitioned(format!(
                    "Number of partitions [{found}] of repartition topic [{topic}] doesn't match number of partitions \
                     [{count}] of the source topic."
                ))
                .into());
            }
        }
        decided.extend(internal.keys().map(|topic| ((*topic).to_owned(), count)));
    }
    Ok(())
}

/// The count that all have. `topics` is what the client is told of if they differ.
fn same_count(topics: &BTreeMap<&str, i32>, mut counts: impl Iterator<Item = i32>) -> Result<i32, Fault> {
    let first = counts.next().unwrap_or_default();
    if counts.all(|count| count == first) {
        return Ok(first);
    }
    let listed: Vec<String> = topics.iter().map(|(topic, count)| format!("{topic}={count}")).collect();
    Err(TopicFault::incorrectly_partitioned(format!(
        "Following topics do not have the same number of partitions: [{{{}}}]",
        listed.join(", ")
    ))
    .into())
}
