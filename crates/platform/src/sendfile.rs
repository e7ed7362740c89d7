//! From files and buffers to a socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::io::ReadWriteFlags;
use rustix::net::{SendAncillaryBuffer, SendFlags};

use crate::disk::File;

/// Bytes copied at a time from a file that has no descriptor.
const COPY_BYTES: usize = 64 << 10;

/// Sends up to `len` bytes of `file` from `position` and returns how many the socket took; 0 at the end of the file.
/// # Errors
/// The operating system's, `WouldBlock` if the socket takes nothing now.
pub fn send(file: &dyn File, position: u64, len: usize, socket: BorrowedFd<'_>) -> io::Result<usize> {
    let Some(fd) = file.fd() else { return copy(file, position, len, socket) };
    let mut offset = position;
    Ok(rustix::fs::sendfile(socket, fd, Some(&mut offset), len)?)
}

/// Whether the byte of `file` at `position` can be read without waiting for the disk. Where the file system cannot tell, it
/// counts as ready.
#[must_use]
pub fn is_ready(file: &dyn File, position: u64) -> bool {
    let Some(fd) = file.fd() else { return true };
    let mut byte = [0];
    let read = rustix::io::preadv2(fd, &mut [IoSliceMut::new(&mut byte)], position, ReadWriteFlags::NOWAIT);
    !matches!(read, Err(rustix::io::Errno::AGAIN))
}

fn copy(file: &dyn File, position: u64, len: usize, socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut buffer = vec![0; len.min(COPY_BYTES)];
    let read = file.pread(&mut buffer, position)?;
    Ok(rustix::net::send(socket, &buffer[..read], SendFlags::NOSIGNAL)?)
}

/// Sends `slices` in one call and returns how many bytes the socket took. With `more`, the kernel may hold back a short
/// packet because more follows at once.
/// # Errors
/// The operating system's, `WouldBlock` if the socket takes nothing now.
pub fn write_gathered(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
    Ok(rustix::net::sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    use super::*;
    use crate::{Disk, OpenMode, OsDisk, Random, SimDisk};

    fn check(disk: &dyn Disk, path: &Path) {
        let file = disk.open(path, OpenMode::Create).unwrap();
        file.pwrite(&mut [IoSlice::new(b"0123456789")], 0).unwrap();
        let (mut from, to) = UnixStream::pair().unwrap();
        assert_eq!(write_gathered(to.as_fd(), &[IoSlice::new(b"head"), IoSlice::new(b":")], true).unwrap(), 5);
        assert_eq!(send(file.as_ref(), 3, 4, to.as_fd()).unwrap(), 4);
        assert_eq!(send(file.as_ref(), 10, 4, to.as_fd()).unwrap(), 0);
        assert!(is_ready(file.as_ref(), 3), "it was written a moment ago");
        drop(to);
        let mut received = String::new();
        from.read_to_string(&mut received).unwrap();
        assert_eq!(received, "head:3456");
    }

    #[test]
    fn a_range_of_a_file_reaches_the_socket() {
        let path = std::env::temp_dir().join(format!("ottla-sendfile-{:016x}", Random::from_os().next_u64()));
        check(&OsDisk, &path);
        OsDisk.remove_file(&path).unwrap();
        check(&SimDisk::new(1), Path::new("/range"));
    }
}
