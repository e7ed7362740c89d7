//! `compact DIRECTORY TIME`: cleans all sealed segments of a log at a time, as the cleaner of a broker would, and says what it
//! cost. For comparisons with Apache Kafka's cleaner over the same files.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use platform::OsDisk;
use protocol::TopicPartition;
use storage::cleaner::{CleanError, CleanerSettings, Pace, clean};
use storage::{Log, LogConfig, OpenOptions};

struct Unpaced;

impl Pace for Unpaced {
    fn moved(&mut self, _bytes: u64) -> Result<(), CleanError> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("which directory?")?);
    let now_ms: i64 = arguments.next().ok_or("at which time?")?.parse()?;
    let config = LogConfig {
        segment_bytes: 64 << 20,
        cleanup_compact: true,
        cleanup_delete: false,
        delete_retention_ms: 1000,
        ..LogConfig::default()
    };
    let options = OpenOptions {
        config: Arc::new(config),
        clean_shutdown: true,
        now_ms,
        max_producer_id_expiration_ms: i64::MAX,
        ..OpenOptions::new(dir, TopicPartition::new("t", 0))
    };
    let mut log = Log::open(Arc::new(OsDisk::new()), options)?;
    log.set_high_watermark(log.log_end_offset());
    let cleaning = log.start_cleaning(log.cleanable(None, now_ms)?, now_ms);
    let settings =
        CleanerSettings { dedupe_bytes: 128 << 20, load_factor: 0.9, io_buffer_bytes: 256 << 10, hash_key: [1, 2] };
    let before = processor_seconds()?;
    let done = clean(&cleaning, &settings, &mut Unpaced, &mut |cleaned| Ok(log.swap_in(cleaned)?.remove_now()?))?;
    let seconds = processor_seconds()? - before;
    log.close()?;
    writeln!(std::io::stdout(), "read={} written={} cpu_s={seconds:.3}", done.bytes_read, done.bytes_written)?;
    Ok(())
}

/// What the process has used so far, of all processors together.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = String::from_utf8(platform::Disk::read(&OsDisk::new(), "/proc/self/stat".as_ref())?)?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / TICKS_PER_SECOND)
}
