//! DescribeAcls: there is no authorizer, so there are no rules to tell.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{DescribeAclsRequest, DescribeAclsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(_: &Arc<Broker>, _: &RequestContext, _: DescribeAclsRequest) -> Reply<DescribeAclsResponse> {
    Reply::Now(DescribeAclsResponse {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some("No Authorizer is configured on the broker".to_owned()),
        ..Default::default()
    })
}
