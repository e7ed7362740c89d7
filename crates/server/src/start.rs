//! Starts a node and runs it until a signal: configuration, sockets, the broker, the threads around it. Read this first.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker::startup::{self, BoundListener};
use broker::{Audience, Broker, Seams};
use metadata::config::{BrokerConfig, Endpoint, SecurityProtocol};
use platform::{Clock, Disk, OsClock, OsDisk, Random};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::connection::DRAIN;
use crate::listener::{self, Limits};
use crate::timer_driver;

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// `--config FILE`; without it the node runs on a built-in one and formats its directory itself.
    pub config: Option<PathBuf>,
    /// `--override NAME=VALUE`.
    pub overrides: Vec<(String, String)>,
}

/// The configuration of a node that was given none: broker and controller in one, on this machine only.
pub(crate) const EMBEDDED: &str = "\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=localhost:9093
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=./ottla-data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
";

/// Syncs that run at once. A sync mostly waits, and the file system commits those that wait together.
const FLUSHERS: usize = 16;
/// Where `socket.send.buffer.bytes` is not set. What is sent stays in the processor's caches: left to grow by itself, the
/// buffer doubles the CPU of a fetch; with Kafka's 100 KiB it takes a fifth longer for as much CPU.
const SEND_BUFFER: usize = 256 << 10;
/// How often the housekeeping looks whether something is due.
const HOUSEKEEPING_TICK: Duration = Duration::from_secs(1);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file cannot be read.
    #[error("could not read {path}: {source}", path = .path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The configuration is wrong.
    #[error("{path}: {source}", path = .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        source: metadata::config::ConfigFileError,
    },
    /// A listener asks for what this version does not have.
    #[error("listener {listener} asks for {protocol}, which this version does not support; use PLAINTEXT")]
    SecurityProtocol {
        /// The listener.
        listener: String,
        /// The protocol.
        protocol: &'static str,
    },
    /// The address cannot be listened on.
    #[error("could not listen on {address} for {listener}: {source}")]
    Bind {
        /// The listener.
        listener: String,
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// The host of a listener is not known.
    #[error("could not resolve the host of listener {listener}: {reason}")]
    Resolve {
        /// The listener.
        listener: String,
        /// The reason.
        reason: String,
    },
    /// The broker cannot go on.
    #[error("{0}")]
    Halted(String),
    /// The runtime could not be built, or the signal handlers not be set.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The broker does not start.
    #[error(transparent)]
    Broker(#[from] broker::StartError),
}

/// A node that runs.
pub struct Server {
    broker: Arc<Broker>,
    stop: watch::Sender<bool>,
    /// Why the broker cannot go on, once it cannot.
    halted: watch::Receiver<Option<String>>,
    /// Threads that end when they are told to.
    workers: Vec<std::thread::JoinHandle<()>>,
    /// What [`Server::ready_line`] says.
    listening: Vec<String>,
    data: String,
}

impl Server {
    /// Runs a node until SIGTERM or SIGINT. `ready` is called once with the line for standard output.
    /// # Errors
    /// [`StartError`].
    pub fn run(options: &ServerOptions, ready: impl FnOnce(&str)) -> Result<(), StartError> {
        let config = read_config(options)?;
        raise_descriptor_limit();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_keep_alive(Duration::from_secs(5))
            .build()?;
        let outcome = runtime.block_on(async {
            let mut signals = Signals::new()?;
            let server = Self::start(config, options.config.is_none())?;
            ready(&server.ready_line());
            let mut halted = server.halted.clone();
            let reason = tokio::select! {
                name = signals.wait() => {
                    info!(signal = name, "shutting down");
                    None
                }
                Ok(reason) = halted.wait_for(Option::is_some) => reason.clone(),
            };
            server.shut_down().await;
            reason.map_or(Ok(()), |reason| Err(StartError::Halted(reason)))
        });
        runtime.shutdown_timeout(DRAIN);
        outcome
    }

    fn start(config: BrokerConfig, embedded: bool) -> Result<Self, StartError> {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let mut random = Random::from_os();
        if embedded {
            broker::format::format_if_empty(disk.as_ref(), &config, &mut random, OsClock::new().wall_ms())?;
        }
        let (sockets, bound) = bind_all(&config)?;
        let runtime = tokio::runtime::Handle::current();
        let blocking_runtime = runtime.clone();
        let (halt, halted) = watch::channel(None);
        let seams = Seams {
            clock: Arc::new(OsClock::new()),
            random,
            blocking: Arc::new(move |work| drop(blocking_runtime.spawn_blocking(work))),
            halt: Arc::new(move |reason| drop(halt.send_replace(Some(reason.to_owned())))),
        };
        let limits = Arc::new(limits(&config));
        let data = config.log_dirs().join(",");
        let broker = startup::start(config, disk, seams, &bound)?;
        let (stop, stopped) = watch::channel(false);
        for (socket, at) in sockets.into_iter().zip(&bound) {
            let name = (at.listener.clone(), at.audience);
            runtime.spawn(listener::accept(socket, name, Arc::clone(&broker), Arc::clone(&limits), stopped.clone()));
        }
        runtime.spawn(timer_driver::drive(Arc::clone(&broker)));
        runtime.spawn(broker::drive_coordinators(Arc::clone(&broker)));
        runtime.spawn(broker::drive_share_partitions(Arc::clone(&broker)));
        runtime.spawn(housekeeping(Arc::clone(&broker), stopped));
        let flushers = (0..FLUSHERS).map(|_| {
            let broker = Arc::clone(&broker);
            std::thread::Builder::new().name("flusher".into()).spawn(move || broker.flusher().run())
        });
        let mut workers = flushers.collect::<io::Result<Vec<_>>>()?;
        let cleaned = Arc::clone(&broker);
        workers.push(std::thread::Builder::new().name("cleaner".into()).spawn(move || broker::run_cleaner(&cleaned))?);
        let moved = Arc::clone(&broker);
        workers
            .push(std::thread::Builder::new().name("mover".into()).spawn(move || broker::run_replica_mover(&moved))?);
        let clients = bound.iter().filter(|at| at.audience == Audience::Clients);
        let listening = clients.map(|at| format!("{}:{}", at.host, at.port)).collect();
        Ok(Self { broker, stop, halted, workers, listening, data })
    }

    fn ready_line(&self) -> String {
        let first = self.listening.first().map_or("localhost:9092", String::as_str);
        format!(
            "ottla is ready: listening on {}, data in {}; try: ottla topics --create --topic hello --bootstrap-server {first}",
            self.listening.join(", "),
            self.data,
        )
    }

    /// Stops accepting, lets connections end, closes the logs.
    async fn shut_down(self) {
        self.broker.cleaner().stop();
        self.broker.mover().stop();
        self.stop.send_replace(true);
        // Every connection holds a receiver until it ended. The flusher runs on: replies that are due may wait for it.
        if tokio::time::timeout(2 * DRAIN, self.stop.closed()).await.is_err() {
            warn!("connections did not end in time");
        }
        self.broker.flusher().stop();
        let broker = self.broker;
        let closed = tokio::task::spawn_blocking(move || {
            for worker in self.workers {
                let _ = worker.join();
            }
            startup::shut_down(&broker);
        });
        if let Err(cause) = closed.await {
            error!(%cause, "the shutdown was not clean");
        }
    }
}

fn read_config(options: &ServerOptions) -> Result<BrokerConfig, StartError> {
    let (path, bytes) = match &options.config {
        None => (Path::new("the built-in configuration"), EMBEDDED.as_bytes().to_vec()),
        Some(path) => {
            let read = OsDisk.read(path);
            (path.as_path(), read.map_err(|source| StartError::ConfigFile { path: path.clone(), source })?)
        }
    };
    let (config, warnings) = BrokerConfig::from_properties(&bytes, &options.overrides)
        .map_err(|source| StartError::Config { path: path.to_owned(), source })?;
    for warning in warnings {
        warn!(file = %path.display(), "{warning}");
    }
    Ok(config)
}

fn limits(config: &BrokerConfig) -> Limits {
    let count = |value: i32| usize::try_from(value).unwrap_or(0);
    let mut limits = Limits::new(
        count(config.max_connections()),
        count(config.max_connections_per_ip()),
        count(config.socket_request_max_bytes()),
    );
    let send_buffer = usize::try_from(config.socket_send_buffer_bytes()).ok();
    limits.send_buffer = if config.is_set("socket.send.buffer.bytes") { send_buffer } else { Some(SEND_BUFFER) };
    // Kafka's default is 100 KiB, chosen for its own threads; left alone, the system sizes the buffer by need.
    let receive_buffer = usize::try_from(config.socket_receive_buffer_bytes()).ok();
    limits.receive_buffer = receive_buffer.filter(|_| config.is_set("socket.receive.buffer.bytes"));
    limits.idle_ms = u64::try_from(config.connections_max_idle_ms()).unwrap_or(u64::MAX / 4);
    limits
}

fn bind_all(config: &BrokerConfig) -> Result<(Vec<TcpListener>, Vec<BoundListener>), StartError> {
    let advertised = config.advertised_broker_listeners();
    let mut sockets = Vec::new();
    let mut bound = Vec::new();
    for endpoint in config.listeners() {
        if endpoint.security_protocol != SecurityProtocol::Plaintext {
            let protocol = endpoint.security_protocol.name();
            return Err(StartError::SecurityProtocol { listener: endpoint.listener, protocol });
        }
        let is_controller = config.controller_listener_names().contains(&endpoint.listener);
        let address = resolve(&endpoint)?;
        let socket = listener::bind(&endpoint.listener, address)?;
        let port = socket.local_addr()?.port();
        let told = advertised.iter().find(|other| other.listener == endpoint.listener);
        let host = told.and_then(|told| told.host.clone()).or_else(|| endpoint.host.clone());
        bound.push(BoundListener {
            listener: endpoint.listener.clone(),
            audience: if is_controller { Audience::Controllers } else { Audience::Clients },
            host: host.filter(|host| !host.is_empty() && host != "0.0.0.0").unwrap_or_else(canonical_host_name),
            port: told.map(|told| told.port).filter(|port| *port != 0).unwrap_or(port),
        });
        sockets.push(socket);
    }
    Ok((sockets, bound))
}

fn resolve(endpoint: &Endpoint) -> Result<SocketAddr, StartError> {
    let host = match endpoint.host.as_deref() {
        None | Some("") => "0.0.0.0",
        Some(host) => host,
    };
    let failed = |reason: String| StartError::Resolve { listener: endpoint.listener.clone(), reason };
    let addresses = (host, endpoint.port).to_socket_addrs().map_err(|cause| failed(cause.to_string()))?;
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    // A name such as localhost can mean both; most clients try IPv4 first.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.first().copied().ok_or_else(|| failed(format!("{host} has no address")))
}

/// The name that clients are told when the configuration gives none (`InetAddress.getLocalHost`).
fn canonical_host_name() -> String {
    platform::host_name().unwrap_or_else(|| "localhost".to_owned())
}

fn raise_descriptor_limit() {
    if let Err(cause) = platform::raise_descriptor_limit() {
        warn!(%cause, "could not raise the limit of open files");
    }
}

async fn housekeeping(broker: Arc<Broker>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(HOUSEKEEPING_TICK) => {}
            _ = stop.changed() => return,
        }
        let working = Arc::clone(&broker);
        if tokio::task::spawn_blocking(move || startup::housekeeping(&working)).await.is_err() {
            error!("the housekeeping failed");
        }
    }
}

/// The signals that stop a node.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
