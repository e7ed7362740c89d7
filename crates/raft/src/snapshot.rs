//! Names of snapshots: the end of the log they replace (`org.apache.kafka.raft.OffsetAndEpoch`, `Snapshots`).

use std::fmt;
use std::str::FromStr;

use protocol::types::{LeaderEpoch, Offset};

/// Suffix of a finished snapshot's file.
pub const SUFFIX: &str = ".checkpoint";

/// A snapshot holds all that the log said below `end_offset`, whose last record was written in `epoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// First offset that the snapshot does not cover.
    pub end_offset: Offset,
    /// Epoch of the last record that it covers.
    pub epoch: LeaderEpoch,
}

impl SnapshotId {
    /// The snapshot that a format step writes (`Snapshots.BOOTSTRAP_SNAPSHOT_ID`).
    pub const BOOTSTRAP: Self = Self { end_offset: 0, epoch: 0 };

    /// The name of its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{self}{SUFFIX}")
    }

    /// The snapshot of a file name; `None` for any other file.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        name.strip_suffix(SUFFIX)?.parse().ok()
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:010}", self.end_offset, self.epoch)
    }
}

/// Text that names no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no snapshot")]
pub struct ParseSnapshotIdError(String);

impl FromStr for SnapshotId {
    type Err = ParseSnapshotIdError;

    fn from_str(text: &str) -> Result<Self, ParseSnapshotIdError> {
        let bad = || ParseSnapshotIdError(text.to_owned());
        let (offset, epoch) = text.split_once('-').ok_or_else(bad)?;
        if offset.len() != 20 || epoch.len() != 10 {
            return Err(bad());
        }
        let end_offset = offset.parse().map_err(|_| bad())?;
        let epoch = epoch.parse().map_err(|_| bad())?;
        Ok(Self { end_offset, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_named_as_kafka_names_it() {
        let id = SnapshotId { end_offset: 1234, epoch: 5 };
        assert_eq!(id.file_name(), "00000000000000001234-0000000005.checkpoint");
        assert_eq!(SnapshotId::from_file_name(&id.file_name()), Some(id));
        assert_eq!(SnapshotId::from_file_name("bootstrap.checkpoint"), None);
    }
}
