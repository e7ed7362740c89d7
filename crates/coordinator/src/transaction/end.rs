//! EndTxn: a transaction is committed or aborted. From level 2 of `transaction.version` on every end raises the epoch,
//! so that what a producer sent before it cannot slip into the next transaction (KIP-890).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::types::{ProducerEpoch, ProducerId, TimestampMs};
use tracing::debug;

use super::shard::TransactionShard;
use super::state::{EPOCH_BUMP_VERSION, NO_PRODUCER_ID, Transaction, TransactionState};
use super::{Producer, TransactionEffects, TransactionResponse};
use crate::runtime::TransactionOutcome;
use crate::runtime::effects::ReplyToken;

/// What a producer asks for.
#[derive(Debug, Clone)]
pub struct EndTransaction {
    /// Its transactional id.
    pub transactional_id: String,
    /// Who it is.
    pub producer: Producer,
    /// How its transaction is to end.
    pub outcome: TransactionOutcome,
    /// The level of `transaction.version` that it speaks.
    pub client_version: i16,
}

/// What is to be done.
enum Decision {
    /// Nothing: it was done before.
    Done,
    /// To end the transaction.
    End,
}

impl TransactionShard {
    /// Ends a producer's transaction. The answer leaves when that is stored; the markers are written then.
    /// `fresh` is a producer id that was never used.
    pub fn end_transaction(
        &mut self,
        now_ms: TimestampMs,
        request: &EndTransaction,
        fresh: Option<ProducerId>,
        token: ReplyToken,
        out: &mut TransactionEffects,
    ) {
        match self.try_end(now_ms, request, fresh) {
            Err(response) => out.reply(token, response),
            Ok((id, next)) => {
                let bumps = request.client_version >= EPOCH_BUMP_VERSION;
                let producer = bumps.then(|| next.complete(now_ms).producer());
                self.write(&id, next, Some((token, TransactionResponse::Done(producer))), out);
            }
        }
        self.settle(now_ms, out);
    }

    /// What the transactional id becomes, or what is answered at once.
    fn try_end(
        &self,
        now_ms: TimestampMs,
        request: &EndTransaction,
        fresh: Option<ProducerId>,
    ) -> Result<(Arc<str>, Transaction), TransactionResponse> {
        let refused = TransactionResponse::Refused;
        if request.transactional_id.is_empty() {
            return Err(refused(ErrorCode::InvalidRequest));
        }
        let Some((id, entry)) = self.entries.get_key_value(request.transactional_id.as_str()) else {
            return Err(refused(ErrorCode::InvalidProducerIdMapping));
        };
        let current = &entry.current;
        if request.client_version < EPOCH_BUMP_VERSION {
            check(current, request).map_err(refused)?;
            if entry.is_changing {
                return Err(refused(ErrorCode::ConcurrentTransactions));
            }
            return match decide(current, request.outcome).map_err(refused)? {
                Decision::Done => Err(TransactionResponse::Done(None)),
                Decision::End => Ok((Arc::clone(id), current.prepare(request.outcome, 0, NO_PRODUCER_ID, now_ms))),
            };
        }
        // This comes first: the producer may have been told an id already that is still being stored.
        if entry.is_changing {
            return Err(refused(ErrorCode::ConcurrentTransactions));
        }
        match decide_with_bump(current, request).map_err(refused)? {
            Decision::Done => Err(TransactionResponse::Done(Some(current.producer()))),
            Decision::End => {
                let next_producer_id = if current.is_exhausted() {
                    fresh.ok_or(TransactionResponse::NeedsProducerId)?
                } else {
                    NO_PRODUCER_ID
                };
                let next = current.prepare(request.outcome, request.client_version, next_producer_id, now_ms);
                Ok((Arc::clone(id), next))
            }
        }
    }
}

fn check(current: &Transaction, request: &EndTransaction) -> Result<(), ErrorCode> {
    if current.producer_id != request.producer.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if current.epoch != request.producer.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    Ok(())
}

fn decide(current: &Transaction, outcome: TransactionOutcome) -> Result<Decision, ErrorCode> {
    if current.state == TransactionState::Ongoing {
        return Ok(Decision::End);
    }
    if current.state.prepared() == Some(outcome) {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    if current.state.completed() == Some(outcome) {
        return Ok(Decision::Done);
    }
    invalid(current, outcome)
}

fn decide_with_bump(current: &Transaction, request: &EndTransaction) -> Result<Decision, ErrorCode> {
    let Producer { id, epoch } = request.producer;
    // The request was carried out before, and its answer lost.
    let retried_on_overflow =
        current.previous_producer_id == id && epoch == ProducerEpoch::MAX - 1 && current.epoch == 0;
    let retried_on_bump = i32::from(current.epoch) == i32::from(epoch) + 1;
    let retried = retried_on_bump || retried_on_overflow;
    if current.producer_id != id && !retried_on_overflow {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let known = match current.state {
        TransactionState::Ongoing | TransactionState::Empty => epoch == current.epoch,
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => retried_on_bump,
        TransactionState::CompleteCommit | TransactionState::CompleteAbort => retried || epoch == current.epoch,
    };
    if !known {
        return Err(ErrorCode::ProducerFenced);
    }
    match (current.state, request.outcome) {
        (TransactionState::Ongoing, _) => Ok(Decision::End),
        (state, outcome) if state.prepared() == Some(outcome) => Err(ErrorCode::ConcurrentTransactions),
        (state, outcome) if retried && state.completed() == Some(outcome) => Ok(Decision::Done),
        // A client cannot know whether its first write has begun the transaction that it aborts.
        (state, TransactionOutcome::Aborted) if state.is_idle() && !retried => Ok(Decision::End),
        (_, outcome) => invalid(current, outcome),
    }
}

fn invalid(current: &Transaction, outcome: TransactionOutcome) -> Result<Decision, ErrorCode> {
    debug!(state = current.state.name(), ?outcome, "refused to end a transaction");
    Err(ErrorCode::InvalidTxnState)
}
