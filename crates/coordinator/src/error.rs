//! Why the coordinator refuses a request, or cannot read a record.

use protocol::{DecodeError, ErrorCode};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The group has no such member.
    #[error("unknown member id")]
    UnknownMember,
    /// The instance id belongs to another member id by now (KIP-345).
    #[error("the static member was replaced")]
    FencedInstance,
    /// The request is of another generation.
    #[error("illegal generation")]
    IllegalGeneration,
    /// The members' assignments are being made.
    #[error("rebalance in progress")]
    RebalanceInProgress,
    /// There is no such group.
    #[error("group id not found")]
    GroupNotFound,
    /// The group still has members.
    #[error("the group is not empty")]
    NonEmptyGroup,
    /// The member speaks no protocol that all others speak, or names another than was chosen.
    #[error("inconsistent group protocol")]
    InconsistentProtocol,
    /// The group id is empty.
    #[error("invalid group id")]
    InvalidGroupId,
    /// The session timeout is outside `group.min.session.timeout.ms` and `group.max.session.timeout.ms`.
    #[error("invalid session timeout")]
    InvalidSessionTimeout,
    /// `group.max.size` is reached.
    #[error("the group is full")]
    GroupMaxSizeReached,
    /// Come again with the member id that was just given (KIP-394).
    #[error("member id required")]
    MemberIdRequired,
    /// The request is of another epoch of the member, or for partitions that it has not had since (KIP-848).
    #[error("stale member epoch")]
    StaleMemberEpoch,
    /// The request is of a version that members of the new protocol may not use.
    #[error("unsupported version")]
    UnsupportedVersion,
    /// The partition of the group moves to another broker.
    #[error("not the coordinator of the group")]
    NotCoordinator,
}

impl GroupError {
    /// Its code on the wire.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::UnknownMember => ErrorCode::UnknownMemberId,
            Self::FencedInstance => ErrorCode::FencedInstanceId,
            Self::IllegalGeneration => ErrorCode::IllegalGeneration,
            Self::RebalanceInProgress => ErrorCode::RebalanceInProgress,
            Self::GroupNotFound => ErrorCode::GroupIdNotFound,
            Self::NonEmptyGroup => ErrorCode::NonEmptyGroup,
            Self::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
            Self::InvalidGroupId => ErrorCode::InvalidGroupId,
            Self::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
            Self::GroupMaxSizeReached => ErrorCode::GroupMaxSizeReached,
            Self::MemberIdRequired => ErrorCode::MemberIdRequired,
            Self::StaleMemberEpoch => ErrorCode::StaleMemberEpoch,
            Self::UnsupportedVersion => ErrorCode::UnsupportedVersion,
            Self::NotCoordinator => ErrorCode::NotCoordinator,
        }
    }
}

/// Why a request of the newer protocols is refused: those tell their clients in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The code on the wire.
    pub code: ErrorCode,
    /// Kafka's words.
    pub message: String,
}

impl Refusal {
    /// A refusal in these words.
    pub(crate) fn new(code: ErrorCode, message: String) -> Self {
        Self { code, message }
    }

    /// There is no such group of that type.
    pub(crate) fn not_found(message: String) -> Self {
        Self::new(ErrorCode::GroupIdNotFound, message)
    }

    /// The group has no such member.
    pub(crate) fn unknown_member(member_id: &str, group_id: &str) -> Self {
        let message = format!("Member {member_id} is not a member of group {group_id}.");
        Self::new(ErrorCode::UnknownMemberId, message)
    }

    /// A static member has another id by now.
    pub(crate) fn fenced_instance(member_id: &str, instance_id: &str, owner: &str) -> Self {
        let message = format!("Static member {member_id} with instance id {instance_id} was fenced by member {owner}.");
        Self::new(ErrorCode::FencedInstanceId, message)
    }

    /// A static member is still there.
    pub(crate) fn unreleased(member_id: &str, instance_id: &str, owner: &str) -> Self {
        let message = format!(
            "Static member {member_id} with instance id {instance_id} cannot join the group because the instance id is \
             owned by {owner} member."
        );
        Self::new(ErrorCode::UnreleasedInstanceId, message)
    }
}

/// Why a record of an internal topic cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The record has no key.
    #[error("record without a key")]
    NoKey,
    /// Its key or value is malformed, or of a version that Kafka 4.3.1 does not know.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It names a state of transactions that there is not.
    #[error("unknown transaction state {0}")]
    UnknownState(i8),
}

/// What a client is told when the partition refused its records with `error`.
#[must_use]
pub fn append_error_code(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        other => other,
    }
}
