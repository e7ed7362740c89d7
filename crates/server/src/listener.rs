//! Accepts connections of one listener and gives each a task, within `max.connections` and `max.connections.per.ip`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use broker::{Audience, Broker, Connection, Gate};
use metadata::config::{BrokerConfig, Value};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::connection;
use crate::start::StartError;

/// Pending connections that the kernel holds (`socket.listen.backlog.size` is raised to this: a burst of clients is cheap here).
const BACKLOG: i32 = 4096;

/// Connections over their address's quota that are kept waiting at the same time.
const MAX_DELAYED: usize = 10_000;

/// What all listeners share.
pub(crate) struct Limits {
    /// `max.connections`.
    pub(crate) max_connections: usize,
    /// `max.connections.per.ip`.
    pub(crate) max_connections_per_ip: usize,
    /// `socket.request.max.bytes`.
    pub(crate) max_request_bytes: usize,
    /// `socket.send.buffer.bytes`; -1 leaves it to the system.
    pub(crate) send_buffer: Option<usize>,
    /// `socket.receive.buffer.bytes`; -1 leaves it to the system.
    pub(crate) receive_buffer: Option<usize>,
    /// `connections.max.idle.ms`.
    pub(crate) idle_ms: u64,
    open: AtomicUsize,
    delayed: AtomicUsize,
    per_ip: Mutex<HashMap<IpAddr, usize>>,
    next_id: AtomicU64,
}

impl Limits {
    /// Limits with nothing open.
    pub(crate) fn new(max_connections: usize, max_connections_per_ip: usize, max_request_bytes: usize) -> Self {
        Self {
            max_connections,
            max_connections_per_ip,
            max_request_bytes,
            send_buffer: None,
            receive_buffer: None,
            idle_ms: 600_000,
            open: AtomicUsize::new(0),
            delayed: AtomicUsize::new(0),
            per_ip: Mutex::new(HashMap::new()),
            next_id: AtomicU64::new(1),
        }
    }

    /// Leaves a connection unanswered for a while before it is closed: a client that is closed at once comes back at once.
    fn close_later(self: &Arc<Self>, stream: TcpStream, wait: Duration) {
        if self.delayed.fetch_add(1, Ordering::Relaxed) >= MAX_DELAYED {
            self.delayed.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let limits = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            drop(stream);
            limits.delayed.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Admission> {
        let mut per_ip = self.per_ip.lock();
        let here = per_ip.entry(peer).or_insert(0);
        if *here >= self.max_connections_per_ip || self.open.load(Ordering::Relaxed) >= self.max_connections {
            return None;
        }
        *here += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Admission { limits: Arc::clone(self), peer })
    }
}

/// A connection's place within the limits; given back when dropped.
pub(crate) struct Admission {
    limits: Arc<Limits>,
    peer: IpAddr,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut per_ip = self.limits.per_ip.lock();
        if let Some(count) = per_ip.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&self.peer);
            }
        }
        self.limits.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Binds `address`.
/// # Errors
/// [`StartError::Bind`].
pub(crate) fn bind(name: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let open = || -> std::io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|source| StartError::Bind { listener: name.to_owned(), address, source })
}

/// Accepts until `stop` changes.
pub(crate) async fn accept(
    listener: TcpListener,
    (name, audience): (String, Audience),
    broker: Arc<Broker>,
    limits: Arc<Limits>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let gate = gate(&broker.config(), &name, audience);
                if let Some(wait_ms) = broker.quotas().connection_wait_ms(gate, broker.monotonic_ms()) {
                    tokio::time::sleep(milliseconds(wait_ms)).await;
                }
                if let Some(wait_ms) = broker.quotas().connection_refuse_ms(gate, peer.ip(), broker.monotonic_ms()) {
                    limits.close_later(stream, milliseconds(wait_ms));
                    continue;
                }
                let Some(admission) = limits.admit(peer.ip()) else {
                    debug!(%peer, "refused a connection over the limit");
                    continue;
                };
                let connection = Arc::new(Connection {
                    id: limits.next_id.fetch_add(1, Ordering::Relaxed),
                    peer: peer.ip(),
                    peer_port: peer.port(),
                    listener: name.clone(),
                    audience,
                    software: parking_lot::Mutex::default(),
                });
                configure(&stream, &limits);
                let serve =
                    connection::serve(stream, connection, Arc::clone(&broker), Arc::clone(&limits), stop.clone());
                tokio::spawn(async move {
                    serve.await;
                    drop(admission);
                });
            }
            Err(error) => {
                // Out of descriptors: the connections that are open go on, and one that closes makes room.
                warn!(%error, listener = name, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn milliseconds(count: i64) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0))
}

/// The limits of a listener as they are now: both change dynamically.
fn gate<'a>(config: &BrokerConfig, listener: &'a str, audience: Audience) -> Gate<'a> {
    const RATE: &str = "max.connection.creation.rate";
    let limit = |rate: i32| (rate < i32::MAX).then(|| f64::from(rate));
    let node = match config.value(RATE) {
        Some(Value::Int(rate)) => limit(*rate),
        _ => None,
    };
    let name = format!("listener.name.{}.{RATE}", listener.to_lowercase());
    let own = config.originals().get(&name).and_then(|rate| limit(rate.trim().parse().ok()?));
    Gate { listener, audience, node_limit: node, listener_limit: own }
}

fn configure(stream: &TcpStream, limits: &Limits) {
    let socket = socket2::SockRef::from(stream);
    let result = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_keepalive(true))
        .and_then(|()| limits.send_buffer.map_or(Ok(()), |size| socket.set_send_buffer_size(size)))
        .and_then(|()| limits.receive_buffer.map_or(Ok(()), |size| socket.set_recv_buffer_size(size)));
    if let Err(error) = result {
        debug!(%error, "could not set the options of a socket");
    }
}
