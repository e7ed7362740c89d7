//! One replica of the metadata log: takes events, gives effects. Read this first.
//! Owned by the shell's runner, which alone appends to the log; `log_end` is therefore always the log's own end.

use protocol::messages::leader_change_message::Voter as VoterId;
use protocol::messages::{KRaftVersionRecord, LeaderChangeMessage};
use protocol::record::{BatchBuilder, BatchSettings, ControlRecord};
use protocol::types::{LeaderEpoch, Offset};

use crate::event::{Effect, Event, Now};
use crate::quorum_state::QuorumState;
use crate::role::{Leader, Role};
use crate::voters::{VoterKey, VoterSet};

/// What does not change while the node runs.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// This replica.
    pub key: VoterKey,
    /// Who votes.
    pub voters: VoterSet,
    /// Level of `kraft.version`: 0 with static voters, 1 with dynamic ones.
    pub kraft_version: i16,
    /// The voters are known from a bootstrap snapshot only, so the first leader must write them into the log.
    pub voters_from_bootstrap: bool,
}

/// Why a node cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The quorum has other voters, and messages between voters are not there yet.
    #[error("the quorum has {0} voters; this version runs a quorum of one voter, which must be this node")]
    NeedsPeers(usize),
    /// This node does not vote.
    #[error("node {0} is not a voter; this version runs a quorum of one voter, which must be this node")]
    NotAVoter(i32),
}

/// A replica of the metadata log.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    state: QuorumState,
    role: Role,
    log_end: Offset,
    high_watermark: Offset,
}

impl Node {
    /// A node whose log ends at `log_end`, all below which is on disk.
    /// # Errors
    /// [`StartError`].
    pub fn new(
        config: NodeConfig,
        state: QuorumState,
        log_end: Offset,
        log_epoch: LeaderEpoch,
    ) -> Result<Self, StartError> {
        if !config.voters.contains(config.key) {
            return Err(StartError::NotAVoter(config.key.id));
        }
        if !config.voters.is_only(config.key) {
            return Err(StartError::NeedsPeers(config.voters.len()));
        }
        let mut state = state;
        // A log can be ahead of a quorum-state file that was lost; epochs never go back.
        if log_epoch > state.epoch {
            state = QuorumState { epoch: log_epoch, leader_id: None, voted: None };
        }
        Ok(Self { config, state, role: Role::Unattached, log_end, high_watermark: 0 })
    }

    /// Takes one event; what is to be done is added to `effects`.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Start => self.start_election(now, effects),
            Event::Append { epoch, batch, records } => {
                let current = self.state.epoch;
                if self.role.leader_of(epoch, current).is_some() {
                    self.append(batch, records, effects);
                    effects.push(Effect::Flush);
                }
            }
            Event::Flushed(offset) => {
                let id = self.config.key.id;
                let current = self.state.epoch;
                let moved = self.role.leader_of(current, current).and_then(|leader| leader.voter_synced(id, offset));
                if let Some(high_watermark) = moved {
                    self.high_watermark = high_watermark;
                    effects.push(Effect::HighWatermark(high_watermark));
                }
            }
            Event::Resign => {
                if matches!(self.role, Role::Leader(_)) {
                    self.role = Role::Resigned;
                    effects.push(Effect::LostLeadership);
                }
            }
        }
    }

    /// The current epoch.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.state.epoch
    }

    /// The leader of the current epoch, if known.
    #[must_use]
    pub fn leader_id(&self) -> Option<i32> {
        self.state.leader_id
    }

    /// Where the log ends.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// All below is committed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.role
    }

    fn append(&mut self, batch: bytes::Bytes, records: i32, effects: &mut Vec<Effect>) {
        let base_offset = self.log_end;
        self.log_end += i64::from(records);
        effects.push(Effect::AppendBatch { base_offset, epoch: self.state.epoch, batch });
    }

    /// Opens a new epoch. Our own vote is a majority in a quorum of one.
    fn start_election(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let key = self.config.key;
        self.role = Role::Candidate;
        self.state = QuorumState { epoch: self.state.epoch + 1, leader_id: None, voted: Some(key) };
        effects.push(Effect::WriteQuorumState(self.state.clone()));
        self.become_leader(now, effects);
    }

    fn become_leader(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let epoch = self.state.epoch;
        self.state = QuorumState { epoch, leader_id: Some(self.config.key.id), voted: self.state.voted };
        effects.push(Effect::WriteQuorumState(self.state.clone()));
        let start_offset = self.log_end;
        self.role = Role::Leader(Leader::new(start_offset, &self.config.voters));
        effects.push(Effect::BecameLeader { epoch, start_offset });
        let (batch, records) = self.start_of_epoch_batch(now);
        self.append(batch, records, effects);
        effects.push(Effect::Flush);
    }

    /// The control batch that opens an epoch: who leads, and the voters if the log does not state them yet (KIP-853).
    fn start_of_epoch_batch(&self, now: Now) -> (bytes::Bytes, i32) {
        // Version 0, which Kafka 4.3.1 writes, knows no directories.
        let voter = |key: VoterKey| VoterId { voter_id: key.id, ..Default::default() };
        let message = LeaderChangeMessage {
            version: 0,
            leader_id: self.config.key.id,
            voters: self.config.voters.iter().map(|each| voter(each.key)).collect(),
            granting_voters: vec![voter(self.config.key)],
            ..Default::default()
        };
        let mut records = vec![ControlRecord::LeaderChange(message)];
        if self.config.kraft_version > 0 && self.config.voters_from_bootstrap {
            let version =
                KRaftVersionRecord { version: 0, k_raft_version: self.config.kraft_version, ..Default::default() };
            records.push(ControlRecord::KRaftVersion(version));
            records.push(ControlRecord::KRaftVoters(self.config.voters.to_record()));
        }
        control_batch(self.log_end, self.state.epoch, now, &records)
    }
}

