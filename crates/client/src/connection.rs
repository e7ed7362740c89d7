//! One connection to one broker: requests go out in the order of the calls without waiting for each other, and the
//! responses come back in that order. Owned by [`crate::Client`], one for each broker. Once it has failed it stays
//! failed, every waiting request gets the cause, and a new connection is made.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, Message, Request};
use protocol::{ApiKey, Chunk, ErrorCode, frame};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tracing::debug;

use crate::ClientError;

/// Requests that wait for their responses on one connection at a time.
const MAX_IN_FLIGHT: usize = 1024;
/// Room for responses that one read asks the system for, in bytes.
const READ_SIZE: usize = 64 << 10;
/// Longest response taken, in bytes.
const MAX_RESPONSE_SIZE: usize = 1 << 30;
/// Room made at once for a long response, in bytes: a claimed length alone takes no more memory than this.
const MAX_RESERVE: usize = 16 << 20;
/// Pieces handed to one write.
const MAX_SLICES: usize = 64;

/// How to connect.
#[derive(Debug, Clone)]
pub(crate) struct ConnectOptions {
    pub(crate) client_id: Arc<str>,
    pub(crate) request_timeout: Duration,
    pub(crate) setup_timeout: Duration,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) receive_buffer: Option<usize>,
}

/// The versions of one API that a broker supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiVersionRange {
    /// Oldest.
    pub min: i16,
    /// Newest.
    pub max: i16,
}

/// An open connection; clones share it.
#[derive(Debug, Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    _tasks: Arc<Tasks>,
}

#[derive(Debug)]
struct Shared {
    address: String,
    client_id: Arc<str>,
    request_timeout: Duration,
    stream: TcpStream,
    state: Mutex<State>,
    /// Wakes the task that writes what the socket did not take at once.
    backlog_grew: Notify,
    backlog_written: Notify,
    permits: Arc<Semaphore>,
    api_versions: OnceLock<BTreeMap<i16, ApiVersionRange>>,
}

#[derive(Debug, Default)]
struct State {
    next_correlation_id: i32,
    waiting: VecDeque<Waiting>,
    backlog: VecDeque<Bytes>,
    failure: Option<ClientError>,
}

#[derive(Debug)]
struct Waiting {
    correlation_id: i32,
    reply: oneshot::Sender<Result<Bytes, ClientError>>,
    _permit: OwnedSemaphorePermit,
}

/// Ends the tasks of a connection with its last handle.
#[derive(Debug)]
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// A request that was sent and whose response has not come yet.
#[derive(Debug)]
pub struct InFlight<M> {
    connection: Connection,
    reply: oneshot::Receiver<Result<Bytes, ClientError>>,
    api: ApiKey,
    version: i16,
    timeout: Duration,
    response: PhantomData<fn() -> M>,
}

impl<M: Message> InFlight<M> {
    /// Waits for the response. When it does not come in time the connection is closed, as nothing after it can come.
    /// # Errors
    /// [`ClientError::Timeout`], [`ClientError::Disconnected`], [`ClientError::Decode`].
    pub async fn response(self) -> Result<M, ClientError> {
        let (api, version) = (self.api, self.version);
        let (_, mut reader) = frame::decode_response_header(&self.frame().await?, api, version)?;
        Ok(M::decode(&mut reader, version)?)
    }

    async fn frame(self) -> Result<Bytes, ClientError> {
        let shared = &self.connection.shared;
        let Ok(reply) = tokio::time::timeout(self.timeout, self.reply).await else {
            shared.fail(&shared.disconnected());
            let what = format!("{} to {}", self.api.name(), shared.address);
            return Err(ClientError::Timeout { what, after: self.timeout });
        };
        reply.map_err(|_| shared.disconnected())?
    }
}

