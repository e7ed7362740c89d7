//! DescribeLogDirs.

use std::collections::BTreeMap;

use protocol::messages::DescribeLogDirsRequest;
use protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use protocol::types::BrokerId;
use protocol::{ErrorCode, TopicPartition};

use super::Admin;
use crate::ClientError;

/// A replica in a log directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaLog {
    /// Its size in bytes.
    pub size: i64,
    /// How far it is behind.
    pub offset_lag: i64,
    /// It is being copied here to replace the one in another directory.
    pub is_future: bool,
}

/// A log directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// Its path.
    pub path: String,
    /// What is wrong with it, if anything.
    pub error: Option<ErrorCode>,
    /// Its replicas.
    pub replicas: BTreeMap<TopicPartition, ReplicaLog>,
    /// Size of its volume in bytes, or -1 if unknown.
    pub total_bytes: i64,
    /// Free space of its volume in bytes, or -1 if unknown.
    pub usable_bytes: i64,
}

impl Admin {
    /// The log directories of each broker.
    /// # Errors
    /// Those of the requests.
    pub async fn describe_log_dirs(
        &self,
        brokers: &[BrokerId],
    ) -> Result<BTreeMap<BrokerId, Vec<LogDir>>, ClientError> {
        let request = DescribeLogDirsRequest { topics: None, ..DescribeLogDirsRequest::default() };
        let mut described = BTreeMap::new();
        for broker in brokers {
            let response = self.client.send_to(*broker, &request).await?;
            ClientError::check(response.error_code, None)?;
            described.insert(*broker, response.results.into_iter().map(log_dir).collect());
        }
        Ok(described)
    }
}

fn log_dir(dir: DescribeLogDirsResult) -> LogDir {
    let error = ErrorCode::from_code(dir.error_code);
    let replicas = dir.topics.into_iter().flat_map(|topic| {
        topic.partitions.into_iter().map(move |partition| {
            let log = ReplicaLog {
                size: partition.partition_size,
                offset_lag: partition.offset_lag,
                is_future: partition.is_future_key,
            };
            (TopicPartition::new(topic.name.as_str(), partition.partition_index), log)
        })
    });
    LogDir {
        path: dir.log_dir,
        error: error.is_error().then_some(error),
        replicas: replicas.collect(),
        total_bytes: dir.total_bytes,
        usable_bytes: dir.usable_bytes,
    }
}
