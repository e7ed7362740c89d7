//! RemoveRaftVoter: the only voter stays, because a quorum of nobody would never lead again (KIP-853).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};

use super::raft_voters::{NamedVoter, check, check_dynamic, shown};
use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::quorum::Refusal;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _: &RequestContext,
    request: RemoveRaftVoterRequest,
) -> Reply<RemoveRaftVoterResponse> {
    let refusal = refusal(broker, &request).unwrap_or_else(|refusal| refusal);
    Reply::Now(RemoveRaftVoterResponse {
        error_code: refusal.code.code(),
        error_message: Some(refusal.message),
        ..Default::default()
    })
}

fn refusal(broker: &Broker, request: &RemoveRaftVoterRequest) -> Result<Refusal, Refusal> {
    let voter = NamedVoter { id: request.voter_id, directory_id: request.voter_directory_id };
    let voters = check(broker, request.cluster_id.as_deref(), &voter, "remove")?;
    check_dynamic(broker, "removing")?;
    let message = format!("Cannot remove voter {} from the set of voters {}", voter.shown(), shown(&voters));
    Ok(Refusal { code: ErrorCode::VoterNotFound, message })
}
