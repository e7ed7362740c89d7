//! SaslHandshake: not for a listener without SASL.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(_: &Arc<Broker>, _: &RequestContext, _: SaslHandshakeRequest) -> Reply<SaslHandshakeResponse> {
    let error_code = ErrorCode::IllegalSaslState.code();
    Reply::Now(SaslHandshakeResponse { error_code, ..Default::default() })
}
