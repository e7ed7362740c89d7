//! One client's connection: reads frames, hands them to the broker in order, writes replies in the order of the requests.
//! One task owns the socket. It holds no buffer while the connection is idle; it stops reading while too many replies wait,
//! so a client that does not read costs no more than [`MAX_WAITING_BYTES`].

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use broker::{BoxFuture, Broker, Connection, Handled, Response};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tracing::debug;

use crate::listener::Limits;
use crate::response_writer::ResponseWriter;

/// Requests of one connection that may wait for their replies.
const MAX_IN_FLIGHT: usize = 256;
/// Bytes of replies that may wait for the client to read, before its next request is read.
const MAX_WAITING_BYTES: usize = 1 << 20;
/// The buffer for small frames.
const READ_BUFFER: usize = 32 << 10;
/// A frame at least this long gets a buffer of its own size.
const LARGE_FRAME: usize = READ_BUFFER / 2;
/// A large frame's buffer starts with at most this and grows as bytes arrive: a claimed length costs nothing.
const FIRST_ALLOCATION: usize = 2 << 20;

/// How long replies may take that are due when the node stops.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);

enum Slot {
    Waiting(BoxFuture<Option<Response>>),
    Ready(Response),
}

struct Task {
    stream: TcpStream,
    connection: Arc<Connection>,
    broker: Arc<Broker>,
    limits: Arc<Limits>,
    incoming: BytesMut,
    replies: VecDeque<Slot>,
    writer: ResponseWriter,
    idle: std::pin::Pin<Box<Sleep>>,
    /// Set while the client is throttled: nothing more is read or handled (KIP-219).
    muted: Option<std::pin::Pin<Box<Sleep>>>,
    active: bool,
    eof: bool,
}

/// Why the task ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("closed by the client")]
    Eof,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("frame of {0} bytes")]
    FrameSize(i32),
    #[error(transparent)]
    Refused(#[from] broker::CloseReason),
    #[error("idle")]
    Idle,
    #[error("the reply could not be made")]
    NoReply,
    #[error("the node stops")]
    Stopped,
}

/// Serves `stream` until it ends. When `stop` changes, what was read is answered first: a producer whose batch was appended must
/// learn of it, since a producer snapshot remembers only the last batch and would take an older one for a gap.
pub(crate) async fn serve(
    stream: TcpStream,
    connection: Arc<Connection>,
    broker: Arc<Broker>,
    limits: Arc<Limits>,
    mut stop: watch::Receiver<bool>,
) {
    let idle = Box::pin(tokio::time::sleep(Duration::from_millis(limits.idle_ms)));
    let mut task = Task {
        stream,
        connection,
        broker,
        limits,
        incoming: BytesMut::new(),
        replies: VecDeque::new(),
        writer: ResponseWriter::default(),
        idle,
        muted: None,
        active: false,
        eof: false,
    };
    let end = tokio::select! {
        end = poll_fn(|cx| task.poll(cx)) => end,
        _ = stop.changed() => {
            task.eof = true;
            let drained = tokio::time::timeout(DRAIN, async {
                let end = poll_fn(|cx| task.poll(cx)).await;
                task.linger().await;
                end
            });
            drained.await.unwrap_or(End::Stopped)
        }
    };
    task.broker.disconnected(&task.connection);
    debug!(peer = %task.connection.peer, reason = %end, "closed a connection");
}

