//! DeleteAcls: nobody removes rules where there is no authorizer.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use protocol::messages::{DeleteAclsRequest, DeleteAclsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(_: &Arc<Broker>, _: &RequestContext, request: DeleteAclsRequest) -> Reply<DeleteAclsResponse> {
    let refused = DeleteAclsFilterResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some("No Authorizer is configured.".to_owned()),
        ..Default::default()
    };
    Reply::Now(DeleteAclsResponse { filter_results: vec![refused; request.filters.len()], ..Default::default() })
}
