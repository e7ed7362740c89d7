//! `kafka-e2e-latency.sh`: sends one record at a time and measures until it is read.

use std::time::Duration;

use bytes::Bytes;
use client::{Client, ClientConfig, Consumer, ConsumerConfig, ConsumerRecord, Producer, ProducerConfig, Record};
use protocol::TopicPartition;
use protocol::messages::CreateTopicsRequest;
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::record::Header;
use tokio::time::Instant;

use super::java::{Exception, Failure};
use super::options::{self, Parsed, tables::e2e_latency::OPTIONS};
use super::out::Out;
use super::session::{self, Properties};
use super::stop::Stop;
use super::{progress, time};

const POLL_MS: u64 = 60_000;
const NAMED: [&str; 5] = ["--bootstrap-server", "--topic", "--num-records", "--producer-acks", "--record-size"];

/// What a record is made of.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    key: usize,
    value: usize,
    headers: usize,
    header_key: usize,
    /// None is a null.
    header_value: Option<usize>,
}

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let args = named(args, out)?;
    let parsed = options::parse(OPTIONS, &args).map_err(|error| options::usage(OPTIONS, &error.to_string()))?;
    check(&parsed)?;
    session::run_on_threads(async { execute(&parsed, out).await.map_err(Failure::traced) })
}

/// The older form had five or six words without names.
fn named(args: &[String], out: &mut Out) -> Result<Vec<String>, Stop> {
    if args.is_empty() || args.iter().any(|word| NAMED.contains(&word.as_str())) {
        return Ok(args.to_vec());
    }
    if !(5..=6).contains(&args.len()) {
        return Err(Stop::error(&format!(
            "Invalid number of arguments. Expected 5 or 6 positional arguments, but got {}. Usage: bootstrap-server topic \
             num-records producer-acks record-size [optional] command-config",
            args.len()
        )));
    }
    out.line(
        "WARNING: Positional argument usage is deprecated and will be removed in Apache Kafka 5.0. Please use named \
         arguments instead: --bootstrap-server, --topic, --num-records, --producer-acks, --record-size, --command-config",
    )?;
    let names = NAMED.iter().chain(&["--command-config"]);
    Ok(names.zip(args).flat_map(|(name, value)| [(*name).to_owned(), value.clone()]).collect())
}

fn check(parsed: &Parsed) -> Result<(), Stop> {
    parsed.help_or_version(
        "This tool measures end-to-end latency in Kafka by sending messages and timing their reception.",
    )?;
    parsed.require(&["bootstrap-server", "topic", "num-records", "producer-acks", "record-size"])?;
    if !["1", "all"].contains(&parsed.text("producer-acks")?) {
        return Err(parsed.usage(
            "Invalid value for --producer-acks. Latency testing requires synchronous acknowledgement. Please use '1' or \
             'all'.",
        ));
    }
    for (option, least, what) in [
        ("num-records", 1, "a positive integer"),
        ("record-size", 0, "a non-negative integer"),
        ("record-key-size", 0, "a non-negative integer"),
        ("record-header-key-size", 0, "a non-negative integer"),
        ("record-header-size", -1, "a non-negative integer or -1 for null header value"),
        ("num-headers", 0, "a non-negative integer"),
    ] {
        if parsed.number::<i32>(option)?.is_some_and(|number| number < least) {
            return Err(parsed.usage(&format!("Value for --{option} must be {what}.")));
        }
    }
    Ok(())
}

fn sizes(parsed: &Parsed) -> Result<Sizes, Exception> {
    let size = |name: &str| -> Result<Option<usize>, Exception> {
        Ok(parsed.number::<i32>(name)?.and_then(|size| usize::try_from(size).ok()))
    };
    Ok(Sizes {
        key: size("record-key-size")?.unwrap_or(0),
        value: size("record-size")?.unwrap_or(0),
        headers: size("num-headers")?.unwrap_or(0),
        header_key: size("record-header-key-size")?.unwrap_or(0),
        header_value: size("record-header-size")?,
    })
}

async fn execute(parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let topic = parsed.text("topic")?;
    let count: u64 = parsed.number("num-records")?.unwrap_or(0);
    let sizes = sizes(parsed)?;
    let mut base = session::optional_properties(parsed.one("command-config")?)?;
    base.insert("bootstrap.servers".to_owned(), parsed.text("bootstrap-server")?.to_owned());
    let with = |pairs: &[(&str, &str)]| {
        let mut properties: Properties = base.clone();
        properties.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        session::client_properties(&properties)
    };
    let group = format!("test-group-{}", time::now_ms());
    let for_consumer = with(&[
        ("group.id", &group),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "latest"),
        ("fetch.max.wait.ms", "0"),
    ]);
    let for_producer = with(&[("linger.ms", "0"), ("acks", parsed.text("producer-acks")?)]);
    let client = Client::connect(ClientConfig::from_properties(&for_consumer)?).await?;
    if client.metadata(Some(&[topic])).await?.topic(topic).is_none() {
        create(&client, topic, out).await?;
    }
    let mut consumer = Consumer::new(&client, ConsumerConfig::from_properties(&for_consumer)?)?;
    let cluster = client.metadata(Some(&[topic])).await?;
    let partitions: Vec<TopicPartition> = cluster.topic(topic).map_or_else(Vec::new, |found| {
        found.partitions.iter().map(|partition| TopicPartition::new(topic, partition.index)).collect()
    });
    consumer.assign(&partitions)?;
    for (partition, end) in consumer.end_offsets(&partitions).await? {
        consumer.seek(&partition, end)?;
    }
    let producer = Producer::new(client.clone(), ProducerConfig::from_properties(&for_producer)?)?;
    let latencies = measure((&producer, &mut consumer), topic, count, sizes, out).await?;
    print(latencies, out)?;
    producer.close().await;
    consumer.commit().await?;
    Ok(())
}

