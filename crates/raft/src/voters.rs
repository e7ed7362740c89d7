//! Who votes (KIP-853): replicas by id and directory, with the endpoints of their controller listeners.

use std::collections::BTreeMap;

use protocol::Uuid;
use protocol::messages::voters_record::{Endpoint, KRaftVersionFeature, Voter as VoterEntry, VotersRecord};
use protocol::types::BrokerId;

/// A replica of the metadata log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VoterKey {
    /// `node.id`.
    pub id: BrokerId,
    /// Directory id; zero in a quorum with static voters.
    pub directory_id: Uuid,
}

/// A voter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    /// Who it is.
    pub key: VoterKey,
    /// Controller listener name -> host and port.
    pub endpoints: BTreeMap<String, (String, u16)>,
    /// Supported levels of `kraft.version`.
    pub kraft_version: (i16, i16),
}

/// All voters, by id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VoterSet {
    voters: BTreeMap<BrokerId, Voter>,
}

impl VoterSet {
    /// A set of these voters.
    #[must_use]
    pub fn new(voters: impl IntoIterator<Item = Voter>) -> Self {
        Self { voters: voters.into_iter().map(|voter| (voter.key.id, voter)).collect() }
    }

    /// The set that a control record states.
    #[must_use]
    pub fn from_record(record: &VotersRecord) -> Self {
        Self::new(record.voters.iter().map(|voter| Voter {
            key: VoterKey { id: voter.voter_id, directory_id: voter.voter_directory_id },
            endpoints: voter.endpoints.iter().map(|at| (at.name.clone(), (at.host.clone(), at.port))).collect(),
            kraft_version: (
                voter.k_raft_version_feature.min_supported_version,
                voter.k_raft_version_feature.max_supported_version,
            ),
        }))
    }

    /// The control record that states this set.
    #[must_use]
    pub fn to_record(&self) -> VotersRecord {
        let voters = self.voters.values().map(|voter| VoterEntry {
            voter_id: voter.key.id,
            voter_directory_id: voter.key.directory_id,
            endpoints: voter
                .endpoints
                .iter()
                .map(|(name, (host, port))| Endpoint {
                    name: name.clone(),
                    host: host.clone(),
                    port: *port,
                    ..Default::default()
                })
                .collect(),
            k_raft_version_feature: KRaftVersionFeature {
                min_supported_version: voter.kraft_version.0,
                max_supported_version: voter.kraft_version.1,
                ..Default::default()
            },
            ..Default::default()
        });
        VotersRecord { version: 0, voters: voters.collect(), ..Default::default() }
    }

    /// Whether `key` votes. A set with static voters knows no directories.
    #[must_use]
    pub fn contains(&self, key: VoterKey) -> bool {
        self.voters.get(&key.id).is_some_and(|voter| {
            voter.key.directory_id.is_zero() || key.directory_id.is_zero() || voter.key.directory_id == key.directory_id
        })
    }

    /// Whether `key` is the only voter.
    #[must_use]
    pub fn is_only(&self, key: VoterKey) -> bool {
        self.voters.len() == 1 && self.contains(key)
    }

    /// The voters in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Voter> {
        self.voters.values()
    }

    /// How many vote.
    #[must_use]
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether nobody votes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }
}
