//! Who serves which partitions: what members tell each other for interactive queries.

use std::collections::BTreeSet;

use protocol::messages::streams_group_heartbeat_response::{Endpoint, EndpointToPartitions, TopicPartition};

use super::configured::ConfiguredTopology;
use super::member::StreamsMember;
use super::tasks::TaskSet;

/// The partitions of the source topics of a member's tasks, if the member has an endpoint.
pub(crate) fn partitions_of(
    member: &StreamsMember,
    configured: &ConfiguredTopology,
    existing: &dyn Fn(&str) -> Option<i32>,
) -> Option<EndpointToPartitions> {
    let (host, port) = member.user_endpoint.as_ref()?;
    Some(EndpointToPartitions {
        user_endpoint: Endpoint { host: host.clone(), port: *port, ..Default::default() },
        active_partitions: topic_partitions(&member.assigned.active_set(), configured, existing),
        standby_partitions: topic_partitions(&member.assigned.standby, configured, existing),
        ..Default::default()
    })
}

fn topic_partitions(
    tasks: &TaskSet,
    configured: &ConfiguredTopology,
    existing: &dyn Fn(&str) -> Option<i32>,
) -> Vec<TopicPartition> {
    let mut listed = Vec::new();
    for (id, partitions) in tasks {
        let Some(subtopology) = configured.subtopologies.get(id) else { continue };
        let topics: BTreeSet<&String> =
            subtopology.source_topics.iter().chain(subtopology.repartition_source_topics.keys()).collect();
        for topic in topics {
            // A topic that is smaller than the largest input has no partition for the last tasks.
            let Some(count) = existing(topic).and_then(|count| usize::try_from(count).ok()) else { continue };
            listed.push(TopicPartition {
                topic: topic.clone(),
                partitions: partitions.iter().copied().take(count).collect(),
                ..Default::default()
            });
        }
    }
    listed
}
