//! GetTelemetrySubscriptions: which metrics a client is to push (KIP-714).

use std::sync::Arc;

use protocol::messages::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: GetTelemetrySubscriptionsRequest,
) -> Reply<GetTelemetrySubscriptionsResponse> {
    let mut id = request.client_instance_id;
    while id.is_zero() || broker.telemetry().is_known(id) && request.client_instance_id.is_zero() {
        id = broker.random_uuid();
    }
    Reply::Now(broker.telemetry().subscribe(context, id, broker.wall_ms()))
}