impl Connection {
    /// Connects to `address` (`host:port`) and learns what the broker speaks.
    pub(crate) async fn open(address: &str, options: &ConnectOptions) -> Result<Self, ClientError> {
        let connect_error =
            |source: io::Error| ClientError::Connect { address: address.to_owned(), source: Arc::new(source) };
        let connected = tokio::time::timeout(options.setup_timeout, TcpStream::connect(address)).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(connect_error)?;
        configure(&stream, options).map_err(connect_error)?;
        let shared = Arc::new(Shared {
            address: address.to_owned(),
            client_id: options.client_id.clone(),
            request_timeout: options.request_timeout,
            stream,
            state: Mutex::default(),
            backlog_grew: Notify::new(),
            backlog_written: Notify::new(),
            permits: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            api_versions: OnceLock::new(),
        });
        let tasks = vec![tokio::spawn(read_responses(shared.clone())), tokio::spawn(write_backlog(shared.clone()))];
        let connection = Self { shared, _tasks: Arc::new(Tasks(tasks)) };
        connection.negotiate().await?;
        debug!(address, "connected");
        Ok(connection)
    }

    /// Host and port it was made to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Whether it has failed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.state.lock().failure.is_some()
    }

    /// Versions that the broker supports, by code of the API.
    #[must_use]
    pub fn api_versions(&self) -> &BTreeMap<i16, ApiVersionRange> {
        static NONE: BTreeMap<i16, ApiVersionRange> = BTreeMap::new();
        self.shared.api_versions.get().unwrap_or(&NONE)
    }

    /// The newest version of `R` that both sides support, at most `cap`.
    /// # Errors
    /// [`ClientError::UnsupportedVersion`] if there is none.
    pub fn version<R: Request>(&self, cap: Option<i16>) -> Result<i16, ClientError> {
        let ours = R::API_KEY.versions();
        let ours_max = cap.map_or(*ours.end(), |cap| cap.min(*ours.end()));
        let theirs = self.api_versions().get(&R::API_KEY.code());
        let newest = theirs.map(|theirs| (theirs.min, theirs.max.min(ours_max)));
        newest.filter(|(min, max)| max >= min && max >= ours.start()).map(|(_, max)| max).ok_or_else(|| {
            let address = self.shared.address.clone();
            ClientError::UnsupportedVersion { address, api: R::API_KEY, ours_min: *ours.start(), ours_max }
        })
    }

    /// Sends a request in the newest common version and waits for the response.
    /// # Errors
    /// Any but [`ClientError::Broker`]: error codes inside the response are the caller's to look at.
    pub async fn send<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.send_version(request, self.version::<R>(None)?).await
    }

    /// As [`Connection::send`] in a version from [`Connection::version`].
    /// # Errors
    /// As [`Connection::send`].
    pub async fn send_version<R: Request>(&self, request: &R, version: i16) -> Result<R::Response, ClientError> {
        self.send_timeout(request, version, self.shared.request_timeout).await
    }

    /// As [`Connection::send_version`], waiting for at most `timeout` instead of `request.timeout.ms`.
    /// # Errors
    /// As [`Connection::send`].
    pub async fn send_timeout<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        let permit = self.shared.permits.clone().acquire_owned().await.map_err(|_| self.shared.disconnected())?;
        self.enqueue(request, version, timeout, permit)?.response().await
    }

    /// Sends a request at once, so that requests leave in the order of the calls; the response is waited for apart.
    /// # Errors
    /// [`ClientError::TooManyInFlight`], and as [`Connection::send`].
    pub fn begin<R: Request>(&self, request: &R, version: i16) -> Result<InFlight<R::Response>, ClientError> {
        let permit = self.shared.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ClientError::TooManyInFlight(MAX_IN_FLIGHT))?;
        self.enqueue(request, version, self.shared.request_timeout, permit)
    }

    /// Sends a request that the broker does not answer (Produce with acks=0) in the order of the calls.
    /// # Errors
    /// [`ClientError::Disconnected`], [`ClientError::Encode`].
    pub fn begin_unanswered<R: Request>(&self, request: &R, version: i16) -> Result<(), ClientError> {
        self.shared.push(&mut self.shared.state.lock(), request, version).map(drop)
    }

    /// Waits until everything that was sent is handed to the system.
    /// # Errors
    /// [`ClientError::Disconnected`].
    pub async fn written(&self) -> Result<(), ClientError> {
        loop {
            let written = self.shared.backlog_written.notified();
            {
                let state = self.shared.state.lock();
                if let Some(failure) = &state.failure {
                    return Err(failure.clone());
                }
                if state.backlog.is_empty() {
                    return Ok(());
                }
            }
            written.await;
        }
    }

    fn enqueue<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
        permit: OwnedSemaphorePermit,
    ) -> Result<InFlight<R::Response>, ClientError> {
        let (reply, receiver) = oneshot::channel();
        let mut state = self.shared.state.lock();
        let correlation_id = self.shared.push(&mut state, request, version)?;
        state.waiting.push_back(Waiting { correlation_id, reply, _permit: permit });
        drop(state);
        let connection = self.clone();
        Ok(InFlight { connection, reply: receiver, api: R::API_KEY, version, timeout, response: PhantomData })
    }

    /// Asks for the broker's versions in ours; a broker that lacks ours says so in version 0 (KIP-511).
    async fn negotiate(&self) -> Result<(), ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "ottla".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        };
        let mut version = *ApiKey::ApiVersions.versions().end();
        loop {
            let permit = self.shared.permits.clone().acquire_owned().await.map_err(|_| self.shared.disconnected())?;
            let frame = self.enqueue(&request, version, self.shared.request_timeout, permit)?.frame().await?;
            // The error code follows the correlation id in every version.
            let code = frame.get(4..6).map(|code| i16::from_be_bytes([code[0], code[1]]));
            let refused = version > 0 && code == Some(ErrorCode::UnsupportedVersion.code());
            let format = if refused { 0 } else { version };
            let (_, mut reader) = frame::decode_response_header(&frame, ApiKey::ApiVersions, format)?;
            let response = ApiVersionsResponse::decode(&mut reader, format)?;
            if !refused {
                ClientError::check(response.error_code, None)?;
                let range = |api: &protocol::messages::api_versions_response::ApiVersion| ApiVersionRange {
                    min: api.min_version,
                    max: api.max_version,
                };
                let ranges = response.api_keys.iter().map(|api| (api.api_key, range(api))).collect();
                // Only this function sets it, and a connection is negotiated once.
                let _ = self.shared.api_versions.set(ranges);
                return Ok(());
            }
            let supported = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions.code());
            version = supported.map_or(0, |supported| supported.max_version.min(version - 1));
        }
    }
}

