//! SaslAuthenticate: not for a listener without SASL.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    _: &Arc<Broker>,
    _: &RequestContext,
    _: SaslAuthenticateRequest,
) -> Reply<SaslAuthenticateResponse> {
    Reply::Now(SaslAuthenticateResponse {
        error_code: ErrorCode::IllegalSaslState.code(),
        error_message: Some("SaslAuthenticate request received after successful authentication".to_owned()),
        ..Default::default()
    })
}
