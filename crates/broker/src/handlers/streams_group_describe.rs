//! StreamsGroupDescribe: state, topology, members and tasks of streams groups (KIP-1071).

use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::ErrorCode;
use protocol::messages::StreamsGroupDescribeRequest;
use protocol::messages::streams_group_describe_response::{DescribedGroup, StreamsGroupDescribeResponse};

use super::metadata::GROUP_OPERATIONS;
use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: StreamsGroupDescribeRequest,
) -> Reply<StreamsGroupDescribeResponse> {
    let with_operations = request.include_authorized_operations;
    if !broker.serves_streams_groups() {
        let refused = request.group_ids.into_iter().map(|group_id| refuse(group_id, ErrorCode::UnsupportedVersion));
        return Reply::Now(StreamsGroupDescribeResponse { groups: refused.collect(), ..Default::default() });
    }
    let answers: Vec<_> = request
        .group_ids
        .into_iter()
        .map(|group_id| {
            let asked = [group_id.clone()];
            let answer = broker.coordinators().groups().ask(broker, &group_id, |groups, token, out| {
                groups.describe_streams_groups(&asked, token, out);
            });
            (group_id, answer)
        })
        .collect();
    Reply::Later(Box::pin(async move {
        let mut groups = Vec::with_capacity(answers.len());
        for (group_id, answer) in answers {
            match answer.wait().await {
                Ok(GroupResponse::StreamsGroupDescribe(response)) => groups.extend(response.groups),
                Ok(other) => unreachable!("StreamsGroupDescribe is not answered with {other:?}"),
                Err(code) => groups.push(refuse(group_id, code)),
            }
        }
        for group in groups.iter_mut().filter(|group| with_operations && group.error_code == 0) {
            group.authorized_operations = GROUP_OPERATIONS;
        }
        StreamsGroupDescribeResponse { groups, ..Default::default() }
    }))
}

fn refuse(group_id: String, code: ErrorCode) -> DescribedGroup {
    DescribedGroup { group_id, error_code: code.code(), ..Default::default() }
}
