//! Why the controller refuses something: one variant per code, with Kafka's text where it has one of its own.

use protocol::ErrorCode;

/// Why the controller refuses something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControllerError {
    /// The name is not allowed or collides with another.
    #[error("{0}")]
    InvalidTopic(String),
    /// There is a topic of this name.
    #[error("Topic '{0}' already exists.")]
    TopicAlreadyExists(String),
    /// The number of partitions is not allowed.
    #[error("{0}")]
    InvalidPartitions(String),
    /// The number of replicas is not allowed or cannot be reached.
    #[error("{0}")]
    InvalidReplicationFactor(String),
    /// The assignment of replicas is not allowed.
    #[error("{0}")]
    InvalidReplicaAssignment(String),
    /// A configuration is not allowed.
    #[error("{0}")]
    InvalidConfig(String),
    /// The request contradicts itself.
    #[error("{0}")]
    InvalidRequest(String),
    /// There is no such topic or partition.
    #[error("{0}")]
    UnknownTopicOrPartition(String),
    /// There is no topic with this id.
    #[error("{}", ErrorCode::UnknownTopicId.message())]
    UnknownTopicId,
    /// The request is too large.
    #[error("{0}")]
    PolicyViolation(&'static str),
    /// The broker registered again since.
    #[error("{0}")]
    StaleBrokerEpoch(String),
    /// The node is not registered.
    #[error("{0}")]
    BrokerIdNotRegistered(String),
    /// Another process has the broker's id.
    #[error("{0}")]
    DuplicateBrokerRegistration(&'static str),
    /// The broker belongs to another cluster.
    #[error("Expected cluster ID {expected}, but got cluster ID {got}")]
    InconsistentClusterId {
        /// Id of this cluster.
        expected: String,
        /// Id in the request.
        got: String,
    },
    /// The registration is not complete.
    #[error("{0}")]
    InvalidRegistration(String),
    /// A feature or resource is not supported.
    #[error("{0}")]
    UnsupportedVersion(String),
    /// The level of a feature is not allowed.
    #[error("{0}")]
    InvalidUpdateVersion(String),
    /// `delete.topic.enable` is false.
    #[error("{}", ErrorCode::TopicDeletionDisabled.message())]
    TopicDeletionDisabled,
    /// No preferred leader can be elected.
    #[error("{}", ErrorCode::PreferredLeaderNotAvailable.message())]
    PreferredLeaderNotAvailable,
    /// No leader can be elected.
    #[error("{}", ErrorCode::EligibleLeadersNotAvailable.message())]
    EligibleLeadersNotAvailable,
    /// The leader is fine as it is.
    #[error("{}", ErrorCode::ElectionNotNeeded.message())]
    ElectionNotNeeded,
    /// The client changes partitions faster than its quota allows.
    #[error("{}", ErrorCode::ThrottlingQuotaExceeded.message())]
    ThrottlingQuotaExceeded,
    /// The same thing is changed twice.
    #[error("{0}")]
    DuplicateResource(&'static str),
    /// There is no such thing.
    #[error("{0}")]
    ResourceNotFound(String),
    /// A password is not safe enough.
    #[error("{0}")]
    UnacceptableCredential(&'static str),
    /// The mechanism is not known.
    #[error("{0}")]
    UnsupportedSaslMechanism(&'static str),
    /// The partition is not being moved.
    #[error("{}", ErrorCode::NoReassignmentInProgress.message())]
    NoReassignmentInProgress,
    /// All producer ids are given away.
    #[error("Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit")]
    ProducerIdsExhausted,
}

impl ControllerError {
    /// The code on the wire.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidTopic(_) => ErrorCode::InvalidTopicException,
            Self::TopicAlreadyExists(_) => ErrorCode::TopicAlreadyExists,
            Self::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
            Self::InvalidReplicationFactor(_) => ErrorCode::InvalidReplicationFactor,
            Self::InvalidReplicaAssignment(_) => ErrorCode::InvalidReplicaAssignment,
            Self::InvalidConfig(_) => ErrorCode::InvalidConfig,
            Self::InvalidRequest(_) => ErrorCode::InvalidRequest,
            Self::UnknownTopicOrPartition(_) => ErrorCode::UnknownTopicOrPartition,
            Self::UnknownTopicId => ErrorCode::UnknownTopicId,
            Self::PolicyViolation(_) => ErrorCode::PolicyViolation,
            Self::StaleBrokerEpoch(_) => ErrorCode::StaleBrokerEpoch,
            Self::BrokerIdNotRegistered(_) => ErrorCode::BrokerIdNotRegistered,
            Self::DuplicateBrokerRegistration(_) => ErrorCode::DuplicateBrokerRegistration,
            Self::InconsistentClusterId { .. } => ErrorCode::InconsistentClusterId,
            Self::InvalidRegistration(_) => ErrorCode::InvalidRegistration,
            Self::UnsupportedVersion(_) => ErrorCode::UnsupportedVersion,
            Self::InvalidUpdateVersion(_) => ErrorCode::InvalidUpdateVersion,
            Self::TopicDeletionDisabled => ErrorCode::TopicDeletionDisabled,
            Self::PreferredLeaderNotAvailable => ErrorCode::PreferredLeaderNotAvailable,
            Self::EligibleLeadersNotAvailable => ErrorCode::EligibleLeadersNotAvailable,
            Self::ElectionNotNeeded => ErrorCode::ElectionNotNeeded,
            Self::ThrottlingQuotaExceeded => ErrorCode::ThrottlingQuotaExceeded,
            Self::DuplicateResource(_) => ErrorCode::DuplicateResource,
            Self::ResourceNotFound(_) => ErrorCode::ResourceNotFound,
            Self::UnacceptableCredential(_) => ErrorCode::UnacceptableCredential,
            Self::UnsupportedSaslMechanism(_) => ErrorCode::UnsupportedSaslMechanism,
            Self::NoReassignmentInProgress => ErrorCode::NoReassignmentInProgress,
            Self::ProducerIdsExhausted => ErrorCode::UnknownServerError,
        }
    }

    pub(crate) fn unknown_topic() -> Self {
        Self::UnknownTopicOrPartition(ErrorCode::UnknownTopicOrPartition.message().to_owned())
    }
}

/// Code and text of a result that may be an error.
pub(crate) fn code_and_message(result: &Result<(), ControllerError>) -> (i16, Option<String>) {
    match result {
        Ok(()) => (ErrorCode::None.code(), None),
        Err(error) => (error.code().code(), Some(error.to_string())),
    }
}
