//! DeleteShareGroupOffsets: forgets where a share group without members starts in topics (KIP-932).

use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::ErrorCode;
use protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic;
use protocol::messages::delete_share_group_state_response::DeleteStateResult;
use protocol::messages::{DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: DeleteShareGroupOffsetsRequest,
) -> Reply<DeleteShareGroupOffsetsResponse> {
    if !broker.serves_share_groups() {
        return Reply::Now(refuse(ErrorCode::UnsupportedVersion));
    }
    if request.group_id.is_empty() {
        return Reply::Now(refuse(ErrorCode::InvalidGroupId));
    }
    let now_ms = broker.coordinators().now_ms(broker);
    let mut state = None;
    let answer = broker.groups().ask(broker, &request.group_id, |groups, token, out| {
        state = groups.delete_share_group_offsets(now_ms, &request, token, out);
    });
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let mut response = match answer.wait().await {
            Ok(GroupResponse::DeleteShareGroupOffsets(response)) => response,
            Ok(other) => unreachable!("DeleteShareGroupOffsets is not answered with {other:?}"),
            Err(code) => refuse(code),
        };
        if let Some(state) = state.filter(|_| response.error_code == 0) {
            match broker.drop_share_offsets(state).await {
                Ok(deleted) => {
                    let mut topics: Vec<DeleteShareGroupOffsetsResponseTopic> =
                        deleted.results.iter().map(|topic| respond(&broker, topic)).collect();
                    topics.append(&mut response.responses);
                    response.responses = topics;
                }
                Err(code) => return refuse(code),
            }
        }
        response
    }))
}

fn respond(broker: &Broker, result: &DeleteStateResult) -> DeleteShareGroupOffsetsResponseTopic {
    let code = result.partitions.iter().map(|one| one.error_code).find(|code| *code != 0).unwrap_or(0);
    let image = broker.image();
    DeleteShareGroupOffsetsResponseTopic {
        topic_name: image.topic_by_id(result.topic_id).map(|topic| topic.name.to_string()).unwrap_or_default(),
        topic_id: result.topic_id,
        error_code: code,
        error_message: (code != 0).then(|| ErrorCode::from_code(code).message().to_owned()),
        ..Default::default()
    }
}

fn refuse(code: ErrorCode) -> DeleteShareGroupOffsetsResponse {
    DeleteShareGroupOffsetsResponse {
        error_code: code.code(),
        error_message: Some(code.message().to_owned()),
        ..Default::default()
    }
}
