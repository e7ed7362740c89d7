//! Chooses which log is compacted next and runs the cleanings (`LogCleaner`, `LogCleanerManager`). A thread of the server
//! calls [`run`]; a cleaning holds a partition's lock only where it starts and where it swaps segments in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use metadata::config::BrokerConfig;
use parking_lot::{Condvar, Mutex};
use protocol::TopicPartition;
use protocol::Uuid;
use protocol::types::{Offset, TimestampMs};
use storage::StorageError;
use storage::cleaner::{CleanError, CleanedLog, CleanerSettings, Cleaning, Pace, clean};
use tracing::{error, info, warn};

use crate::Broker;
use crate::log_manager::LogManager;
use crate::partition::Partition;
use crate::rate::Rate;

/// A wait for a rate ends this early to see whether the broker stops, in nanoseconds.
const LONGEST_WAIT: u64 = 1_000_000_000;

/// A log that is told from others of its name by its topic's id.
type Name = (TopicPartition, Uuid);

/// The cleaner of all logs.
#[derive(Default)]
pub struct LogCleaner {
    state: Mutex<State>,
    stopping: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    busy: HashSet<Name>,
    /// Logs with something in them that is no batch.
    uncleanable: HashSet<Name>,
    /// Up to where logs are clean, by their directory's path; read when first needed.
    clean: HashMap<std::path::PathBuf, HashMap<TopicPartition, Offset>>,
    rate: Rate,
}

/// A log that is to be cleaned.
struct Chosen {
    partition: Arc<Partition>,
    cleaning: Cleaning,
    ratio: f64,
}

impl LogCleaner {
    /// Ends [`run`], and the cleanings that are under way.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.stopping.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Waits, but not past a stop.
    fn wait(&self, duration: Duration) {
        let mut state = self.state.lock();
        if !state.stopped {
            self.stopping.wait_for(&mut state, duration);
        }
    }

    /// Up to where a log is clean.
    fn checkpoint(&self, logs: &LogManager, partition: &Partition, dir: &std::path::Path) -> Option<Offset> {
        let mut state = self.state.lock();
        let offsets = state.clean.entry(dir.to_owned()).or_insert_with(|| logs.cleaner_offsets(dir));
        offsets.get(&partition.topic_partition).copied()
    }

    /// Notes up to where a log is clean, for the next start too.
    fn set_checkpoint(&self, broker: &Broker, name: &TopicPartition, dir: &std::path::Path, offset: Offset) {
        let mut state = self.state.lock();
        let offsets = state.clean.entry(dir.to_owned()).or_insert_with(|| broker.logs().cleaner_offsets(dir));
        offsets.insert(name.clone(), offset);
        offsets.retain(|name, _| broker.partitions().get(&name.topic, name.partition).is_some());
        let written = broker.logs().write_cleaner_offsets(dir, offsets);
        drop(state);
        if let Err(cause) = written {
            error!(dir = %dir.display(), %cause, "could not write the checkpoint of the cleaner");
        }
    }

    /// Forgets the checkpoint of a log that is deleted: another of its name starts anew.
    pub(crate) fn forget(&self, broker: &Broker, partition: &Partition) {
        let Some(dir) = partition.log().dir().parent().map(ToOwned::to_owned) else { return };
        let mut state = self.state.lock();
        state.uncleanable.remove(&(partition.topic_partition.clone(), partition.topic_id));
        let offsets = state.clean.entry(dir.clone()).or_insert_with(|| broker.logs().cleaner_offsets(&dir));
        if offsets.remove(&partition.topic_partition).is_none() {
            return;
        }
        if let Err(cause) = broker.logs().write_cleaner_offsets(&dir, offsets) {
            error!(dir = %dir.display(), %cause, "could not write the checkpoint of the cleaner");
        }
    }

