//! Share groups between their two coordinators: what the group coordinator wants of share state is asked of the share
//! coordinator here, and what came of it is told to the group.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::{GroupResponse, SharePartitions};
use protocol::messages::{
    DeleteShareGroupStateRequest, DeleteShareGroupStateResponse, InitializeShareGroupStateRequest,
    InitializeShareGroupStateResponse,
};
use protocol::{ErrorCode, Uuid};
use tracing::warn;

use crate::Broker;

impl Broker {
    /// Whether the cluster's features allow share groups.
    pub(crate) fn serves_share_groups(&self) -> bool {
        self.image().feature_level("share.version") >= 1
    }

    /// Sets share state up for a group's heartbeat. A failure is noted too: a later heartbeat asks again.
    pub(crate) async fn set_up_share_state(self: &Arc<Self>, request: InitializeShareGroupStateRequest) {
        let group_id = request.group_id.clone();
        let asked = partitions_of(&request);
        let response = self.initialize_share_state(request).await;
        let failed = response.results.iter().flat_map(|topic| &topic.partitions).find(|one| one.error_code != 0);
        let outcome = match failed {
            None => Ok(asked),
            Some(failed) => {
                let code = ErrorCode::from_code(failed.error_code);
                warn!(group_id, %code, "could not set up share state");
                Err(asked)
            }
        };
        self.note_share_state(&group_id, outcome).await;
    }

    /// Sets share state for an alteration of offsets. What fails is not noted: the alteration has failed.
    pub(crate) async fn alter_share_state(
        self: &Arc<Self>,
        request: InitializeShareGroupStateRequest,
    ) -> InitializeShareGroupStateResponse {
        let group_id = request.group_id.clone();
        let asked = partitions_of(&request);
        let response = self.initialize_share_state(request).await;
        if response.results.iter().flat_map(|topic| &topic.partitions).all(|one| one.error_code == 0) {
            self.note_share_state(&group_id, Ok(asked)).await;
        }
        response
    }

    /// Deletes the share state of a group that is to be deleted; the first error, if there is one.
    pub(crate) async fn drop_share_state(self: &Arc<Self>, request: DeleteShareGroupStateRequest) -> ErrorCode {
        let response = self.delete_share_state(request).await;
        let mut codes = response.results.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code);
        ErrorCode::from_code(codes.find(|code| *code != 0).unwrap_or(0))
    }

    /// Deletes the share state of topics, and tells the group of those where that went well.
    pub(crate) async fn drop_share_offsets(
        self: &Arc<Self>,
        request: DeleteShareGroupStateRequest,
    ) -> Result<DeleteShareGroupStateResponse, ErrorCode> {
        let group_id = request.group_id.clone();
        let response = self.delete_share_state(request).await;
        let gone = response.results.iter().filter(|topic| topic.partitions.iter().all(|one| one.error_code == 0));
        let gone: BTreeSet<Uuid> = gone.map(|topic| topic.topic_id).collect();
        if !gone.is_empty() {
            let now_ms = self.coordinators().now_ms(self);
            let answer = self.groups().ask(self, &group_id, |groups, token, out| {
                groups.share_offsets_deleted(now_ms, &group_id, &gone, token, out);
            });
            noted(answer.wait().await)?;
        }
        Ok(response)
    }

    async fn note_share_state(self: &Arc<Self>, group_id: &str, outcome: Result<SharePartitions, SharePartitions>) {
        let now_ms = self.coordinators().now_ms(self);
        let answer = self.groups().ask(self, group_id, |groups, token, out| {
            groups.share_state_initialized(now_ms, group_id, &outcome, token, out);
        });
        if let Err(code) = noted(answer.wait().await) {
            warn!(group_id, %code, "could not note what became of share state");
        }
    }
}

/// Whether a group has noted what it was told.
/// # Errors
/// Why it has not.
pub(crate) fn noted(answer: Result<GroupResponse, ErrorCode>) -> Result<(), ErrorCode> {
    match answer? {
        GroupResponse::ShareStateNoted(ErrorCode::None) => Ok(()),
        GroupResponse::ShareStateNoted(code) => Err(code),
        other => unreachable!("what became of share state is not answered with {other:?}"),
    }
}

fn partitions_of(request: &InitializeShareGroupStateRequest) -> SharePartitions {
    let topics = request.topics.iter();
    topics
        .map(|topic| (topic.topic_id, topic.partitions.iter().map(|partition| partition.partition).collect()))
        .collect()
}
