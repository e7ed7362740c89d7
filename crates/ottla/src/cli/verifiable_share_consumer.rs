//! `kafka-verifiable-share-consumer.sh`: reads as a member of a share group, and says what it reads and acknowledges.

use std::collections::BTreeMap;
use std::time::Duration;

use client::admin::{AlterConfigOp, ConfigChange, ConfigResource, ConfigResourceType};
use client::share_consumer::Acknowledged;
use client::{Admin, Client, ClientConfig, ShareConsumer, ShareConsumerConfig, ShareRecord};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::java::Exception;
use super::options::argparse::{Arguments, Command, Group, one, required, switch};
use super::out::{self, Out};
use super::session;
use super::stop::Stop;
use super::verifiable::{event, number, properties, read, text, uncaught};

const TOOL: Command = Command {
    name: "verifiable-share-consumer",
    help: include_str!("options/help/verifiable-share-consumer.txt"),
    arguments: &[
        required(&["--topic"]),
        required(&["--group-id"]),
        one(&["--max-messages"]),
        switch(&["--verbose"]),
        one(&["--acknowledgement-mode"]),
        one(&["--offset-reset-strategy"]),
        one(&["--command-config"]),
        one(&["--bootstrap-server"]),
    ],
    groups: &[Group { names: &["--bootstrap-server"], required: true }],
    subcommands: &[],
};
const MODE_CLASS: &str = "org.apache.kafka.tools.VerifiableShareConsumer.AcknowledgementMode";
const POLL: Duration = Duration::from_secs(5);
const CLOSE: Duration = Duration::from_secs(30);

/// When acknowledgements are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// With the next poll.
    Auto,
    /// At once, without waiting.
    Async,
    /// At once.
    Sync,
}

struct Settings {
    topic: String,
    group: String,
    max_messages: Option<u64>,
    verbose: bool,
    mode: Mode,
    reset: String,
}

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let arguments = read(&TOOL, args)?;
    let settings = settings(&arguments)?;
    let mut base = properties(&TOOL, &arguments, None, out)?;
    base.insert("bootstrap.servers".to_owned(), arguments.one("--bootstrap-server").unwrap_or_default().to_owned());
    base.insert("group.id".to_owned(), settings.group.clone());
    session::run_on_threads(async { consume(&settings, &base, out).await })
}

fn settings(arguments: &Arguments) -> Result<Settings, Stop> {
    let mode = arguments.one("--acknowledgement-mode").unwrap_or("auto").to_uppercase();
    let mode = match mode.as_str() {
        "AUTO" => Mode::Auto,
        "ASYNC" => Mode::Async,
        "SYNC" => Mode::Sync,
        other => {
            let message = format!("No enum constant {MODE_CLASS}.{other}");
            return Err(Stop::uncaught("java.lang.IllegalArgumentException", &message));
        }
    };
    Ok(Settings {
        topic: arguments.one("--topic").unwrap_or_default().to_owned(),
        group: arguments.one("--group-id").unwrap_or_default().to_owned(),
        max_messages: u64::try_from(number(&TOOL, arguments, "--max-messages", -1)?).ok(),
        verbose: arguments.has("--verbose"),
        mode,
        reset: arguments.one("--offset-reset-strategy").unwrap_or_default().to_lowercase(),
    })
}

async fn consume(settings: &Settings, base: &session::Properties, out: &mut Out) -> Result<(), Stop> {
    let base = session::client_properties(base);
    let config = ShareConsumerConfig::from_properties(&base).map_err(uncaught)?;
    let client = Client::connect(ClientConfig::from_properties(&base).map_err(uncaught)?).await.map_err(uncaught)?;
    let mut consumer = ShareConsumer::new(&client, config);
    event(out, "startup_complete", json!({}))?;
    let ended = match set_reset(&client, settings, out).await {
        Ok(()) => process(&mut consumer, settings, out).await,
        Err(error) => Err(error),
    };
    if let Err(error) = consumer.close(CLOSE).await {
        log(&error.into());
    }
    report(&mut consumer, out)?;
    event(out, "shutdown_complete", json!({}))?;
    match ended {
        Ok(0) => Ok(()),
        Ok(code) => Err(Stop::silent(code)),
        Err(Ended::Stop(stop)) => Err(stop),
        Err(Ended::Exception(error)) => {
            log(&error);
            Ok(())
        }
    }
}

