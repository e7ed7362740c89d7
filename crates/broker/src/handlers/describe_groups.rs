//! DescribeGroups: state and members of classic groups.

use std::sync::Arc;

use protocol::messages::DescribeGroupsRequest;
use protocol::messages::describe_groups_response::{DescribeGroupsResponse, DescribedGroup};

use super::metadata::GROUP_OPERATIONS;
use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DescribeGroupsRequest,
) -> Reply<DescribeGroupsResponse> {
    let groups = request.groups.iter().map(|group_id| {
        let mut described = describe(broker, context, group_id);
        if request.include_authorized_operations && described.error_code == 0 {
            described.authorized_operations = GROUP_OPERATIONS;
        }
        described
    });
    Reply::Now(DescribeGroupsResponse { groups: groups.collect(), ..Default::default() })
}

fn describe(broker: &Arc<Broker>, context: &RequestContext, group_id: &String) -> DescribedGroup {
    let asked = std::slice::from_ref(group_id);
    let described =
        broker.groups().look(broker, group_id, |groups| groups.describe_groups(asked, context.version).pop());
    match described {
        Ok(described) => described.unwrap_or_default(),
        Err(code) => DescribedGroup { group_id: group_id.clone(), error_code: code.code(), ..Default::default() },
    }
}