    /// Takes the checkpoint of a log along to another directory, or forgets it.
    pub(crate) fn moved(&self, broker: &Broker, name: &TopicPartition, from: &std::path::Path, to: &std::path::Path) {
        let offset = {
            let mut state = self.state.lock();
            let offsets = state.clean.entry(from.to_owned()).or_insert_with(|| broker.logs().cleaner_offsets(from));
            offsets.remove(name)
        };
        if let Some(offset) = offset {
            self.set_checkpoint(broker, name, to, offset);
        }
    }
}

/// Cleans what is due until [`LogCleaner::stop`], with `log.cleaner.threads` threads.
pub fn run(broker: &Arc<Broker>) {
    let cleaner = broker.cleaner();
    if !broker.config().log_cleaner_enable() {
        warn!(
            "The config `log.cleaner.enable` is deprecated and will be removed in Kafka 5.0. Starting from Kafka 5.0, the log cleaner will always be enabled, and this config will be ignored."
        );
        return;
    }
    while !cleaner.is_stopped() {
        let config = broker.config();
        let helpers = usize::try_from(config.log_cleaner_threads()).unwrap_or(1).saturating_sub(1);
        let cleaned = std::thread::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|| while clean_filthiest(broker, &config) {});
            }
            clean_filthiest(broker, &config)
        });
        delete_old_segments(broker);
        if !cleaned {
            cleaner.wait(Duration::from_millis(u64::try_from(config.log_cleaner_backoff_ms()).unwrap_or(0)));
        }
    }
}

/// Compacted logs lose old segments here and not in the housekeeping, so that nobody works on a log beside its cleaner.
fn delete_old_segments(broker: &Arc<Broker>) {
    let now_ms = broker.wall_ms();
    for partition in broker.partitions().all() {
        if partition.settings().log.cleanup_compact {
            broker.logs().delete_old_segments(&partition, now_ms);
        }
    }
}

/// Cleans the log with the largest dirty part, if one is due.
fn clean_filthiest(broker: &Arc<Broker>, config: &BrokerConfig) -> bool {
    let Some(chosen) = choose(broker) else { return false };
    let name = (chosen.partition.topic_partition.clone(), chosen.partition.topic_id);
    let outcome = clean_log(broker, config, &chosen);
    let mut state = broker.cleaner().state.lock();
    state.busy.remove(&name);
    if let Err(CleanError::Corrupt { .. }) = &outcome {
        state.uncleanable.insert(name);
    }
    drop(state);
    let partition = &chosen.partition.topic_partition;
    match outcome {
        Ok(done) => {
            info!(%partition, read = done.bytes_read, written = done.bytes_written, keys = done.keys, up_to = done.end_offset, "compacted a log");
            if done.invalid_records > 0 {
                warn!(%partition, records = done.invalid_records, "removed records without a key from a compacted log");
            }
            true
        }
        Err(CleanError::Aborted) => false,
        Err(cause @ CleanError::Corrupt { .. }) => {
            warn!(%partition, %cause, "a log cannot be compacted; it is left as it is");
            false
        }
        Err(CleanError::Storage(cause)) => {
            error!(%partition, %cause, "could not compact a log");
            if cause.is_disk_failure() {
                chosen.partition.log().fail();
                broker.check_log_dirs();
            }
            false
        }
    }
}

fn choose(broker: &Arc<Broker>) -> Option<Chosen> {
    let now_ms = broker.wall_ms();
    let mut best: Option<Chosen> = None;
    for partition in broker.partitions().all() {
        let settings = partition.settings();
        let moves = partition.future().lock().is_some();
        if !settings.log.cleanup_compact || partition.is_gone() || moves || is_taken(broker, &partition) {
            continue;
        }
        match consider(broker, &partition, now_ms) {
            Ok(Some(chosen)) if best.as_ref().is_none_or(|best| chosen.ratio > best.ratio) => best = Some(chosen),
            Ok(_) | Err(CleanError::Aborted | CleanError::Storage(StorageError::Offline)) => {}
            Err(cause) => {
                warn!(partition = %partition.topic_partition, %cause, "a log cannot be compacted; it is left as it is");
                let name = (partition.topic_partition.clone(), partition.topic_id);
                broker.cleaner().state.lock().uncleanable.insert(name);
            }
        }
    }
    let chosen = best?;
    let name = (chosen.partition.topic_partition.clone(), chosen.partition.topic_id);
    // Another thread may have chosen it meanwhile.
    broker.cleaner().state.lock().busy.insert(name).then_some(chosen)
}

