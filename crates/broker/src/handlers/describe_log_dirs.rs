//! DescribeLogDirs: what each log directory holds, and how much room its file system has.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::messages::DescribeLogDirsRequest;
use protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use protocol::{ErrorCode, TopicPartition};
use storage::Log;

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
    let cordoned = broker.logs().cordoned(&broker.config());
    let results = broker.logs().dirs().iter().enumerate().map(|(at, dir)| {
        let log_dir = dir.path().display().to_string();
        if dir.is_offline() {
            let error_code = ErrorCode::KafkaStorageError.code();
            return DescribeLogDirsResult { error_code, log_dir, ..Default::default() };
        }
        let mut topics: BTreeMap<Arc<str>, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
        for partition in broker.partitions().all() {
            let name = &partition.topic_partition;
            if !wanted(name) {
                continue;
            }
            let log = partition.log();
            let future = partition.future().lock();
            let here = |log: &&Log| log.dir().parent() == Some(dir.path());
            let copy = future.as_ref().filter(here).map(|copy| {
                // The records that the copy lacks.
                (copy, log.log_end_offset() - copy.log_end_offset(), true)
            });
            let whole =
                Some(&*log).filter(here).map(|log| (log, (log.high_watermark() - log.log_end_offset()).max(0), false));
            for (log, offset_lag, is_future_key) in whole.into_iter().chain(copy) {
                let partition_size = i64::try_from(log.size()).unwrap_or(i64::MAX);
                let partition_index = name.partition;
                let entry = DescribeLogDirsPartition {
                    partition_index,
                    partition_size,
                    offset_lag,
                    is_future_key,
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
            is_cordoned: cordoned.contains(&at),
            ..Default::default()
        }
    });
    Reply::Now(DescribeLogDirsResponse { results: results.collect(), ..Default::default() })
}

fn topic_entry(name: &str, partitions: Vec<DescribeLogDirsPartition>) -> DescribeLogDirsTopic {
    DescribeLogDirsTopic { name: name.to_owned(), partitions, ..Default::default() }
}
