//! Metrics that clients push (KIP-714, `ClientMetricsManager`): who is asked for what, whose push is taken, and the newest value of
//! each metric of each client.
//!
//! Kafka offers this only if one of its `metric.reporters` is a `ClientTelemetry`. Those are classes for the JVM; whoever names a
//! reporter besides Kafka's own gets this room in its place. Each push is told at level `debug`; [`Telemetry::received`] has the values.

mod otlp;
mod subscriptions;

use std::collections::HashMap;

use bytes::Bytes;
use metadata::ClusterImage;
use metadata::config::{BrokerConfig, Value};
use parking_lot::Mutex;
use protocol::messages::{GetTelemetrySubscriptionsResponse, PushTelemetryRequest};
use protocol::record::{Compression, decompress};
use protocol::types::TimestampMs;
use protocol::{ErrorCode, Uuid};
use tracing::debug;

use crate::dispatch::RequestContext;
pub use otlp::MetricValue;
use subscriptions::{Attributes, Subscriptions, Wanted};

/// Clients that are remembered (`CACHE_MAX_SIZE`).
const MAX_CLIENTS: usize = 16_384;
/// Metrics that are kept of one client.
const MAX_METRICS: usize = 1000;
/// A client that is silent is remembered for at least so long.
const EXPIRY_MS: i64 = 60_000;
/// The reporter that Kafka names where nobody names one.
const JMX_REPORTER: &str = "org.apache.kafka.common.metrics.JmxReporter";

#[derive(Debug)]
struct Client {
    attributes: Attributes,
    wanted: Wanted,
    subscription_id: i32,
    /// Of the subscriptions that `wanted` follows from.
    version: u64,
    got_ms: TimestampMs,
    pushed_ms: TimestampMs,
    seen_ms: TimestampMs,
    terminating: bool,
    last_error: ErrorCode,
    metrics: Vec<MetricValue>,
}

#[derive(Debug, Default)]
struct State {
    subscriptions: Subscriptions,
    version: u64,
    clients: HashMap<Uuid, Client>,
}

/// The clients that push metrics.
#[derive(Debug)]
pub struct Telemetry {
    enabled: bool,
    max_bytes: i32,
    state: Mutex<State>,
}

impl Telemetry {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        let enabled = match config.value("metric.reporters") {
            Some(Value::List(reporters)) => reporters.iter().any(|name| name != JMX_REPORTER),
            _ => false,
        };
        let max_bytes = match config.value("telemetry.max.bytes") {
            Some(Value::Int(bytes)) => *bytes,
            _ => 1 << 20,
        };
        Self { enabled, max_bytes, state: Mutex::default() }
    }

    /// Whether clients are told that they may push.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Takes over the subscriptions; clients hear of them with their next request.
    pub(crate) fn set(&self, image: &ClusterImage) {
        let mut state = self.state.lock();
        state.subscriptions = Subscriptions::new(image);
        state.version += 1;
    }

    /// The newest values of all clients that are remembered.
    #[must_use]
    pub fn received(&self) -> Vec<(Uuid, Vec<MetricValue>)> {
        self.state.lock().clients.iter().map(|(id, client)| (*id, client.metrics.clone())).collect()
    }

    /// Tells a client what to push.
    pub(crate) fn subscribe(
        &self,
        context: &RequestContext,
        id: Uuid,
        now_ms: TimestampMs,
    ) -> GetTelemetrySubscriptionsResponse {
        let mut state = self.state.lock();
        let client = state.client(context, id, now_ms);
        let due = now_ms - client.got_ms.max(client.pushed_ms) >= i64::from(client.wanted.interval_ms);
        let may_retry = [ErrorCode::UnknownSubscriptionId, ErrorCode::UnsupportedCompressionType];
        if due {
            client.got_ms = now_ms;
        } else if !may_retry.contains(&client.last_error) {
            let error_code = ErrorCode::ThrottlingQuotaExceeded.code();
            return GetTelemetrySubscriptionsResponse { error_code, ..Default::default() };
        }
        client.last_error = ErrorCode::None;
        GetTelemetrySubscriptionsResponse {
            client_instance_id: id,
            subscription_id: client.subscription_id,
            accepted_compression_types: vec![4, 3, 1, 2],
            push_interval_ms: client.wanted.interval_ms,
            telemetry_max_bytes: self.max_bytes,
            delta_temporality: true,
            requested_metrics: client.wanted.metrics.iter().cloned().collect(),
            ..Default::default()
        }
    }

    /// Takes a client's metrics.
    /// # Errors
    /// As Kafka: a client that pushes too early, too much, by old rules or after its end.
    pub(crate) fn push(
        &self,
        context: &RequestContext,
        request: &PushTelemetryRequest,
        now_ms: TimestampMs,
    ) -> Result<(), ErrorCode> {
        let mut state = self.state.lock();
        let client = state.client(context, request.client_instance_id, now_ms);
        let taken = client
            .check_push(request, self.max_bytes, now_ms)
            .and_then(|codec| read(codec, &request.metrics, self.max_bytes));
        client.terminating = request.terminating;
        client.last_error = taken.as_ref().err().copied().unwrap_or(ErrorCode::None);
        let metrics = taken?;
        debug!(client = %request.client_instance_id, client_id = context.client_id, metrics = metrics.len(), "took metrics");
        client.metrics = metrics;
        Ok(())
    }

    /// An id for a client that has none yet.
    pub(crate) fn is_known(&self, id: Uuid) -> bool {
        self.state.lock().clients.contains_key(&id)
    }
}

