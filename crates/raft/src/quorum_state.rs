//! What must be durable before a vote counts: the epoch, its leader, our vote. The content of the file `quorum-state`,
//! which Kafka writes as JSON (`FileQuorumStateStore`): data version 0 with static voters, 1 with dynamic ones.

use protocol::Uuid;
use protocol::types::{BrokerId, LeaderEpoch};
use serde_json::{Value, json};

use crate::voters::{VoterKey, VoterSet};

/// The durable state of an election.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QuorumState {
    /// The current epoch.
    pub epoch: LeaderEpoch,
    /// Its leader, if known.
    pub leader_id: Option<BrokerId>,
    /// Whom we voted for in it.
    pub voted: Option<VoterKey>,
}

/// A `quorum-state` file that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("quorum-state is not valid: {0}")]
pub struct ParseQuorumStateError(String);

impl QuorumState {
    /// The text of the file, in the data version that goes with `kraft_version`.
    #[must_use]
    pub fn to_json(&self, kraft_version: i16, voters: &VoterSet) -> String {
        let leader_id = self.leader_id.unwrap_or(-1);
        let voted_id = self.voted.map_or(-1, |voted| voted.id);
        let value = if kraft_version == 0 {
            let current: Vec<Value> = voters.iter().map(|voter| json!({ "voterId": voter.key.id })).collect();
            json!({
                "clusterId": "", "leaderId": leader_id, "leaderEpoch": self.epoch, "votedId": voted_id,
                "appliedOffset": 0, "currentVoters": current, "data_version": 0,
            })
        } else {
            let directory_id = self.voted.map_or(Uuid::ZERO, |voted| voted.directory_id);
            json!({
                "leaderId": leader_id, "leaderEpoch": self.epoch, "votedId": voted_id,
                "votedDirectoryId": directory_id.to_string(), "data_version": 1,
            })
        };
        value.to_string()
    }

    /// Reads the text of the file.
    /// # Errors
    /// If it is not JSON, lacks a field, or has an unknown data version.
    pub fn from_json(text: &str) -> Result<Self, ParseQuorumStateError> {
        let bad = |what: &str| ParseQuorumStateError(what.to_owned());
        let value: Value = serde_json::from_str(text).map_err(|error| ParseQuorumStateError(error.to_string()))?;
        let number = |name: &str| {
            let number = value.get(name).and_then(Value::as_i64).ok_or_else(|| bad(name))?;
            i32::try_from(number).map_err(|_| bad(name))
        };
        if !matches!(number("data_version")?, 0 | 1) {
            return Err(bad("data_version"));
        }
        let directory_id = match value.get("votedDirectoryId").and_then(Value::as_str) {
            Some(text) => text.parse().map_err(|_| bad("votedDirectoryId"))?,
            None => Uuid::ZERO,
        };
        let voted_id = number("votedId")?;
        let leader_id = number("leaderId")?;
        Ok(Self {
            epoch: number("leaderEpoch")?,
            leader_id: (leader_id >= 0).then_some(leader_id),
            voted: (voted_id >= 0).then_some(VoterKey { id: voted_id, directory_id }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_as_kafka_writes_it() {
        let text = r#"{"leaderId":1,"leaderEpoch":3,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#;
        let state = QuorumState::from_json(text).expect("valid");
        assert_eq!(state, QuorumState { epoch: 3, leader_id: Some(1), voted: None });
        assert_eq!(state.to_json(1, &VoterSet::default()), text);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        assert!(QuorumState::from_json("{}").is_err());
        assert!(QuorumState::from_json("").is_err());
    }
}
