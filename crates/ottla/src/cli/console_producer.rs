//! `kafka-console-producer.sh`: sends the lines of stdin as records.

mod line_reader;

use std::io::{BufReader, IsTerminal as _};

use client::{Client, ClientConfig, ClientError, Producer, ProducerConfig, Record};

use super::java::{Exception, Failure};
use super::options::{self, Parsed, tables::console_producer::OPTIONS};
use super::out::{self, Out};
use super::session::{self, Properties};
use super::stop::Stop;
use line_reader::{Line, LineReader};

const LINE_READER: &str = "org.apache.kafka.tools.LineMessageReader";
/// Options that are settings of the producer, too; a setting that is given wins over an option's default.
const MERGED: [(&str, &str); 11] = [
    ("linger.ms", "timeout"),
    ("acks", "request-required-acks"),
    ("request.timeout.ms", "request-timeout-ms"),
    ("retries", "message-send-max-retries"),
    ("retry.backoff.ms", "retry-backoff-ms"),
    ("send.buffer.bytes", "socket-buffer-size"),
    ("buffer.memory", "max-memory-bytes"),
    ("batch.size", "batch-size"),
    ("batch.size", "max-partition-memory-bytes"),
    ("metadata.max.age.ms", "metadata-expiry-ms"),
    ("max.block.ms", "max-block-ms"),
];

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args).map_err(|error| options::usage(OPTIONS, &error.to_string()))?;
    check(&parsed, out)?;
    let started = settings(&parsed).map_err(|error| match error.class.starts_with("joptsimple.") {
        true => Stop::error(&error.message),
        false => Stop::error(&error.to_string()),
    });
    let (properties, reader) = started?;
    out.flush()?;
    session::run_on_threads(async {
        produce(&parsed, &properties, reader, out).await.map_err(|failure| match failure {
            Failure::Stop(stop) => stop,
            Failure::Exception(error) => Stop::error(&error.to_string()),
        })
    })
}

fn check(parsed: &Parsed, out: &mut Out) -> Result<(), Stop> {
    parsed.help_or_version("This tool helps to read data from standard input and publish it to Kafka.")?;
    parsed.require(&["topic"])?;
    for (new, old) in [
        ("command-config", "producer.config"),
        ("command-property", "producer-property"),
        ("reader-property", "property"),
    ] {
        if parsed.has(new) && parsed.has(old) {
            return Err(parsed.usage(&format!("Options --{new} and --{old} cannot be specified together.")));
        }
    }
    for (old, new) in [
        ("producer-property", "command-property"),
        ("producer.config", "command-config"),
        ("property", "reader-property"),
    ] {
        if parsed.has(old) {
            let advice = format!("Use --{new} instead.");
            out.line(format_args!("Warning: --{old} is deprecated and will be removed in a future version. {advice}"))?;
        }
    }
    if parsed.has("max-partition-memory-bytes") {
        let removal = "is deprecated and will be removed in Apache Kafka 5.0. Use --batch-size instead.";
        out.line(format_args!("Warning: --max-partition-memory-bytes {removal}"))?;
    }
    super::get_offsets::check_bootstrap(parsed, parsed.one("bootstrap-server")?.unwrap_or_default())
}

/// Settings of the producer, and how to read lines.
fn settings(parsed: &Parsed) -> Result<(Properties, LineReader), Exception> {
    let class = parsed.text("line-reader")?;
    if class != LINE_READER {
        return Err(Exception::new("java.lang.ClassNotFoundException", class));
    }
    let mut reader = session::optional_properties(parsed.one("reader-config")?)?;
    let pairs = if parsed.has("property") { "property" } else { "reader-property" };
    session::add_lenient_pairs(&mut reader, &parsed.all(pairs));
    let reader = LineReader::new(&reader)?;

    let file = if parsed.has("producer.config") { "producer.config" } else { "command-config" };
    let mut properties = session::optional_properties(parsed.one(file)?)?;
    let pairs = if parsed.has("producer-property") { "producer-property" } else { "command-property" };
    session::add_lenient_pairs(&mut properties, &parsed.all(pairs));
    properties.insert("bootstrap.servers".to_owned(), parsed.text("bootstrap-server")?.to_owned());
    let codec = match (parsed.has("compression-codec"), parsed.one("compression-codec")?) {
        (false, _) => "none",
        (true, None) => "gzip",
        (true, Some(codec)) => codec,
    };
    properties.insert("compression.type".to_owned(), codec.to_owned());
    properties.entry("client.id".to_owned()).or_insert_with(|| "console-producer".to_owned());
    for (setting, option) in MERGED {
        if parsed.has(option) || !properties.contains_key(setting) {
            properties.insert(setting.to_owned(), parsed.text(option)?.to_owned());
        }
    }
    Ok((properties, reader))
}

async fn produce(
    parsed: &Parsed,
    properties: &Properties,
    mut reader: LineReader,
    out: &mut Out,
) -> Result<(), Failure> {
    let properties = session::client_properties(properties);
    let config = ProducerConfig::from_properties(&properties)?;
    let topic = parsed.text("topic")?;
    let sync = parsed.has("sync");
    let prompt = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let client = Client::connect(ClientConfig::from_properties(&properties)?).await?;
    let producer = Producer::new(client, config)?;
    let mut waiting = tokio::task::JoinSet::new();
    let mut input = BufReader::with_capacity(64 * 1024, std::io::stdin());
    let result = loop {
        if prompt {
            out.text(">")?;
            out.flush()?;
        }
        let line = match reader.read(&mut input) {
            Ok(Some(line)) => line,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        let record = Record {
            topic,
            key: line.key.as_deref().map(str::as_bytes),
            value: line.value.as_deref().map(str::as_bytes),
            headers: &line.headers,
            ..Record::default()
        };
        match (producer.send(record).await, sync) {
            (Ok(delivery), true) => {
                if let Err(error) = delivery.delivered().await {
                    break Err(Exception::from(error));
                }
            }
            (Ok(delivery), false) => {
                let topic = topic.to_owned();
                while waiting.try_join_next().is_some() {}
                // A line that fails is reported with what it was, so each waits for its own outcome.
                waiting.spawn(async move {
                    if let Err(error) = delivery.delivered().await {
                        log_failure(&topic, &line, error);
                    }
                });
            }
            (Err(error), true) => break Err(error.into()),
            (Err(error), false) => log_failure(topic, &line, error),
        }
    };
    producer.close().await;
    while waiting.join_next().await.is_some() {}
    Ok(result?)
}

fn log_failure(topic: &str, line: &Line, error: ClientError) {
    let size =
        |text: &Option<String>| text.as_ref().map_or_else(|| "null".to_owned(), |text| format!("{} bytes", text.len()));
    out::error_text(&format!(
        "ERROR Error when sending message to topic {topic} with key: {}, value: {} with error: \
         (org.apache.kafka.clients.producer.internals.ErrorLoggingCallback)\n{}\n",
        size(&line.key),
        size(&line.value),
        Exception::from(error)
    ));
}
