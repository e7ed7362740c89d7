//! InitProducerId: a producer id from the block that the controller gave this broker (KIP-98, idempotent producers).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: InitProducerIdRequest,
) -> Reply<InitProducerIdResponse> {
    let refuse = |code: ErrorCode| {
        Reply::Now(InitProducerIdResponse {
            error_code: code.code(),
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        })
    };
    match request.transactional_id.as_deref() {
        Some("") => return refuse(ErrorCode::InvalidRequest),
        // There is no transaction coordinator yet; FindCoordinator says the same.
        Some(_) => return refuse(ErrorCode::CoordinatorNotAvailable),
        None => {}
    }
    if let Some(producer_id) = broker.producer_ids().next_in_block() {
        return Reply::Now(granted(producer_id));
    }
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        match broker.allocate_producer_id().await {
            Ok(producer_id) => granted(producer_id),
            Err(code) => InitProducerIdResponse {
                error_code: code.code(),
                producer_id: -1,
                producer_epoch: -1,
                ..Default::default()
            },
        }
    }))
}

fn granted(producer_id: i64) -> InitProducerIdResponse {
    InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() }
}
