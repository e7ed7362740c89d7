//! What a node is at the moment. Every transition goes through [`crate::Node`].

pub mod leader;

pub use leader::Leader;

use protocol::types::LeaderEpoch;

/// The roles that a quorum of one voter passes through.
#[derive(Debug)]
pub enum Role {
    /// Knows an epoch, but no leader of it.
    Unattached,
    /// Asks for votes in its epoch.
    Candidate,
    /// Leads its epoch.
    Leader(Leader),
    /// Led its epoch and gave it up.
    Resigned,
}

impl Role {
    /// The leader's state, where this node leads `epoch`.
    pub(crate) fn leader_of(&mut self, epoch: LeaderEpoch, current: LeaderEpoch) -> Option<&mut Leader> {
        match self {
            Self::Leader(leader) if epoch == current => Some(leader),
            _ => None,
        }
    }
}
