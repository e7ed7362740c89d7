//! `kafka-verifiable-producer.sh`: writes rising numbers, and says of each whether it was stored.

use client::{Client, ClientConfig, Delivery, Producer, ProducerConfig, Record};
use serde_json::json;
use std::collections::VecDeque;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::java::Exception;
use super::options::argparse::{self, Arguments, Command, Group, one, required};
use super::out::Out;
use super::producer_perf_test::throttle::Throttle;
use super::session;
use super::stop::Stop;
use super::time::now_ms;
use super::verifiable::{event, number, properties, read, uncaught};

const TOOL: Command = Command {
    name: "verifiable-producer",
    help: include_str!("options/help/verifiable-producer.txt"),
    arguments: &[
        required(&["--topic"]),
        one(&["--max-messages"]),
        one(&["--throughput"]),
        one(&["--acks"]),
        one(&["--producer.config"]),
        one(&["--message-create-time"]),
        one(&["--value-prefix"]),
        one(&["--repeating-keys"]),
        one(&["--command-config"]),
        one(&["--bootstrap-server"]),
    ],
    groups: &[Group { names: &["--bootstrap-server"], required: true }],
    subcommands: &[],
};

/// Records that wait for their answers at a time.
const MAX_UNANSWERED: usize = 10_000;

/// What the command line asks for.
struct Settings {
    topic: String,
    max_messages: u64,
    throughput: i32,
    prefix: Option<i32>,
    repeating_keys: Option<i32>,
    create_time: Option<i64>,
}

/// What was sent and not answered.
struct Sent {
    key: Option<String>,
    value: String,
    delivery: Delivery,
}

#[derive(Default)]
struct Counts {
    sent: u64,
    acked: u64,
}

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let arguments = read(&TOOL, args)?;
    let settings = settings(&arguments)?;
    let acks = number(&TOOL, &arguments, "--acks", -1)?;
    if !(-1..=1).contains(&acks) {
        let message = format!("argument --acks: invalid choice: '{acks}' (choose from {{0,1,-1}})");
        return Err(argparse::wrong(&TOOL, &message).stop(1));
    }
    let mut base = session::Properties::new();
    base.insert("bootstrap.servers".to_owned(), arguments.one("--bootstrap-server").unwrap_or_default().to_owned());
    base.insert("acks".to_owned(), acks.to_string());
    base.insert("retries".to_owned(), "0".to_owned());
    base.extend(properties(&TOOL, &arguments, Some("--producer.config"), out)?);
    session::run_on_threads(async { produce(&settings, &base, out).await })
}

fn settings(arguments: &Arguments) -> Result<Settings, Stop> {
    let optional =
        |name: &str| argparse::number::<i32>(&TOOL, arguments, name, "Integer").map_err(|refusal| refusal.stop(1));
    let create_time = argparse::number::<i64>(&TOOL, arguments, "--message-create-time", "Long")
        .map_err(|refusal| refusal.stop(1))?;
    Ok(Settings {
        topic: arguments.one("--topic").unwrap_or_default().to_owned(),
        max_messages: u64::try_from(number(&TOOL, arguments, "--max-messages", -1)?).unwrap_or(u64::MAX),
        throughput: number(&TOOL, arguments, "--throughput", -1)?,
        prefix: optional("--value-prefix")?,
        repeating_keys: optional("--repeating-keys")?,
        create_time: create_time.filter(|time| *time != -1),
    })
}

