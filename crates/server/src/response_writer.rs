//! Replies on their way to the socket: bytes in memory go out by one gathering write, file ranges by sendfile.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use broker::Response;
use bytes::{Buf, Bytes};
use protocol::Chunk;
use storage::FileSlice;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Pieces given to one gathering write.
const MAX_PIECES: usize = 64;

/// A socket takes about this much of a file at once.
const PROBE_BYTES: u64 = 256 << 10;

enum Piece {
    Bytes(Bytes),
    File { slice: FileSlice, sent: u64 },
}

/// The pieces that wait, in order.
#[derive(Default)]
pub(crate) struct ResponseWriter {
    pieces: VecDeque<Piece>,
    waiting: usize,
}

impl ResponseWriter {
    /// Whether everything is sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that are not sent yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Adds a reply.
    pub(crate) fn push(&mut self, response: Response) {
        self.waiting += response.frame.len;
        for chunk in response.frame.chunks {
            match chunk {
                Chunk::Bytes(bytes) => self.pieces.push_back(Piece::Bytes(bytes)),
                Chunk::External { id, .. } => {
                    let slice = response.files[id as usize].clone();
                    self.pieces.push_back(Piece::File { slice, sent: 0 });
                }
            }
        }
    }

    /// Sends what the socket takes. Ready when everything is sent.
    /// # Errors
    /// As the socket's; and if a file ends before its range, as it does when a log is cut below a reader.
    pub(crate) fn poll_write(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while let Some(front) = self.pieces.front() {
            let result = match front {
                Piece::Bytes(_) => self.write_bytes(stream),
                Piece::File { .. } => self.send_file(stream),
            };
            match result {
                Ok(sent) => self.waiting -= sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match stream.poll_write_ready(cx) {
                    Poll::Pending => return Ok(Poll::Pending),
                    Poll::Ready(ready) => ready?,
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Poll::Ready(()))
    }

    fn write_bytes(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MAX_PIECES];
        let mut count = 0;
        for piece in self.pieces.iter().take(MAX_PIECES) {
            let Piece::Bytes(bytes) = piece else { break };
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        let followed_by_file = self.pieces.get(count).is_some();
        let sent = stream.try_io(Interest::WRITABLE, || {
            platform::sendfile::write_gathered(stream.as_fd(), &slices[..count], followed_by_file)
        })?;
        let mut left = sent;
        while let Some(Piece::Bytes(bytes)) = self.pieces.front_mut() {
            let taken = left.min(bytes.len());
            bytes.advance(taken);
            left -= taken;
            if !bytes.is_empty() {
                break;
            }
            self.pieces.pop_front();
        }
        Ok(sent)
    }

    fn send_file(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let Some(Piece::File { slice, sent }) = self.pieces.front_mut() else { return Ok(0) };
        let left = u64::from(slice.len) - *sent;
        let position = slice.position + *sent;
        let file = slice.file.as_ref();
        let send = || platform::sendfile::send(file, position, left as usize, stream.as_fd());
        // The far end is asked for: the kernel reads ahead, so it is the last to come in. Records that are on their way from
        // the disk must not hold up the other connections of this thread.
        let last = position + left.min(PROBE_BYTES) - 1;
        let is_ready =
            (*sent > 0 || platform::sendfile::is_ready(file, position)) && platform::sendfile::is_ready(file, last);
        let moved = if is_ready {
            stream.try_io(Interest::WRITABLE, send)?
        } else {
            tokio::task::block_in_place(|| stream.try_io(Interest::WRITABLE, send))?
        };
        if moved == 0 && left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *sent += moved as u64;
        if *sent == u64::from(slice.len) {
            self.pieces.pop_front();
        }
        Ok(moved)
    }
}
