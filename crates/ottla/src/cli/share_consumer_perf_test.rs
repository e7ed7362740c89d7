//! `kafka-share-consumer-perf-test.sh`: reads records of a share group as fast as they come and reports throughput.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Client, ClientConfig, ShareConsumer, ShareConsumerConfig, ShareRecord};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::java::{Exception, Failure};
use super::options::{self, Parsed, tables::share_consumer_perf_test::OPTIONS};
use super::out::Out;
use super::session::{self, Properties};
use super::stop::Stop;
use super::time::{format_date, now_ms};

const MEGABYTE: f64 = 1024.0 * 1024.0;
const POLL: Duration = Duration::from_millis(100);
const CLOSE: Duration = Duration::from_secs(5);

/// What the command line asks for.
#[derive(Debug)]
struct Settings {
    topic: String,
    records: u64,
    timeout_ms: i64,
    reporting_interval: i64,
    detailed: bool,
    date_format: String,
    consumers: usize,
    shows_consumers: bool,
    properties: Properties,
}

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args).map_err(|error| options::usage(OPTIONS, &error.to_string()))?;
    check(&parsed, out)?;
    let settings = settings(&parsed).map_err(Failure::traced)?;
    if !parsed.has("hide-header") {
        out.line("start.time, end.time, data.consumed.in.MB, MB.sec, nMsg.sec, data.consumed.in.nMsg, fetch.time.ms")?;
        out.flush()?;
    }
    session::run_on_threads(async { measure(settings, out).await.map_err(Failure::traced) })
}

fn check(parsed: &Parsed, out: &mut Out) -> Result<(), Stop> {
    parsed.help_or_version("This tool is used to verify the share consumer performance.")?;
    parsed.require(&["topic", "bootstrap-server"])?;
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
    for (name, value) in [
        ("bootstrap.servers", parsed.text("bootstrap-server")?),
        ("group.id", parsed.text("group")?),
        ("receive.buffer.bytes", parsed.text("socket-buffer-size")?),
        ("fetch.max.bytes", parsed.text("fetch-size")?),
        ("check.crcs", "false"),
    ] {
        properties.insert(name.to_owned(), value.to_owned());
    }
    properties.entry("client.id".to_owned()).or_insert_with(|| "perf-share-consumer-client".to_owned());
    let reporting_interval = parsed.number("reporting-interval")?.unwrap_or(5000);
    if reporting_interval <= 0 {
        return Err(Exception::illegal_argument("Reporting interval must be greater than 0.").into());
    }
    let records = if parsed.has("messages") { "messages" } else { "num-records" };
    Ok(Settings {
        topic: parsed.text("topic")?.to_owned(),
        records: parsed.number::<i64>(records)?.map_or(0, |records| u64::try_from(records).unwrap_or(0)),
        timeout_ms: parsed.number("timeout")?.unwrap_or(10_000),
        reporting_interval,
        detailed: parsed.has("show-detailed-stats"),
        date_format: parsed.text("date-format")?.to_owned(),
        consumers: parsed.number::<i32>("threads")?.and_then(|count| usize::try_from(count).ok()).unwrap_or(1).max(1),
        shows_consumers: parsed.has("show-consumer-stats"),
        properties,
    })
}

/// Records and bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    records: u64,
    bytes: u64,
}

/// What one consumer has read.
struct Consumed {
    number: usize,
    consumer: ShareConsumer,
    sum: Sum,
    failure: Option<Exception>,
}

