//! InitProducerId with a transactional id: the producer that asks has it from now on, and all before it are fenced.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::types::{ProducerId, TimestampMs};

use super::shard::{Entry, TransactionShard};
use super::state::{NO_EPOCH, NO_PRODUCER_ID, Transaction, TransactionState, is_exhausted};
use super::{Producer, TransactionEffects, TransactionResponse};
use crate::runtime::effects::ReplyToken;

/// What a producer asks for.
#[derive(Debug, Clone)]
pub struct InitProducer {
    /// Its transactional id.
    pub transactional_id: String,
    /// How long its transactions may take.
    pub timeout_ms: i32,
    /// It ends its transactions itself, however long they take (KIP-939).
    pub enable_2pc: bool,
    /// It wants to go on with what is prepared (KIP-939), which Kafka 4.3.1 refuses.
    pub keep_prepared: bool,
    /// Who it was before (KIP-360).
    pub expected: Option<Producer>,
}

impl TransactionShard {
    /// Gives the transactional id to the producer that asks. `fresh` is a producer id that was never used.
    pub fn init_producer(
        &mut self,
        now_ms: TimestampMs,
        request: &InitProducer,
        fresh: Option<ProducerId>,
        token: ReplyToken,
        out: &mut TransactionEffects,
    ) {
        match self.try_init(now_ms, request, fresh, token, out) {
            Ok(()) => self.settle(now_ms, out),
            Err(response) => out.reply(token, response),
        }
    }

    fn try_init(
        &mut self,
        now_ms: TimestampMs,
        request: &InitProducer,
        fresh: Option<ProducerId>,
        token: ReplyToken,
        out: &mut TransactionEffects,
    ) -> Result<(), TransactionResponse> {
        self.validate(request).map_err(TransactionResponse::Refused)?;
        let timeout_ms = if request.enable_2pc { i32::MAX } else { request.timeout_ms };
        let id: Arc<str> = request.transactional_id.as_str().into();
        if !self.entries.contains_key(&id) {
            let producer_id = fresh.ok_or(TransactionResponse::NeedsProducerId)?;
            let current = Transaction::new(producer_id, timeout_ms, now_ms);
            self.entries.insert(Arc::clone(&id), Entry::new(current));
        }
        let Some(entry) = self.entries.get(&id) else { return Ok(()) };
        if !entry.is_changing && !is_known(&entry.current, request) {
            return Err(TransactionResponse::Refused(ErrorCode::ProducerFenced));
        }
        if entry.is_changing || entry.current.state.prepared().is_some() {
            return Err(TransactionResponse::Refused(ErrorCode::ConcurrentTransactions));
        }
        if entry.current.state == TransactionState::Ongoing {
            let next_producer_id = self.successor(&id, fresh).ok_or(TransactionResponse::NeedsProducerId)?;
            let Some(entry) = self.entries.get(&id) else { return Ok(()) };
            let next = entry.current.fence(self.version, next_producer_id, now_ms);
            // The producer is to come again when the markers are written.
            let response = TransactionResponse::Refused(ErrorCode::ConcurrentTransactions);
            self.write(&id, next, Some((token, response)), out);
            return Ok(());
        }
        let expected = request.expected.map(|producer| producer.epoch);
        let current = &entry.current;
        let next = if current.is_exhausted() && expected.is_none_or(|epoch| epoch == current.epoch) {
            let producer_id = fresh.ok_or(TransactionResponse::NeedsProducerId)?;
            current.rotate(producer_id, timeout_ms, expected.is_some(), now_ms)
        } else {
            current.raise_epoch(timeout_ms, expected, now_ms).map_err(TransactionResponse::Refused)?
        };
        let response = TransactionResponse::Done(Some(next.producer()));
        self.write(&id, next, Some((token, response)), out);
        Ok(())
    }

    /// The producer id that follows the one of `id` when its transaction ends now: none if its epochs last.
    pub(super) fn successor(&self, id: &str, fresh: Option<ProducerId>) -> Option<ProducerId> {
        let exhausted = self.entries.get(id).is_some_and(|entry| entry.current.is_exhausted());
        if exhausted && self.version >= super::state::EPOCH_BUMP_VERSION { fresh } else { Some(NO_PRODUCER_ID) }
    }

    fn validate(&self, request: &InitProducer) -> Result<(), ErrorCode> {
        if request.transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        if request.enable_2pc && !self.config.two_phase_commit {
            return Err(ErrorCode::TransactionalIdAuthorizationFailed);
        }
        if request.keep_prepared {
            return Err(ErrorCode::UnsupportedVersion);
        }
        if !request.enable_2pc && !(1..=self.config.max_timeout_ms).contains(&request.timeout_ms) {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        Ok(())
    }
}

/// Whether the producer that asks is the one that has the transactional id, as far as the ids say.
fn is_known(current: &Transaction, request: &InitProducer) -> bool {
    request.expected.is_none_or(|producer| {
        current.epoch == NO_EPOCH
            || producer.id == current.producer_id
            || producer.id == current.previous_producer_id && is_exhausted(producer.epoch)
    })
}
