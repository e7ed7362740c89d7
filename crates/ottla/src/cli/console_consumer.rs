//! `kafka-console-consumer.sh`: prints the records of topics.

pub(super) mod formatter;
pub(super) mod settings;

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Client, ClientConfig, Consumer, ConsumerConfig, ConsumerRecord};
use protocol::TopicPartition;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::java::{Exception, Failure};
use super::options::{self, tables::console_consumer::OPTIONS};
use super::out::{self, Out};
use super::session;
use super::stop::Stop;
use formatter::Formatter;
use settings::{Settings, Start, Topics};

const CLASS: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
/// How long closing may take: committing and leaving the group.
const CLOSE: Duration = Duration::from_secs(30);
/// The longest single wait for records.
const POLL: Duration = Duration::from_secs(1);

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args).map_err(|error| options::usage(OPTIONS, &error.to_string()))?;
    let settings = Settings::new(&parsed, out)?;
    out.flush()?;
    session::run_on_threads(async { consume(&settings, out).await })
}

fn log(title: &str, error: &Exception) {
    out::error_text(&format!("ERROR {title} ({CLASS})\n{error}\n"));
}

fn unknown_error(error: impl Into<Exception>) -> Stop {
    log("Unknown error when running consumer: ", &error.into());
    Stop::silent(1)
}

async fn consume(settings: &Settings, out: &mut Out) -> Result<(), Stop> {
    let properties = session::client_properties(&settings.properties);
    let config = ConsumerConfig::from_properties(&properties).map_err(unknown_error)?;
    let client_config = ClientConfig::from_properties(&properties).map_err(unknown_error)?;
    if settings.partition.is_none() {
        out::error_text(
            "The consumer rebalance protocol (KIP-848) is production-ready! Set group.protocol=consumer to try it out. \
             See https://kafka.apache.org/documentation/#consumer_rebalance_protocol\n",
        );
    }
    let client = Client::connect(client_config).await.map_err(unknown_error)?;
    let mut consumer = Consumer::new(&client, config).map_err(unknown_error)?;
    start(&mut consumer, settings).map_err(unknown_error)?;
    let mut count = 0;
    let end = process(&mut consumer, settings, &mut count, out).await;
    if let Err(error) = consumer.close(CLOSE).await {
        log("Failed to close the consumer", &error.into());
    }
    // The output may be what was closed; the count goes to stderr all the same.
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

fn start(consumer: &mut Consumer, settings: &Settings) -> Result<(), Exception> {
    match (&settings.topics, settings.partition) {
        (Topics::One(topic), Some(partition)) => {
            let partition = TopicPartition::new(topic.as_str(), partition);
            let only = std::slice::from_ref(&partition);
            consumer.assign(only)?;
            match settings.start {
                Start::Earliest => consumer.seek_to_beginning(only)?,
                Start::Latest => consumer.seek_to_end(only)?,
                Start::At(offset) => consumer.seek(&partition, offset)?,
            }
        }
        (Topics::One(topic), None) => consumer.subscribe([topic.as_str()])?,
        (Topics::Matching(pattern), _) => consumer.subscribe_pattern(pattern)?,
    }
    Ok(())
}

/// Why no more records are read.
enum Ended {
    /// As many as wanted were, or none came in time.
    Done,
    /// A signal, with the exit code for it.
    Signal(u8),
}

async fn process(
    consumer: &mut Consumer,
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
        let mut records = records.into_iter();
        while wanted(*count) {
            let Some(record) = records.next() else { break };
            *count += 1;
            write(&mut formatter, &record, settings, out)?;
        }
        last = Instant::now();
        rewind(consumer, records)?;
        out.flush()?;
    }
    Ok(Ended::Done)
}

fn write(
    formatter: &mut Formatter,
    record: &ConsumerRecord,
    settings: &Settings,
    out: &mut Out,
) -> Result<(), Failure> {
    match formatter.write(record, None, out) {
        Err(Failure::Exception(error)) if settings.skips_errors => {
            log("Error processing message, skipping this message: ", &error);
            Ok(())
        }
        written => written,
    }
}

/// Goes back to the first records that were read and not printed, so that their offsets are not committed.
fn rewind(consumer: &mut Consumer, rest: impl Iterator<Item = ConsumerRecord>) -> Result<(), Exception> {
    let mut first: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for record in rest {
        first.entry(TopicPartition::new(record.topic, record.partition)).or_insert(record.offset);
    }
    for (partition, offset) in first {
        consumer.seek(&partition, offset)?;
    }
    Ok(())
}
