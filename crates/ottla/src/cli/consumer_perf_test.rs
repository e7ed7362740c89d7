//! `kafka-consumer-perf-test.sh`: reads records as fast as they come and reports throughput.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::consumer::RebalanceListener;
use client::{Client, ClientConfig, Consumer, ConsumerConfig, OffsetAndMetadata};
use parking_lot::Mutex;
use protocol::TopicPartition;

use super::java::{Exception, Failure};
use super::options::{self, Parsed, tables::consumer_perf_test::OPTIONS};
use super::out::Out;
use super::session::{self, Properties};
use super::stop::Stop;
use super::time::{format_date, now_ms};
use super::{out, progress};

const MEGABYTE: f64 = 1024.0 * 1024.0;
const POLL: Duration = Duration::from_millis(100);
const CLOSE: Duration = Duration::from_secs(30);

/// What the command line asks for.
struct Settings {
    topic: Option<String>,
    include: Option<String>,
    records: u64,
    timeout_ms: i64,
    reporting_interval: i64,
    detailed: bool,
    date_format: String,
    properties: Properties,
}

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args).map_err(|error| options::usage(OPTIONS, &error.to_string()))?;
    check(&parsed, out)?;
    let settings = settings(&parsed).map_err(Failure::traced)?;
    if !parsed.has("hide-header") {
        let first = if settings.detailed { "time, threadId" } else { "start.time, end.time" };
        out.line(format_args!(
            "{first}, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, \
             fetch.MB.sec, fetch.nMsg.sec"
        ))?;
        out.flush()?;
    }
    session::run_on_threads(async { measure(&settings, out).await.map_err(Failure::traced) })
}

fn check(parsed: &Parsed, out: &mut Out) -> Result<(), Stop> {
    parsed.help_or_version("This tool is used to verify the consumer performance.")?;
    parsed.require(&["bootstrap-server"])?;
    parsed.exactly_one(&["topic", "include"])?;
    parsed.exactly_one(&["messages", "num-records"])?;
    parsed.forbid("consumer.config", &["command-config"])?;
    session::refuse_metrics(parsed.has("print-metrics"))?;
    if parsed.has("messages") {
        out.line("Warning: --messages is deprecated. Use --num-records instead.")?;
    }
    if parsed.has("consumer.config") {
        out.line("Warning: --consumer.config is deprecated. Use --command-config instead.")?;
    }
    Ok(())
}

fn settings(parsed: &Parsed) -> Result<Settings, Failure> {
    let file = if parsed.has("consumer.config") { "consumer.config" } else { "command-config" };
    let mut properties = session::optional_properties(parsed.one(file)?)?;
    session::add_lenient_pairs(&mut properties, &parsed.all("command-property"));
    let group = parsed.one("group")?.filter(|_| parsed.has("group")).map(str::to_owned);
    let group = group.unwrap_or_else(|| format!("perf-consumer-{}", now_ms() % 100_000));
    let reset = if parsed.has("from-latest") { "latest" } else { "earliest" };
    for (name, value) in [
        ("bootstrap.servers", parsed.text("bootstrap-server")?),
        ("group.id", &group),
        ("receive.buffer.bytes", parsed.text("socket-buffer-size")?),
        ("max.partition.fetch.bytes", parsed.text("fetch-size")?),
        ("auto.offset.reset", reset),
        ("check.crcs", "false"),
    ] {
        properties.insert(name.to_owned(), value.to_owned());
    }
    properties.entry("client.id".to_owned()).or_insert_with(|| "perf-consumer-client".to_owned());
    let reporting_interval = parsed.number("reporting-interval")?.unwrap_or(5000);
    if reporting_interval <= 0 {
        return Err(Exception::illegal_argument("Reporting interval must be greater than 0.").into());
    }
    let records = if parsed.has("messages") { "messages" } else { "num-records" };
    Ok(Settings {
        topic: parsed.one("topic")?.map(str::to_owned),
        include: parsed.one("include")?.map(str::to_owned),
        records: parsed.number::<i64>(records)?.map_or(0, |records| u64::try_from(records).unwrap_or(0)),
        timeout_ms: parsed.number("timeout")?.unwrap_or(10_000),
        reporting_interval,
        detailed: parsed.has("show-detailed-stats"),
        date_format: parsed.text("date-format")?.to_owned(),
        properties,
    })
}

/// Time without partitions, as the group says.
#[derive(Debug, Default)]
struct JoinTime {
    assigned: BTreeSet<TopicPartition>,
    since: i64,
    total: i64,
    this_round: i64,
}

struct Listener(Arc<Mutex<JoinTime>>);

