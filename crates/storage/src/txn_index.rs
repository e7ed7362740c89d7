//! The aborted transactions of a segment, which readers of committed records leave out (KIP-98).

use std::io::{self, IoSlice};

use platform::OpenMode;
use protocol::types::{Offset, ProducerId};

use crate::place::{FileKind, Place};

/// Size of an entry, in bytes: a version and four numbers.
const ENTRY_SIZE: usize = 34;
const VERSION: [u8; 2] = [0, 0];

/// A transaction whose records are to be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its abort marker.
    pub last_offset: Offset,
    /// The last stable offset when the marker was written.
    pub last_stable_offset: Offset,
}

impl AbortedTxn {
    pub(crate) fn encode(&self) -> [u8; ENTRY_SIZE] {
        let mut bytes = [0; ENTRY_SIZE];
        bytes[..2].copy_from_slice(&VERSION);
        bytes[2..10].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[10..18].copy_from_slice(&self.first_offset.to_be_bytes());
        bytes[18..26].copy_from_slice(&self.last_offset.to_be_bytes());
        bytes[26..].copy_from_slice(&self.last_stable_offset.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            i64::from_be_bytes(number)
        };
        Self {
            producer_id: number(2),
            first_offset: number(10),
            last_offset: number(18),
            last_stable_offset: number(26),
        }
    }
}

/// Reads the entries of a segment; most have no such file.
pub(crate) fn read(place: &Place, base_offset: Offset) -> io::Result<Vec<AbortedTxn>> {
    match place.disk.read(&place.path(FileKind::TxnIndex, base_offset)) {
        Ok(bytes) => Ok(bytes.chunks_exact(ENTRY_SIZE).map(AbortedTxn::decode).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes the entry that becomes number `at` of its file.
pub(crate) fn append(place: &Place, base_offset: Offset, at: usize, txn: &AbortedTxn) -> io::Result<()> {
    let file = place.open(FileKind::TxnIndex, base_offset, OpenMode::Create)?;
    file.pwrite(&mut [IoSlice::new(&txn.encode())], (at * ENTRY_SIZE) as u64)
}

/// Cuts the file down to its first `len` entries, or removes it if that is none.
pub(crate) fn truncate(place: &Place, base_offset: Offset, len: usize) -> io::Result<()> {
    if len == 0 {
        return place.remove_if_there(FileKind::TxnIndex, base_offset);
    }
    place.open(FileKind::TxnIndex, base_offset, OpenMode::Write)?.truncate((len * ENTRY_SIZE) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let txn = AbortedTxn { producer_id: 1, first_offset: 2, last_offset: 3, last_stable_offset: 4 };
        let bytes = txn.encode();
        assert_eq!((AbortedTxn::decode(&bytes), bytes[1], bytes[9], bytes[33]), (txn, 0, 1, 4));
    }
}
