//! Metadata: brokers, topics and leaders as the listener's clients reach them; creates missing topics where that is allowed.

use std::sync::Arc;

use controller::validate_topic_name;
use metadata::{ClusterImage, TopicImage};
use metadata::{PartitionRegistration, directory_id};
use protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use protocol::{ErrorCode, Uuid};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::topic_settings::is_internal;

/// Operations on a topic that an unsecured cluster allows to everyone, as a bit field
/// (`AclEntry.supportedOperations(TOPIC)`).
pub(crate) const TOPIC_OPERATIONS: i32 =
    operations(&[READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS]);
/// The same for the cluster.
pub(crate) const CLUSTER_OPERATIONS: i32 =
    operations(&[CREATE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE, ALTER, DESCRIBE]);
/// The same for a group.
pub(crate) const GROUP_OPERATIONS: i32 = operations(&[READ, DESCRIBE, DELETE, DESCRIBE_CONFIGS, ALTER_CONFIGS]);

const READ: u8 = 3;
const WRITE: u8 = 4;
const CREATE: u8 = 5;
const DELETE: u8 = 6;
const ALTER: u8 = 7;
const DESCRIBE: u8 = 8;
const CLUSTER_ACTION: u8 = 9;
const DESCRIBE_CONFIGS: u8 = 10;
const ALTER_CONFIGS: u8 = 11;
const IDEMPOTENT_WRITE: u8 = 12;

const fn operations(codes: &[u8]) -> i32 {
    let mut bits = 0;
    let mut at = 0;
    while at < codes.len() {
        bits |= 1 << codes[at];
        at += 1;
    }
    bits
}

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: MetadataRequest,
) -> Reply<MetadataResponse> {
    let named = request.topics.as_deref().unwrap_or_default();
    if context.version < 12 && named.iter().any(|topic| topic.name.is_none() || !topic.topic_id.is_zero()) {
        return Reply::Close;
    }
    let missing = missing_topics(broker, context, &request);
    if missing.is_empty() {
        return Reply::Now(respond(broker, context, &request));
    }
    let (broker, context) = (Arc::clone(broker), context.clone());
    Reply::Later(Box::pin(async move {
        broker.auto_create(missing).await;
        respond(&broker, &context, &request)
    }))
}

/// The topics that this request creates by asking for them.
fn missing_topics(broker: &Broker, context: &RequestContext, request: &MetadataRequest) -> Vec<String> {
    // Before version 4 a client could not say that it does not want topics to be created.
    let allowed =
        broker.config().auto_create_topics_enable() && (request.allow_auto_topic_creation || context.version < 4);
    if !allowed || asks_for_all(context, request) {
        return Vec::new();
    }
    let image = broker.image();
    let names = request.topics.iter().flatten().filter(|topic| topic.topic_id.is_zero());
    let names = names.filter_map(|topic| topic.name.clone());
    names.filter(|name| image.topic(name).is_none() && validate_topic_name(name).is_ok()).collect()
}

fn asks_for_all(context: &RequestContext, request: &MetadataRequest) -> bool {
    match &request.topics {
        None => true,
        Some(topics) => context.version == 0 && topics.is_empty(),
    }
}

fn respond(broker: &Broker, context: &RequestContext, request: &MetadataRequest) -> MetadataResponse {
    let image = broker.image();
    let view = View {
        image: &image,
        listener: &context.connection.listener,
        version: context.version,
        topic_operations: if request.include_topic_authorized_operations { TOPIC_OPERATIONS } else { i32::MIN },
    };
    let topics = if asks_for_all(context, request) {
        image.topics().map(|topic| view.topic(topic)).collect()
    } else {
        view.asked(request.topics.as_deref().unwrap_or_default())
    };
    let cluster_operations = (8..=10).contains(&context.version) && request.include_cluster_authorized_operations;
    let controller_id = image.brokers().find(|broker| !broker.fenced).map_or(-1, |broker| broker.id);
    MetadataResponse {
        brokers: view.brokers(),
        cluster_id: Some(broker.identity().cluster_id.clone()),
        controller_id,
        topics,
        cluster_authorized_operations: if cluster_operations { CLUSTER_OPERATIONS } else { i32::MIN },
        ..Default::default()
    }
}

