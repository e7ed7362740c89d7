//! ConsumerGroupDescribe: state, members and assignments of consumer groups (KIP-848).

use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::ErrorCode;
use protocol::messages::ConsumerGroupDescribeRequest;
use protocol::messages::consumer_group_describe_response::{ConsumerGroupDescribeResponse, DescribedGroup};

use super::metadata::GROUP_OPERATIONS;
use crate::Broker;
use crate::coordinators::Answer;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: ConsumerGroupDescribeRequest,
) -> Reply<ConsumerGroupDescribeResponse> {
    let with_operations = request.include_authorized_operations;
    let serves = broker.serves_consumer_groups();
    let answers: Vec<(String, Answer<GroupResponse>)> = request
        .group_ids
        .into_iter()
        .map(|group_id| {
            let answer = if serves { ask(broker, &group_id) } else { Answer::Refused(ErrorCode::UnsupportedVersion) };
            (group_id, answer)
        })
        .collect();
    Reply::Later(Box::pin(async move {
        let mut groups = Vec::with_capacity(answers.len());
        for (group_id, answer) in answers {
            match answer.wait().await {
                Ok(GroupResponse::ConsumerGroupDescribe(response)) => groups.extend(response.groups),
                Ok(other) => unreachable!("ConsumerGroupDescribe is not answered with {other:?}"),
                Err(code) => groups.push(refuse(group_id, code)),
            }
        }
        for group in groups.iter_mut().filter(|group| with_operations && group.error_code == 0) {
            group.authorized_operations = GROUP_OPERATIONS;
        }
        ConsumerGroupDescribeResponse { groups, ..Default::default() }
    }))
}

fn ask(broker: &Arc<Broker>, group_id: &str) -> Answer<GroupResponse> {
    let asked = [group_id.to_owned()];
    broker.coordinators().groups().ask(broker, group_id, |groups, token, out| {
        groups.describe_consumer_groups(&asked, token, out);
    })
}

fn refuse(group_id: String, code: ErrorCode) -> DescribedGroup {
    DescribedGroup { group_id, error_code: code.code(), ..Default::default() }
}
