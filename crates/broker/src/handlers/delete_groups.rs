//! DeleteGroups: ends empty groups and forgets their offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::ErrorCode;
use protocol::messages::DeleteGroupsRequest;
use protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: DeleteGroupsRequest,
) -> Reply<DeleteGroupsResponse> {
    let mut seen = BTreeSet::new();
    let mut by_partition: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for group_id in request.groups_names {
        if seen.insert(group_id.clone()) {
            by_partition.entry(broker.groups().partition_of(&group_id)).or_default().push(group_id);
        }
    }
    let now_ms = broker.coordinators().now_ms(broker);
    let mut answers = Vec::with_capacity(by_partition.len());
    for group_ids in by_partition.into_values() {
        let answer = broker.groups().ask(broker, &group_ids[0], |groups, token, out| {
            groups.delete_groups(now_ms, &group_ids, token, out);
        });
        answers.push((group_ids, answer));
    }
    Reply::Later(Box::pin(async move {
        let mut results = Vec::new();
        for (group_ids, answer) in answers {
            match answer.wait().await {
                Ok(GroupResponse::DeleteGroups(response)) => results.extend(response.results),
                Ok(other) => unreachable!("DeleteGroups is not answered with {other:?}"),
                Err(code) => results.extend(group_ids.into_iter().map(|group_id| refuse(group_id, code))),
            }
        }
        DeleteGroupsResponse { results, ..Default::default() }
    }))
}

fn refuse(group_id: String, code: ErrorCode) -> DeletableGroupResult {
    DeletableGroupResult { group_id, error_code: code.code(), ..Default::default() }
}
