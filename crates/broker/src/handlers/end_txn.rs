//! EndTxn: a producer commits or aborts its transaction.

use std::sync::Arc;

use coordinator::{EndTransaction, Producer, TransactionOutcome, TransactionResponse};
use protocol::ErrorCode;
use protocol::messages::{EndTxnRequest, EndTxnResponse};

use crate::Broker;
use crate::coordinators::decide;
use crate::dispatch::{Reply, RequestContext};

/// From this version on a client knows that it is fenced.
const FIRST_VERSION_WITH_FENCING: i16 = 2;
/// From this version on every end of a transaction raises the producer's epoch (KIP-890).
const FIRST_VERSION_WITH_EPOCH_BUMP: i16 = 5;

pub(crate) fn handle(broker: &Arc<Broker>, context: &RequestContext, request: EndTxnRequest) -> Reply<EndTxnResponse> {
    let version = context.version;
    let outcome = if request.committed { TransactionOutcome::Committed } else { TransactionOutcome::Aborted };
    let transactional_id = request.transactional_id.clone();
    let request = EndTransaction {
        transactional_id: request.transactional_id,
        producer: Producer { id: request.producer_id, epoch: request.producer_epoch },
        outcome,
        client_version: if version >= FIRST_VERSION_WITH_EPOCH_BUMP { 2 } else { 0 },
    };
    let now_ms = broker.coordinators().now_ms(broker);
    decide(
        broker,
        transactional_id,
        move |transactions, fresh, token, out| transactions.end_transaction(now_ms, &request, fresh, token, out),
        move |answer| {
            let (code, producer) = match answer {
                Ok(TransactionResponse::Done(producer)) => (ErrorCode::None, producer),
                Ok(TransactionResponse::Refused(ErrorCode::ProducerFenced)) if version < FIRST_VERSION_WITH_FENCING => {
                    (ErrorCode::InvalidProducerEpoch, None)
                }
                Ok(TransactionResponse::Refused(code)) | Err(code) => (code, None),
                Ok(other @ TransactionResponse::NeedsProducerId) => {
                    unreachable!("EndTxn is not answered with {other:?}")
                }
            };
            let producer = producer.unwrap_or(Producer { id: -1, epoch: -1 });
            EndTxnResponse {
                error_code: code.code(),
                producer_id: producer.id,
                producer_epoch: producer.epoch,
                ..Default::default()
            }
        },
    )
}
