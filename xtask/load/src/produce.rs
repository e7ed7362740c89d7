//! Produces ready-made batches as fast as one thread can write them.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

use crate::connection::{Connection, batch, check_produced, produce_frame};
use crate::options::Options;
use crate::{report, report_throughput};

/// Sends `--bytes` of values in batches of `--batch` bytes with `--in-flight` unanswered requests, over `--partitions`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let topic = options.text("topic", "load");
    let size: usize = options.number("size", 1024)?;
    let batch_bytes: usize = options.number("batch", 65_536)?;
    let records = (batch_bytes / size).max(1);
    let total: u64 = options.number("bytes", 1_000_000_000)?;
    let in_flight: usize = options.number("in-flight", 5)?;
    let batch = batch(records, size);
    let frames = (0..options.number("partitions", 1)?)
        .map(|partition| produce_frame(topic, partition, options.number("acks", 1)?, batch.clone()))
        .collect::<Result<Vec<_>>>()?;

    let mut connection = Connection::open(options.text("bootstrap", "127.0.0.1:9092"))?;
    let start = Instant::now();
    let mut sent = 0;
    let mut waiting = 0;
    for frame in frames.iter().cycle() {
        if sent >= total {
            break;
        }
        if waiting == in_flight {
            check_produced(&connection.read_frame()?)?;
            waiting -= 1;
        }
        connection.socket.write_all(frame)?;
        waiting += 1;
        sent += (records * size) as u64;
    }
    for _ in 0..waiting {
        check_produced(&connection.read_frame()?)?;
    }
    report("batch_bytes", batch.len());
    report_throughput(sent, start.elapsed().as_secs_f64());
    Ok(())
}
