//! ShareGroupDescribe: state, members and assignments of share groups (KIP-932).

use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::ErrorCode;
use protocol::messages::ShareGroupDescribeRequest;
use protocol::messages::share_group_describe_response::{DescribedGroup, ShareGroupDescribeResponse};

use super::metadata::GROUP_OPERATIONS;
use crate::Broker;
use crate::coordinators::Answer;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: ShareGroupDescribeRequest,
) -> Reply<ShareGroupDescribeResponse> {
    let with_operations = request.include_authorized_operations;
    let serves = broker.serves_share_groups();
    let answers: Vec<(String, Answer<GroupResponse>)> = request
        .group_ids
        .into_iter()
        .map(|group_id| {
            let answer = match serves {
                true if group_id.is_empty() => Answer::Refused(ErrorCode::InvalidGroupId),
                true => ask(broker, &group_id),
                false => Answer::Refused(ErrorCode::UnsupportedVersion),
            };
            (group_id, answer)
        })
        .collect();
    Reply::Later(Box::pin(async move {
        let mut groups = Vec::with_capacity(answers.len());
        for (group_id, answer) in answers {
            match answer.wait().await {
                Ok(GroupResponse::ShareGroupDescribe(response)) => groups.extend(response.groups),
                Ok(other) => unreachable!("ShareGroupDescribe is not answered with {other:?}"),
                Err(code) => {
                    groups.push(DescribedGroup { group_id, error_code: code.code(), ..Default::default() });
                }
            }
        }
        for group in groups.iter_mut().filter(|group| with_operations && group.error_code == 0) {
            group.authorized_operations = GROUP_OPERATIONS;
        }
        ShareGroupDescribeResponse { groups, ..Default::default() }
    }))
}

fn ask(broker: &Arc<Broker>, group_id: &str) -> Answer<GroupResponse> {
    let asked = [group_id.to_owned()];
    broker.groups().ask(broker, group_id, |groups, token, out| groups.describe_share_groups(&asked, token, out))
}
