//! `kafka-console-share-consumer.sh`: prints the records that a share group delivers, and acknowledges them.

use std::time::Duration;

use client::{Acknowledgement, Client, ClientConfig, ShareConsumer, ShareConsumerConfig, ShareRecord};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::console_consumer::formatter::Formatter;
use super::console_consumer::settings::{file_properties, formatting};
use super::java::{Exception, Failure};
use super::options::{self, Parsed, tables::console_share_consumer::OPTIONS};
use super::out::{self, Out};
use super::session::{self, Properties};
use super::stop::Stop;

const CLASS: &str = "org.apache.kafka.tools.consumer.ConsoleShareConsumer";
const DEFAULT_NAME: &str = "console-share-consumer";
/// How long closing may take: acknowledging and leaving the group.
const CLOSE: Duration = Duration::from_secs(30);
/// The longest single wait for records.
const POLL: Duration = Duration::from_secs(1);

/// What the command line asks for.
struct Settings {
    topic: String,
    max_messages: Option<u64>,
    timeout: Option<Duration>,
    acknowledgement: Acknowledgement,
    rejects_errors: bool,
    reports_events: bool,
    properties: Properties,
    formatter: &'static str,
    formatting: Properties,
}

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args).map_err(|error| options::usage(OPTIONS, &error.to_string()))?;
    let settings = settings(&parsed, out)?;
    out.flush()?;
    session::run_on_threads(async { consume(&settings, out).await })
}

fn settings(parsed: &Parsed, out: &mut Out) -> Result<Settings, Stop> {
    parsed.help_or_version(
        "This tool helps to read data from Kafka topics using share groups and outputs it to standard output.",
    )?;
    if !parsed.has("topic") {
        return Err(parsed.usage("--topic is a required argument"));
    }
    parsed.require(&["bootstrap-server"])?;
    if parsed.has("reject") && parsed.has("release") {
        return Err(parsed.usage("At most one of --reject and --release may be specified."));
    }
    let renamed = [("consumer-property", "command-property"), ("consumer-config", "command-config")];
    for (old, new) in renamed {
        if parsed.has(old) && parsed.has(new) {
            return Err(parsed.usage(&format!("Options --{old} and --{new} cannot be specified together.")));
        }
    }
    for (old, new) in renamed.into_iter().filter(|(old, _)| parsed.has(old)) {
        let advice = format!("Use --{new} instead.");
        out.line(format_args!("Option --{old} is deprecated and will be removed in a future version. {advice}"))?;
    }
    let properties = properties(parsed)?;
    let (formatter, formatting) = formatting(parsed, out)?;
    let max_messages: Option<i32> = parsed.number("max-messages")?;
    let timeout: Option<i32> = parsed.number("timeout-ms")?;
    Ok(Settings {
        topic: parsed.text("topic")?.to_owned(),
        max_messages: max_messages.filter(|max| *max != -1).map(|max| u64::try_from(max).unwrap_or(0)),
        timeout: timeout.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
        acknowledgement: match (parsed.has("reject"), parsed.has("release")) {
            (true, _) => Acknowledgement::Reject,
            (_, true) => Acknowledgement::Release,
            _ => Acknowledgement::Accept,
        },
        rejects_errors: parsed.has("reject-message-on-error"),
        reports_events: parsed.has("enable-systest-events"),
        properties,
        formatter,
        formatting,
    })
}

fn properties(parsed: &Parsed) -> Result<Properties, Stop> {
    let file = if parsed.has("consumer-config") { "consumer-config" } else { "command-config" };
    let pairs = if parsed.has("consumer-property") { "consumer-property" } else { "command-property" };
    let mut properties = file_properties(parsed, file)?;
    let mut extra = Properties::new();
    session::add_lenient_pairs(&mut extra, &parsed.all(pairs));
    let mut groups: Vec<String> = Vec::new();
    let given = [
        parsed.one("group")?,
        properties.get("group.id").map(String::as_str),
        extra.get("group.id").map(String::as_str),
    ];
    for group in given.into_iter().flatten() {
        if !groups.iter().any(|known| known == group) {
            groups.push(group.to_owned());
        }
    }
    if groups.len() > 1 {
        let found: Vec<String> = groups.iter().map(|group| format!("'{group}'")).collect();
        return Err(parsed.usage(&format!(
            "The group ids provided in different places (directly using '--group', via '--consumer-property', or via \
             '--consumer-config') do not match. Detected group ids: {}",
            found.join(", ")
        )));
    }
    properties.extend(extra);
    properties.insert("bootstrap.servers".to_owned(), parsed.text("bootstrap-server")?.to_owned());
    properties.entry("client.id".to_owned()).or_insert_with(|| DEFAULT_NAME.to_owned());
    properties.insert("group.id".to_owned(), groups.pop().unwrap_or_else(|| DEFAULT_NAME.to_owned()));
    properties.insert("share.acknowledgement.mode".to_owned(), "explicit".to_owned());
    Ok(properties)
}

