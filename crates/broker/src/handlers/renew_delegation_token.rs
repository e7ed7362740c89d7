//! RenewDelegationToken: tokens are for clients that have authenticated, and here nobody has.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{RenewDelegationTokenRequest, RenewDelegationTokenResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    _: &Arc<Broker>,
    _: &RequestContext,
    _: RenewDelegationTokenRequest,
) -> Reply<RenewDelegationTokenResponse> {
    Reply::Now(RenewDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        expiry_timestamp_ms: -1,
        ..Default::default()
    })
}
