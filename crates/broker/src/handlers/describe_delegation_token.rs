//! DescribeDelegationToken: tokens are for clients that have authenticated, and here nobody has.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{DescribeDelegationTokenRequest, DescribeDelegationTokenResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    _: &Arc<Broker>,
    _: &RequestContext,
    _: DescribeDelegationTokenRequest,
) -> Reply<DescribeDelegationTokenResponse> {
    Reply::Now(DescribeDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        ..Default::default()
    })
}