impl RebalanceListener for Listener {
    fn assigned(&mut self, partitions: &[TopicPartition]) {
        let mut time = self.0.lock();
        if time.assigned.is_empty() {
            let elapsed = now_ms() - time.since;
            time.total += elapsed;
            time.this_round += elapsed;
        }
        time.assigned.extend(partitions.iter().cloned());
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        self.lost(partitions);
        Vec::new()
    }

    fn lost(&mut self, partitions: &[TopicPartition]) {
        let mut time = self.0.lock();
        partitions.iter().for_each(|partition| {
            time.assigned.remove(partition);
        });
        if time.assigned.is_empty() {
            time.since = now_ms();
        }
    }
}

/// Records and bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    records: u64,
    bytes: u64,
}

async fn measure(settings: &Settings, out: &mut Out) -> Result<(), Failure> {
    let properties = session::client_properties(&settings.properties);
    let client = Client::connect(ClientConfig::from_properties(&properties)?).await?;
    let mut consumer = Consumer::new(&client, ConsumerConfig::from_properties(&properties)?)?;
    let start = now_ms();
    let join = Arc::new(Mutex::new(JoinTime { since: start, ..JoinTime::default() }));
    consumer.set_rebalance_listener(Box::new(Listener(join.clone())));
    match (&settings.topic, &settings.include) {
        (Some(topic), _) => consumer.subscribe([topic.as_str()])?,
        (None, include) => consumer.subscribe_pattern(include.as_deref().unwrap_or_default())?,
    }
    let total = consume(&mut consumer, settings, &join, out).await?;
    let end = now_ms();
    if !settings.detailed {
        out.line(summary(settings, total, (start, end), join.lock().total))?;
        out.flush()?;
    }
    if let Err(error) = consumer.close(CLOSE).await {
        out::error_text(&format!("{}\n", Exception::from(error)));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn summary(settings: &Settings, total: Sum, (start, end): (i64, i64), join_ms: i64) -> String {
    let elapsed = (end - start) as f64 / 1000.0;
    let fetch_ms = end - start - join_ms;
    let fetch = fetch_ms as f64 / 1000.0;
    let (megabytes, records) = (total.bytes as f64 / MEGABYTE, total.records as f64);
    format!(
        "{}, {}, {megabytes:.4}, {:.4}, {}, {:.4}, {join_ms}, {fetch_ms}, {:.4}, {:.4}",
        format_date(&settings.date_format, start),
        format_date(&settings.date_format, end),
        megabytes / elapsed,
        total.records,
        records / elapsed,
        megabytes / fetch,
        records / fetch
    )
}

async fn consume(
    consumer: &mut Consumer,
    settings: &Settings,
    join: &Mutex<JoinTime>,
    out: &mut Out,
) -> Result<Sum, Failure> {
    let bar = progress::bar(settings.records);
    let (mut total, mut reported) = (Sum::default(), Sum::default());
    let mut now = now_ms();
    let (mut last_report, mut last_record) = (now, now);
    while total.records < settings.records && now - last_record <= settings.timeout_ms {
        let records = consumer.poll(POLL).await?;
        now = now_ms();
        if records.is_empty() {
            continue;
        }
        last_record = now;
        for record in &records {
            let size = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len) as u64;
            total.records += 1;
            total.bytes += size(&record.key) + size(&record.value);
        }
        bar.set_position(total.records);
        if now - last_report >= settings.reporting_interval {
            let round = std::mem::take(&mut join.lock().this_round);
            if settings.detailed {
                out.line(report(settings, (total, reported), (last_report, now), round))?;
                out.flush()?;
            }
            (last_report, reported) = (now, total);
        }
    }
    bar.finish_and_clear();
    if total.records < settings.records {
        out.line(format_args!(
            "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) exceeded. You can use the \
             --timeout option to increase the timeout.",
            settings.timeout_ms
        ))?;
    }
    Ok(total)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(settings: &Settings, (total, before): (Sum, Sum), (start, end): (i64, i64), join_ms: i64) -> String {
    let elapsed = (end - start) as f64;
    let fetch_ms = end - start - join_ms;
    let megabytes = (total.bytes - before.bytes) as f64 / MEGABYTE;
    let records = (total.records - before.records) as f64;
    let per_second = |amount: f64, ms: f64| if ms <= 0.0 { 0.0 } else { 1000.0 * amount / ms };
    format!(
        "{}, 0, {:.4}, {:.4}, {}, {:.4}, {join_ms}, {fetch_ms}, {:.4}, {:.4}",
        format_date(&settings.date_format, end),
        total.bytes as f64 / MEGABYTE,
        per_second(megabytes, elapsed),
        total.records,
        per_second(records, elapsed),
        per_second(megabytes, fetch_ms as f64),
        per_second(records, fetch_ms as f64)
    )
}
