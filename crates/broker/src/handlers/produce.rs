//! Produce: validates each partition's batches on the connection's task, appends them, and answers when they are committed.

use std::sync::Arc;

use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use protocol::record::{RejectedBatch, TimestampType, ValidBatch, validate};
use protocol::types::TimestampMs;
use protocol::{ErrorCode, Records, Uuid};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::handlers::produce_verification::{Checked, verify};
use crate::partition::{Partition, Verification};
use crate::promise::Promise;
use crate::quotas::QuotaKind;
use crate::topic_settings::is_internal;

/// `acks=all`.
const ALL: i16 = -1;

/// The one client that may write to internal topics (`AdminUtils.ADMIN_CLIENT_ID`).
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// A partition of the response whose records still wait for their sync.
struct PendingSync {
    topic: usize,
    partition: usize,
    synced: Promise<Result<(), ErrorCode>>,
}

/// The batch of one partition, before it is appended.
pub(super) struct Prepared {
    pub(super) partition: Arc<Partition>,
    pub(super) batch: ValidBatch,
    pub(super) verification: Verification,
    timestamp_type: TimestampType,
    now_ms: TimestampMs,
}

/// One topic of a request, and what is to become of each of its partitions.
pub(super) struct Attempt {
    name: String,
    topic_id: Uuid,
    pub(super) partitions: Vec<(i32, Result<Prepared, Fault>)>,
}

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ProduceRequest,
) -> Reply<ProduceResponse> {
    let acks = request.acks;
    let valid_acks = (-1..=1).contains(&acks);
    let attempts = request.topic_data.into_iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|data| {
            let prepared = match valid_acks {
                true => prepare(broker, context, &topic, data, acks),
                false => Err(ErrorCode::InvalidRequiredAcks.into()),
            };
            (data.index, prepared)
        });
        let partitions = partitions.collect();
        Attempt { name: topic.name, topic_id: topic.topic_id, partitions }
    });
    let attempts: Vec<Attempt> = attempts.collect();
    let broker = Arc::clone(broker);
    let throttle_time_ms = throttle_ms(&broker, context);
    match verify(&broker, context.version, request.transactional_id, attempts) {
        Checked::Now(attempts) => append_all(&broker, attempts, acks, throttle_time_ms),
        Checked::Later(attempts) => Reply::Later(Box::pin(async move {
            match append_all(&broker, attempts.await, acks, throttle_time_ms) {
                Reply::Now(response) => response,
                Reply::Later(response) => response.await,
                // A transaction is not written with acks=0.
                Reply::Nothing | Reply::Muted(_) | Reply::Close => ProduceResponse::default(),
            }
        })),
    }
}

fn append_all(
    broker: &Arc<Broker>,
    attempts: Vec<Attempt>,
    acks: i16,
    throttle_time_ms: i32,
) -> Reply<ProduceResponse> {
    let mut pending = Vec::new();
    let mut responses = Vec::with_capacity(attempts.len());
    let mut failed = false;
    for (topic_index, topic) in attempts.into_iter().enumerate() {
        let mut partition_responses = Vec::with_capacity(topic.partitions.len());
        for (partition_index, (index, prepared)) in topic.partitions.into_iter().enumerate() {
            let outcome = prepared.and_then(|prepared| append(broker, &prepared));
            let (response, synced) = partition_response(index, outcome);
            failed |= response.error_code != 0;
            partition_responses.push(response);
            if let Some(synced) = synced {
                pending.push(PendingSync { topic: topic_index, partition: partition_index, synced });
            }
        }
        let (name, topic_id) = (topic.name, topic.topic_id);
        responses.push(TopicProduceResponse { name, topic_id, partition_responses, ..Default::default() });
    }
    if acks == 0 {
        // The only way to tell a producer that wants no answer is to close its connection.
        return match u32::try_from(throttle_time_ms) {
            _ if failed => Reply::Close,
            Ok(mute_ms) if mute_ms > 0 => Reply::Muted(mute_ms),
            _ => Reply::Nothing,
        };
    }
    let mut response = ProduceResponse { responses, throttle_time_ms, ..Default::default() };
    if pending.is_empty() {
        return Reply::Now(response);
    }
    Reply::Later(Box::pin(async move {
        for wait in pending {
            let answer = wait.synced.await.unwrap_or(Err(ErrorCode::KafkaStorageError));
            if let Err(code) = answer {
                let place = &mut response.responses[wait.topic].partition_responses[wait.partition];
                *place = refused(place.index, code.into());
            }
        }
        response
    }))
}

/// Counts the bytes of a request; for how many milliseconds its client is to be throttled.
fn throttle_ms(broker: &Broker, context: &RequestContext) -> i32 {
    if !broker.quotas().is_enabled(QuotaKind::Produce) {
        return 0;
    }
    let now_ms = broker.monotonic_ms();
    let over = broker.quotas().record(QuotaKind::Produce, &context.client_id, context.size as f64, now_ms);
    i32::try_from(over).unwrap_or(i32::MAX)
}

