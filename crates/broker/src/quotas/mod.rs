//! Client quotas (KIP-13, KIP-124, KIP-599, KIP-612): limits come from the metadata image, clients are measured here, and a
//! response says for how long its client is throttled; the connection is not read meanwhile (KIP-219).
//! While no quota is set, a request costs one relaxed load.

mod connections;
mod limits;
mod rate;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};

use controller::{ControllerError, MutationQuota};
use metadata::ClusterImage;
use metadata::config::{BrokerConfig, Value};
use parking_lot::Mutex;

use crate::dispatch::RequestContext;
use connections::ConnectionRates;
pub use connections::Gate;
pub(crate) use connections::is_host;
use limits::{Applied, Limits};
use rate::{Rate, TokenBucket, Window};

/// The user of a connection that has not authenticated (`KafkaPrincipal.ANONYMOUS`).
pub(crate) const ANONYMOUS: &str = "ANONYMOUS";

/// A client that was silent for so long is forgotten.
const EXPIRY_MS: i64 = 3_600_000;

/// Clients that are measured at the same time.
const MAX_CLIENTS: usize = 100_000;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum QuotaKind {
    Produce,
    Fetch,
    Request,
    Mutation,
}

impl QuotaKind {
    const ALL: [Self; 4] = [Self::Produce, Self::Fetch, Self::Request, Self::Mutation];

    fn key(self) -> &'static str {
        match self {
            Self::Produce => "producer_byte_rate",
            Self::Fetch => "consumer_byte_rate",
            Self::Request => "request_percentage",
            Self::Mutation => "controller_mutation_rate",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Set while addresses have limits.
const ADDRESSES: u8 = 1 << 4;

/// How much one client did.
#[derive(Debug, Default)]
struct Measure {
    rate: Rate,
    tokens: TokenBucket,
    used_ms: i64,
}

#[derive(Debug, Default)]
struct Clients {
    limits: [Limits; 4],
    measures: HashMap<(QuotaKind, String, String), Measure>,
}

/// All quotas of a node.
#[derive(Debug)]
pub struct Quotas {
    enabled: AtomicU8,
    window: Window,
    mutation_window: Window,
    clients: Mutex<Clients>,
    connections: Mutex<ConnectionRates>,
}

impl Quotas {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        let number = |name: &str, default: i32| match config.value(name) {
            Some(Value::Int(number)) => *number,
            _ => default,
        };
        let window = |samples: &str, seconds: &str| Window {
            samples: usize::try_from(number(samples, 11)).unwrap_or(1),
            sample_ms: i64::from(number(seconds, 1)) * 1000,
        };
        Self {
            enabled: AtomicU8::new(0),
            window: window("quota.window.num", "quota.window.size.seconds"),
            mutation_window: window("controller.quota.window.num", "controller.quota.window.size.seconds"),
            clients: Mutex::default(),
            connections: Mutex::default(),
        }
    }

    /// Takes over what the metadata says.
    pub(crate) fn set(&self, image: &ClusterImage) {
        let of_key = |key: &'static str| {
            image.client_quotas().iter().filter_map(move |(entity, values)| Some((entity, *values.get(key)?)))
        };
        let mut enabled = 0;
        {
            let mut clients = self.clients.lock();
            clients.limits = QuotaKind::ALL.map(|kind| Limits::new(of_key(kind.key())));
            for kind in QuotaKind::ALL {
                enabled |= if clients.limits[kind as usize].is_empty() { 0 } else { kind.bit() };
            }
        }
        let mut connections = self.connections.lock();
        connections.set(of_key("connection_creation_rate"));
        enabled |= if connections.has_address_limits() { ADDRESSES } else { 0 };
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Whether anybody has a quota of a kind.
    pub(crate) fn is_enabled(&self, kind: QuotaKind) -> bool {
        self.enabled.load(Ordering::Relaxed) & kind.bit() != 0
    }

    /// Counts `amount` for a client; how many milliseconds it is to be throttled.
    pub(crate) fn record(&self, kind: QuotaKind, client_id: &str, amount: f64, now_ms: i64) -> i64 {
        if !self.is_enabled(kind) {
            return 0;
        }
        let window = self.window;
        let over = self.clients.lock().with(kind, client_id, now_ms, |measure, limit| {
            measure.rate.record(window, amount, now_ms);
            measure.rate.over(window, limit, now_ms)
        });
        let over = over.flatten().unwrap_or(0);
        // Kafka bounds the pause of a busy client, because its request is done already.
        if kind == QuotaKind::Request { over.min(self.window.sample_ms) } else { over }
    }

    /// Takes back what a client was counted for and did not get.
    pub(crate) fn unrecord(&self, kind: QuotaKind, client_id: &str, amount: f64, now_ms: i64) {
        let window = self.window;
        let mut clients = self.clients.lock();
        clients.with(kind, client_id, now_ms, |measure, _| measure.rate.record(window, -amount, now_ms));
    }

    /// The most bytes that a client may fetch without being throttled if it has fetched nothing lately.
    pub(crate) fn max_fetch_bytes(&self, client_id: &str) -> u64 {
        if !self.is_enabled(QuotaKind::Fetch) {
            return u64::MAX;
        }
        let Some(applied) = self.clients.lock().limits[QuotaKind::Fetch as usize].of(ANONYMOUS, client_id) else {
            return u64::MAX;
        };
        let samples = self.window.samples.saturating_sub(1) as f64;
        (applied.limit * samples * (self.window.sample_ms / 1000) as f64) as u64
    }

    /// What a client may change, for one request. A strict one refuses what is too much, the other only throttles.
    pub(crate) fn mutations<'a>(&'a self, context: &RequestContext, strict_since: i16, now_ms: i64) -> Mutations<'a> {
        Mutations {
            quotas: self,
            client_id: context.client_id.clone(),
            strict: context.version >= strict_since,
            now_ms,
            throttle_ms: 0,
        }
    }

    /// How long a listener must wait before it takes a connection that it has accepted.
    pub fn connection_wait_ms(&self, gate: Gate<'_>, now_ms: i64) -> Option<i64> {
        if gate.node_limit.is_none() && gate.listener_limit.is_none() {
            return None;
        }
        self.connections.lock().wait_ms(gate, self.window, now_ms)
    }

    /// For how long a connection of `peer` is left unanswered before it is closed, if it comes too early.
    pub fn connection_refuse_ms(&self, gate: Gate<'_>, peer: IpAddr, now_ms: i64) -> Option<i64> {
        if self.enabled.load(Ordering::Relaxed) & ADDRESSES == 0 {
            return None;
        }
        self.connections.lock().refuse_ms(gate, peer, self.window, now_ms)
    }
}