/// The cluster as clients of one listener see it.
struct View<'a> {
    image: &'a ClusterImage,
    listener: &'a str,
    version: i16,
    topic_operations: i32,
}

impl View<'_> {
    fn brokers(&self) -> Vec<MetadataResponseBroker> {
        let alive = self.image.brokers().filter(|broker| !broker.fenced);
        let reachable = alive.filter_map(|broker| {
            let endpoint = broker.endpoint(self.listener)?;
            Some(MetadataResponseBroker {
                node_id: broker.id,
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
                ..Default::default()
            })
        });
        reachable.collect()
    }

    fn asked(&self, asked: &[MetadataRequestTopic]) -> Vec<MetadataResponseTopic> {
        let by_id = asked.iter().any(|topic| !topic.topic_id.is_zero());
        let mut seen = std::collections::HashSet::new();
        let mut topics = Vec::with_capacity(asked.len());
        for topic in asked {
            if by_id {
                if !topic.topic_id.is_zero() && seen.insert((topic.topic_id, String::new())) {
                    topics.push(self.by_id(topic.topic_id));
                }
            } else if let Some(name) = &topic.name
                && seen.insert((Uuid::ZERO, name.clone()))
            {
                topics.push(self.by_name(name));
            }
        }
        topics
    }

    fn by_id(&self, topic_id: Uuid) -> MetadataResponseTopic {
        match self.image.topic_by_id(topic_id) {
            Some(topic) => self.topic(topic),
            None => MetadataResponseTopic {
                error_code: ErrorCode::UnknownTopicId.code(),
                name: None,
                topic_id,
                ..Default::default()
            },
        }
    }

    fn by_name(&self, name: &str) -> MetadataResponseTopic {
        if let Some(topic) = self.image.topic(name) {
            return self.topic(topic);
        }
        let valid = validate_topic_name(name).is_ok();
        let code = if valid { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
        MetadataResponseTopic {
            error_code: code.code(),
            name: Some(name.to_owned()),
            is_internal: is_internal(name),
            topic_authorized_operations: self.topic_operations,
            ..Default::default()
        }
    }

    fn topic(&self, topic: &TopicImage) -> MetadataResponseTopic {
        MetadataResponseTopic {
            name: Some(topic.name.to_string()),
            topic_id: topic.id,
            is_internal: is_internal(&topic.name),
            partitions: topic.partitions().map(|(index, partition)| self.partition(index, partition)).collect(),
            topic_authorized_operations: self.topic_operations,
            ..Default::default()
        }
    }

    fn partition(&self, index: i32, partition: &PartitionRegistration) -> MetadataResponsePartition {
        let leader = self.image.broker(partition.leader).filter(|broker| !broker.fenced);
        let (code, leader_id) = match leader {
            None => (ErrorCode::LeaderNotAvailable, -1),
            Some(broker) if broker.endpoint(self.listener).is_none() => {
                let code = if self.version >= 6 { ErrorCode::ListenerNotFound } else { ErrorCode::LeaderNotAvailable };
                (code, -1)
            }
            Some(broker) => (ErrorCode::None, broker.id),
        };
        let offline = offline_replicas(self.image, partition);
        MetadataResponsePartition {
            error_code: code.code(),
            partition_index: index,
            leader_id,
            leader_epoch: partition.leader_epoch,
            replica_nodes: partition.replicas.to_vec(),
            isr_nodes: partition.isr.to_vec(),
            offline_replicas: offline,
            ..Default::default()
        }
    }
}

/// Replicas on brokers that are not alive, or in directories that failed.
pub(crate) fn offline_replicas(image: &ClusterImage, partition: &PartitionRegistration) -> Vec<i32> {
    let alive = |id: &i32| {
        let Some(broker) = image.broker(*id).filter(|broker| !broker.fenced) else { return false };
        let directory = partition.directory(*id).unwrap_or(directory_id::UNASSIGNED);
        broker.has_online_dir(directory)
    };
    partition.replicas.iter().copied().filter(|id| !alive(id)).collect()
}