impl Shared {
    fn disconnected(&self) -> ClientError {
        ClientError::Disconnected { address: self.address.clone() }
    }

    /// Encodes a request behind those that were not written yet, and writes what the socket takes.
    fn push<R: Request>(&self, state: &mut State, request: &R, version: i16) -> Result<i32, ClientError> {
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let correlation_id = state.next_correlation_id;
        let encoded = frame::encode_request(correlation_id, Some(&self.client_id), request, version)?;
        state.next_correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
        let in_memory = encoded.chunks.into_iter().filter_map(|chunk| match chunk {
            Chunk::Bytes(bytes) => Some(bytes),
            Chunk::External { .. } => None,
        });
        state.backlog.extend(in_memory);
        if let Err(error) = self.write(state) {
            debug!(address = self.address, %error, "write failed");
            self.fail_locked(state, &self.disconnected());
            return Err(self.disconnected());
        }
        if !state.backlog.is_empty() {
            self.backlog_grew.notify_one();
        }
        Ok(correlation_id)
    }

    fn write(&self, state: &mut State) -> io::Result<()> {
        while !state.backlog.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = state.backlog.len().min(MAX_SLICES);
            for (slice, bytes) in slices.iter_mut().zip(&state.backlog) {
                *slice = IoSlice::new(bytes);
            }
            let mut written = match self.stream.try_write_vectored(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            while let Some(front) = state.backlog.front_mut() {
                if written < front.len() {
                    front.advance(written);
                    break;
                }
                written -= front.len();
                state.backlog.pop_front();
            }
        }
        self.backlog_written.notify_waiters();
        Ok(())
    }

