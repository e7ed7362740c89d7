//! ShareAcknowledge: what a member of a share group says of the records that it has (KIP-932).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::ShareAcknowledgeRequest;
use protocol::messages::share_acknowledge_response::{
    PartitionData, ShareAcknowledgeResponse, ShareAcknowledgeTopicResponse,
};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::share_partitions::acknowledgements::{self, PartitionOutcome, Said, SayRules};
use crate::share_partitions::sessions::{FINAL_EPOCH, SessionKey};
use crate::share_partitions::{SHARE_VERSION, settings};

/// The longest member id: a UUID as people read it.
const MAX_MEMBER_ID: usize = 36;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: ShareAcknowledgeRequest,
) -> Reply<ShareAcknowledgeResponse> {
    let session = match session(broker, request.group_id.as_deref(), request.member_id.as_deref()) {
        Ok(session) => session,
        Err(code) => return Reply::Now(refused(code)),
    };
    if let Err(code) = broker.share_partitions().sessions().acknowledge(&session, request.share_session_epoch) {
        return Reply::Now(refused(code));
    }
    let rules = SayRules { knows_renewals: context.version >= 2, announces_renewals: request.is_renew_ack };
    let said = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let said = partition.acknowledgement_batches.iter().map(|batch| Said {
                first_offset: batch.first_offset,
                last_offset: batch.last_offset,
                types: &batch.acknowledge_types,
            });
            ((topic.topic_id, partition.partition_index), said.collect())
        })
    });
    let stored = acknowledgements::acknowledge(broker, &session, said, rules);
    let ends = request.share_session_epoch == FINAL_EPOCH;
    match acknowledgements::settled(stored) {
        Ok(outcomes) => Reply::Now(respond(broker, &session, ends, outcomes)),
        Err(stored) => {
            let broker = Arc::clone(broker);
            Reply::Later(Box::pin(async move {
                let outcomes = acknowledgements::wait(stored).await;
                respond(&broker, &session, ends, outcomes)
            }))
        }
    }
}

/// Whose session a request is part of.
/// # Errors
/// `UnsupportedVersion` without share groups, `InvalidRequest`.
pub(super) fn session(
    broker: &Broker,
    group_id: Option<&str>,
    member_id: Option<&str>,
) -> Result<SessionKey, ErrorCode> {
    if broker.image().feature_level(SHARE_VERSION) < 1 {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let group_id = group_id.ok_or(ErrorCode::InvalidRequest)?;
    let member = member_id.filter(|id| !id.is_empty() && id.encode_utf16().count() <= MAX_MEMBER_ID);
    let member = member.ok_or(ErrorCode::InvalidRequest)?;
    Ok(SessionKey { group_id: group_id.into(), member: member.into() })
}

fn refused(code: ErrorCode) -> ShareAcknowledgeResponse {
    ShareAcknowledgeResponse { error_code: code.code(), ..Default::default() }
}

fn respond(
    broker: &Arc<Broker>,
    session: &SessionKey,
    ends: bool,
    outcomes: Vec<PartitionOutcome>,
) -> ShareAcknowledgeResponse {
    if ends {
        broker.share_partitions().release_session(broker, session);
    }
    let mut responses: Vec<ShareAcknowledgeTopicResponse> = Vec::new();
    for ((topic_id, partition_index), outcome) in outcomes {
        let mut data = PartitionData { partition_index, ..Default::default() };
        if let Err(refusal) = outcome {
            data.error_code = refusal.code.code();
            data.error_message = Some(refusal.message);
        }
        match responses.iter_mut().find(|topic| topic.topic_id == topic_id) {
            Some(topic) => topic.partitions.push(data),
            None => {
                responses.push(ShareAcknowledgeTopicResponse { topic_id, partitions: vec![data], ..Default::default() })
            }
        }
    }
    let lock_duration_ms = settings::of(broker, &session.group_id).partition.lock_duration_ms;
    ShareAcknowledgeResponse {
        acquisition_lock_timeout_ms: i32::try_from(lock_duration_ms).unwrap_or(i32::MAX),
        responses,
        ..Default::default()
    }
}
