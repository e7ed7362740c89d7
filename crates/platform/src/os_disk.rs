//! The machine's file system.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{FallocateFlags, FlockOperation};

use crate::disk::{DirEntry, DirLock, Disk, File, FileStat, OpenMode, Space};

/// Slices that one `pwritev` takes (`IOV_MAX` of Linux).
const MAX_SLICES: usize = 1024;

/// Bytes of a file that are read before asking for its size.
const SMALL_FILE: usize = 1024;

/// The machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl OsDisk {
    /// The machine's file system.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

#[derive(Debug)]
struct OsFile(fs::File);

/// Locked by `flock`: the kernel lets go when the process ends, however it does.
#[derive(Debug)]
struct OsLock(#[allow(dead_code, reason = "holds the lock while it is open")] fs::File);

impl DirLock for OsLock {}

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn pread(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match rustix::io::pread(&self.0, &mut buffer[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    fn pwrite(&self, mut slices: &mut [IoSlice<'_>], mut position: u64) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let count = slices.len().min(MAX_SLICES);
            match rustix::io::pwritev(&self.0, &slices[..count], position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut slices, written);
                    position += written as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        Ok(rustix::fs::ftruncate(&self.0, len)?)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::KEEP_SIZE, 0, len) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn set_modified_ms(&self, modified_ms: i64) -> io::Result<()> {
        let since = Duration::from_millis(u64::try_from(modified_ms).unwrap_or(0));
        self.0.set_modified(SystemTime::UNIX_EPOCH + since)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

impl Disk for OsDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::Create => options.write(true).create(true).truncate(false),
            OpenMode::Truncate => options.write(true).create(true).truncate(true),
        };
        Ok(Arc::new(OsFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => fs::remove_file(path),
            removed => removed,
        }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        // The usual case, a partition's directory in its log directory, costs one call.
        match fs::create_dir(path) {
            Ok(()) => Ok(()),
            Err(_) => fs::create_dir_all(path),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, is_dir });
            }
        }
        Ok(entries)
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let metadata = fs::metadata(path)?;
        let modified = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH);
        let modified_ms = modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Ok(FileStat { len: metadata.len(), modified_ms, is_dir: metadata.is_dir() })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(fs::File::open(path)?)?)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(OsLock(file)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        use std::io::Read;
        // Most of what is read as a whole is small: one call gets it, where asking for its size first takes two.
        let mut file = fs::File::open(path)?;
        let mut start = [0; SMALL_FILE];
        let mut filled = 0;
        loop {
            match file.read(&mut start[filled..])? {
                0 => return Ok(start[..filled].to_vec()),
                read => filled += read,
            }
            if filled == SMALL_FILE {
                break;
            }
        }
        let mut bytes = start.to_vec();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space { total: stat.f_blocks * stat.f_frsize, usable: stat.f_bavail * stat.f_frsize })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::Random;

    fn directory() -> PathBuf {
        let path = std::env::temp_dir().join(format!("ottla-platform-{:016x}", Random::from_os().next_u64()));
        OsDisk.create_dir(&path).unwrap();
        path
    }

    #[test]
    fn gathered_writes_land_in_order_and_lists_name_them() {
        let dir = directory();
        let file = OsDisk.open(&dir.join("a"), OpenMode::Create).unwrap();
        let pieces: Vec<Vec<u8>> = (0..3000u32).map(|at| at.to_be_bytes().to_vec()).collect();
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        file.pwrite(&mut slices, 2).unwrap();
        assert_eq!(file.len().unwrap(), 12002);
        let mut tail = [0; 8];
        assert_eq!(file.pread(&mut tail, 11998).unwrap(), 4);
        assert_eq!(tail[..4], 2999u32.to_be_bytes());
        assert_eq!(OsDisk.list(&dir).unwrap(), [DirEntry { name: "a".to_owned(), is_dir: false }]);
        OsDisk.remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_directory_is_locked_once() {
        let dir = directory();
        let held = OsDisk.lock(&dir.join(".lock")).unwrap();
        assert_eq!(OsDisk.lock(&dir.join(".lock")).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        assert!(OsDisk.lock(&dir.join(".lock")).is_ok());
        OsDisk.remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn files_are_replaced_as_a_whole() {
        let dir = directory();
        let path = dir.join("checkpoint");
        OsDisk.write_atomically(&path, b"long first").unwrap();
        OsDisk.write_atomically(&path, b"next").unwrap();
        assert_eq!(OsDisk.read(&path).unwrap(), b"next");
        assert!(OsDisk.space(&dir).unwrap().total > 0);
        OsDisk.remove_dir_all(&dir).unwrap();
    }
}