    fn complete(&self, frame: Bytes) -> Result<(), ClientError> {
        let invalid = |reason| ClientError::InvalidResponse { address: self.address.clone(), reason };
        let id = frame.get(..4).ok_or_else(|| invalid("a frame without a header"))?;
        let correlation_id = i32::from_be_bytes([id[0], id[1], id[2], id[3]]);
        let waiting = self.state.lock().waiting.pop_front().ok_or_else(|| invalid("a response to no request"))?;
        if waiting.correlation_id != correlation_id {
            // The popped request is answered here, those behind it when the connection fails.
            let _ = waiting.reply.send(Err(self.disconnected()));
            return Err(invalid("a response out of order"));
        }
        // Nobody waits any more where the caller was cancelled.
        let _ = waiting.reply.send(Ok(frame));
        Ok(())
    }

    fn fail(&self, error: &ClientError) {
        self.fail_locked(&mut self.state.lock(), error);
    }

    fn fail_locked(&self, state: &mut State, error: &ClientError) {
        if state.failure.is_some() {
            return;
        }
        state.failure = Some(error.clone());
        state.backlog.clear();
        for waiting in state.waiting.drain(..) {
            let _ = waiting.reply.send(Err(error.clone()));
        }
        // A socket that is gone already needs no shutdown.
        let _ = socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Both);
        self.backlog_written.notify_waiters();
        self.backlog_grew.notify_one();
    }
}

async fn read_responses(shared: Arc<Shared>) {
    let error = read_until_error(&shared).await;
    debug!(address = shared.address, %error, "connection ended");
    shared.fail(&error);
}

async fn read_until_error(shared: &Shared) -> ClientError {
    let mut buffer = BytesMut::with_capacity(READ_SIZE);
    loop {
        let missing = match complete_frames(shared, &mut buffer) {
            Ok(missing) => missing,
            Err(error) => return error,
        };
        if buffer.capacity() - buffer.len() < missing.min(READ_SIZE / 2) {
            buffer.reserve(missing.clamp(READ_SIZE, MAX_RESERVE.max(buffer.len())));
        }
        match shared.stream.try_read_buf(&mut buffer) {
            Ok(0) => return shared.disconnected(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if shared.stream.readable().await.is_err() {
                    return shared.disconnected();
                }
            }
            Err(_) => return shared.disconnected(),
        }
    }
}

/// Completes the requests whose responses are in `buffer` as a whole; returns how many bytes the next one lacks.
fn complete_frames(shared: &Shared, buffer: &mut BytesMut) -> Result<usize, ClientError> {
    loop {
        let Some(length) = buffer.get(..4) else { return Ok(READ_SIZE) };
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_RESPONSE_SIZE);
        let length = length.ok_or_else(|| ClientError::InvalidResponse {
            address: shared.address.clone(),
            reason: "the length of a frame is out of range",
        })?;
        let whole = 4 + length;
        if buffer.len() < whole {
            return Ok(whole - buffer.len());
        }
        let mut frame = buffer.split_to(whole).freeze();
        frame.advance(4);
        shared.complete(frame)?;
    }
}

async fn write_backlog(shared: Arc<Shared>) {
    loop {
        shared.backlog_grew.notified().await;
        loop {
            if shared.stream.writable().await.is_err() {
                return shared.fail(&shared.disconnected());
            }
            let mut state = shared.state.lock();
            if shared.write(&mut state).is_err() {
                return shared.fail_locked(&mut state, &shared.disconnected());
            }
            if state.failure.is_some() {
                return;
            }
            if state.backlog.is_empty() {
                break;
            }
        }
    }
}

fn configure(stream: &TcpStream, options: &ConnectOptions) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_keepalive(true)?;
    if let Some(size) = options.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    Ok(())
}
