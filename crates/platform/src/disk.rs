//! The seam to the disk: synchronous, positioned, without buffers of its own.
//! What was written is durable only after [`File::sync_data`]; a new name only after [`Disk::sync_dir`].

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it has to exist.
    Read,
    /// For reading and writing; it has to exist.
    Write,
    /// For reading and writing; made if missing.
    Create,
    /// For reading and writing; made if missing, emptied if not.
    Truncate,
}

/// What a directory holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Name without the directory.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_dir: bool,
}

/// What is known of a file without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Size in bytes.
    pub len: u64,
    /// Time of the last change, in epoch milliseconds.
    pub modified_ms: i64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What an unprivileged user may still write.
    pub usable: u64,
}

/// An open file. Reads and writes name their position, so that it may be shared.
pub trait File: Send + Sync + Debug {
    /// Size in bytes.
    /// # Errors
    /// The operating system's.
    fn len(&self) -> io::Result<u64>;

    /// Whether it holds nothing.
    /// # Errors
    /// As [`File::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads at `position` into `buffer`; fewer bytes than asked only at the end of the file.
    /// # Errors
    /// The operating system's.
    fn pread(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes all of `slices` one after the other at `position`, in one system call where the kernel takes it. Uses `slices` up.
    /// # Errors
    /// The operating system's; then any part may be written.
    fn pwrite(&self, slices: &mut [IoSlice<'_>], position: u64) -> io::Result<()>;

    /// Cuts the file off, or extends it by zeros.
    /// # Errors
    /// The operating system's.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Reserves room for `len` bytes without changing what the file holds, if the file system can.
    /// # Errors
    /// The operating system's, above all that there is no room.
    fn reserve(&self, len: u64) -> io::Result<()>;

    /// Returns when everything written before is durable.
    /// # Errors
    /// The operating system's; then none of it may be trusted to be.
    fn sync_data(&self) -> io::Result<()>;

    /// Sets the time of the last change, in epoch milliseconds.
    /// # Errors
    /// The operating system's.
    fn set_modified_ms(&self, modified_ms: i64) -> io::Result<()>;

    /// The descriptor, if there is one, for [`crate::sendfile`].
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

/// A lock on a directory, held until dropped.
pub trait DirLock: Send + Sync + Debug {}

/// A file system.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file.
    /// # Errors
    /// The operating system's.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Gives a file or directory another name, replacing a file that has it.
    /// # Errors
    /// The operating system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    /// # Errors
    /// The operating system's.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with all it holds, or a file.
    /// # Errors
    /// The operating system's.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory and those above it; succeeds if it is there.
    /// # Errors
    /// The operating system's.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// What a directory holds, in no order. Names that are no UTF-8 are left out: none of ours are.
    /// # Errors
    /// The operating system's.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Size and time of a file.
    /// # Errors
    /// The operating system's, `NotFound` among them.
    fn stat(&self, path: &Path) -> io::Result<FileStat>;

    /// Returns when names made, changed and removed in the directory are durable.
    /// # Errors
    /// The operating system's.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Returns when everything on the file system that holds `path` is durable: one call for many files.
    /// # Errors
    /// The operating system's.
    fn sync_all(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock that the file `path` stands for, making the file if need be.
    /// # Errors
    /// `WouldBlock` if another process, or this one, holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>>;

    /// Room on the file system that holds `path`.
    /// # Errors
    /// The operating system's.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Whether a file or directory is there. An error counts as no.
    fn exists(&self, path: &Path) -> bool {
        self.stat(path).is_ok()
    }

    /// All bytes of a file.
    /// # Errors
    /// The operating system's.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        let read = file.pread(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Replaces a file by way of `<path>.tmp` and a rename; durable on return, and after a crash either old or new.
    /// # Errors
    /// The operating system's.
    fn write_atomically(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = temporary(path);
        let file = self.open(&temporary, OpenMode::Truncate)?;
        file.pwrite(&mut [IoSlice::new(bytes)], 0)?;
        file.sync_data()?;
        self.rename(&temporary, path)?;
        match path.parent() {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }

    /// As [`Disk::write_atomically`], but not durable until the file system is synced.
    /// # Errors
    /// The operating system's.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = temporary(path);
        self.open(&temporary, OpenMode::Truncate)?.pwrite(&mut [IoSlice::new(bytes)], 0)?;
        self.rename(&temporary, path)
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}
