//! UnregisterBroker: the cluster forgets a broker that is gone for good.

use std::sync::Arc;

use protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _: &RequestContext,
    request: UnregisterBrokerRequest,
) -> Reply<UnregisterBrokerResponse> {
    let done = broker.blocking(move |broker| {
        let done = broker.quorum().submit(broker, |controller, _| controller.unregister_broker(&request));
        done.unwrap_or_else(|refusal| UnregisterBrokerResponse {
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            ..Default::default()
        })
    });
    Reply::Later(Box::pin(async move { done.await.unwrap_or_default() }))
}