impl Task {
    /// Waits until the client closes too: a reset, which unread bytes would cause, may take replies away that it has not read.
    async fn linger(&mut self) {
        if socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write).is_err() {
            return;
        }
        // On the heap: an array would be a part of every connection's task for all of its life.
        let mut discarded = vec![0; 4096];
        while self.stream.readable().await.is_ok() {
            match self.stream.try_read(&mut discarded) {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match self.turn(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// Reads, handles and writes until nothing moves.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        loop {
            let wrote = self.write(cx)?;
            let read = self.read(cx)?;
            if !wrote && !read {
                break;
            }
            self.active = true;
        }
        if self.eof && self.replies.is_empty() && self.writer.is_empty() {
            return Err(End::Eof);
        }
        self.check_idle(cx)
    }

    fn check_idle(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while self.idle.as_mut().poll(cx).is_ready() {
            // Progress is only noted, the timer is moved when it fires: moving it at each request would cost more.
            if !self.active && self.replies.is_empty() && self.muted.is_none() {
                return Err(End::Idle);
            }
            self.active = false;
            self.idle.as_mut().reset(Instant::now() + Duration::from_millis(self.limits.idle_ms));
        }
        Ok(())
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut moved = false;
        loop {
            while let Some(slot) = self.replies.front_mut() {
                if self.writer.waiting() >= MAX_WAITING_BYTES {
                    break;
                }
                if let Slot::Waiting(future) = slot {
                    match future.as_mut().poll(cx) {
                        Poll::Pending => break,
                        Poll::Ready(response) => *slot = Slot::Ready(response.ok_or(End::NoReply)?),
                    }
                }
                if let Some(Slot::Ready(response)) = self.replies.pop_front() {
                    self.push(response);
                    moved = true;
                }
            }
            if self.writer.is_empty() {
                return Ok(moved);
            }
            match self.writer.poll_write(&self.stream, cx)? {
                Poll::Pending => return Ok(moved),
                Poll::Ready(()) => moved = true,
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.eof || self.replies.len() >= MAX_IN_FLIGHT || self.writer.waiting() >= MAX_WAITING_BYTES {
            return Ok(false);
        }
        if let Some(muted) = &mut self.muted {
            if muted.as_mut().poll(cx).is_pending() {
                return Ok(false);
            }
            self.muted = None;
            self.handle_frames()?;
            return Ok(true);
        }
        // One byte past the frame would pull the next frame into this one's buffer, so a large frame is read exactly.
        let wanted = self.frame_wanted()?;
        match self.poll_read(cx, wanted)? {
            Poll::Pending => {
                if self.incoming.is_empty() {
                    self.incoming = BytesMut::new();
                }
                Ok(false)
            }
            Poll::Ready(0) => {
                self.eof = true;
                Ok(true)
            }
            Poll::Ready(_) => {
                self.handle_frames()?;
                Ok(true)
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, wanted: Option<usize>) -> io::Result<Poll<usize>> {
        match self.stream.poll_read_ready(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(ready) => ready?,
        }
        let spare = self.incoming.capacity() - self.incoming.len();
        match wanted {
            Some(left) if spare == 0 => self.incoming.reserve(left.min(FIRST_ALLOCATION.max(self.incoming.len()))),
            None if spare < LARGE_FRAME => self.incoming.reserve(READ_BUFFER),
            _ => {}
        }
        let mut window = (&mut self.incoming).limit(wanted.unwrap_or(usize::MAX));
        // Unlike `try_read_buf` this takes a short read for the end of what there is, which saves the call that would say so.
        let read = std::pin::pin!(self.stream.read_buf(&mut window));
        match read.poll(cx) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                cx.waker().wake_by_ref();
                Ok(Poll::Pending)
            }
            Poll::Ready(read) => read.map(Poll::Ready),
        }
    }

    /// The bytes that the frame at the front still lacks, where it is a large one.
    fn frame_wanted(&self) -> Result<Option<usize>, End> {
        let Some(length) = self.frame_length()? else { return Ok(None) };
        let total = length + 4;
        Ok((total >= LARGE_FRAME).then(|| total.saturating_sub(self.incoming.len())))
    }

    fn frame_length(&self) -> Result<Option<usize>, End> {
        let Some(prefix) = self.incoming.first_chunk::<4>() else { return Ok(None) };
        let claimed = i32::from_be_bytes(*prefix);
        match usize::try_from(claimed) {
            Ok(length) if length <= self.limits.max_request_bytes => Ok(Some(length)),
            _ => Err(End::FrameSize(claimed)),
        }
    }

    fn handle_frames(&mut self) -> Result<(), End> {
        while let Some(length) = self.frame_length()? {
            if self.muted.is_some() || self.incoming.len() < length + 4 {
                break;
            }
            self.incoming.advance(4);
            let frame = self.incoming.split_to(length).freeze();
            self.handle(frame)?;
        }
        Ok(())
    }

    fn handle(&mut self, frame: Bytes) -> Result<(), End> {
        match self.broker.handle(&self.connection, frame) {
            Handled::Now(response) if self.replies.is_empty() => self.push(response),
            Handled::Now(response) => self.replies.push_back(Slot::Ready(response)),
            Handled::Later(future) => self.replies.push_back(Slot::Waiting(future)),
            Handled::Nothing => {}
            Handled::Muted(mute_ms) => self.mute(mute_ms),
            Handled::Close(reason) => return Err(reason.into()),
        }
        Ok(())
    }

    fn push(&mut self, response: Response) {
        self.mute(response.mute_ms);
        self.writer.push(response);
    }

    fn mute(&mut self, mute_ms: u32) {
        if mute_ms > 0 {
            self.muted = Some(Box::pin(tokio::time::sleep(Duration::from_millis(u64::from(mute_ms)))));
        }
    }
}
