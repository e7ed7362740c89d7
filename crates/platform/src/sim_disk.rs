//! A disk in memory that forgets, tears and reorders what was not synced when it crashes, from a seed.
//! Contents: each unsynced write is lost, kept or torn by sector, independent of the others. Names: a journal, of which a
//! crash keeps a prefix that contains all up to the last [`Disk::sync_dir`], as journaling file systems do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Random;
use crate::disk::{DirEntry, DirLock, Disk, File, FileStat, OpenMode, Space};

/// What a disk writes as a whole or not at all, in bytes.
const SECTOR: usize = 512;

/// How a disk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not at all.
    None,
    /// No room for more: writes fail, reads and syncs work.
    Full,
    /// Every change fails; reads work.
    ReadOnly,
    /// Every change and every sync fails with an I/O error; reads work.
    Broken,
}

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    random: Random,
    names: Names,
    durable_names: Names,
    journal: Vec<NameChange>,
    contents: HashMap<u64, Contents>,
    next_id: u64,
    /// Counts crashes: what was open before one is no longer.
    generation: u64,
    fault: Fault,
    changes: u64,
    changes_left: Option<u64>,
    locks: BTreeSet<PathBuf>,
    now_ms: i64,
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Dir,
    File(u64),
}

#[derive(Debug, Clone)]
enum NameChange {
    Add(PathBuf, Node),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Debug, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    modified_ms: i64,
}