fn log(title: &str, error: &Exception) {
    out::error_text(&format!("ERROR {title} ({CLASS})\n{error}\n"));
}

fn unknown_error(error: impl Into<Exception>) -> Stop {
    log("Unknown error when running consumer: ", &error.into());
    Stop::silent(1)
}

/// Why no more records are read.
enum Ended {
    /// As many as wanted were, or none came in time.
    Done,
    /// A signal, with the exit code for it.
    Signal(u8),
}

async fn consume(settings: &Settings, out: &mut Out) -> Result<(), Stop> {
    let properties = session::client_properties(&settings.properties);
    let config = ShareConsumerConfig::from_properties(&properties).map_err(unknown_error)?;
    let client_config = ClientConfig::from_properties(&properties).map_err(unknown_error)?;
    let client = Client::connect(client_config).await.map_err(unknown_error)?;
    let mut consumer = ShareConsumer::new(&client, config);
    consumer.subscribe([settings.topic.as_str()]);
    let mut count = 0;
    let end = process(&mut consumer, settings, &mut count, out).await;
    if let Err(error) = consumer.close(CLOSE).await {
        log("Failed to close the consumer", &error.into());
    }
    let flushed = out.flush();
    out::error_text(&format!("Processed a total of {count} messages\n"));
    if settings.reports_events && flushed.is_ok() {
        out.line("shutdown_complete")?;
    }
    match end {
        Ok(Ended::Done) => Ok(()),
        Ok(Ended::Signal(code)) => Err(Stop::silent(code)),
        Err(Failure::Stop(_)) => {
            out::error_text("Unable to write to standard out, closing consumer.\n");
            Err(Stop::silent(0))
        }
        Err(Failure::Exception(error)) => Err(unknown_error(error)),
    }
}

async fn process(
    consumer: &mut ShareConsumer,
    settings: &Settings,
    count: &mut u64,
    out: &mut Out,
) -> Result<Ended, Failure> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let wanted = |count: u64| settings.max_messages.is_none_or(|max| count < max);
    let mut formatter = Formatter::new(settings.formatter, &settings.formatting);
    let mut last = Instant::now();
    while wanted(*count) {
        let wait = settings.timeout.map_or(POLL, |timeout| POLL.min(timeout));
        let polled = tokio::select! {
            polled = consumer.poll(wait) => polled,
            _ = interrupt.recv() => return Ok(Ended::Signal(130)),
            _ = terminate.recv() => return Ok(Ended::Signal(143)),
        };
        let title = "Error processing message, terminating consumer process: ";
        let records = match polled {
            Ok(records) => records,
            Err(error) => {
                log(title, &error.into());
                return Ok(Ended::Done);
            }
        };
        if records.is_empty() {
            if settings.timeout.is_some_and(|timeout| last.elapsed() > timeout) {
                out::error_text(&format!("ERROR {title} ({CLASS})\norg.apache.kafka.common.errors.TimeoutException\n"));
                return Ok(Ended::Done);
            }
            continue;
        }
        // What is delivered beyond the limit is not acknowledged, and so released when the consumer is closed.
        for record in records {
            if !wanted(*count) {
                break;
            }
            *count += 1;
            write(consumer, &mut formatter, &record, settings, out)?;
        }
        last = Instant::now();
        out.flush()?;
    }
    Ok(Ended::Done)
}

fn write(
    consumer: &mut ShareConsumer,
    formatter: &mut Formatter,
    record: &ShareRecord,
    settings: &Settings,
    out: &mut Out,
) -> Result<(), Failure> {
    match formatter.write(&record.record, Some(record.delivery_count), out) {
        Ok(()) => consumer.acknowledge(record, settings.acknowledgement)?,
        Err(Failure::Exception(error)) if settings.rejects_errors => {
            log("Error processing message, rejecting this message: ", &error);
            consumer.acknowledge(record, Acknowledgement::Reject)?;
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}