async fn produce(settings: &Settings, base: &session::Properties, out: &mut Out) -> Result<(), Stop> {
    let base = session::client_properties(base);
    let client = Client::connect(ClientConfig::from_properties(&base).map_err(uncaught)?).await.map_err(uncaught)?;
    let config = ProducerConfig::from_properties(&base).map_err(uncaught)?;
    let producer = Producer::new(client, config).map_err(uncaught)?;
    let mut signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let start = now_ms();
    event(out, "startup_complete", json!({}))?;
    let mut counts = Counts::default();
    let ended = send_all(&producer, settings, &mut signals, &mut counts, out).await;
    producer.close().await;
    event(out, "shutdown_complete", json!({}))?;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = 1000.0 * (counts.acked as f64 / (now_ms() - start) as f64);
    let says = json!({
        "sent": counts.sent,
        "acked": counts.acked,
        "target_throughput": settings.throughput,
        "avg_throughput": rate,
    });
    event(out, "tool_data", says)?;
    ended.and_then(|code| if code == 0 { Ok(()) } else { Err(Stop::silent(code)) })
}

/// Sends until there is enough, or a signal says so: the exit code for that.
async fn send_all(
    producer: &Producer,
    settings: &Settings,
    (interrupt, terminate): &mut (Signal, Signal),
    counts: &mut Counts,
    out: &mut Out,
) -> Result<u8, Stop> {
    let start = now_ms();
    let mut throttle = Throttle::new(f64::from(settings.throughput), start);
    let mut unanswered: VecDeque<Sent> = VecDeque::new();
    let mut next_key = 0;
    let mut create_time = settings.create_time;
    let mut code = 0;
    while counts.sent < settings.max_messages {
        let key = settings.repeating_keys.map(|keys| {
            let key = next_key;
            next_key = if next_key + 1 == keys { 0 } else { next_key + 1 };
            key.to_string()
        });
        let number = counts.sent;
        let value = settings.prefix.map_or_else(|| number.to_string(), |prefix| format!("{prefix}.{number}"));
        let record = Record {
            topic: &settings.topic,
            key: key.as_deref().map(str::as_bytes),
            value: Some(value.as_bytes()),
            timestamp: create_time,
            ..Record::default()
        };
        if let Some(time) = &mut create_time {
            *time += now_ms() - start;
        }
        counts.sent += 1;
        let sent = tokio::select! {
            sent = producer.send(record) => sent,
            _ = interrupt.recv() => { code = 130; break }
            _ = terminate.recv() => { code = 143; break }
        };
        match sent {
            Ok(delivery) => unanswered.push_back(Sent { key, value, delivery }),
            Err(error) => failed(settings, key.as_deref(), &value, error, out)?,
        }
        while unanswered.front().is_some_and(|sent| sent.delivery.result().is_some())
            || unanswered.len() > MAX_UNANSWERED
        {
            let Some(sent) = unanswered.pop_front() else { break };
            answered(settings, sent, counts, out).await?;
        }
        if throttle.is_ahead(counts.sent, now_ms()) {
            tokio::select! {
                () = throttle.pause() => {}
                _ = interrupt.recv() => { code = 130; break }
                _ = terminate.recv() => { code = 143; break }
            }
        }
    }
    for sent in unanswered {
        answered(settings, sent, counts, out).await?;
    }
    Ok(code)
}

async fn answered(settings: &Settings, sent: Sent, counts: &mut Counts, out: &mut Out) -> Result<(), Stop> {
    let Sent { key, value, delivery } = sent;
    match delivery.delivered().await {
        Ok(stored) => {
            counts.acked += 1;
            let (offset, partition) = (stored.offset, stored.partition);
            let says = json!({
                "key": key, "value": value, "offset": offset, "topic": *stored.topic, "partition": partition,
            });
            event(out, "producer_send_success", says)
        }
        Err(error) => failed(settings, key.as_deref(), &value, error, out),
    }
}

fn failed(
    settings: &Settings,
    key: Option<&str>,
    value: &str,
    error: impl Into<Exception>,
    out: &mut Out,
) -> Result<(), Stop> {
    let error = error.into();
    let says = json!({
        "key": key,
        "value": value,
        "topic": settings.topic,
        "exception": format!("class {}", error.class),
        "message": error.message,
    });
    event(out, "producer_send_error", says)
}