impl State {
    /// The client of an id, with what it is to push by the subscriptions of now.
    fn client(&mut self, context: &RequestContext, id: Uuid, now_ms: TimestampMs) -> &mut Client {
        let expired =
            |client: &Client| now_ms - client.seen_ms >= EXPIRY_MS.max(3 * i64::from(client.wanted.interval_ms));
        if self.clients.get(&id).is_some_and(expired) {
            self.clients.remove(&id);
        }
        if self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(&id) {
            self.clients.retain(|_, client| !expired(client));
            if self.clients.len() >= MAX_CLIENTS
                && let Some(oldest) = self.clients.iter().min_by_key(|(_, client)| client.seen_ms).map(|(id, _)| *id)
            {
                self.clients.remove(&oldest);
            }
        }
        let (subscriptions, version) = (&self.subscriptions, self.version);
        let client =
            self.clients.entry(id).or_insert_with(|| Client::new(id, attributes(context, id), subscriptions, version));
        if client.version != version {
            let attributes = std::mem::take(&mut client.attributes);
            *client = Client::new(id, attributes, subscriptions, version);
        }
        client.seen_ms = now_ms;
        client
    }
}

impl Client {
    fn new(id: Uuid, attributes: Attributes, subscriptions: &Subscriptions, version: u64) -> Self {
        let wanted = subscriptions.wanted_of(&attributes);
        Self {
            subscription_id: subscription_id(id, &wanted),
            attributes,
            wanted,
            version,
            got_ms: 0,
            pushed_ms: 0,
            seen_ms: 0,
            terminating: false,
            last_error: ErrorCode::None,
            metrics: Vec::new(),
        }
    }

    fn check_push(
        &mut self,
        request: &PushTelemetryRequest,
        max_bytes: i32,
        now_ms: TimestampMs,
    ) -> Result<Compression, ErrorCode> {
        if self.terminating {
            return Err(ErrorCode::InvalidRequest);
        }
        // The first push after a subscription may come at once: clients spread their pushes over the interval.
        let due = self.got_ms > self.pushed_ms || now_ms - self.pushed_ms >= i64::from(self.wanted.interval_ms);
        if due {
            self.pushed_ms = now_ms;
        } else if !request.terminating {
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        if request.subscription_id != self.subscription_id {
            return Err(ErrorCode::UnknownSubscriptionId);
        }
        let codec = codec(request.compression_type).ok_or(ErrorCode::UnsupportedCompressionType)?;
        if request.metrics.len() > usize::try_from(max_bytes).unwrap_or(0) {
            return Err(ErrorCode::TelemetryTooLarge);
        }
        Ok(codec)
    }
}

fn codec(code: i8) -> Option<Compression> {
    match code {
        0 => Some(Compression::None),
        1 => Some(Compression::Gzip),
        2 => Some(Compression::Snappy),
        3 => Some(Compression::Lz4),
        4 => Some(Compression::Zstd),
        _ => None,
    }
}

fn read(codec: Compression, metrics: &Bytes, max_bytes: i32) -> Result<Vec<MetricValue>, ErrorCode> {
    if metrics.is_empty() {
        return Ok(Vec::new());
    }
    let limit = usize::try_from(max_bytes).unwrap_or(0);
    let data = decompress(codec, metrics, limit).map_err(|_| ErrorCode::InvalidRecord)?;
    Ok(otlp::metrics(&data, MAX_METRICS))
}

/// Changes whenever the client is asked for something else.
fn subscription_id(id: Uuid, wanted: &Wanted) -> i32 {
    let texts = wanted.metrics.iter().flat_map(|metric| metric.bytes().chain([b',']));
    let bytes = texts.chain(wanted.interval_ms.to_be_bytes()).chain(id.as_bytes().iter().copied());
    // FNV-1a.
    bytes.fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) as i32
}

fn attributes(context: &RequestContext, id: Uuid) -> Attributes {
    let connection = &context.connection;
    let (name, version) = connection.software.lock().clone().unzip();
    vec![
        ("client_instance_id", Some(id.to_string())),
        ("client_id", Some(context.client_id.clone())),
        ("client_software_name", name),
        ("client_software_version", version),
        ("client_source_address", Some(connection.peer.to_string())),
        ("client_source_port", Some(connection.peer_port.to_string())),
    ]
}
