//! `kafka-verifiable-consumer.sh`: reads as a member of a group, and says what it is assigned, reads and commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::consumer::RebalanceListener;
use client::{Client, ClientConfig, Consumer, ConsumerConfig, ConsumerRecord, OffsetAndMetadata};
use parking_lot::Mutex;
use protocol::{ErrorCode, TopicPartition};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::java::Exception;
use super::options::argparse::{Arguments, Command, Group, one, required, switch};
use super::out::{self, Out};
use super::session::{self, Properties};
use super::stop::Stop;
use super::verifiable::{event, number, properties, read, text, uncaught};

const TOOL: Command = Command {
    name: "verifiable-consumer",
    help: include_str!("options/help/verifiable-consumer.txt"),
    arguments: &[
        required(&["--topic"]),
        one(&["--group-protocol"]),
        one(&["--group-remote-assignor"]),
        required(&["--group-id"]),
        one(&["--group-instance-id"]),
        one(&["--max-messages"]),
        one(&["--session-timeout"]),
        switch(&["--verbose"]),
        switch(&["--enable-autocommit"]),
        one(&["--reset-policy"]),
        one(&["--assignment-strategy"]),
        one(&["--consumer.config"]),
        one(&["--command-config"]),
        one(&["--bootstrap-server"]),
    ],
    groups: &[Group { names: &["--bootstrap-server"], required: true }],
    subcommands: &[],
};
const POLL: Duration = Duration::from_secs(1);
const CLOSE: Duration = Duration::from_secs(30);

struct Settings {
    topic: String,
    max_messages: Option<usize>,
    verbose: bool,
    commits: bool,
}

/// Partitions that came and went, to be told of.
type Changes = Arc<Mutex<Vec<(&'static str, Vec<TopicPartition>)>>>;

struct Listener(Changes);

impl RebalanceListener for Listener {
    fn assigned(&mut self, partitions: &[TopicPartition]) {
        self.0.lock().push(("partitions_assigned", partitions.to_vec()));
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) -> Vec<(TopicPartition, OffsetAndMetadata)> {
        self.lost(partitions);
        Vec::new()
    }

    fn lost(&mut self, partitions: &[TopicPartition]) {
        self.0.lock().push(("partitions_revoked", partitions.to_vec()));
    }
}

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let arguments = read(&TOOL, args)?;
    let settings = Settings {
        topic: arguments.one("--topic").unwrap_or_default().to_owned(),
        max_messages: usize::try_from(number(&TOOL, &arguments, "--max-messages", -1)?).ok(),
        verbose: arguments.has("--verbose"),
        commits: !arguments.has("--enable-autocommit"),
    };
    let properties = consumer_properties(&arguments, out)?;
    session::run_on_threads(async { consume(&settings, &properties, out).await })
}

fn consumer_properties(arguments: &Arguments, out: &mut Out) -> Result<Properties, Stop> {
    let mut base = properties(&TOOL, arguments, Some("--consumer.config"), out)?;
    let given = |name: &str| arguments.one(name).map(str::to_owned);
    let protocol = given("--group-protocol").unwrap_or_else(|| "classic".to_owned());
    let known = ["classic", "consumer"].into_iter().find(|known| known.eq_ignore_ascii_case(&protocol));
    let unknown = || {
        let name = protocol.to_uppercase();
        let message = format!("No enum constant org.apache.kafka.clients.consumer.GroupProtocol.{name}");
        Stop::uncaught("java.lang.IllegalArgumentException", &message)
    };
    base.insert("group.protocol".to_owned(), known.ok_or_else(unknown)?.to_owned());
    let strategy = "org.apache.kafka.clients.consumer.RangeAssignor";
    let range = || strategy.to_owned();
    let session_timeout = number(&TOOL, arguments, "--session-timeout", -1)?;
    for (name, value) in [
        ("partition.assignment.strategy", Some(given("--assignment-strategy").unwrap_or_else(range))),
        ("session.timeout.ms", (session_timeout >= 0).then(|| session_timeout.to_string())),
        ("group.id", given("--group-id")),
        ("group.instance.id", given("--group-instance-id")),
        ("group.remote.assignor", given("--group-remote-assignor")),
        ("bootstrap.servers", given("--bootstrap-server")),
        ("enable.auto.commit", Some(arguments.has("--enable-autocommit").to_string())),
        ("auto.offset.reset", Some(given("--reset-policy").unwrap_or_else(|| "earliest".to_owned()))),
    ] {
        if let Some(value) = value {
            base.insert(name.to_owned(), value);
        }
    }
    Ok(base)
}

