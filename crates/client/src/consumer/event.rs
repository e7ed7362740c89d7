//! What the tasks of a consumer report to it.

use super::assignment::OffsetAndMetadata;
use super::fetcher::Fetched;
use super::membership::{JoinFailure, Joined};
use crate::ClientError;
use crate::offsets::{ListedOffset, PerPartition};
use protocol::TopicPartition;

/// Partitions of a request with the versions of their positions.
pub(super) type Versions = Vec<(TopicPartition, u64)>;

/// Something that happened since the last `poll`.
#[derive(Debug)]
pub(super) enum Event {
    /// A fetch was answered.
    Fetched(Fetched),
    /// Metadata was fetched, or not.
    Metadata(Result<(), ClientError>),
    /// Committed offsets were fetched.
    Committed(Versions, Result<PerPartition<OffsetAndMetadata>, ClientError>),
    /// Offsets to start from were looked up.
    Listed(Versions, Result<PerPartition<ListedOffset>, ClientError>),
    /// An automatic commit ended.
    AutoCommitted(Result<PerPartition<()>, ClientError>),
    /// The attempt to join with this number ended.
    Joined(u64, Result<Joined, JoinFailure>),
    /// The group rebalances; it was in this generation.
    Rebalance(i32),
    /// The group took the membership in this generation away.
    Expelled(i32, ClientError),
}