async fn measure(settings: Settings, out: &mut Out) -> Result<(), Failure> {
    let settings = Arc::new(settings);
    let mut consumers = Vec::new();
    let mut names = Vec::new();
    for number in 1..=settings.consumers {
        let mut properties = settings.properties.clone();
        let mut name = properties.get("client.id").cloned().unwrap_or_default();
        if settings.consumers > 1 {
            name = format!("{name}-{number}");
            properties.insert("client.id".to_owned(), name.clone());
        }
        let properties = session::client_properties(&properties);
        let client = Client::connect(ClientConfig::from_properties(&properties)?).await?;
        let mut consumer = ShareConsumer::new(&client, ShareConsumerConfig::from_properties(&properties)?);
        consumer.subscribe([settings.topic.as_str()]);
        consumers.push(consumer);
        names.push(name);
    }
    let start = now_ms();
    let (total, lines) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let mut tasks = JoinSet::new();
    for (number, consumer) in (1..).zip(consumers) {
        tasks.spawn(consume(number, consumer, Arc::clone(&settings), Arc::clone(&total), Arc::clone(&lines)));
    }
    let mut consumed: Vec<Consumed> = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        consumed.extend(ended.ok());
        for line in std::mem::take(&mut *lines.lock()) {
            out.line(line)?;
        }
        out.flush()?;
    }
    consumed.sort_by_key(|one| one.number);
    let end = now_ms();
    let mut sum = Sum::default();
    for one in &consumed {
        sum.records += one.sum.records;
        sum.bytes += one.sum.bytes;
        if settings.shows_consumers {
            let (number, name) = (one.number, &names[one.number - 1]);
            let stats = stats(&settings, one.sum, (start, end));
            out.line(format_args!("Share consumer {number} having client id {name} consumption metrics- {stats}"))?;
        }
    }
    if sum.records < settings.records {
        out.line(format_args!(
            "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) exceeded. You can use the \
             --timeout option to increase the timeout.",
            settings.timeout_ms
        ))?;
    }
    for one in &mut consumed {
        if let Some(failure) = one.failure.take() {
            return Err(failure.into());
        }
        one.consumer.commit().await?;
    }
    out.line(stats(&settings, sum, (start, end)))?;
    out.flush()?;
    for one in &mut consumed {
        one.consumer.close(CLOSE).await?;
    }
    Ok(())
}

async fn consume(
    number: usize,
    mut consumer: ShareConsumer,
    settings: Arc<Settings>,
    total: Arc<AtomicU64>,
    lines: Arc<Mutex<Vec<String>>>,
) -> Consumed {
    let (mut sum, mut reported) = (Sum::default(), Sum::default());
    let mut now = now_ms();
    let (mut last_report, mut last_record) = (now, now);
    let mut failure = None;
    while total.load(Ordering::Relaxed) < settings.records && now - last_record <= settings.timeout_ms {
        let records = match consumer.poll(POLL).await {
            Ok(records) => records,
            Err(error) => {
                failure = Some(error.into());
                break;
            }
        };
        now = now_ms();
        if records.is_empty() {
            continue;
        }
        last_record = now;
        total.fetch_add(records.len() as u64, Ordering::Relaxed);
        sum.records += records.len() as u64;
        sum.bytes += records.iter().map(size).sum::<u64>();
        if now - last_report >= settings.reporting_interval {
            if settings.detailed {
                lines.lock().push(report(&settings, (sum, reported), (last_report, now), number));
            }
            (last_report, reported) = (now, sum);
        }
    }
    Consumed { number, consumer, sum, failure }
}

fn size(record: &ShareRecord) -> u64 {
    let size = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len) as u64;
    size(&record.record.key) + size(&record.record.value)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn stats(settings: &Settings, sum: Sum, (start, end): (i64, i64)) -> String {
    let elapsed = (end - start) as f64 / 1000.0;
    let megabytes = sum.bytes as f64 / MEGABYTE;
    format!(
        "{}, {}, {megabytes:.4}, {:.4}, {:.4}, {}, {}",
        format_date(&settings.date_format, start),
        format_date(&settings.date_format, end),
        megabytes / elapsed,
        sum.records as f64 / elapsed,
        sum.records,
        end - start
    )
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(settings: &Settings, (sum, before): (Sum, Sum), (start, end): (i64, i64), number: usize) -> String {
    let elapsed = (end - start) as f64;
    let megabytes = (sum.bytes - before.bytes) as f64 / MEGABYTE;
    format!(
        "{}, {}, {:.4}, {:.4}, {:.4}, {}, {} for share consumer {number}",
        format_date(&settings.date_format, start),
        format_date(&settings.date_format, end),
        sum.bytes as f64 / MEGABYTE,
        1000.0 * megabytes / elapsed,
        (sum.records - before.records) as f64 / elapsed * 1000.0,
        sum.records,
        end - start
    )
}
