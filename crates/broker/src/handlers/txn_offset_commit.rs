//! TxnOffsetCommit: a transaction commits how far a group has read. Its coordinator is asked about the group's partition of
//! `__consumer_offsets` first, as about any other that it writes to.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::{GroupResponse, Producer, TransactionalProducer};
use metadata::ClusterImage;
use protocol::messages::txn_offset_commit_request::{TxnOffsetCommitRequest, TxnOffsetCommitRequestTopic};
use protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use protocol::{ErrorCode, Uuid};
use storage::VerificationGuard;

use crate::Broker;
use crate::coordinators::coordinator_context;
use crate::dispatch::{Reply, RequestContext};
use crate::verification::{Writer, verify};

/// From this version on a client knows what it means that the coordinator is loading.
const FIRST_VERSION_WITH_LOADING: i16 = 2;
/// From this version on a client understands that its transaction has to be aborted.
const FIRST_VERSION_WITH_ABORTABLE: i16 = 4;
/// From this version on the group's partition is added to the transaction by writing to it (KIP-890).
const FIRST_VERSION_WITH_IMPLICIT_ADD: i16 = 5;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    mut request: TxnOffsetCommitRequest,
) -> Reply<TxnOffsetCommitResponse> {
    let image = broker.image();
    let mut refused = Vec::new();
    let asked = std::mem::take(&mut request.topics);
    request.topics = asked.into_iter().filter_map(|topic| existing(&image, topic, &mut refused)).collect();
    if request.topics.is_empty() {
        return Reply::Now(TxnOffsetCommitResponse { topics: refused, ..Default::default() });
    }
    let (broker, context) = (Arc::clone(broker), context.clone());
    Reply::Later(Box::pin(async move {
        let topics = match commit(&broker, &context, &request).await {
            Ok(response) => response.topics,
            Err(code) => {
                let code = told(context.version, code);
                request.topics.iter().map(|topic| refuse(topic, code)).collect()
            }
        };
        merge(refused, topics)
    }))
}

async fn commit(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: &TxnOffsetCommitRequest,
) -> Result<TxnOffsetCommitResponse, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let guard = verified(broker, context.version, request).await?;
    let producer = TransactionalProducer {
        id: request.producer_id,
        epoch: request.producer_epoch,
        guard: guard.map(VerificationGuard::number),
    };
    let image = broker.image();
    let topic_id = |name: &str| image.topic_id(name).unwrap_or(Uuid::ZERO);
    let context = coordinator_context(broker, context);
    let answer = broker.groups().ask(broker, &request.group_id, |groups, token, out| {
        groups.commit_transactional_offsets(&context, request, (producer, &topic_id), token, out);
    });
    match answer.wait().await? {
        GroupResponse::TxnOffsetCommit(response) => Ok(response),
        other => unreachable!("TxnOffsetCommit is not answered with {other:?}"),
    }
}

async fn verified(
    broker: &Arc<Broker>,
    version: i16,
    request: &TxnOffsetCommitRequest,
) -> Result<Option<VerificationGuard>, ErrorCode> {
    let adds = version >= FIRST_VERSION_WITH_IMPLICIT_ADD;
    if !adds && !broker.config().transaction_partition_verification_enable() {
        return Ok(None);
    }
    let partition = broker.groups().log_of(&request.group_id)?;
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let started =
        partition.log().start_verification(broker.wall_ms(), (producer.id, producer.epoch), NO_SEQUENCE, adds);
    let Some(guard) = started.map_err(|error| error.code())? else { return Ok(None) };
    let writer = Writer { transactional_id: request.transactional_id.clone(), producer, adds };
    let asked = BTreeSet::from([partition.topic_partition.clone()]);
    let codes = verify(broker, &writer, asked).wait().await;
    match codes.into_iter().map(|(_, code)| code).find(|code| *code != ErrorCode::None) {
        None => Ok(Some(guard)),
        Some(ErrorCode::ProducerFenced) => Err(ErrorCode::InvalidProducerEpoch),
        Some(ErrorCode::TransactionAbortable) if version < FIRST_VERSION_WITH_ABORTABLE => {
            Err(ErrorCode::InvalidTxnState)
        }
        Some(code) => Err(code),
    }
}

/// Offsets have no sequence.
const NO_SEQUENCE: i32 = -1;

/// What a client of `version` is told.
fn told(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::CoordinatorLoadInProgress if version < FIRST_VERSION_WITH_LOADING => {
            ErrorCode::CoordinatorNotAvailable
        }
        code => code,
    }
}

/// What exists of a topic. The rest is refused.
fn existing(
    image: &ClusterImage,
    mut topic: TxnOffsetCommitRequestTopic,
    refused: &mut Vec<TxnOffsetCommitResponseTopic>,
) -> Option<TxnOffsetCommitRequestTopic> {
    let Some(found) = image.topic(&topic.name) else {
        refused.push(refuse(&topic, ErrorCode::UnknownTopicOrPartition));
        return None;
    };
    let asked = std::mem::take(&mut topic.partitions);
    let (known, unknown): (Vec<_>, Vec<_>) =
        asked.into_iter().partition(|partition| found.partition(partition.partition_index).is_some());
    if !unknown.is_empty() {
        let unknown = TxnOffsetCommitRequestTopic { partitions: unknown, ..topic.clone() };
        refused.push(refuse(&unknown, ErrorCode::UnknownTopicOrPartition));
    }
    topic.partitions = known;
    Some(topic).filter(|topic| !topic.partitions.is_empty())
}

fn refuse(topic: &TxnOffsetCommitRequestTopic, code: ErrorCode) -> TxnOffsetCommitResponseTopic {
    let partitions = topic.partitions.iter().map(|partition| TxnOffsetCommitResponsePartition {
        partition_index: partition.partition_index,
        error_code: code.code(),
        ..Default::default()
    });
    TxnOffsetCommitResponseTopic { name: topic.name.clone(), partitions: partitions.collect(), ..Default::default() }
}

/// One entry a topic, what was refused first.
fn merge(
    refused: Vec<TxnOffsetCommitResponseTopic>,
    answered: Vec<TxnOffsetCommitResponseTopic>,
) -> TxnOffsetCommitResponse {
    let mut topics = refused;
    for topic in answered {
        match topics.iter_mut().find(|other| other.name == topic.name) {
            Some(other) => other.partitions.extend(topic.partitions),
            None => topics.push(topic),
        }
    }
    TxnOffsetCommitResponse { topics, ..Default::default() }
}