async fn consume(settings: &Settings, properties: &Properties, out: &mut Out) -> Result<(), Stop> {
    let properties = session::client_properties(properties);
    let config = ConsumerConfig::from_properties(&properties).map_err(uncaught)?;
    let client_config = ClientConfig::from_properties(&properties).map_err(uncaught)?;
    let client = Client::connect(client_config).await.map_err(uncaught)?;
    let mut consumer = Consumer::new(&client, config).map_err(uncaught)?;
    let changes = Changes::default();
    consumer.set_rebalance_listener(Box::new(Listener(Arc::clone(&changes))));
    event(out, "startup_complete", json!({}))?;
    let ended = process(&mut consumer, settings, &changes, out).await;
    if let Err(Ended::Exception(error)) = &ended {
        log(error);
    }
    if let Err(error) = consumer.close(CLOSE).await {
        log(&error.into());
    }
    tell(&changes, out)?;
    event(out, "shutdown_complete", json!({}))?;
    match ended {
        Ok(0) | Err(Ended::Exception(_)) => event(out, "shutdown_requested", json!({})),
        Ok(code) => Err(Stop::silent(code)),
        Err(Ended::Stop(stop)) => Err(stop),
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
        "ERROR Error during processing, terminating consumer process:  \
         (org.apache.kafka.tools.VerifiableConsumer)\n{error}\n"
    ));
}

fn tell(changes: &Changes, out: &mut Out) -> Result<(), Stop> {
    for (name, partitions) in std::mem::take(&mut *changes.lock()) {
        let partitions: Vec<Value> = partitions
            .iter()
            .map(|partition| json!({ "topic": *partition.topic, "partition": partition.partition }))
            .collect();
        event(out, name, json!({ "partitions": partitions }))?;
    }
    Ok(())
}

async fn process(consumer: &mut Consumer, settings: &Settings, changes: &Changes, out: &mut Out) -> Result<u8, Ended> {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return Ok(1);
    };
    consumer.subscribe([settings.topic.as_str()])?;
    let mut consumed = 0;
    while settings.max_messages.is_none_or(|max| consumed < max) {
        let mut code = 0;
        let polled = tokio::select! {
            polled = consumer.poll(POLL) => polled,
            _ = interrupt.recv() => { code = 130; Ok(Vec::new()) }
            _ = terminate.recv() => { code = 143; Ok(Vec::new()) }
        };
        tell(changes, out)?;
        if code != 0 {
            event(out, "shutdown_requested", json!({}))?;
            return Ok(code);
        }
        let records = polled?;
        if records.is_empty() {
            continue;
        }
        let offsets = received(&records, settings, &mut consumed, out)?;
        if settings.commits {
            commit(consumer, &offsets, out).await?;
        }
    }
    Ok(0)
}

fn received(
    records: &[ConsumerRecord],
    settings: &Settings,
    consumed: &mut usize,
    out: &mut Out,
) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>, Stop> {
    let mut partitions: BTreeMap<TopicPartition, Vec<&ConsumerRecord>> = BTreeMap::new();
    for record in records {
        let partition = TopicPartition::new(Arc::clone(&record.topic), record.partition);
        partitions.entry(partition).or_default().push(record);
    }
    let (mut offsets, mut summaries) = (BTreeMap::new(), Vec::new());
    for (partition, mut records) in partitions {
        records.truncate(settings.max_messages.map_or(usize::MAX, |max| max - *consumed));
        let (Some(first), Some(last)) = (records.first(), records.last()) else { continue };
        let next = OffsetAndMetadata::from(last.offset + 1);
        summaries.push(json!({
            "topic": *partition.topic,
            "partition": partition.partition,
            "count": records.len(),
            "minOffset": first.offset,
            "maxOffset": last.offset,
        }));
        for record in records.iter().filter(|_| settings.verbose) {
            let says = json!({
                "key": text(record.key.as_ref()),
                "value": text(record.value.as_ref()),
                "topic": *record.topic,
                "partition": record.partition,
                "offset": record.offset,
            });
            event(out, "record_data", says)?;
        }
        *consumed += records.len();
        offsets.insert(partition, next);
    }
    event(out, "records_consumed", json!({ "count": records.len(), "partitions": summaries }))?;
    Ok(offsets)
}

async fn commit(
    consumer: &mut Consumer,
    offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
    out: &mut Out,
) -> Result<(), Ended> {
    let committed = consumer.commit_offsets(offsets).await;
    if let Err(error) = &committed
        && error.code() == ErrorCode::FencedInstanceId
    {
        return Err(error.clone().into());
    }
    let listed: Vec<Value> = offsets
        .iter()
        .map(|(partition, next)| {
            json!({ "topic": *partition.topic, "partition": partition.partition, "offset": next.offset })
        })
        .collect();
    let mut says = json!({ "offsets": listed });
    if let Value::Object(says) = &mut says {
        if let Err(error) = &committed {
            says.insert("error".to_owned(), json!(Exception::from(error.clone()).message));
        }
        says.insert("success".to_owned(), json!(committed.is_ok()));
    }
    Ok(event(out, "offsets_committed", says)?)
}
