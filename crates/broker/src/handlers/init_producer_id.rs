//! InitProducerId: a producer id from the block that the controller gave this broker (KIP-98, idempotent producers), or with a
//! transactional id what its coordinator says (KIP-360, KIP-939).

use std::sync::Arc;

use coordinator::{InitProducer, Producer, TransactionResponse};
use protocol::ErrorCode;
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use crate::Broker;
use crate::coordinators::decide;
use crate::dispatch::{Reply, RequestContext};

/// From this version on a client knows that it is fenced, and may say who it was.
const FIRST_VERSION_WITH_FENCING: i16 = 4;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: InitProducerIdRequest,
) -> Reply<InitProducerIdResponse> {
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Reply::Now(refused(ErrorCode::InvalidRequest)),
        (id, epoch) => Some(Producer { id, epoch }),
    };
    match request.transactional_id {
        None => idempotent(broker),
        Some(transactional_id) if transactional_id.is_empty() => Reply::Now(refused(ErrorCode::InvalidRequest)),
        Some(transactional_id) => {
            let request = InitProducer {
                transactional_id: transactional_id.clone(),
                timeout_ms: request.transaction_timeout_ms,
                enable_2pc: request.enable2_pc,
                keep_prepared: request.keep_prepared_txn,
                expected,
            };
            transactional(broker, context.version, transactional_id, request)
        }
    }
}

fn idempotent(broker: &Arc<Broker>) -> Reply<InitProducerIdResponse> {
    if let Some(id) = broker.producer_ids().next_in_block() {
        return Reply::Now(granted(Producer { id, epoch: 0 }));
    }
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        match broker.allocate_producer_id().await {
            Ok(id) => granted(Producer { id, epoch: 0 }),
            Err(code) => refused(code),
        }
    }))
}

fn transactional(
    broker: &Arc<Broker>,
    version: i16,
    transactional_id: String,
    request: InitProducer,
) -> Reply<InitProducerIdResponse> {
    let now_ms = broker.coordinators().now_ms(broker);
    decide(
        broker,
        transactional_id,
        move |transactions, fresh, token, out| transactions.init_producer(now_ms, &request, fresh, token, out),
        move |answer| match answer {
            Ok(TransactionResponse::Done(Some(producer))) => granted(producer),
            Ok(TransactionResponse::Refused(ErrorCode::ProducerFenced)) if version < FIRST_VERSION_WITH_FENCING => {
                refused(ErrorCode::InvalidProducerEpoch)
            }
            Ok(TransactionResponse::Refused(code)) | Err(code) => refused(code),
            Ok(other) => unreachable!("InitProducerId is not answered with {other:?}"),
        },
    )
}

fn granted(producer: Producer) -> InitProducerIdResponse {
    InitProducerIdResponse { producer_id: producer.id, producer_epoch: producer.epoch, ..Default::default() }
}

fn refused(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse { error_code: code.code(), producer_id: -1, producer_epoch: -1, ..Default::default() }
}
