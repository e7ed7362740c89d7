//! The transactional part of Produce: the transaction coordinator is asked about partitions that a transaction has not written
//! to before, and what it says of some of them is the fault of these.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::Producer;
use protocol::{ErrorCode, TopicPartition};

use super::produce::{Attempt, Fault, Prepared};
use crate::Broker;
use crate::dispatch::BoxFuture;
use crate::partition::Verification;
use crate::verification::{Verified, Writer, verify as ask};

/// From this version on a client understands that its transaction has to be aborted.
const FIRST_VERSION_WITH_ABORTABLE: i16 = 11;
/// From this version on partitions are added to the transaction by writing to them (KIP-890).
const FIRST_VERSION_WITH_IMPLICIT_ADD: i16 = 12;

/// A request whose transaction was verified.
pub(super) enum Checked {
    /// What is to be appended.
    Now(Vec<Attempt>),
    /// The same, later.
    Later(BoxFuture<Vec<Attempt>>),
}

/// Refuses what the coordinator of `transactional_id` does not know of.
pub(super) fn verify(
    broker: &Arc<Broker>,
    version: i16,
    transactional_id: Option<String>,
    mut attempts: Vec<Attempt>,
) -> Checked {
    let Some(transactional_id) = transactional_id else { return Checked::Now(attempts) };
    let adds = version >= FIRST_VERSION_WITH_IMPLICIT_ADD;
    if !adds && !broker.config().transaction_partition_verification_enable() {
        return Checked::Now(attempts);
    }
    let producers: BTreeSet<(i64, i16)> = transactional(&attempts)
        .map(|prepared| (prepared.batch.header.producer_id, prepared.batch.header.producer_epoch))
        .collect();
    let mut producers = producers.into_iter();
    let Some((id, epoch)) = producers.next() else { return Checked::Now(attempts) };
    if producers.next().is_some() {
        let all = attempts.iter_mut().flat_map(|attempt| &mut attempt.partitions);
        all.for_each(|(_, prepared)| *prepared = Err(ErrorCode::InvalidProducerIdMapping.into()));
        return Checked::Now(attempts);
    }
    let round = Round { writer: Writer { transactional_id, producer: Producer { id, epoch }, adds }, version };
    let asked = round.start(broker, &mut attempts);
    if asked.is_empty() {
        return Checked::Now(attempts);
    }
    match ask(broker, &round.writer, asked) {
        Verified::Now(codes) if !is_concurrent(&codes) => {
            round.refuse(&mut attempts, codes);
            Checked::Now(attempts)
        }
        verified => {
            let broker = Arc::clone(broker);
            Checked::Later(Box::pin(round.wait(broker, verified, attempts)))
        }
    }
}

/// The verification of one request.
struct Round {
    writer: Writer,
    version: i16,
}

impl Round {
    /// Asks again for as long as the end of the transaction before is being written.
    async fn wait(self, broker: Arc<Broker>, verified: Verified, mut attempts: Vec<Attempt>) -> Vec<Attempt> {
        let config = broker.config();
        let patience_ms = config.add_partitions_to_txn_retry_backoff_max_ms().min(config.request_timeout_ms());
        let backoff_ms = i64::from(config.add_partitions_to_txn_retry_backoff_ms());
        let give_up_ms = broker.monotonic_ms() + i64::from(patience_ms);
        let mut codes = verified.wait().await;
        while is_concurrent(&codes) && broker.monotonic_ms() < give_up_ms {
            broker.timers().deadline(broker.monotonic_ms() + backoff_ms).await;
            let asked = self.start(&broker, &mut attempts);
            if asked.is_empty() {
                return attempts;
            }
            codes = ask(&broker, &self.writer, asked).wait().await;
        }
        self.refuse(&mut attempts, codes);
        attempts
    }

    /// The partitions to ask about: those that the transaction has not written to.
    fn start(&self, broker: &Broker, attempts: &mut [Attempt]) -> BTreeSet<TopicPartition> {
        let enabled = broker.config().transaction_partition_verification_enable();
        let mut asked = BTreeSet::new();
        for (_, attempt) in attempts.iter_mut().flat_map(|attempt| &mut attempt.partitions) {
            let Ok(prepared) = attempt else { continue };
            let header = &prepared.batch.header;
            if !header.is_transactional() {
                continue;
            }
            let producer = (header.producer_id, header.producer_epoch);
            let now_ms = broker.wall_ms();
            let started =
                prepared.partition.log().start_verification(now_ms, producer, header.base_sequence, self.writer.adds);
            match started {
                Err(error) => *attempt = Err(error.code().into()),
                Ok(None) => {}
                Ok(Some(guard)) => {
                    asked.insert(prepared.partition.topic_partition.clone());
                    if enabled {
                        prepared.verification = Verification::Required(Some(guard));
                    }
                }
            }
        }
        asked
    }

    fn refuse(&self, attempts: &mut [Attempt], codes: Vec<(TopicPartition, ErrorCode)>) {
        let refused: BTreeMap<TopicPartition, ErrorCode> =
            codes.into_iter().filter(|(_, code)| *code != ErrorCode::None).collect();
        for (_, attempt) in attempts.iter_mut().flat_map(|attempt| &mut attempt.partitions) {
            let code = attempt.as_ref().ok().and_then(|prepared| refused.get(&prepared.partition.topic_partition));
            if let Some(code) = code {
                *attempt = Err(self.fault(*code));
            }
        }
    }

    /// What a producer understands of what a transaction coordinator says.
    fn fault(&self, code: ErrorCode) -> Fault {
        let unverified = |code: ErrorCode| {
            format!(
                "Unable to verify the partition has been added to the transaction. Underlying error: {}",
                code.name()
            )
        };
        let (code, message) = match code {
            ErrorCode::ProducerFenced => (ErrorCode::InvalidProducerEpoch, None),
            ErrorCode::TransactionAbortable if self.version < FIRST_VERSION_WITH_ABORTABLE => {
                (ErrorCode::InvalidTxnState, Some("Partition was not added to the transaction".to_owned()))
            }
            // Clients that know nothing of verification try these again.
            ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {
                (ErrorCode::NotEnoughReplicas, Some(unverified(code)))
            }
            ErrorCode::ConcurrentTransactions if !self.writer.adds => {
                (ErrorCode::NotEnoughReplicas, Some(unverified(code)))
            }
            code => (code, None),
        };
        Fault::new(code, message)
    }
}

fn transactional(attempts: &[Attempt]) -> impl Iterator<Item = &Prepared> {
    let all = attempts.iter().flat_map(|attempt| &attempt.partitions);
    all.filter_map(|(_, prepared)| prepared.as_ref().ok()).filter(|prepared| prepared.batch.header.is_transactional())
}

fn is_concurrent(codes: &[(TopicPartition, ErrorCode)]) -> bool {
    codes.iter().any(|(_, code)| *code == ErrorCode::ConcurrentTransactions)
}
