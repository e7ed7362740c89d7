//! The cluster as one peer: a connection to each broker that is needed, made when it is first used and again after it
//! failed, and the metadata that says which broker to ask. Every clone of a [`Client`] shares both.
//! A broker answers a connection's requests in order, so requests that may wait there long have a [`Lane`] of their own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::ErrorCode;
use protocol::messages::metadata_request::MetadataRequestTopic;
use protocol::messages::{DescribeClusterRequest, MetadataRequest, Request};
use protocol::types::BrokerId;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::connection::ConnectOptions;
use crate::coordinator::Coordinators;
use crate::{ClientError, ClusterMetadata, Connection};

/// How to reach a cluster; names and defaults are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// `bootstrap.servers`: `host:port` of brokers to ask first.
    pub bootstrap_servers: Vec<String>,
    /// `client.id`: what brokers call this client in their logs, metrics and quotas.
    pub client_id: String,
    /// `request.timeout.ms`: how long a broker may take to answer.
    pub request_timeout: Duration,
    /// `default.api.timeout.ms`: how long an operation may take with all its retries.
    pub api_timeout: Duration,
    /// `socket.connection.setup.timeout.ms`.
    pub connection_setup_timeout: Duration,
    /// `reconnect.backoff.ms`: the pause after a first failed connection; it doubles with each further one.
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`.
    pub reconnect_backoff_max: Duration,
    /// `retry.backoff.ms`: the pause before a failed request is sent again; it doubles with each further failure.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`.
    pub retry_backoff_max: Duration,
    /// `metadata.max.age.ms`: metadata older than this is fetched again by producers and consumers.
    pub metadata_max_age: Duration,
    /// `send.buffer.bytes`; `None` leaves it to the system.
    pub send_buffer: Option<usize>,
    /// `receive.buffer.bytes`; `None` leaves it to the system.
    pub receive_buffer: Option<usize>,
    /// `client.rack`: lets brokers name a replica nearby to fetch from.
    pub rack: String,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: Vec::new(),
            client_id: String::new(),
            request_timeout: Duration::from_secs(30),
            api_timeout: Duration::from_secs(60),
            connection_setup_timeout: Duration::from_secs(10),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            metadata_max_age: Duration::from_secs(300),
            send_buffer: None,
            receive_buffer: None,
            rack: String::new(),
        }
    }
}

/// Which of the connections to a broker a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Answered at once.
    Request,
    /// To a coordinator, which holds JoinGroup and SyncGroup back.
    Coordinator,
    /// Produce.
    Produce,
    /// Fetch, which waits for records.
    Fetch,
}

/// A client of one cluster; clones share connections and metadata.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: ClientConfig,
    options: ConnectOptions,
    metadata: watch::Sender<Arc<ClusterMetadata>>,
    slots: Mutex<HashMap<(String, Lane), Arc<Slot>>>,
    coordinators: Coordinators,
}

/// The place of one connection; locked while it is made, so that it is made once.
#[derive(Debug, Default)]
struct Slot {
    connection: tokio::sync::Mutex<SlotState>,
}

#[derive(Debug, Default)]
struct SlotState {
    connection: Option<Connection>,
    failures: u32,
    last_failure: Option<Instant>,
}