#[derive(Debug, Clone)]
enum Change {
    Write { position: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl SimDisk {
    /// An empty disk whose crashes follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let root = Names::from([(PathBuf::from("/"), Node::Dir)]);
        let state = State {
            random: Random::new(seed),
            names: root.clone(),
            durable_names: root,
            journal: Vec::new(),
            contents: HashMap::new(),
            next_id: 0,
            generation: 0,
            fault: Fault::None,
            changes: 0,
            changes_left: None,
            locks: BTreeSet::new(),
            now_ms: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Makes the disk refuse from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// Time that files changed from now on are given.
    pub fn set_time_ms(&self, now_ms: i64) {
        self.state().now_ms = now_ms;
    }

    /// Changes and syncs asked for so far, the refused ones included.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Lets the machine stop after `changes` more changes and syncs: all later ones fail. [`SimDisk::crash`] follows.
    pub fn stop_after(&self, changes: u64) {
        self.state().changes_left = Some(changes);
    }

    /// Loses power: what was not synced survives in part, open files and locks do not. Then the disk works again.
    pub fn crash(&self) {
        let mut state = self.state();
        let state = &mut *state;
        state.generation += 1;
        state.changes_left = None;
        state.locks.clear();
        let kept = state.random.below(state.journal.len() as u64 + 1);
        let journal = std::mem::take(&mut state.journal);
        for change in journal.into_iter().take(usize::try_from(kept).unwrap_or(usize::MAX)) {
            change.apply(&mut state.durable_names);
        }
        state.names = state.durable_names.clone();
        let mut ids: Vec<u64> = state.contents.keys().copied().collect();
        // The map's order is not the seed's.
        ids.sort_unstable();
        for id in ids {
            if let Some(contents) = state.contents.get_mut(&id) {
                contents.crash(&mut state.random);
            }
        }
    }

    /// Flips one bit, as a disk that rots does.
    /// # Errors
    /// `NotFound`.
    pub fn flip_bit(&self, path: &Path, position: usize, bit: u8) -> io::Result<()> {
        let mut state = self.state();
        let id = state.file(path)?;
        let contents = state.contents.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        for bytes in [&mut contents.now, &mut contents.durable] {
            if let Some(byte) = bytes.get_mut(position) {
                *byte ^= 1 << (bit & 7);
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NameChange {
    fn apply(self, names: &mut Names) {
        match self {
            Self::Add(path, node) => {
                names.insert(path, node);
            }
            Self::Remove(path) => names.retain(|name, _| !name.starts_with(&path)),
            Self::Rename(from, to) => {
                let moved: Vec<PathBuf> = names.keys().filter(|name| name.starts_with(&from)).cloned().collect();
                for name in moved {
                    let Some(node) = names.remove(&name) else { continue };
                    let rest = name.strip_prefix(&from).unwrap_or(Path::new(""));
                    let renamed = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    names.insert(renamed, node);
                }
            }
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { position, bytes: written } => {
                let end = position + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*position..end].copy_from_slice(written);
            }
            Self::Truncate(len) => bytes.resize(*len, 0),
        }
    }

    /// The sectors of a write that made it to the disk.
    fn torn(&self, random: &mut Random) -> Vec<Self> {
        let Self::Write { position, bytes } = self else { return vec![self.clone()] };
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let len = (SECTOR - (position + at) % SECTOR).min(bytes.len() - at);
            if random.one_in(2) {
                pieces.push(Self::Write { position: position + at, bytes: bytes[at..at + len].to_vec() });
            }
            at += len;
        }
        pieces
    }
}

impl Contents {
    fn change(&mut self, change: Change, now_ms: i64) {
        change.apply(&mut self.now);
        self.pending.push(change);
        self.modified_ms = now_ms;
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.now);
        self.pending.clear();
    }

    fn crash(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.pending) {
            match random.below(3) {
                0 => {}
                1 => change.apply(&mut self.durable),
                _ => change.torn(random).iter().for_each(|piece| piece.apply(&mut self.durable)),
            }
        }
        self.now.clone_from(&self.durable);
    }
}

impl State {
    /// Whether one more change, or sync, may happen.
    fn admit(&mut self, sync: bool) -> io::Result<()> {
        self.changes += 1;
        if let Some(left) = &mut self.changes_left {
            *left = left.checked_sub(1).ok_or_else(stopped)?;
        }
        match self.fault {
            Fault::None => Ok(()),
            Fault::Full if sync => Ok(()),
            Fault::Full => Err(io::ErrorKind::StorageFull.into()),
            Fault::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Fault::Broken => Err(io::Error::other("simulated I/O error")),
        }
    }

    fn rename_or_edit(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.journal.push(change);
    }

    fn file(&self, path: &Path) -> io::Result<u64> {
        match self.names.get(path) {
            Some(Node::File(id)) => Ok(*id),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn require_dir(&self, path: &Path) -> io::Result<()> {
        match self.names.get(path) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn make_file(&mut self, path: &Path) -> io::Result<u64> {
        self.require_dir(path.parent().unwrap_or(Path::new("/")))?;
        self.admit(false)?;
        self.next_id += 1;
        let id = self.next_id;
        self.contents.insert(id, Contents { modified_ms: self.now_ms, ..Contents::default() });
        self.rename_or_edit(NameChange::Add(path.to_owned(), Node::File(id)));
        Ok(id)
    }
}

fn stopped() -> io::Error {
    io::Error::other("simulated machine has stopped")
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: u64,
    generation: u64,
    writable: bool,
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.generation != self.generation {
            return Err(stopped());
        }
        act(&mut state, self.id)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        self.with(|state, id| {
            if !self.writable {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            state.admit(false)?;
            let now_ms = state.now_ms;
            state.contents.entry(id).or_default().change(change, now_ms);
            Ok(())
        })
    }
}

fn index(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|state, id| Ok(state.contents.entry(id).or_default().now.len() as u64))
    }

    fn pread(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let from = index(position)?;
        self.with(|state, id| {
            let bytes = &state.contents.entry(id).or_default().now;
            let rest = bytes.get(from..).unwrap_or_default();
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        })
    }

    fn pwrite(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.change(Change::Write { position: index(position)?, bytes })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.change(Change::Truncate(index(len)?))
    }

    fn reserve(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state, id| {
            state.admit(true)?;
            state.contents.entry(id).or_default().sync();
            Ok(())
        })
    }

    fn set_modified_ms(&self, modified_ms: i64) -> io::Result<()> {
        self.with(|state, id| {
            state.admit(false)?;
            state.contents.entry(id).or_default().modified_ms = modified_ms;
            Ok(())
        })
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    generation: u64,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.generation == self.generation {
            state.locks.remove(&self.path);
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        let id = match (state.file(path), mode) {
            (Ok(id), OpenMode::Truncate) => {
                state.admit(false)?;
                let now_ms = state.now_ms;
                state.contents.entry(id).or_default().change(Change::Truncate(0), now_ms);
                id
            }
            (Ok(id), _) => id,
            (Err(error), OpenMode::Create | OpenMode::Truncate) if error.kind() == io::ErrorKind::NotFound => {
                state.make_file(path)?
            }
            (Err(error), _) => return Err(error),
        };
        let generation = state.generation;
        Ok(Arc::new(SimFile { disk: self.clone(), id, generation, writable: mode != OpenMode::Read }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.admit(false)?;
        state.rename_or_edit(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.file(path)?;
        state.admit(false)?;
        state.rename_or_edit(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.admit(false)?;
        state.rename_or_edit(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let mut missing: Vec<&Path> = path.ancestors().take_while(|dir| !state.names.contains_key(*dir)).collect();
        while let Some(dir) = missing.pop() {
            state.admit(false)?;
            state.rename_or_edit(NameChange::Add(dir.to_owned(), Node::Dir));
        }
        state.require_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.state();
        state.require_dir(path)?;
        let children = state.names.iter().filter(|(name, _)| name.parent() == Some(path));
        let entries = children.filter_map(|(name, node)| {
            let name = name.file_name()?.to_str()?.to_owned();
            Some(DirEntry { name, is_dir: *node == Node::Dir })
        });
        Ok(entries.collect())
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let state = self.state();
        match state.names.get(path) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(Node::Dir) => Ok(FileStat { len: 0, modified_ms: 0, is_dir: true }),
            Some(Node::File(id)) => {
                let contents = state.contents.get(id).ok_or(io::ErrorKind::NotFound)?;
                Ok(FileStat { len: contents.now.len() as u64, modified_ms: contents.modified_ms, is_dir: false })
            }
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.require_dir(path)?;
        state.admit(true)?;
        for change in std::mem::take(&mut state.journal) {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        self.sync_dir(path)?;
        let mut state = self.state();
        state.contents.values_mut().for_each(Contents::sync);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        let mut state = self.state();
        if state.file(path).is_err() {
            state.make_file(path)?;
        }
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let generation = state.generation;
        drop(state);
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned(), generation }))
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        Ok(Space { total: u64::MAX, usable: u64::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(disk: &SimDisk, path: &Path, bytes: &[u8], position: u64) -> Arc<dyn File> {
        let file = disk.open(path, OpenMode::Create).unwrap();
        file.pwrite(&mut [IoSlice::new(bytes)], position).unwrap();
        file
    }

    #[test]
    fn synced_bytes_survive_and_others_may_not() {
        let mut outcomes = BTreeSet::new();
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            let path = Path::new("/file");
            let file = write(&disk, path, b"synced", 0);
            file.sync_data().unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            write(&disk, path, b"+", 6);
            write(&disk, path, b"!", 7);
            disk.crash();
            assert!(file.len().is_err(), "handles end with the crash");
            let bytes = disk.read(path).unwrap();
            assert!(bytes.starts_with(b"synced"));
            outcomes.insert(bytes);
        }
        let lost_first: &[u8] = b"synced\0!";
        assert!(outcomes.contains(lost_first) && outcomes.len() == 4);
    }

    #[test]
    fn a_replaced_file_is_old_or_new_after_a_crash() {
        for seed in 0..100 {
            let disk = SimDisk::new(seed);
            let path = Path::new("/dir/checkpoint");
            disk.create_dir(Path::new("/dir")).unwrap();
            disk.write_atomically(path, b"old").unwrap();
            disk.stop_after(seed % 6);
            let done = disk.write_atomically(path, b"newer").is_ok();
            disk.crash();
            let bytes = disk.read(path).unwrap();
            assert!(bytes == b"newer" || (bytes == b"old" && !done), "{bytes:?}");
        }
    }

    #[test]
    fn a_faulty_disk_is_still_read() {
        let disk = SimDisk::new(1);
        let file = write(&disk, Path::new("/file"), b"abc", 0);
        for (fault, kind) in [
            (Fault::Full, io::ErrorKind::StorageFull),
            (Fault::ReadOnly, io::ErrorKind::ReadOnlyFilesystem),
            (Fault::Broken, io::ErrorKind::Other),
        ] {
            disk.set_fault(fault);
            assert_eq!(file.pwrite(&mut [IoSlice::new(b"x")], 0).unwrap_err().kind(), kind);
            assert_eq!(disk.read(Path::new("/file")).unwrap(), b"abc");
        }
    }

    #[test]
    fn directories_move_with_what_they_hold() {
        let disk = SimDisk::new(1);
        disk.create_dir(Path::new("/data/a-0")).unwrap();
        write(&disk, Path::new("/data/a-0/log"), b"abc", 0);
        disk.rename(Path::new("/data/a-0"), Path::new("/data/a-0.x-delete")).unwrap();
        assert_eq!(disk.read(Path::new("/data/a-0.x-delete/log")).unwrap(), b"abc");
        assert!(!disk.exists(Path::new("/data/a-0")));
        disk.remove_dir_all(Path::new("/data/a-0.x-delete")).unwrap();
        assert!(disk.list(Path::new("/data")).unwrap().is_empty());
    }
}
