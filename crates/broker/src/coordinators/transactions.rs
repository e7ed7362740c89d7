//! The transaction coordinators: the settings of their shards, requests that may need a fresh producer id, and the markers
//! at the end of a transaction.

use std::sync::Arc;

use coordinator::{
    Markers, ReplyToken, TransactionAction, TransactionConfig, TransactionEffects, TransactionResponse,
    TransactionShard,
};
use metadata::config::BrokerConfig;
use parking_lot::Mutex;
use protocol::record::Compression;
use protocol::types::ProducerId;
use protocol::{ErrorCode, TopicPartition};
use tracing::{info, warn};

use super::coordinator::Answer;
use super::{Coordinator, Coordinators, Hosted};
use crate::Broker;
use crate::dispatch::Reply;
use crate::markers::{EndMarker, Written, write_marker};

impl Hosted for TransactionShard {
    fn of(coordinators: &Coordinators) -> &Coordinator<Self> {
        coordinators.transactions()
    }

    fn config(config: &BrokerConfig) -> TransactionConfig {
        TransactionConfig {
            max_timeout_ms: config.transaction_max_timeout_ms(),
            id_expiration_ms: i64::from(config.transactional_id_expiration_ms()),
            expiry_interval_ms: i64::from(config.transaction_remove_expired_transaction_cleanup_interval_ms()),
            abort_interval_ms: i64::from(config.transaction_abort_timed_out_transaction_cleanup_interval_ms()),
            two_phase_commit: config.transaction_two_phase_commit_enable(),
        }
    }

    fn partitions(config: &BrokerConfig) -> i32 {
        config.transaction_state_log_num_partitions()
    }

    fn compression(_config: &BrokerConfig) -> Compression {
        Compression::None
    }

    fn load_buffer_size(config: &BrokerConfig) -> i32 {
        config.transaction_state_log_load_buffer_size()
    }

    fn act(broker: &Arc<Broker>, action: TransactionAction) {
        match action {
            TransactionAction::WriteMarkers(markers) => write_markers(broker, markers),
            TransactionAction::AllocateProducerId { transactional_id } => drop(broker.blocking(move |broker| {
                let Ok(producer_id) = broker.allocate_producer_id_now() else { return };
                let now_ms = broker.coordinators().now_ms(broker);
                broker.transactions().run(broker, &transactional_id, |transactions, out| {
                    transactions.give_producer_id(now_ms, producer_id, out);
                });
            })),
        }
    }
}

/// Lets the coordinator decide on a request for a transactional id, with a fresh producer id if it needs one.
pub(crate) fn decide<T: Send + 'static>(
    broker: &Arc<Broker>,
    transactional_id: String,
    request: impl Fn(&mut TransactionShard, Option<ProducerId>, ReplyToken, &mut TransactionEffects) + Send + 'static,
    respond: impl FnOnce(Result<TransactionResponse, ErrorCode>) -> T + Send + 'static,
) -> Reply<T> {
    let ask = move |broker: &Arc<Broker>, fresh: Option<ProducerId>| {
        broker.transactions().ask(broker, &transactional_id, |transactions, token, out| {
            request(transactions, fresh, token, out);
        })
    };
    let first = ask(broker, None);
    if !matches!(first, Answer::Now(TransactionResponse::NeedsProducerId)) {
        return first.reply(respond);
    }
    if let Some(producer_id) = broker.producer_ids().next_in_block() {
        return ask(broker, Some(producer_id)).reply(respond);
    }
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        match broker.allocate_producer_id().await {
            Ok(producer_id) => {
                let answer = ask(&broker, Some(producer_id));
                respond(answer.wait().await)
            }
            Err(code) => respond(Err(code)),
        }
    }))
}

/// The markers of one transaction that are being written.
struct Round {
    markers: Markers,
    state: Mutex<Progress>,
}

struct Progress {
    left: usize,
    /// Partitions to try again.
    failed: Vec<TopicPartition>,
}

fn write_markers(broker: &Arc<Broker>, markers: Markers) {
    let image = broker.image();
    let partition = broker.transactions().partition_of(&markers.transactional_id);
    let coordinator_epoch = image
        .topic(crate::auto_create::TRANSACTION_STATE)
        .and_then(|topic| topic.partition(partition))
        .map_or(0, |registration| registration.leader_epoch);
    let marker = EndMarker {
        producer: markers.producer,
        outcome: markers.outcome,
        coordinator_epoch,
        transaction_version: markers.transaction_version,
    };
    let partitions: Vec<TopicPartition> = markers.partitions.iter().cloned().collect();
    let round =
        Arc::new(Round { markers, state: Mutex::new(Progress { left: partitions.len() + 1, failed: Vec::new() }) });
    for partition in partitions {
        let exists = image.topic(&partition.topic).is_some_and(|topic| topic.partition(partition.partition).is_some());
        if !exists {
            info!(%partition, "a transaction ends whose partition was deleted");
            round.finished(broker, partition, Ok(()));
            continue;
        }
        match write_marker(broker, &partition, &marker) {
            Written::Now(outcome) => round.finished(broker, partition, outcome),
            Written::Later(promised) => {
                let (round, broker) = (Arc::clone(&round), Arc::clone(broker));
                promised.then(move |outcome| {
                    round.finished(&broker, partition, outcome.unwrap_or(Err(ErrorCode::NotLeaderOrFollower)));
                });
            }
        }
    }
    round.advance(broker);
}

impl Round {
    fn finished(&self, broker: &Arc<Broker>, partition: TopicPartition, outcome: Result<(), ErrorCode>) {
        match outcome {
            Ok(()) => {}
            // Whoever comes later has ended the transaction there.
            Err(code @ (ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced)) => {
                warn!(%partition, code = code.name(), "a transaction was ended by another");
            }
            Err(code) => {
                info!(%partition, code = code.name(), "could not write a transaction marker; trying again");
                self.state.lock().failed.push(partition);
            }
        }
        self.advance(broker);
    }

    fn advance(&self, broker: &Arc<Broker>) {
        let failed = {
            let mut state = self.state.lock();
            state.left -= 1;
            if state.left > 0 {
                return;
            }
            std::mem::take(&mut state.failed)
        };
        let now_ms = broker.coordinators().now_ms(broker);
        broker.transactions().run(broker, &self.markers.transactional_id, |transactions, out| {
            transactions.markers_written(now_ms, &self.markers, failed, out);
        });
    }
}
