//! ListGroups: the groups of all coordinators of this broker.

use std::sync::Arc;

use protocol::messages::{ListGroupsRequest, ListGroupsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: ListGroupsRequest,
) -> Reply<ListGroupsResponse> {
    let listed = broker.groups().look_at_all(broker, |groups| groups.list_groups(&request));
    Reply::Now(match listed {
        Ok(groups) => ListGroupsResponse { groups: groups.into_iter().flatten().collect(), ..Default::default() },
        Err(code) => ListGroupsResponse { error_code: code.code(), ..Default::default() },
    })
}
