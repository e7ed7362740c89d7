//! CreateDelegationToken: tokens are for clients that have authenticated, and here nobody has.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{CreateDelegationTokenRequest, CreateDelegationTokenResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::quotas::ANONYMOUS;

/// First version that names who asked.
const FIRST_WITH_REQUESTER: i16 = 3;

pub(crate) fn handle(
    _: &Arc<Broker>,
    context: &RequestContext,
    request: CreateDelegationTokenRequest,
) -> Reply<CreateDelegationTokenResponse> {
    let anonymous = || ("User".to_owned(), ANONYMOUS.to_owned());
    let owner = request.owner_principal_name.filter(|name| !name.is_empty());
    let (principal_type, principal_name) = match owner {
        Some(name) => (request.owner_principal_type.unwrap_or_default(), name),
        None => anonymous(),
    };
    let (requester_type, requester_name) =
        if context.version >= FIRST_WITH_REQUESTER { anonymous() } else { Default::default() };
    Reply::Now(CreateDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        principal_type,
        principal_name,
        token_requester_principal_type: requester_type,
        token_requester_principal_name: requester_name,
        issue_timestamp_ms: -1,
        expiry_timestamp_ms: -1,
        max_timestamp_ms: -1,
        ..Default::default()
    })
}
