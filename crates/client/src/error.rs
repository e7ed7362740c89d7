//! What can go wrong between this client and a cluster, with Kafka's error code for each cause.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use protocol::{ApiKey, DecodeError, EncodeError, ErrorCode};

/// Why an operation of the client failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// No connection could be made.
    #[error("connection to {address} could not be established: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The connection broke, or was closed, before the response came.
    #[error("disconnected from {address}")]
    Disconnected {
        /// Host and port.
        address: String,
    },
    /// No answer in time.
    #[error("{what} timed out after {} ms", .after.as_millis())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// More requests wait on a connection than it takes.
    #[error("{0} requests are in flight already")]
    TooManyInFlight(usize),
    /// The broker and this client have no version of the API in common.
    #[error("the broker at {address} does not support {} in versions {ours_min} to {ours_max}", .api.name())]
    UnsupportedVersion {
        /// Host and port.
        address: String,
        /// The API.
        api: ApiKey,
        /// Oldest version wanted.
        ours_min: i16,
        /// Newest version wanted.
        ours_max: i16,
    },
    /// The request cannot be written in the version that the broker speaks.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The response is malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A frame longer than any response, or one that answers no request.
    #[error("invalid response from {address}: {reason}")]
    InvalidResponse {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The broker answered with an error.
    #[error("{}", broker_text(*code, message.as_deref()))]
    Broker {
        /// Kafka's code.
        code: ErrorCode,
        /// What the broker said about it.
        message: Option<String>,
    },
    /// The cluster has no such broker, as far as is known.
    #[error("node {0} is not known")]
    UnknownNode(i32),
    /// A setting has a value that it cannot have.
    #[error("Invalid value {value} for configuration {name}: {reason}")]
    InvalidConfig {
        /// Kafka's name of the setting.
        name: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An argument that cannot be right, or a call in a state that does not allow it.
    #[error("{0}")]
    InvalidArgument(&'static str),
    /// Records cannot be encoded or decoded.
    #[error(transparent)]
    Records(#[from] protocol::record::BatchError),
    /// The record is larger than a setting allows.
    #[error(
        "The message is {size} bytes when serialized which is larger than {limit}, which is the value of the {setting} configuration."
    )]
    RecordTooLarge {
        /// Size of the record, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
        /// Kafka's name of the setting.
        setting: &'static str,
    },
    /// The producer or consumer was closed.
    #[error("already closed")]
    Closed,
}

fn broker_text(code: ErrorCode, message: Option<&str>) -> String {
    message.map_or_else(|| code.name().to_owned(), |message| format!("{code}: {message}"))
}

impl ClientError {
    /// The broker's error `code` without a message of its own.
    #[must_use]
    pub fn broker(code: ErrorCode) -> Self {
        Self::Broker { code, message: None }
    }

    /// `Ok` for 0, else the broker's error.
    /// # Errors
    /// [`ClientError::Broker`] if `code` is not 0.
    pub fn check(code: i16, message: Option<&str>) -> Result<(), Self> {
        if code == 0 {
            return Ok(());
        }
        Err(Self::Broker { code: ErrorCode::from_code(code), message: message.map(str::to_owned) })
    }

    /// Kafka's code for it.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Broker { code, .. } => *code,
            Self::Connect { .. } | Self::Disconnected { .. } => ErrorCode::NetworkException,
            Self::Timeout { .. } => ErrorCode::RequestTimedOut,
            Self::UnsupportedVersion { .. } | Self::Encode(_) => ErrorCode::UnsupportedVersion,
            Self::UnknownNode(_) => ErrorCode::BrokerNotAvailable,
            Self::InvalidConfig { .. } => ErrorCode::InvalidConfig,
            Self::InvalidArgument(_) | Self::TooManyInFlight(_) => ErrorCode::InvalidRequest,
            Self::Records(_) => ErrorCode::CorruptMessage,
            Self::RecordTooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::Decode(_) | Self::InvalidResponse { .. } | Self::Closed => ErrorCode::UnknownServerError,
        }
    }

    /// Whether the same request may succeed later or at another broker.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.code().is_retriable() || matches!(self, Self::UnknownNode(_))
    }
}
