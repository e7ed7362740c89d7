//! What AddRaftVoter and RemoveRaftVoter have in common: who may ask, and what a quorum of one node can do (KIP-853).

use protocol::types::BrokerId;
use protocol::{ErrorCode, Uuid};

use crate::Broker;
use crate::quorum::Refusal;

/// A voter as a request names it.
pub(super) struct NamedVoter {
    pub(super) id: BrokerId,
    pub(super) directory_id: Uuid,
}

impl NamedVoter {
    /// As Kafka prints it.
    pub(super) fn shown(&self) -> String {
        format!("ReplicaKey(id={}, directoryId={})", self.id, self.directory_id)
    }
}

/// Checks what both requests must fulfil. `verb` is `add` or `remove`.
pub(super) fn check(
    broker: &Broker,
    cluster_id: Option<&str>,
    voter: &NamedVoter,
    verb: &str,
) -> Result<Vec<NamedVoter>, Refusal> {
    let refuse = |code: ErrorCode, message: String| Err(Refusal { code, message });
    let own = &broker.identity().cluster_id;
    if let Some(other) = cluster_id.filter(|id| id != own) {
        let message = format!("The given id \"{other}\" doesn't match the cluster id \"{own}\"");
        return refuse(ErrorCode::InconsistentClusterId, message);
    }
    if voter.id < 0 || voter.directory_id.is_zero() {
        let verb = if verb == "add" { "Add" } else { "Remove" };
        return refuse(ErrorCode::InvalidRequest, format!("{verb} voter request didn't include a valid voter"));
    }
    Ok(broker
        .quorum()
        .status()
        .voters
        .into_iter()
        .map(|(key, _)| NamedVoter { id: key.id, directory_id: key.directory_id })
        .collect())
}

/// The voters of a static quorum never change.
pub(super) fn check_dynamic(broker: &Broker, verb: &str) -> Result<(), Refusal> {
    let level = broker.quorum().kraft_version();
    if level > 0 {
        return Ok(());
    }
    let message = format!("Cluster doesn't support {verb} voter because the kraft.version feature is {level}");
    Err(Refusal { code: ErrorCode::UnsupportedVersion, message })
}

/// Voters as Kafka prints them.
pub(super) fn shown(voters: &[NamedVoter]) -> String {
    let shown: Vec<String> = voters.iter().map(NamedVoter::shown).collect();
    format!("[{}]", shown.join(", "))
}
