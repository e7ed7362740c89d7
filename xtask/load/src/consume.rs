//! Fetches and drops records as fast as one thread can read them.

use std::time::Instant;

use anyhow::{Result, ensure};
use protocol::messages::FetchRequest;
use protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol::{ErrorCode, Records, record};

use crate::connection::Connection;
use crate::options::Options;
use crate::report_throughput;

/// Version of Fetch that names topics.
const FETCH_VERSION: i16 = 12;

/// Reads `--bytes` of `--topic` from the beginning of its `--partitions`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let topic = options.text("topic", "load");
    let total: u64 = options.number("bytes", 1_000_000_000)?;
    let mut offsets = vec![0; options.number("partitions", 1)?];
    let mut connection = Connection::open(options.text("bootstrap", "127.0.0.1:9092"))?;
    let start = Instant::now();
    let mut read = 0;
    while read < total {
        read += fetch(&mut connection, topic, &mut offsets, |_| {})?;
    }
    report_throughput(read, start.elapsed().as_secs_f64());
    Ok(())
}

/// Fetches once at `offsets`, moves them past what came, and returns the bytes.
pub(crate) fn fetch(
    connection: &mut Connection,
    topic: &str,
    offsets: &mut [i64],
    mut each: impl FnMut(&record::Batch),
) -> Result<u64> {
    let partitions = offsets.iter().enumerate().map(|(index, offset)| FetchPartition {
        partition: i32::try_from(index).unwrap_or(i32::MAX),
        fetch_offset: *offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    });
    let request = FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 50 << 20,
        topics: vec![FetchTopic { topic: topic.to_owned(), partitions: partitions.collect(), ..Default::default() }],
        ..Default::default()
    };
    let response = connection.call(&request, FETCH_VERSION)?;
    let mut read = 0;
    for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
        ensure!(partition.error_code == 0, "fetch refused: {:?}", ErrorCode::from_code(partition.error_code));
        let Records::Bytes(bytes) = &partition.records else { continue };
        let offset = &mut offsets[usize::try_from(partition.partition_index)?];
        for batch in record::batches(bytes) {
            // The last batch may be cut off by the size limit.
            let Ok(batch) = batch else { break };
            *offset = batch.header.next_offset();
            read += batch.bytes.len() as u64;
            each(&batch);
        }
    }
    Ok(read)
}
