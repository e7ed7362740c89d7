//! DeleteGroups: ends empty groups and forgets their offsets. Share groups lose their share state before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::ErrorCode;
use protocol::messages::DeleteGroupsRequest;
use protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::share_groups::noted;

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
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let mut results = Vec::new();
        for mut group_ids in by_partition.into_values() {
            delete_share_states(&broker, &mut group_ids, &mut results).await;
            let Some(first) = group_ids.first() else { continue };
            let now_ms = broker.coordinators().now_ms(&broker);
            let answer = broker.groups().ask(&broker, first, |groups, token, out| {
                groups.delete_groups(now_ms, &group_ids, token, out);
            });
            match answer.wait().await {
                Ok(GroupResponse::DeleteGroups(response)) => results.extend(response.results),
                Ok(other) => unreachable!("DeleteGroups is not answered with {other:?}"),
                Err(code) => results.extend(group_ids.into_iter().map(|group_id| refuse(group_id, code))),
            }
        }
        DeleteGroupsResponse { results, ..Default::default() }
    }))
}

/// Deletes the share state of those groups that are share groups. Where that fails, the group stays.
async fn delete_share_states(
    broker: &Arc<Broker>,
    group_ids: &mut Vec<String>,
    results: &mut Vec<DeletableGroupResult>,
) {
    let Some(first) = group_ids.first() else { return };
    let now_ms = broker.coordinators().now_ms(broker);
    let mut deletions = Vec::new();
    let answer = broker.groups().ask(broker, first, |groups, token, out| {
        deletions = groups.delete_share_states(now_ms, group_ids, token, out);
    });
    if let Err(code) = noted(answer.wait().await) {
        results.extend(group_ids.drain(..).map(|group_id| refuse(group_id, code)));
        return;
    }
    for deletion in deletions {
        let code = match deletion.outcome {
            Ok(request) => broker.drop_share_state(request).await,
            Err(code) => code,
        };
        if code != ErrorCode::None {
            group_ids.retain(|group_id| *group_id != deletion.group_id);
            results.push(refuse(deletion.group_id, code));
        }
    }
}

fn refuse(group_id: String, code: ErrorCode) -> DeletableGroupResult {
    DeletableGroupResult { group_id, error_code: code.code(), ..Default::default() }
}
