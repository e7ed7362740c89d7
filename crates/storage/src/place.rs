//! Where a log lies, and the names of its files (`LogFileUtils`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use platform::{Disk, File, OpenMode};
use protocol::types::Offset;

/// A log's files, by what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Log,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    Snapshot,
}

impl FileKind {
    /// What belongs to a segment; the snapshot at its base offset goes with it.
    pub(crate) const ALL: [Self; 5] = [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TxnIndex, Self::Snapshot];

    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
        }
    }

    pub(crate) fn file_name(self, offset: Offset) -> String {
        format!("{offset:020}{}", self.suffix())
    }

    /// The kind and the offset that a file name says.
    pub(crate) fn parse(name: &str) -> Option<(Self, Offset)> {
        let (digits, suffix) = name.split_at_checked(20)?;
        let kind = Self::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        Some((kind, digits.parse().ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_digit()))?))
    }
}

/// Suffix of files that wait for their removal.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";
/// Suffix of what a compaction was writing.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// Suffix of what a compaction had written and was moving into place.
pub(crate) const SWAP_SUFFIX: &str = ".swap";

/// The directory of one log. Segments and views share it, so that they find their files after the directory moved.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) disk: Arc<dyn Disk>,
    dir: RwLock<PathBuf>,
}

impl Place {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self { disk, dir: RwLock::new(dir) }
    }

    pub(crate) fn path(&self, kind: FileKind, offset: Offset) -> PathBuf {
        self.dir.read().join(kind.file_name(offset))
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.read().clone()
    }

    pub(crate) fn open(&self, kind: FileKind, offset: Offset, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.disk.open(&self.path(kind, offset), mode)
    }

    pub(crate) fn remove_if_there(&self, kind: FileKind, offset: Offset) -> io::Result<()> {
        ignore_missing(self.disk.remove_file(&self.path(kind, offset)))
    }

    pub(crate) fn move_to(&self, to: &Path) -> io::Result<()> {
        let mut dir = self.dir.write();
        self.disk.rename(&dir, to)?;
        to.clone_into(&mut dir);
        Ok(())
    }
}

/// Takes a missing file for a removed one.
pub(crate) fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_kafkas() {
        assert_eq!(FileKind::TimeIndex.file_name(1234), "00000000000000001234.timeindex");
        assert_eq!(FileKind::parse("00000000000000001234.timeindex"), Some((FileKind::TimeIndex, 1234)));
        for other in ["0000000000000000123.log", "-0000000000000001234.log", "leader-epoch-checkpoint", "x.log"] {
            assert_eq!(FileKind::parse(other), None);
        }
    }
}
