//! DescribeLogDirs: what each log directory holds, and how much room its file system has.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::DescribeLogDirsRequest;
use protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use protocol::{ErrorCode, TopicPartition};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: DescribeLogDirsRequest,
) -> Reply<DescribeLogDirsResponse> {
    let wanted = |name: &TopicPartition| {
        request.topics.as_ref().is_none_or(|topics| {
            topics.iter().any(|topic| *topic.topic == *name.topic && topic.partitions.contains(&name.partition))
        })
    };
    let results = broker.logs().dirs().iter().map(|dir| {
        let log_dir = dir.path().display().to_string();
        if dir.is_offline() {
            let error_code = ErrorCode::KafkaStorageError.code();
            return DescribeLogDirsResult { error_code, log_dir, ..Default::default() };
        }
        let mut topics: BTreeMap<Arc<str>, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
        for partition in broker.partitions().all() {
            let name = &partition.topic_partition;
            let log = partition.log();
            if wanted(name) && log.dir().parent() == Some(dir.path()) {
                let size = i64::try_from(log.size()).unwrap_or(i64::MAX);
                let entry = DescribeLogDirsPartition {
                    partition_index: name.partition,
                    partition_size: size,
                    ..Default::default()
                };
                topics.entry(Arc::clone(&name.topic)).or_default().push(entry);
            }
        }
        let space = dir.space();
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        DescribeLogDirsResult {
            log_dir,
            topics: topics.into_iter().map(|(name, partitions)| topic_entry(&name, partitions)).collect(),
            total_bytes: space.map_or(-1, |space| bytes(space.total)),
            usable_bytes: space.map_or(-1, |space| bytes(space.usable)),
            ..Default::default()
        }
    });
    Reply::Now(DescribeLogDirsResponse { results: results.collect(), ..Default::default() })
}

fn topic_entry(name: &str, partitions: Vec<DescribeLogDirsPartition>) -> DescribeLogDirsTopic {
    DescribeLogDirsTopic { name: name.to_owned(), partitions, ..Default::default() }
}
