//! End-to-end latency at a fixed rate: from the moment a record is due until a consumer has it.

use std::io::Write;
use std::net::TcpStream;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use protocol::record::{BatchBuilder, BatchSettings};

use crate::connection::{Connection, check_produced, now_ms, produce_frame};
use crate::consume::fetch;
use crate::options::Options;
use crate::{report, report_latencies};

/// A request leaves every millisecond.
const TICK: Duration = Duration::from_millis(1);
/// The first part of a run is not counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// Sends `--rate` records of `--size` per second for `--seconds` and reads them back as they come.
pub(crate) fn run(options: &Options) -> Result<()> {
    let address = options.text("bootstrap", "127.0.0.1:9092");
    let topic = options.text("topic", "load").to_owned();
    let rate: u64 = options.number("rate", 1000)?;
    let length = WARM_UP + Duration::from_secs_f64(options.number("seconds", 5.0)?);
    let schedule = Schedule {
        start: Instant::now() + TICK,
        ticks: length.as_millis() as u64,
        records_per_tick: (rate / 1000).max(1),
        size: options.number("size", 100)?,
        acks: options.number("acks", 1)?,
    };
    let (start, total) = (schedule.start, schedule.ticks * schedule.records_per_tick);
    let mut consumer = Connection::open(address)?;
    let producer = Connection::open(address)?;
    let mut acks = Connection { socket: producer.socket.try_clone()? };
    let ticks = schedule.ticks;
    let acked = thread::spawn(move || (0..ticks).try_for_each(|_| check_produced(&acks.read_frame()?)));
    let name = topic.clone();
    let produced = thread::spawn(move || schedule.produce(producer.socket, &name));

    let mut latencies = Histogram::<u64>::new(3)?;
    let (mut read, mut offsets) = (0, [0]);
    while read < total {
        fetch(&mut consumer, &topic, &mut offsets, |batch| {
            let now = start.elapsed();
            for record in batch.records().into_iter().flatten().flatten() {
                read += 1;
                let due = record.value.as_deref().and_then(|value| value.first_chunk::<8>());
                let due = Duration::from_nanos(due.map_or(0, |due| u64::from_be_bytes(*due)));
                if due > WARM_UP {
                    let latency = now.saturating_sub(due).as_nanos();
                    // The histogram grows as far as needed: an hour would still fit.
                    let _ = latencies.record(u64::try_from(latency).unwrap_or(u64::MAX));
                }
            }
        })?;
    }
    produced.join().expect("the producer does not panic")?;
    acked.join().expect("the reader of acks does not panic")?;
    report("records", latencies.len());
    report_latencies(&latencies);
    Ok(())
}

struct Schedule {
    start: Instant,
    ticks: u64,
    records_per_tick: u64,
    size: usize,
    acks: i16,
}

impl Schedule {
    fn produce(&self, mut socket: TcpStream, topic: &str) -> Result<()> {
        let mut value = vec![b'x'; self.size.max(8)];
        let mut late = 0;
        for tick in 0..self.ticks {
            let due = TICK * u32::try_from(tick)?;
            sleep(due.saturating_sub(self.start.elapsed()));
            // The timer of this process is not the broker's latency, but a socket that did not take the last tick is.
            let now = self.start.elapsed();
            let stamp = if now.saturating_sub(due) < TICK { now } else { due };
            late += u64::from(stamp == due);
            value[..8].copy_from_slice(&u64::try_from(stamp.as_nanos())?.to_be_bytes());
            let mut batch = BatchBuilder::new(BatchSettings::default());
            for _ in 0..self.records_per_tick {
                batch.append(now_ms(), None, Some(&value), &[]);
            }
            socket.write_all(&produce_frame(topic, 0, self.acks, batch.build())?)?;
        }
        report("late_ticks", late);
        Ok(())
    }
}
