//! Accepts connections of one listener and gives each a task, within `max.connections` and `max.connections.per.ip`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use broker::{Audience, Broker, Connection};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::connection;
use crate::start::StartError;

/// Pending connections that the kernel holds (`socket.listen.backlog.size` is raised to this: a burst of clients is cheap here).
const BACKLOG: i32 = 4096;

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
            per_ip: Mutex::new(HashMap::new()),
            next_id: AtomicU64::new(1),
        }
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
                let Some(admission) = limits.admit(peer.ip()) else {
                    debug!(%peer, "refused a connection over the limit");
                    continue;
                };
                let connection = Arc::new(Connection {
                    id: limits.next_id.fetch_add(1, Ordering::Relaxed),
                    peer: peer.ip(),
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
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
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
