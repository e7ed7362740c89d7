//! ElectLeaders: preferred or unclean elections that a user asks for.

use std::sync::Arc;

use protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _: &RequestContext,
    request: ElectLeadersRequest,
) -> Reply<ElectLeadersResponse> {
    let elected = broker.blocking(move |broker| {
        let elected = broker.quorum().submit(broker, |controller, _| controller.elect_leaders(&request));
        elected.unwrap_or_else(|refusal| ElectLeadersResponse { error_code: refusal.code.code(), ..Default::default() })
    });
    Reply::Later(Box::pin(async move { elected.await.unwrap_or_default() }))
}