impl Clients {
    /// Calls `act` with the measure and the limit of a client, if it has a limit.
    fn with<T>(
        &mut self,
        kind: QuotaKind,
        client_id: &str,
        now_ms: i64,
        act: impl FnOnce(&mut Measure, f64) -> T,
    ) -> Option<T> {
        let Applied { user, client_id, limit } = self.limits[kind as usize].of(ANONYMOUS, client_id)?;
        let key = (kind, user, client_id);
        if self.measures.len() >= MAX_CLIENTS && !self.measures.contains_key(&key) {
            self.measures.retain(|_, measure| now_ms - measure.used_ms < EXPIRY_MS);
            if self.measures.len() >= MAX_CLIENTS {
                self.measures.clear();
            }
        }
        let measure = self.measures.entry(key).or_default();
        measure.used_ms = now_ms;
        Some(act(measure, limit))
    }
}

/// What one request may change.
pub(crate) struct Mutations<'a> {
    quotas: &'a Quotas,
    client_id: String,
    strict: bool,
    now_ms: i64,
    throttle_ms: i64,
}

impl Mutations<'_> {
    /// For how many milliseconds the client is to be throttled.
    pub(crate) fn throttle_ms(&self) -> i32 {
        i32::try_from(self.throttle_ms).unwrap_or(i32::MAX)
    }
}

impl MutationQuota for Mutations<'_> {
    fn take(&mut self, partitions: usize) -> Result<(), ControllerError> {
        if !self.quotas.is_enabled(QuotaKind::Mutation) {
            return Ok(());
        }
        let (window, now_ms, strict) = (self.quotas.mutation_window, self.now_ms, self.strict);
        let mut clients = self.quotas.clients.lock();
        let over = clients.with(QuotaKind::Mutation, &self.client_id, now_ms, |measure, limit| {
            let before = measure.tokens.over(window, limit, now_ms);
            if strict && before.is_some() {
                return before;
            }
            measure.tokens.spend(window, limit, partitions as f64, now_ms);
            if strict { None } else { measure.tokens.over(window, limit, now_ms) }
        });
        let Some(throttle_ms) = over.flatten() else { return Ok(()) };
        self.throttle_ms = throttle_ms;
        if strict { Err(ControllerError::ThrottlingQuotaExceeded) } else { Ok(()) }
    }
}
