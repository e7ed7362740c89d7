//! AddPartitionsToTxn: transactions are about to write to partitions, or the question whether they are (KIP-890). One partition
//! that does not exist refuses all of its transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::{Producer, TransactionResponse};
use protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnRequest, AddPartitionsToTxnTransaction};
use protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
};
use protocol::{ErrorCode, TopicPartition};

use crate::Broker;
use crate::coordinators::Answer;
use crate::dispatch::{Reply, RequestContext};

/// From this version on a client knows that it is fenced.
const FIRST_VERSION_WITH_FENCING: i16 = 2;
/// From this version on a request names many transactions, and comes from brokers.
const FIRST_VERSION_WITH_TRANSACTIONS: i16 = 4;

type Results = Vec<AddPartitionsToTxnTopicResult>;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: AddPartitionsToTxnRequest,
) -> Reply<AddPartitionsToTxnResponse> {
    let version = context.version;
    let transactions = transactions(request, version);
    let pending: Vec<_> = transactions.into_iter().map(|asked| start(broker, version, asked)).collect();
    Reply::Later(Box::pin(async move {
        let mut results = Vec::with_capacity(pending.len());
        for (transactional_id, pending) in pending {
            let topic_results = match pending {
                Pending::Now(results) => results,
                Pending::Later(partitions, answer) => added(version, &partitions, answer.wait().await),
            };
            results.push(AddPartitionsToTxnResult { transactional_id, topic_results, ..Default::default() });
        }
        if version >= FIRST_VERSION_WITH_TRANSACTIONS {
            return AddPartitionsToTxnResponse { results_by_transaction: results, ..Default::default() };
        }
        let results_by_topic_v3_and_below = results.pop().map(|result| result.topic_results).unwrap_or_default();
        AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() }
    }))
}

enum Pending {
    Now(Results),
    Later(BTreeSet<TopicPartition>, Answer<TransactionResponse>),
}

fn transactions(request: AddPartitionsToTxnRequest, version: i16) -> Vec<AddPartitionsToTxnTransaction> {
    if version >= FIRST_VERSION_WITH_TRANSACTIONS {
        return request.transactions;
    }
    vec![AddPartitionsToTxnTransaction {
        transactional_id: request.v3_and_below_transactional_id,
        producer_id: request.v3_and_below_producer_id,
        producer_epoch: request.v3_and_below_producer_epoch,
        topics: request.v3_and_below_topics,
        ..Default::default()
    }]
}

fn start(broker: &Arc<Broker>, version: i16, asked: AddPartitionsToTxnTransaction) -> (String, Pending) {
    let mut partitions = BTreeSet::new();
    for topic in &asked.topics {
        let name: Arc<str> = topic.name.as_str().into();
        partitions.extend(topic.partitions.iter().map(|index| TopicPartition::new(Arc::clone(&name), *index)));
    }
    let image = broker.image();
    let exists = |partition: &TopicPartition| {
        image.topic(&partition.topic).is_some_and(|topic| topic.partition(partition.partition).is_some())
    };
    if !partitions.iter().all(exists) {
        let code = |partition: &TopicPartition| match exists(partition) {
            true => ErrorCode::OperationNotAttempted,
            false => ErrorCode::UnknownTopicOrPartition,
        };
        let results = results(partitions.iter().map(|partition| (partition, code(partition))));
        return (asked.transactional_id, Pending::Now(results));
    }
    let producer = Producer { id: asked.producer_id, epoch: asked.producer_epoch };
    let id = &asked.transactional_id;
    if asked.verify_only {
        let verified =
            broker.transactions().look(broker, id, |shard| shard.verify_partitions(id, producer, &partitions));
        let results = match verified.and_then(|verified| verified) {
            Ok(verified) => results(verified.into_iter()),
            Err(code) => results(partitions.iter().map(|partition| (partition, code))),
        };
        return (asked.transactional_id, Pending::Now(results));
    }
    let client_version = if version >= FIRST_VERSION_WITH_TRANSACTIONS { 2 } else { 0 };
    let now_ms = broker.coordinators().now_ms(broker);
    let answer = broker.transactions().ask(broker, id, |shard, token, out| {
        shard.add_partitions(now_ms, (id, producer), (&partitions, client_version), token, out);
    });
    (asked.transactional_id, Pending::Later(partitions, answer))
}

fn added(
    version: i16,
    partitions: &BTreeSet<TopicPartition>,
    answer: Result<TransactionResponse, ErrorCode>,
) -> Results {
    let code = match answer {
        Ok(TransactionResponse::Refused(ErrorCode::ProducerFenced)) if version < FIRST_VERSION_WITH_FENCING => {
            ErrorCode::InvalidProducerEpoch
        }
        Ok(TransactionResponse::Refused(code)) | Err(code) => code,
        Ok(_) => ErrorCode::None,
    };
    results(partitions.iter().map(|partition| (partition, code)))
}

fn results<'a>(codes: impl Iterator<Item = (&'a TopicPartition, ErrorCode)>) -> Results {
    let mut topics: BTreeMap<&str, Vec<AddPartitionsToTxnPartitionResult>> = BTreeMap::new();
    for (partition, code) in codes {
        topics.entry(&partition.topic).or_default().push(AddPartitionsToTxnPartitionResult {
            partition_index: partition.partition,
            partition_error_code: code.code(),
            ..Default::default()
        });
    }
    let topics = topics.into_iter().map(|(name, results_by_partition)| AddPartitionsToTxnTopicResult {
        name: name.to_owned(),
        results_by_partition,
        ..Default::default()
    });
    topics.collect()
}
