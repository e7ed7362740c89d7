//! AlterReplicaLogDirs: moves replicas to other log directories of this broker (KIP-113).

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::AlterReplicaLogDirsRequest;
use protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsResponse,
};
use protocol::{ErrorCode, TopicPartition};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::replica_mover::alter;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: AlterReplicaLogDirsRequest,
) -> Reply<AlterReplicaLogDirsResponse> {
    let altered = broker.blocking(move |broker| {
        let mut topics: BTreeMap<String, Vec<AlterReplicaLogDirPartitionResult>> = BTreeMap::new();
        for dir in &request.dirs {
            for topic in &dir.topics {
                for index in &topic.partitions {
                    let name = TopicPartition::new(topic.name.as_str(), *index);
                    let code = alter(broker, &name, &dir.path).err().unwrap_or(ErrorCode::None).code();
                    let result = AlterReplicaLogDirPartitionResult {
                        partition_index: *index,
                        error_code: code,
                        ..Default::default()
                    };
                    topics.entry(topic.name.clone()).or_default().push(result);
                }
            }
        }
        let results = topics.into_iter().map(|(topic_name, partitions)| AlterReplicaLogDirTopicResult {
            topic_name,
            partitions,
            ..Default::default()
        });
        AlterReplicaLogDirsResponse { results: results.collect(), ..Default::default() }
    });
    Reply::Later(Box::pin(async move { altered.await.unwrap_or_default() }))
}
