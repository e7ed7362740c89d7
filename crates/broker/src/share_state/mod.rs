//! The share coordinator as the rest of the broker knows it: the share-partitions that it leads store their state here, and
//! the group coordinator initializes, deletes and looks at it.

mod messages;

use std::sync::Arc;

use coordinator::StateMachine;
use coordinator::share::{ShareError, ShareKey, ShareResponse, ShareShard, ShareWrite};
use protocol::ErrorCode;
use protocol::messages::{
    DeleteShareGroupStateRequest, DeleteShareGroupStateResponse, InitializeShareGroupStateRequest,
    InitializeShareGroupStateResponse, ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse,
};
use protocol::types::{LeaderEpoch, Offset};

use crate::Broker;
use crate::coordinators::Answer;
use crate::dispatch::Reply;

pub(crate) use messages::ShareStateRequest;

/// How long somebody inside the broker waits for a coordinator that is still loading.
const PATIENCE_MS: i64 = 5_000;
/// How long it waits before it asks again.
const RETRY_MS: i64 = 50;

/// What a share coordinator is asked.
#[derive(Debug, Clone)]
pub(crate) enum ShareRequest {
    /// Set the state anew.
    Initialize { state_epoch: i32, start_offset: Offset },
    /// What is known?
    Read { leader_epoch: LeaderEpoch },
    /// Store this.
    Write(ShareWrite),
    /// Forget all.
    Delete,
    /// What is known, in short?
    Summarize,
}

/// Asks the coordinator of a share-partition, if it is here.
pub(crate) fn ask(broker: &Arc<Broker>, key: &ShareKey, request: &ShareRequest) -> Answer<ShareResponse> {
    let now_ms = broker.coordinators().now_ms(broker);
    broker.coordinators().share().ask(broker, &key.coordinator_key(), |shard, token, out| match request {
        ShareRequest::Initialize { state_epoch, start_offset } => {
            shard.initialize(now_ms, key, (*state_epoch, *start_offset), token, out);
        }
        ShareRequest::Read { leader_epoch } => shard.read(now_ms, key, *leader_epoch, token, out),
        ShareRequest::Write(write) => shard.write(now_ms, key, write, token, out),
        ShareRequest::Delete => shard.delete(key, token, out),
        ShareRequest::Summarize => shard.summarize(key, token, out),
    })
}

/// Whether another attempt may go better, because the coordinator is not there yet.
pub(crate) fn may_retry(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable
    )
}

/// Asks the coordinator of a share-partition, and waits for it if it is not there yet.
async fn ask_patiently(broker: &Arc<Broker>, key: &ShareKey, request: &ShareRequest) -> ShareResponse {
    let give_up_ms = broker.monotonic_ms() + PATIENCE_MS;
    loop {
        let response = ask(broker, key, request).wait().await.unwrap_or_else(|code| Err(ShareError::Refused(code)));
        let now_ms = broker.monotonic_ms();
        match response {
            Err(ShareError::Refused(code)) if may_retry(code) && now_ms < give_up_ms => {
                broker.timers().deadline(now_ms + RETRY_MS).await;
            }
            response => return response,
        }
    }
}

/// The reply to a request, from the coordinators of all that it names.
pub(crate) fn reply<R: ShareStateRequest>(broker: &Arc<Broker>, request: &R) -> Reply<R::Response>
where
    R::Response: Send + 'static,
{
    let asked = request.asked();
    let answers: Vec<_> = asked.into_iter().map(|(key, request)| (ask(broker, &key, &request), key)).collect();
    if answers.iter().any(|(answer, _)| matches!(answer, Answer::Later(_))) {
        return Reply::Later(Box::pin(async move {
            let mut responses = Vec::with_capacity(answers.len());
            for (answer, key) in answers {
                let response = answer.wait().await.unwrap_or_else(|code| Err(ShareError::Refused(code)));
                responses.push((key, response));
            }
            R::respond(&responses)
        }));
    }
    let responses = answers.into_iter().map(|(answer, key)| match answer {
        Answer::Now(response) => (key, response),
        Answer::Refused(code) => (key, Err(ShareError::Refused(code))),
        Answer::Later(_) => (key, Err(ShareError::Refused(ErrorCode::NotCoordinator))),
    });
    Reply::Now(R::respond(&responses.collect::<Vec<_>>()))
}

impl Broker {
    /// Sets the state of share-partitions anew (`Persister.initializeState`). The coordinators' topic is created if need be.
    pub async fn initialize_share_state(
        self: &Arc<Self>,
        request: InitializeShareGroupStateRequest,
    ) -> InitializeShareGroupStateResponse {
        self.share_state(request).await
    }

    /// Forgets the state of share-partitions (`Persister.deleteState`).
    pub async fn delete_share_state(
        self: &Arc<Self>,
        request: DeleteShareGroupStateRequest,
    ) -> DeleteShareGroupStateResponse {
        self.share_state(request).await
    }

    /// Start offset and delivery count of share-partitions (`Persister.readSummary`).
    pub async fn read_share_state_summary(
        self: &Arc<Self>,
        request: ReadShareGroupStateSummaryRequest,
    ) -> ReadShareGroupStateSummaryResponse {
        self.share_state(request).await
    }

    async fn share_state<R: ShareStateRequest>(self: &Arc<Self>, request: R) -> R::Response {
        if self.image().topic(ShareShard::TOPIC).is_none() {
            self.auto_create(vec![ShareShard::TOPIC.to_owned()]).await;
        }
        let mut responses = Vec::new();
        for (key, request) in request.asked() {
            let response = ask_patiently(self, &key, &request).await;
            responses.push((key, response));
        }
        R::respond(&responses)
    }
}
