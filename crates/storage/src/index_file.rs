//! What the offset index and the time index have in common: entries of one size, in order, that only grow at the end.
//! The index of the active segment is in memory and written when its segment is sealed, flushed or closed; the index of
//! a sealed segment stays in its file and is searched there, so that it costs no memory.

use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::sync::Arc;

use platform::{File, OpenMode};
use protocol::types::Offset;

use crate::place::{FileKind, Place};

/// An entry of an index.
pub(crate) trait Entry: Copy {
    /// Size in the file, in bytes.
    const SIZE: usize;
    /// Which file it is in.
    const KIND: FileKind;
    /// Reads one from `SIZE` bytes.
    fn decode(bytes: &[u8]) -> Self;
    /// Appends its bytes.
    fn encode(&self, out: &mut Vec<u8>);
}

/// The largest entry that one search reads.
const MAX_ENTRY: usize = 16;

/// Entries of a [`Block`].
const BLOCK_ENTRIES: u64 = 512;

/// An index in memory, of which a part is in its file.
#[derive(Debug)]
pub(crate) struct MemoryIndex<E> {
    entries: Vec<E>,
    /// Entries that the file has; what it has after them is garbage.
    written: usize,
    /// Whether the file may be longer than what was written.
    ragged: bool,
}

impl<E: Entry> MemoryIndex<E> {
    /// An index that replaces whatever the file holds.
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), written: 0, ragged: true }
    }

    pub(crate) fn load(place: &Place, base_offset: Offset) -> io::Result<Self> {
        let entries: Vec<E> = match open(place, base_offset)? {
            Some(index) => index.read_all()?,
            None => Vec::new(),
        };
        Ok(Self { written: entries.len(), entries, ragged: true })
    }

    pub(crate) fn entries(&self) -> &[E] {
        &self.entries
    }

    pub(crate) fn push(&mut self, entry: E) {
        self.entries.push(entry);
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.entries.truncate(len);
        self.written = self.written.min(len);
        self.ragged = true;
    }

    /// Brings the file up to date, without syncing it; it exists afterwards. Whether it had to be.
    pub(crate) fn write(&mut self, place: &Place, base_offset: Offset) -> io::Result<bool> {
        if self.written == self.entries.len() && !self.ragged {
            return Ok(false);
        }
        let mut bytes = Vec::with_capacity((self.entries.len() - self.written) * E::SIZE);
        for entry in &self.entries[self.written..] {
            entry.encode(&mut bytes);
        }
        let file = place.open(E::KIND, base_offset, OpenMode::Create)?;
        if self.ragged && file.len()? != (self.written * E::SIZE) as u64 {
            file.truncate((self.written * E::SIZE) as u64)?;
        }
        if !bytes.is_empty() {
            file.pwrite(&mut [IoSlice::new(&bytes)], (self.written * E::SIZE) as u64)?;
        }
        self.written = self.entries.len();
        self.ragged = false;
        Ok(true)
    }
}

