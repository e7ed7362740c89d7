//! AlterShareGroupOffsets: sets where a share group without members starts (KIP-932).

use std::sync::Arc;

use coordinator::GroupResponse;
use protocol::ErrorCode;
use protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, InitializeShareGroupStateResponse,
};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: AlterShareGroupOffsetsRequest,
) -> Reply<AlterShareGroupOffsetsResponse> {
    if !broker.serves_share_groups() {
        return Reply::Now(refuse(ErrorCode::UnsupportedVersion));
    }
    if request.group_id.is_empty() {
        return Reply::Now(refuse(ErrorCode::InvalidGroupId));
    }
    let now_ms = broker.coordinators().now_ms(broker);
    let mut state = None;
    let answer = broker.groups().ask(broker, &request.group_id, |groups, token, out| {
        state = groups.alter_share_group_offsets(now_ms, &request, token, out);
    });
    let broker = Arc::clone(broker);
    Reply::Later(Box::pin(async move {
        let mut response = match answer.wait().await {
            Ok(GroupResponse::AlterShareGroupOffsets(response)) => response,
            Ok(other) => unreachable!("AlterShareGroupOffsets is not answered with {other:?}"),
            Err(code) => refuse(code),
        };
        if let Some(state) = state.filter(|_| response.error_code == 0) {
            let set = broker.alter_share_state(state).await;
            note_failures(&mut response, &set);
        }
        response
    }))
}

fn note_failures(response: &mut AlterShareGroupOffsetsResponse, set: &InitializeShareGroupStateResponse) {
    for topic in &mut response.responses {
        let results = set.results.iter().filter(|result| result.topic_id == topic.topic_id);
        let failed: Vec<_> = results.flat_map(|result| &result.partitions).filter(|one| one.error_code != 0).collect();
        for partition in topic.partitions.iter_mut().filter(|partition| partition.error_code == 0) {
            if let Some(failed) = failed.iter().find(|failed| failed.partition == partition.partition_index) {
                partition.error_code = failed.error_code;
                partition.error_message.clone_from(&failed.error_message);
            }
        }
    }
}

fn refuse(code: ErrorCode) -> AlterShareGroupOffsetsResponse {
    AlterShareGroupOffsetsResponse {
        error_code: code.code(),
        error_message: Some(code.message().to_owned()),
        ..Default::default()
    }
}
