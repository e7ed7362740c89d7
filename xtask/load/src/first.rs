//! Loads about starting: the first acked produce after exec, and many topics at once.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::connection::{Connection, batch, check_produced, produce_frame};
use crate::options::Options;
use crate::report;

/// Time between attempts while the broker is not up yet.
const RETRY: Duration = Duration::from_micros(500);
/// When to give a broker up.
const LIMIT: Duration = Duration::from_secs(120);

/// Kafka's controller refuses a request of more than 10,000 records, and takes one per partition.
const PARTITIONS_PER_REQUEST: i32 = 2000;

/// Creates `--count` topics of `--partitions` each and waits until each has a leader.
pub(crate) fn topics(options: &Options) -> Result<()> {
    let prefix = options.text("prefix", "load");
    let count: usize = options.number("count", 1)?;
    let names: Vec<String> = match count {
        1 => vec![prefix.to_owned()],
        _ => (0..count).map(|index| format!("{prefix}-{index}")).collect(),
    };
    let configs: Vec<(&str, &str)> =
        options.text("configs", "").split(',').filter_map(|config| config.split_once('=')).collect();
    let start = Instant::now();
    let mut connection = Connection::open(options.text("bootstrap", "127.0.0.1:9092"))?;
    let partitions: i32 = options.number("partitions", 1)?;
    let topics_per_request = usize::try_from(PARTITIONS_PER_REQUEST / partitions.max(1))?.max(1);
    for names in names.chunks(topics_per_request) {
        connection.create_topics(names, partitions, &configs)?;
    }
    report("seconds", start.elapsed().as_secs_f64());
    Ok(())
}

/// Deletes topic `--topic`.
pub(crate) fn delete(options: &Options) -> Result<()> {
    let mut connection = Connection::open(options.text("bootstrap", "127.0.0.1:9092"))?;
    connection.delete_topic(options.text("topic", "load"))
}

/// Tries until one record of `--topic` is acked, and prints when, as nanoseconds of the epoch. Creates the topic if
/// `--create true`.
pub(crate) fn first(options: &Options) -> Result<()> {
    let topic = options.text("topic", "first").to_owned();
    let partition = options.number("partition", 0)?;
    let address = options.text("bootstrap", "127.0.0.1:9092");
    let create = options.text("create", "true") == "true";
    let frame = produce_frame(&topic, partition, 1, batch(1, 100))?;
    let start = Instant::now();
    loop {
        let attempt = attempt(address, &topic, create, &frame);
        match attempt {
            Ok(()) => break,
            Err(error) if start.elapsed() > LIMIT => return Err(error).context("no produce was acked"),
            Err(_) => sleep(RETRY),
        }
    }
    report("acked_ns", SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos());
    Ok(())
}

fn attempt(address: &str, topic: &str, create: bool, frame: &[u8]) -> Result<()> {
    use std::io::Write;
    let mut connection = Connection::open(address)?;
    connection.socket.set_read_timeout(Some(LIMIT))?;
    if create {
        connection.create_topics(&[topic.to_owned()], 1, &[])?;
    }
    connection.socket.write_all(frame)?;
    check_produced(&connection.read_frame()?)
}