/// Why no more is read.
enum Ended {
    Stop(Stop),
    Exception(Exception),
}

impl From<Stop> for Ended {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<client::ClientError> for Ended {
    fn from(error: client::ClientError) -> Self {
        Self::Exception(error.into())
    }
}

fn log(error: &Exception) {
    out::error_text(&format!(
        "ERROR Error during processing, terminating share consumer process:  \
         (org.apache.kafka.tools.VerifiableShareConsumer)\n{error}\n"
    ));
}

async fn set_reset(client: &Client, settings: &Settings, out: &mut Out) -> Result<(), Ended> {
    if settings.reset.is_empty() {
        return Ok(());
    }
    let resource = ConfigResource { kind: ConfigResourceType::Group, name: settings.group.clone() };
    let change = ConfigChange {
        name: "share.auto.offset.reset".to_owned(),
        op: AlterConfigOp::Set,
        value: Some(settings.reset.clone()),
    };
    let changes = BTreeMap::from([(resource, vec![change])]);
    for (_, result) in Admin::new(client.clone()).alter_configs(&changes, false).await? {
        result?;
    }
    event(out, "offset_reset_strategy_set", json!({ "offsetResetStrategy": settings.reset }))?;
    Ok(())
}

async fn process(consumer: &mut ShareConsumer, settings: &Settings, out: &mut Out) -> Result<u8, Ended> {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return Ok(1);
    };
    consumer.subscribe([settings.topic.as_str()]);
    let mut total = 0;
    while settings.max_messages.is_none_or(|max| total < max) {
        let records = tokio::select! {
            records = consumer.poll(POLL) => records?,
            _ = interrupt.recv() => return Ok(130),
            _ = terminate.recv() => return Ok(143),
        };
        if !records.is_empty() {
            received(&records, settings, out)?;
            match settings.mode {
                Mode::Auto => {}
                Mode::Async => consumer.commit_later(),
                Mode::Sync => {
                    for result in consumer.commit().await? {
                        total += acknowledged(&result, out)?;
                    }
                }
            }
        }
        total += report(consumer, out)?;
    }
    Ok(0)
}

fn received(records: &[ShareRecord], settings: &Settings, out: &mut Out) -> Result<(), Stop> {
    let mut partitions: BTreeMap<(&str, i32), Vec<&ShareRecord>> = BTreeMap::new();
    for record in records {
        partitions.entry((&record.record.topic, record.record.partition)).or_default().push(record);
    }
    let mut summaries = Vec::new();
    for ((topic, partition), records) in partitions {
        let mut offsets: Vec<i64> = records.iter().map(|record| record.record.offset).collect();
        offsets.sort_unstable();
        summaries.push(summary(topic, partition, &offsets));
        for record in records.iter().filter(|_| settings.verbose) {
            let record = &record.record;
            let says = json!({
                "key": text(record.key.as_ref()),
                "value": text(record.value.as_ref()),
                "topic": topic,
                "partition": partition,
                "offset": record.offset,
            });
            event(out, "record_data", says)?;
        }
    }
    event(out, "records_consumed", json!({ "count": records.len(), "partitions": summaries }))
}

/// Tells what brokers have said to acknowledgements; how many they took.
fn report(consumer: &mut ShareConsumer, out: &mut Out) -> Result<u64, Stop> {
    let mut total = 0;
    for result in consumer.take_acknowledged() {
        total += acknowledged(&result, out)?;
    }
    Ok(total)
}

fn acknowledged(result: &Acknowledged, out: &mut Out) -> Result<u64, Stop> {
    let count = result.offsets.len();
    let partitions = vec![summary(&result.partition.topic, result.partition.partition, &result.offsets)];
    let mut says = json!({ "count": count, "partitions": partitions, "success": result.error.is_none() });
    if let (Some(error), Value::Object(says)) = (&result.error, &mut says) {
        says.insert("error".to_owned(), json!(Exception::from(error.clone()).message));
    }
    event(out, "offsets_acknowledged", says)?;
    Ok(if result.error.is_none() { count as u64 } else { 0 })
}

fn summary(topic: &str, partition: i32, offsets: &[i64]) -> Value {
    json!({ "topic": topic, "partition": partition, "count": offsets.len(), "offsets": offsets })
}