impl Client {
    /// Connects to the first bootstrap server that answers and learns the brokers of its cluster. Tries again, with
    /// `retry.backoff.ms` between the rounds, until `default.api.timeout.ms` is over.
    /// # Errors
    /// [`ClientError::InvalidConfig`] if `bootstrap.servers` is empty or malformed or has no name that can be resolved;
    /// the last failure otherwise.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        check_bootstrap_servers(&config.bootstrap_servers)?;
        resolve_any(&config.bootstrap_servers).await?;
        let options = ConnectOptions {
            client_id: config.client_id.as_str().into(),
            request_timeout: config.request_timeout,
            setup_timeout: config.connection_setup_timeout,
            send_buffer: config.send_buffer,
            receive_buffer: config.receive_buffer,
        };
        let inner = Inner {
            config,
            options,
            metadata: watch::Sender::default(),
            slots: Mutex::default(),
            coordinators: Coordinators::default(),
        };
        let client = Self { inner: Arc::new(inner) };
        client.metadata(Some(&[])).await?;
        Ok(client)
    }

    /// A client of the same cluster that shares no connections with this one, as for a consumer, whose requests wait
    /// long. It is called `name` where the configuration has no `client.id`.
    #[must_use]
    pub fn with_own_connections(&self, name: &str) -> Self {
        let mut config = self.inner.config.clone();
        if config.client_id.is_empty() {
            name.clone_into(&mut config.client_id);
        }
        let options = ConnectOptions { client_id: config.client_id.as_str().into(), ..self.inner.options.clone() };
        let inner = Inner {
            config,
            options,
            metadata: watch::Sender::new(self.cluster()),
            slots: Mutex::default(),
            coordinators: Coordinators::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The configuration it was made with.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// What is known of the cluster, without asking.
    #[must_use]
    pub fn cluster(&self) -> Arc<ClusterMetadata> {
        self.inner.metadata.borrow().clone()
    }

    /// Fetches metadata of `topics`, or of all topics for `None`, and returns it together with what was known. Topics
    /// that do not exist are not created; a topic's own error is in its entry. Tries other brokers when one fails, until
    /// `default.api.timeout.ms` is over.
    /// # Errors
    /// The last failure.
    pub async fn metadata(&self, topics: Option<&[&str]>) -> Result<Arc<ClusterMetadata>, ClientError> {
        self.metadata_creating(topics, false).await
    }

    /// As [`Client::metadata`]; `allow_auto_topic_creation` lets the broker create the topics that do not exist.
    /// # Errors
    /// As [`Client::metadata`].
    pub async fn metadata_creating(
        &self,
        topics: Option<&[&str]>,
        allow_auto_topic_creation: bool,
    ) -> Result<Arc<ClusterMetadata>, ClientError> {
        let named = |names: &[&str]| {
            let topic = |name: &&str| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() };
            names.iter().map(topic).collect()
        };
        let request =
            MetadataRequest { topics: topics.map(named), allow_auto_topic_creation, ..MetadataRequest::default() };
        let mut retries = self.retries("metadata");
        let response = loop {
            match self.send_to_any(&request).await {
                Ok(response) => break response,
                // Controllers know no topics: with `--bootstrap-controller` the nodes are the quorum's (KIP-919).
                Err(error) if error.code() == ErrorCode::UnsupportedVersion => return self.learn_controllers().await,
                Err(error) => retries.pause(error).await?,
            }
        };
        ClientError::check(response.error_code, None)?;
        self.inner.metadata.send_modify(|known| *known = Arc::new(known.updated(response, topics.is_none())));
        Ok(self.cluster())
    }

    async fn learn_controllers(&self) -> Result<Arc<ClusterMetadata>, ClientError> {
        const CONTROLLERS: i8 = 2;
        let request = DescribeClusterRequest { endpoint_type: CONTROLLERS, ..DescribeClusterRequest::default() };
        let response = self.send_to_any(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let controllers = response.brokers.into_iter().map(|node| {
            let id = node.broker_id;
            (id, crate::Broker { id, host: node.host, port: node.port, rack: node.rack })
        });
        let known = ClusterMetadata {
            cluster_id: Some(response.cluster_id),
            controller: (response.controller_id >= 0).then_some(response.controller_id),
            brokers: controllers.collect(),
            ..ClusterMetadata::default()
        };
        self.inner.metadata.send_replace(Arc::new(known));
        Ok(self.cluster())
    }

    /// Sends to some broker: one that is connected already, else each known broker and bootstrap server in turn.
    /// # Errors
    /// The failure of the last one tried.
    pub async fn send_to_any<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        let mut last = ClientError::UnknownNode(-1);
        for address in self.candidates() {
            let answer = match self.connection(&address, Lane::Request).await {
                Ok(connection) => connection.send(request).await,
                Err(error) => Err(error),
            };
            match answer {
                Err(error) if error.code() == ErrorCode::NetworkException => last = error,
                Err(error @ ClientError::Timeout { .. }) => last = error,
                answered => return answered,
            }
        }
        Err(last)
    }

    /// A connection to some broker: an open one, else one to the first broker or bootstrap server that takes it.
    /// # Errors
    /// The failure of the last one tried.
    pub async fn any_broker(&self) -> Result<Connection, ClientError> {
        let mut last = ClientError::UnknownNode(-1);
        for address in self.candidates() {
            match self.connection(&address, Lane::Request).await {
                Err(error) => last = error,
                connected => return connected,
            }
        }
        Err(last)
    }

    /// Sends to one broker.
    /// # Errors
    /// [`ClientError::UnknownNode`], and those of [`Connection::send`].
    pub async fn send_to<R: Request>(&self, node: BrokerId, request: &R) -> Result<R::Response, ClientError> {
        self.broker(node, Lane::Request).await?.send(request).await
    }

    /// Sends to the broker that takes requests for the controller; where none is known, to any.
    /// # Errors
    /// Those of [`Connection::send`].
    pub async fn send_to_controller<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        let controller = self.cluster().controller;
        match controller {
            Some(node) if self.cluster().brokers.contains_key(&node) => self.send_to(node, request).await,
            _ => self.send_to_any(request).await,
        }
    }

    /// The connection to a broker, made if there is none.
    /// # Errors
    /// [`ClientError::UnknownNode`], [`ClientError::Connect`], and those of the first exchange.
    pub async fn broker(&self, node: BrokerId, lane: Lane) -> Result<Connection, ClientError> {
        let address = self.cluster().brokers.get(&node).map(crate::Broker::address);
        self.connection(&address.ok_or(ClientError::UnknownNode(node))?, lane).await
    }

    /// A series of attempts of one operation, which may take `default.api.timeout.ms` with all its pauses.
    #[must_use]
    pub fn retries(&self, what: &'static str) -> Retries {
        let config = &self.inner.config;
        Retries {
            what,
            deadline: Instant::now() + config.api_timeout,
            first: config.retry_backoff,
            max: config.retry_backoff_max,
            failures: 0,
        }
    }

    /// Repeats `attempt` as [`Client::retries`] allows. A future that is to be sent between threads has to write the loop.
    /// # Errors
    /// The last failure.
    pub async fn retry<T>(
        &self,
        what: &'static str,
        mut attempt: impl AsyncFnMut() -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut retries = self.retries(what);
        loop {
            match attempt().await {
                Err(error) => retries.pause(error).await?,
                done => return done,
            }
        }
    }

    pub(crate) fn coordinators(&self) -> &Coordinators {
        &self.inner.coordinators
    }

    pub(crate) fn learn_broker(&self, broker: crate::Broker) {
        self.inner.metadata.send_if_modified(|known| {
            if known.brokers.get(&broker.id) == Some(&broker) {
                return false;
            }
            Arc::make_mut(known).brokers.insert(broker.id, broker);
            true
        });
    }

    async fn connection(&self, address: &str, lane: Lane) -> Result<Connection, ClientError> {
        let slot = self.inner.slots.lock().entry((address.to_owned(), lane)).or_default().clone();
        let mut state = slot.connection.lock().await;
        if let Some(open) = state.connection.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(open.clone());
        }
        state.connection = None;
        let config = &self.inner.config;
        if let Some(last_failure) = state.last_failure {
            let pause = backoff(config.reconnect_backoff, config.reconnect_backoff_max, state.failures);
            tokio::time::sleep_until(last_failure + pause).await;
        }
        match Connection::open(address, &self.inner.options).await {
            Ok(connection) => {
                *state = SlotState { connection: Some(connection.clone()), ..SlotState::default() };
                Ok(connection)
            }
            Err(error) => {
                warn!(address, %error, "connection could not be established");
                state.failures = state.failures.saturating_add(1);
                state.last_failure = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// Addresses to try in turn: those with an open connection, the other brokers, the bootstrap servers.
    fn candidates(&self) -> Vec<String> {
        let cluster = self.cluster();
        let slots = self.inner.slots.lock();
        let is_open = |address: &String| {
            let slot = slots.get(&(address.clone(), Lane::Request));
            let state = slot.and_then(|slot| slot.connection.try_lock().ok());
            state.is_some_and(|state| state.connection.as_ref().is_some_and(|connection| !connection.is_closed()))
        };
        let brokers = cluster.brokers.values().map(crate::Broker::address);
        let mut addresses: Vec<String> = Vec::new();
        for address in brokers.chain(self.inner.config.bootstrap_servers.iter().cloned()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses.sort_by_key(|address| !is_open(address));
        addresses
    }
}

/// The attempts of one operation; see [`Client::retries`].
#[derive(Debug)]
pub struct Retries {
    what: &'static str,
    deadline: Instant,
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Retries {
    /// Waits before the next attempt.
    /// # Errors
    /// `error`, if it will not pass, or time is over.
    pub async fn pause(&mut self, error: ClientError) -> Result<(), ClientError> {
        let pause = backoff(self.first, self.max, self.failures);
        if !error.is_retriable() || Instant::now() + pause >= self.deadline {
            return Err(error);
        }
        self.failures += 1;
        debug!(what = self.what, %error, failures = self.failures, "attempt failed and is repeated");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// `first`, doubled with each of `failures`, at most `max`.
pub(crate) fn backoff(first: Duration, max: Duration, failures: u32) -> Duration {
    first.saturating_mul(1u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX)).min(max.max(first))
}

fn invalid_bootstrap(value: &str, reason: &str) -> ClientError {
    ClientError::InvalidConfig {
        name: "bootstrap.servers".to_owned(),
        value: value.to_owned(),
        reason: reason.to_owned(),
    }
}

/// A cluster may be down for a while; a name that does not exist is a mistake.
async fn resolve_any(servers: &[String]) -> Result<(), ClientError> {
    for server in servers {
        if tokio::net::lookup_host(server).await.is_ok_and(|mut addresses| addresses.next().is_some()) {
            return Ok(());
        }
    }
    Err(invalid_bootstrap(&servers.join(","), "No resolvable bootstrap urls given in bootstrap.servers"))
}

fn check_bootstrap_servers(servers: &[String]) -> Result<(), ClientError> {
    if servers.is_empty() {
        return Err(invalid_bootstrap("[]", "No bootstrap urls given in bootstrap.servers"));
    }
    for server in servers {
        let port = server.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            return Err(invalid_bootstrap(server, "Invalid url in bootstrap.servers: host:port is expected"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let pauses: Vec<u128> = [0, 1, 2, 3, 40]
            .map(|failures| backoff(Duration::from_millis(100), Duration::from_millis(500), failures).as_millis())
            .to_vec();
        assert_eq!(pauses, [100, 200, 400, 500, 500]);
    }

    #[test]
    fn bootstrap_servers_need_a_port() {
        assert!(check_bootstrap_servers(&["localhost:9092".to_owned(), "[::1]:9092".to_owned()]).is_ok());
        assert!(check_bootstrap_servers(&["localhost".to_owned()]).is_err());
        assert!(check_bootstrap_servers(&[]).is_err());
    }
}
