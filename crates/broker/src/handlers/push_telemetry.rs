//! PushTelemetry: a client's metrics in OTLP (KIP-714).

use std::sync::Arc;

use protocol::messages::{PushTelemetryRequest, PushTelemetryResponse};
use protocol::{ErrorCode, Uuid};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: PushTelemetryRequest,
) -> Reply<PushTelemetryResponse> {
    let id = request.client_instance_id;
    let pushed = if id.is_zero() || id == Uuid::METADATA_TOPIC_ID {
        Err(ErrorCode::InvalidRequest)
    } else {
        broker.telemetry().push(context, &request, broker.wall_ms())
    };
    let error_code = pushed.err().unwrap_or(ErrorCode::None).code();
    Reply::Now(PushTelemetryResponse { error_code, ..Default::default() })
}
