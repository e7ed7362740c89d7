//! Why a request about a streams group is refused, in Kafka's words.

use protocol::ErrorCode;

/// Why a request is refused. Its text is what the client is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamsError {
    /// The request contradicts itself or asks for what 4.3.1 does not do.
    #[error("{0}")]
    InvalidRequest(String),
    /// The topology cannot work.
    #[error("{0}")]
    InvalidTopology(String),
    /// There is no such group. What is said of it depends on who asks.
    #[error("{0}")]
    GroupNotFound(String),
    /// The group speaks another protocol.
    #[error("Group {0} is not a streams group.")]
    NotAStreamsGroup(String),
    /// The group has no such member.
    #[error("Member {member} is not a member of group {group}.")]
    UnknownMember {
        /// The member.
        member: String,
        /// The group.
        group: String,
    },
    /// The member is of another epoch.
    #[error(
        "The streams group member has a {relation} member epoch ({received}) than the one known by the group \
         coordinator ({known}). The member must abandon all its partitions and rejoin."
    )]
    FencedEpoch {
        /// `greater` or `smaller`.
        relation: &'static str,
        /// What the member said.
        received: i32,
        /// What it should have said.
        known: i32,
    },
    /// A member in a state that this release does not know still says that it owns something.
    #[error("The streams group member is in a unknown state. The member must abandon all its tasks and rejoin.")]
    UnknownState,
    /// `group.streams.max.size` is reached.
    #[error("The streams group has reached its maximum capacity of {0} members.")]
    Full(usize),
    /// What Kafka stumbles over: duplicate names, indexes that point nowhere, topics without a partition count.
    #[error("{0}")]
    Malformed(&'static str),
}

impl StreamsError {
    /// Its code on the wire.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidRequest(_) => ErrorCode::InvalidRequest,
            Self::InvalidTopology(_) => ErrorCode::StreamsInvalidTopology,
            Self::GroupNotFound(_) | Self::NotAStreamsGroup(_) => ErrorCode::GroupIdNotFound,
            Self::UnknownMember { .. } => ErrorCode::UnknownMemberId,
            Self::FencedEpoch { .. } | Self::UnknownState => ErrorCode::FencedMemberEpoch,
            Self::Full(_) => ErrorCode::GroupMaxSizeReached,
            Self::Malformed(_) => ErrorCode::UnknownServerError,
        }
    }

    /// What the client is told beside the code. Nothing of what the server stumbled over.
    pub(crate) fn message(&self) -> Option<String> {
        (self.code() != ErrorCode::UnknownServerError).then(|| self.to_string())
    }
}