/// The index of a sealed segment, or nothing if it has none.
pub(crate) fn open<E: Entry>(place: &Place, base_offset: Offset) -> io::Result<Option<FileIndex<E>>> {
    let file = match place.open(E::KIND, base_offset, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.len()? / E::SIZE as u64;
    Ok(Some(FileIndex { file, len, entries: PhantomData }))
}

/// An index in its file.
pub(crate) struct FileIndex<E> {
    file: Arc<dyn File>,
    /// Number of entries.
    len: u64,
    entries: PhantomData<E>,
}

impl<E: Entry> FileIndex<E> {
    fn get(&self, at: u64) -> io::Result<E> {
        let mut bytes = [0; MAX_ENTRY];
        let read = self.file.pread(&mut bytes[..E::SIZE], at * E::SIZE as u64)?;
        if read < E::SIZE {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(E::decode(&bytes[..E::SIZE]))
    }

    /// The last entry for which `below` holds; it has to hold for a prefix of them.
    pub(crate) fn last_where(&self, below: impl Fn(&E) -> bool) -> io::Result<Option<E>> {
        let (mut low, mut high) = (0, self.len);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.get(middle)?;
            if below(&entry) {
                found = Some(entry);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(found)
    }

    /// The block with the last entry for which `below` holds; it has to hold for a prefix of them. `before` is the block that
    /// the last search found: who reads a segment from its start to its end needs the one after it next.
    pub(crate) fn block_where(&self, below: impl Fn(&E) -> bool, before: Option<u64>) -> io::Result<Block<E>> {
        if let Some(next) = before.map(|at| at + 1).filter(|next| next * BLOCK_ENTRIES < self.len) {
            let block = self.block(next)?;
            if block.covers(&below) {
                return Ok(block);
            }
        }
        let (mut low, mut high) = (0, self.len.div_ceil(BLOCK_ENTRIES));
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if below(&self.get(middle * BLOCK_ENTRIES)?) {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.block(low)
    }

    fn block(&self, at: u64) -> io::Result<Block<E>> {
        let first = at * BLOCK_ENTRIES;
        // One more tells where the block ends.
        let count = usize::try_from((self.len - first).min(BLOCK_ENTRIES + 1)).unwrap_or(0);
        let mut bytes = vec![0; count * E::SIZE];
        let read = self.file.pread(&mut bytes, first * E::SIZE as u64)?;
        Ok(Block { at, entries: bytes[..read].chunks_exact(E::SIZE).map(E::decode).collect() })
    }

    pub(crate) fn last(&self) -> io::Result<Option<E>> {
        match self.len {
            0 => Ok(None),
            len => self.get(len - 1).map(Some),
        }
    }

    fn read_all(&self) -> io::Result<Vec<E>> {
        let len = usize::try_from(self.len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len * E::SIZE];
        let read = self.file.pread(&mut bytes, 0)?;
        Ok(bytes[..read].chunks_exact(E::SIZE).map(E::decode).collect())
    }
}

/// A part of an index that was read from its file.
#[derive(Debug)]
pub(crate) struct Block<E> {
    /// Its number.
    pub(crate) at: u64,
    /// Its entries, and the first one after them if there is one.
    entries: Vec<E>,
}

impl<E: Entry> Block<E> {
    /// Whether the last entry for which `below` holds is in it, or there is none.
    pub(crate) fn covers(&self, below: impl Fn(&E) -> bool) -> bool {
        let starts_below = self.at == 0 || self.entries.first().is_some_and(&below);
        let after = self.entries.get(BLOCK_ENTRIES as usize);
        starts_below && after.is_none_or(|after| !below(after))
    }

    /// The last entry for which `below` holds.
    pub(crate) fn last_where(&self, below: impl Fn(&E) -> bool) -> Option<E> {
        self.entries[..self.entries.partition_point(below)].last().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use platform::SimDisk;

    use super::*;
    use crate::offset_index::OffsetEntry;

    #[test]
    fn a_block_is_found_for_every_entry() {
        for len in [0, 1, 511, 512, 513, 1024, 1025, 5000] {
            let place = Place::new(Arc::new(SimDisk::new(1)), PathBuf::from("/"));
            let mut index = MemoryIndex::new();
            (0..len).for_each(|at| index.push(OffsetEntry { relative_offset: at * 10 + 5, position: at }));
            index.write(&place, 0).unwrap();
            let file = open::<OffsetEntry>(&place, 0).unwrap().unwrap();
            let mut before = None;
            for wanted in (0..len * 10 + 20).step_by(37).chain((0..len * 10).rev().step_by(1111)) {
                let below = |entry: &OffsetEntry| entry.relative_offset <= wanted;
                let block = file.block_where(below, before).unwrap();
                assert!(block.covers(below), "{wanted} of {len}");
                assert_eq!(block.last_where(below), file.last_where(below).unwrap(), "{wanted} of {len}");
                before = Some(block.at);
            }
        }
    }

    #[test]
    fn what_is_written_is_found_in_memory_and_in_the_file() {
        let place = Place::new(Arc::new(SimDisk::new(1)), PathBuf::from("/"));
        let mut index = MemoryIndex::new();
        for at in 0..100 {
            index.push(OffsetEntry { relative_offset: at * 10, position: at * 1000 });
            if at % 7 == 0 {
                index.write(&place, 5).unwrap();
            }
        }
        index.truncate(60);
        index.write(&place, 5).unwrap();
        let file = open::<OffsetEntry>(&place, 5).unwrap().unwrap();
        assert_eq!(file.last_where(|entry| entry.relative_offset <= 255).unwrap().unwrap().position, 25_000);
        assert_eq!(file.last().unwrap().unwrap().relative_offset, 590);
        assert_eq!(MemoryIndex::<OffsetEntry>::load(&place, 5).unwrap().entries(), index.entries());
        assert!(open::<OffsetEntry>(&place, 6).unwrap().is_none());
    }
}