/// Control records as one batch, and how many they are.
#[must_use]
pub fn control_batch(
    base_offset: Offset,
    epoch: LeaderEpoch,
    now: Now,
    records: &[ControlRecord],
) -> (bytes::Bytes, i32) {
    let settings = BatchSettings { base_offset, leader_epoch: epoch, is_control: true, ..BatchSettings::default() };
    let mut builder = BatchBuilder::new(settings);
    for record in records {
        let (key, value) = record.encode().expect("control records made here have only fields of their version");
        builder.append(now, Some(&key), Some(&value), &[]);
    }
    let count = builder.records_count();
    (builder.build(), count)
}

#[cfg(test)]
mod tests {
    use protocol::Uuid;

    use super::*;
    use crate::voters::Voter;

    fn config(id: i32, voters: &[i32]) -> NodeConfig {
        let key = |id: i32| VoterKey { id, directory_id: Uuid::from_bytes([id as u8; 16]) };
        let voter =
            |id: &i32| Voter { key: key(*id), endpoints: std::collections::BTreeMap::new(), kraft_version: (0, 1) };
        NodeConfig {
            key: key(id),
            voters: VoterSet::new(voters.iter().map(voter)),
            kraft_version: 1,
            voters_from_bootstrap: true,
        }
    }

    #[test]
    fn the_only_voter_leads_the_next_epoch_and_commits_what_is_synced() {
        let state = QuorumState { epoch: 4, leader_id: Some(1), voted: None };
        let mut node = Node::new(config(1, &[1]), state, 10, 4).expect("starts");
        let mut effects = Vec::new();
        node.step(0, Event::Start, &mut effects);
        assert!(effects.contains(&Effect::BecameLeader { epoch: 5, start_offset: 10 }));
        assert_eq!(node.log_end(), 13);
        effects.clear();
        node.step(0, Event::Flushed(10), &mut effects);
        assert!(effects.is_empty(), "records of earlier epochs alone commit nothing");
        node.step(0, Event::Flushed(13), &mut effects);
        assert_eq!(effects, [Effect::HighWatermark(13)]);
    }

    #[test]
    fn a_batch_of_an_older_epoch_is_dropped() {
        let mut node = Node::new(config(1, &[1]), QuorumState::default(), 0, 0).expect("starts");
        let mut effects = Vec::new();
        node.step(0, Event::Start, &mut effects);
        effects.clear();
        node.step(0, Event::Append { epoch: 0, batch: bytes::Bytes::new(), records: 1 }, &mut effects);
        assert!(effects.is_empty());
    }

    #[test]
    fn a_quorum_that_needs_messages_is_refused() {
        let refused = Node::new(config(1, &[1, 2, 3]), QuorumState::default(), 0, 0);
        assert_eq!(refused.err(), Some(StartError::NeedsPeers(3)));
    }

    #[test]
    fn the_log_is_never_behind_its_epoch() {
        let node = Node::new(config(1, &[1]), QuorumState::default(), 10, 7).expect("starts");
        assert_eq!(node.epoch(), 7);
    }
}
