//! CreateAcls: nobody makes rules where there is no authorizer.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::create_acls_response::AclCreationResult;
use protocol::messages::{CreateAclsRequest, CreateAclsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(_: &Arc<Broker>, _: &RequestContext, request: CreateAclsRequest) -> Reply<CreateAclsResponse> {
    let refused = AclCreationResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some("No Authorizer is configured.".to_owned()),
        ..Default::default()
    };
    Reply::Now(CreateAclsResponse { results: vec![refused; request.creations.len()], ..Default::default() })
}