fn is_taken(broker: &Broker, partition: &Partition) -> bool {
    let name = (partition.topic_partition.clone(), partition.topic_id);
    let state = broker.cleaner().state.lock();
    state.busy.contains(&name) || state.uncleanable.contains(&name)
}

fn consider(
    broker: &Arc<Broker>,
    partition: &Arc<Partition>,
    now_ms: TimestampMs,
) -> Result<Option<Chosen>, CleanError> {
    let Some(dir) = partition.log().dir().parent().map(ToOwned::to_owned) else { return Ok(None) };
    let checkpoint = broker.cleaner().checkpoint(broker.logs(), partition, &dir);
    let log = partition.log();
    let range = log.cleanable(checkpoint, now_ms)?;
    let due = range.is_due(log.config());
    let chosen = due.then(|| Chosen {
        partition: Arc::clone(partition),
        cleaning: log.start_cleaning(range, now_ms),
        ratio: range.ratio(),
    });
    drop(log);
    if checkpoint.is_some() && range.checkpoint_is_off {
        broker.cleaner().set_checkpoint(broker, &partition.topic_partition, &dir, range.first_dirty);
    }
    Ok(chosen)
}

fn clean_log(broker: &Arc<Broker>, config: &BrokerConfig, chosen: &Chosen) -> Result<CleanedLog, CleanError> {
    let partition = &chosen.partition;
    let threads = u64::try_from(config.log_cleaner_threads()).unwrap_or(1).max(1);
    let settings = CleanerSettings {
        dedupe_bytes: u64::try_from(config.log_cleaner_dedupe_buffer_size()).unwrap_or(0) / threads,
        load_factor: config.log_cleaner_io_buffer_load_factor(),
        io_buffer_bytes: usize::try_from(config.log_cleaner_io_buffer_size() / 2).unwrap_or(0)
            / usize::try_from(threads).unwrap_or(1),
        hash_key: [broker.random_u64(), broker.random_u64()],
    };
    let mut pace = Throttle { broker, partition };
    let delay_ms = partition.settings().log.file_delete_delay_ms;
    let done = clean(&chosen.cleaning, &settings, &mut pace, &mut |cleaned| {
        let removed = partition.log().swap_in(cleaned)?;
        broker.logs().remove_later(removed, broker.wall_ms() + delay_ms);
        Ok(())
    })?;
    let dir = partition.log().dir().parent().map(ToOwned::to_owned);
    if let Some(dir) = dir.filter(|_| !partition.is_gone()) {
        broker.cleaner().set_checkpoint(broker, &partition.topic_partition, &dir, done.end_offset);
    }
    Ok(done)
}

/// Holds all cleanings together to `log.cleaner.io.max.bytes.per.second`, and ends them at a stop.
struct Throttle<'a> {
    broker: &'a Arc<Broker>,
    partition: &'a Partition,
}

impl Pace for Throttle<'_> {
    fn moved(&mut self, bytes: u64) -> Result<(), CleanError> {
        let cleaner = self.broker.cleaner();
        let rate = self.broker.config().log_cleaner_io_max_bytes_per_second();
        let nanos = || self.broker.monotonic_nanos();
        let until = cleaner.state.lock().rate.reserve(nanos(), bytes, rate);
        loop {
            if cleaner.is_stopped() || self.partition.is_gone() || !self.partition.settings().log.cleanup_compact {
                return Err(CleanError::Aborted);
            }
            let left = until.saturating_sub(nanos());
            if left == 0 {
                return Ok(());
            }
            cleaner.wait(Duration::from_nanos(left.min(LONGEST_WAIT)));
        }
    }
}