async fn create(client: &Client, topic: &str, out: &mut Out) -> Result<(), Failure> {
    out.line(format_args!(
        "Topic \"{topic}\" does not exist. Will create topic with 1 partition(s) and replication factor = 1"
    ))?;
    let topics =
        vec![CreatableTopic { name: topic.to_owned(), num_partitions: 1, replication_factor: 1, ..Default::default() }];
    let request = CreateTopicsRequest { topics, timeout_ms: 60_000, ..Default::default() };
    let response = client.retry("createTopics", async || client.send_to_controller(&request).await).await?;
    for result in &response.topics {
        if let Err(error) = Exception::check(result.error_code, result.error_message.as_deref()) {
            out.line(format_args!("Creation of topic {topic} failed"))?;
            return Err(error.into());
        }
    }
    // The leader is there a moment after the topic.
    client
        .retry("leader", async || {
            let cluster = client.metadata(Some(&[topic])).await?;
            let code = protocol::ErrorCode::LeaderNotAvailable;
            cluster.leader(topic, 0).map(|_| ()).ok_or_else(|| client::ClientError::broker(code))
        })
        .await?;
    Ok(())
}

async fn measure(
    (producer, consumer): (&Producer, &mut Consumer),
    topic: &str,
    count: u64,
    sizes: Sizes,
    out: &mut Out,
) -> Result<Vec<Duration>, Failure> {
    let bar = progress::bar(count);
    let mut latencies = Vec::new();
    let mut letters = (b'A'..=b'Z').cycle();
    for number in 0..count {
        let mut text = |length: usize| vec![letters.next().unwrap_or(b'A'); length];
        let key = Some(text(sizes.key));
        let value = text(sizes.value);
        let headers: Vec<Header> = (0..sizes.headers)
            .map(|_| (Bytes::from(text(sizes.header_key)), sizes.header_value.map(|size| Bytes::from(text(size)))))
            .collect();
        let record = Record { topic, key: key.as_deref(), value: Some(&value), headers: &headers, ..Record::default() };
        let begin = Instant::now();
        producer.send(record).await?.delivered().await?;
        let records = consumer.poll(Duration::from_millis(POLL_MS)).await?;
        let elapsed = begin.elapsed();
        validate(&records, key.as_deref(), &value, &headers)?;
        if number % 1000 == 0 {
            out.line(format_args!("{number}\t{}", elapsed.as_secs_f64() * 1000.0))?;
            out.flush()?;
        }
        bar.set_position(number + 1);
        latencies.push(elapsed);
    }
    bar.finish_and_clear();
    Ok(latencies)
}

fn validate(records: &[ConsumerRecord], key: Option<&[u8]>, value: &[u8], headers: &[Header]) -> Result<(), Exception> {
    let wrong = |message: String| Err(Exception::new("java.lang.RuntimeException", message));
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or_else(|| "null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let Some(record) = records.first() else {
        return wrong(format!("poll() timed out before finding a result (timeout:[{POLL_MS}ms])"));
    };
    if record.value.as_deref() != Some(value) {
        let (read, sent) = (text(record.value.as_deref()), text(Some(value)));
        return wrong(format!("The message value read [{read}] did not match the message value sent [{sent}]"));
    }
    if record.key.as_deref() != key {
        let (read, sent) = (text(record.key.as_deref()), text(key));
        return wrong(format!("The message key read [{read}] did not match the message key sent [{sent}]"));
    }
    if record.headers != headers {
        return wrong("The message headers read did not match those sent".to_owned());
    }
    if records.len() == 1 {
        return Ok(());
    }
    wrong(format!("Only one result was expected during this test. We found [{}]", records.len()))
}

fn print(mut latencies: Vec<Duration>, out: &mut Out) -> Result<(), Failure> {
    let total: Duration = latencies.iter().sum();
    let count = u32::try_from(latencies.len()).unwrap_or(u32::MAX).max(1);
    out.line(format_args!("Avg latency: {:.4} ms", (total / count).as_secs_f64() * 1000.0))?;
    latencies.sort_unstable();
    let at = |thousandths: usize| {
        latencies.get(latencies.len() * thousandths / 1000).map_or(0, |latency| latency.as_millis())
    };
    out.line(format_args!("Percentiles: 50th = {}, 99th = {}, 99.9th = {}", at(500), at(990), at(999)))?;
    Ok(())
}