/// Why nothing was appended. Kafka gives a message only where it blames single records or its transaction coordinator.
pub(super) struct Fault {
    code: ErrorCode,
    record_errors: Vec<(i32, String)>,
    message: Option<String>,
}

impl Fault {
    pub(super) fn new(code: ErrorCode, message: Option<String>) -> Self {
        Self { code, record_errors: Vec::new(), message }
    }
}

impl From<ErrorCode> for Fault {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, None)
    }
}

impl From<RejectedBatch> for Fault {
    fn from(rejected: RejectedBatch) -> Self {
        let message = rejected.error_message().map(str::to_owned);
        Self { code: rejected.code, record_errors: rejected.record_errors, message }
    }
}

type Outcome = Result<Done, Fault>;

struct Done {
    base_offset: i64,
    log_append_time_ms: i64,
    log_start_offset: i64,
    synced: Option<Promise<Result<(), ErrorCode>>>,
}

fn prepare(
    broker: &Arc<Broker>,
    context: &RequestContext,
    topic: &TopicProduceData,
    data: &PartitionProduceData,
    acks: i16,
) -> Result<Prepared, Fault> {
    let partition = find(broker, context, topic, data.index)?;
    let settings = partition.settings();
    if is_internal(&partition.topic_partition.topic) && context.client_id != ADMIN_CLIENT_ID {
        return Err(ErrorCode::InvalidTopicException.into());
    }
    if acks == ALL && settings.min_insync_replicas > 1 {
        return Err(ErrorCode::NotEnoughReplicas.into());
    }
    let records = match &data.records {
        Records::Bytes(bytes) => bytes,
        Records::Null | Records::External { .. } => return Err(ErrorCode::CorruptMessage.into()),
    };
    let now_ms = broker.wall_ms();
    let rules = settings.rules(&partition.topic_partition, now_ms, context.version);
    let batch = validate(records, &rules)?;
    let verification = match batch.header.is_transactional() {
        true if broker.config().transaction_partition_verification_enable() => Verification::Required(None),
        _ => Verification::Unneeded,
    };
    Ok(Prepared { partition, batch, verification, timestamp_type: settings.timestamp_type, now_ms })
}

fn append(broker: &Arc<Broker>, prepared: &Prepared) -> Outcome {
    let Prepared { partition, batch, now_ms, .. } = prepared;
    let appended = partition.append(batch, prepared.verification, *now_ms).map_err(|error| {
        broker.heed_append_error(partition, &error);
        error.code()
    })?;
    let synced = appended.flush_due.then(|| broker.flusher().submit(partition, appended.result.last_offset + 1));
    let log_append_time_ms = match prepared.timestamp_type {
        TimestampType::LogAppendTime => *now_ms,
        TimestampType::CreateTime => -1,
    };
    Ok(Done {
        base_offset: appended.result.first_offset,
        log_append_time_ms,
        log_start_offset: appended.result.log_start_offset,
        synced,
    })
}

fn find(
    broker: &Broker,
    context: &RequestContext,
    topic: &TopicProduceData,
    index: i32,
) -> Result<Arc<Partition>, ErrorCode> {
    if context.version >= 13 {
        let found = broker.partitions().get_by_id(topic.topic_id, index);
        let unknown = match broker.partitions().name(topic.topic_id) {
            Some(_) => ErrorCode::UnknownTopicOrPartition,
            None => ErrorCode::UnknownTopicId,
        };
        return found.ok_or(unknown);
    }
    broker.partitions().get(&topic.name, index).ok_or(ErrorCode::UnknownTopicOrPartition)
}

fn partition_response(
    index: i32,
    outcome: Outcome,
) -> (PartitionProduceResponse, Option<Promise<Result<(), ErrorCode>>>) {
    match outcome {
        Ok(done) => {
            let response = PartitionProduceResponse {
                index,
                base_offset: done.base_offset,
                log_append_time_ms: done.log_append_time_ms,
                log_start_offset: done.log_start_offset,
                ..Default::default()
            };
            (response, done.synced)
        }
        Err(fault) => (refused(index, fault), None),
    }
}

fn refused(index: i32, fault: Fault) -> PartitionProduceResponse {
    let record_errors = fault
        .record_errors
        .into_iter()
        .map(|(batch_index, message)| BatchIndexAndErrorMessage {
            batch_index,
            batch_index_error_message: Some(message),
            ..Default::default()
        })
        .collect();
    PartitionProduceResponse {
        index,
        error_code: fault.code.code(),
        base_offset: -1,
        record_errors,
        error_message: fault.message,
        ..Default::default()
    }
}
