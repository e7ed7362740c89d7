//! AddRaftVoter: this node cannot replicate its metadata log yet, so nobody but itself can vote (KIP-853).

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::{AddRaftVoterRequest, AddRaftVoterResponse};

use super::raft_voters::{NamedVoter, check, check_dynamic, shown};
use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::quorum::Refusal;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _: &RequestContext,
    request: AddRaftVoterRequest,
) -> Reply<AddRaftVoterResponse> {
    let refusal = refusal(broker, &request).unwrap_or_else(|refusal| refusal);
    Reply::Now(AddRaftVoterResponse {
        error_code: refusal.code.code(),
        error_message: Some(refusal.message),
        ..Default::default()
    })
}

fn refusal(broker: &Broker, request: &AddRaftVoterRequest) -> Result<Refusal, Refusal> {
    let voter = NamedVoter { id: request.voter_id, directory_id: request.voter_directory_id };
    let voters = check(broker, request.cluster_id.as_deref(), &voter, "add")?;
    let name = broker.config().controller_listener_names().first().cloned().unwrap_or_default();
    if !request.listeners.iter().any(|listener| listener.name == name) {
        let given: Vec<String> = request
            .listeners
            .iter()
            .map(|at| format!("ListenerName({})={}/<unresolved>:{}", at.name, at.host, at.port))
            .collect();
        let message = format!(
            "Add voter request didn't include the endpoint (Endpoints(endpoints={{{}}})) for the default listener \
             ListenerName({name})",
            given.join(", ")
        );
        return Err(Refusal { code: ErrorCode::InvalidRequest, message });
    }
    check_dynamic(broker, "adding")?;
    if voters.iter().any(|other| other.id == voter.id) {
        let (voter, voters) = (voter.shown(), shown(&voters));
        let message = format!("The voter id for {voter} is already part of the set of voters {voters}.");
        return Err(Refusal { code: ErrorCode::DuplicateVoter, message });
    }
    let message = format!("New voter {} is not ready to receive requests", voter.shown());
    Ok(Refusal { code: ErrorCode::RequestTimedOut, message })
}
