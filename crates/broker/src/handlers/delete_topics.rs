//! DeleteTopics: by name or id; the answer comes when the topics are gone from the metadata.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::delete_topics_response::DeletableTopicResult;
use protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::quorum::Refusal;

/// First version whose clients know that a deletion over their quota is refused (KIP-599).
const FIRST_REFUSED: i16 = 5;
/// First version that knows `TOPIC_DELETION_DISABLED`.
const FIRST_WITH_DISABLED: i16 = 3;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DeleteTopicsRequest,
) -> Reply<DeleteTopicsResponse> {
    let version = context.version;
    let context = context.clone();
    let deleted = broker.blocking(move |broker| {
        let mut quota = broker.quotas().mutations(&context, FIRST_REFUSED, broker.monotonic_ms());
        let result = broker.quorum().submit(broker, |controller, _| controller.delete_topics(&request, &mut quota));
        let mut response = result.unwrap_or_else(|refusal| refused(&request, refusal, version));
        response.throttle_time_ms = quota.throttle_ms();
        response
    });
    Reply::Later(Box::pin(async move { deleted.await.unwrap_or_default() }))
}

fn refused(request: &DeleteTopicsRequest, mut refusal: Refusal, version: i16) -> DeleteTopicsResponse {
    if refusal.code == ErrorCode::TopicDeletionDisabled && version < FIRST_WITH_DISABLED {
        let message = "This version does not support topic deletion.".to_owned();
        refusal = Refusal { code: ErrorCode::InvalidRequest, message };
    }
    let by_name = request.topic_names.iter().map(|name| (Some(name.clone()), protocol::Uuid::ZERO));
    let by_either = request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id));
    let responses = by_name.chain(by_either).map(|(name, topic_id)| DeletableTopicResult {
        name,
        topic_id,
        error_code: refusal.code.code(),
        error_message: Some(refusal.message.clone()),
        ..Default::default()
    });
    DeleteTopicsResponse { responses: responses.collect(), ..Default::default() }
}
