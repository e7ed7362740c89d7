//! CreateTopics: the controller decides; the answer comes when its records are committed.

use std::sync::Arc;

use protocol::messages::create_topics_response::CreatableTopicResult;
use protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::quorum::Refusal;

/// First version whose clients know that a topic over their quota is refused (KIP-599).
const FIRST_REFUSED: i16 = 6;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: CreateTopicsRequest,
) -> Reply<CreateTopicsResponse> {
    let names: Vec<String> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let context = context.clone();
    let created = broker.blocking(move |broker| {
        let mut quota = broker.quotas().mutations(&context, FIRST_REFUSED, broker.monotonic_ms());
        let created =
            broker.quorum().submit(broker, |controller, _| Ok(controller.create_topics_within(&request, &mut quota)));
        created.map(|response| CreateTopicsResponse { throttle_time_ms: quota.throttle_ms(), ..response })
    });
    Reply::Later(Box::pin(async move {
        match created.await.unwrap_or_else(|| Err(Refusal::stopping())) {
            Ok(response) => response,
            Err(refusal) => refused(names, &refusal),
        }
    }))
}

fn refused(names: Vec<String>, refusal: &Refusal) -> CreateTopicsResponse {
    let topics = names.into_iter().map(|name| CreatableTopicResult {
        name,
        error_code: refusal.code.code(),
        error_message: Some(refusal.message.clone()),
        ..Default::default()
    });
    CreateTopicsResponse { topics: topics.collect(), ..Default::default() }
}
