//! ListOffsets: earliest, latest, by time, at the largest timestamp, and the tiers that a node without tiered storage has.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// `ListOffsetsRequest.CONSUMER_REPLICA_ID`; anything below is a debugging consumer and sees the log end.
const CONSUMER: i32 = -1;

struct Found {
    timestamp: i64,
    offset: i64,
    leader_epoch: i32,
}

/// No such record: Kafka's `UNKNOWN_OFFSET` and `UNKNOWN_TIMESTAMP`.
const NOTHING: Found = Found { timestamp: -1, offset: -1, leader_epoch: -1 };

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ListOffsetsRequest,
) -> Reply<ListOffsetsResponse> {
    let query =
        Query { version: context.version, replica_id: request.replica_id, committed: request.isolation_level == 1 };
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let twice =
                topic.partitions.iter().filter(|other| other.partition_index == asked.partition_index).count() > 1;
            let found = if twice { Err(ErrorCode::InvalidRequest) } else { query.find(broker, &topic.name, asked) };
            let (code, found) = found.map_or_else(|code| (code, NOTHING), |found| (ErrorCode::None, found));
            ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                error_code: code.code(),
                timestamp: found.timestamp,
                offset: found.offset,
                // Versions below 4 cannot say it (KIP-320).
                leader_epoch: if context.version >= 4 { found.leader_epoch } else { -1 },
                ..Default::default()
            }
        });
        let (name, partitions) = (topic.name.clone(), partitions.collect());
        ListOffsetsTopicResponse { name, partitions, ..Default::default() }
    });
    Reply::Now(ListOffsetsResponse { topics: topics.collect(), ..Default::default() })
}

struct Query {
    version: i16,
    replica_id: i32,
    committed: bool,
}

impl Query {
    fn find(&self, broker: &Broker, topic: &str, asked: &ListOffsetsPartition) -> Result<Found, ErrorCode> {
        let partition =
            broker.partitions().get(topic, asked.partition_index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        partition.check_leader_epoch(asked.current_leader_epoch)?;
        let supported = match asked.timestamp {
            EARLIEST_PENDING_UPLOAD => self.version >= 11,
            LATEST_TIERED => self.version >= 9,
            EARLIEST_LOCAL => self.version >= 8,
            MAX_TIMESTAMP => self.version >= 7,
            other => other >= EARLIEST,
        };
        if !supported {
            return Err(ErrorCode::UnsupportedVersion);
        }
        let view = partition.view();
        let bound = match self.replica_id {
            CONSUMER if self.committed => view.last_stable_offset,
            CONSUMER => view.high_watermark,
            _ => view.log_end_offset,
        };
        let log = partition.log();
        let found = match asked.timestamp {
            LATEST => Found { timestamp: -1, offset: bound, leader_epoch: partition.leader_epoch() },
            EARLIEST | EARLIEST_LOCAL => Found {
                timestamp: -1,
                offset: view.log_start_offset,
                leader_epoch: log.epoch_for_offset(view.log_start_offset).unwrap_or(-1),
            },
            LATEST_TIERED | EARLIEST_PENDING_UPLOAD => NOTHING,
            MAX_TIMESTAMP => {
                drop(log);
                let found = view.max_timestamp().map_err(|error| error.code())?;
                return Ok(self.below(&partition, found, bound));
            }
            timestamp => {
                drop(log);
                let found = view.offset_for_timestamp(timestamp).map_err(|error| error.code())?;
                return Ok(self.below(&partition, found, bound));
            }
        };
        Ok(found)
    }

    /// A record found by time counts only if the client may read it.
    fn below(&self, partition: &crate::Partition, found: Option<storage::TimestampAndOffset>, bound: i64) -> Found {
        match found {
            Some(found) if found.offset < bound => Found {
                timestamp: found.timestamp,
                offset: found.offset,
                leader_epoch: partition.log().epoch_for_offset(found.offset).unwrap_or(-1),
            },
            _ => NOTHING,
        }
    }
}
