//! Moves replicas between the log directories of this broker (KIP-113). The log that is written to is copied into a
//! `-future` directory like a follower would; once that has everything it takes the log's place, between two appends.
//! A crash at any point leaves the old directory or the new one in charge, and a copy that goes on with the next start.

use std::sync::Arc;
use std::time::Duration;

use metadata::config::Value;
use parking_lot::{Condvar, Mutex};
use protocol::{ErrorCode, TopicPartition};
use storage::{AppendError, Log, LogView, ReadError, StorageError, Unsynced};
use tracing::{error, info};

use crate::Broker;
use crate::partition::Partition;
use crate::rate::Rate;

/// Bytes that are copied at a time.
const CHUNK: u32 = 1 << 20;
/// The pause after a copy that failed, and the longest wait for a rate.
const PAUSE: Duration = Duration::from_millis(500);

/// What moves replicas.
#[derive(Default)]
pub struct ReplicaMover {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    /// There may be something to move.
    asked: bool,
    rate: Rate,
}

impl ReplicaMover {
    /// Ends [`run`]; copies go on with the next start.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// There is something to move.
    pub(crate) fn wake(&self) {
        self.state.lock().asked = true;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    fn pause(&self, duration: Duration) {
        let mut state = self.state.lock();
        if !state.stopped {
            self.changed.wait_for(&mut state, duration);
        }
    }

    fn wait_until_asked(&self) {
        let mut state = self.state.lock();
        while !(state.stopped || state.asked) {
            self.changed.wait(&mut state);
        }
        state.asked = false;
    }
}

/// Copies what is to be moved until [`ReplicaMover::stop`].
pub fn run(broker: &Arc<Broker>) {
    let mover = broker.mover();
    while !mover.is_stopped() {
        let mut moving = broker.partitions().all();
        moving.retain(|partition| !partition.is_gone() && partition.future().lock().is_some());
        if moving.is_empty() {
            mover.wait_until_asked();
            continue;
        }
        let mut failed = false;
        for partition in moving {
            if let Err(cause) = step(broker, &partition) {
                error!(partition = %partition.topic_partition, %cause, "could not move a replica");
                broker.check_log_dirs();
                failed = true;
            }
        }
        if failed {
            mover.pause(PAUSE);
        }
    }
}

/// Copies one chunk, or puts the copy in charge if it has everything.
fn step(broker: &Arc<Broker>, partition: &Arc<Partition>) -> Result<(), StorageError> {
    let copied = {
        let mut future = partition.future().lock();
        let Some(future) = future.as_mut() else { return Ok(()) };
        copy(&partition.view(), future, broker.wall_ms())?
    };
    if copied == 0 {
        return promote(broker, partition);
    }
    let config = broker.config();
    let rate =
        config.value("replica.alter.log.dirs.io.max.bytes.per.second").and_then(Value::as_f64).unwrap_or(f64::MAX);
    let until = broker.mover().state.lock().rate.reserve(broker.monotonic_nanos(), copied, rate);
    while !broker.mover().is_stopped() {
        let left = Duration::from_nanos(until.saturating_sub(broker.monotonic_nanos()));
        if left.is_zero() {
            break;
        }
        broker.mover().pause(left.min(PAUSE));
    }
    Ok(())
}

/// Copies the next chunk of what `view` shows; the bytes copied.
fn copy(view: &LogView, future: &mut Log, now_ms: i64) -> Result<u64, StorageError> {
    if future.log_end_offset() < view.log_start_offset {
        future.truncate_fully_and_start_at(view.log_start_offset)?;
    }
    let chunk = match view.read(future.log_end_offset(), CHUNK, view.log_end_offset, true) {
        Ok(Some(slice)) => slice.read_all()?,
        Ok(None) => return Ok(0),
        // Retention was faster, or the log was cut: the next view tells where it starts now.
        Err(ReadError::OffsetOutOfRange { .. }) => {
            future.truncate_fully_and_start_at(view.log_start_offset)?;
            return Ok(1);
        }
        Err(error) => return Err(error.into()),
    };
    let len = chunk.len() as u64;
    match future.append_as_follower(&chunk, now_ms) {
        Ok(_) => Ok(len),
        Err(AppendError::Storage(error)) => Err(error),
        Err(error) => Err(StorageError::Disk(std::io::Error::new(std::io::ErrorKind::InvalidData, error.to_string()))),
    }
}

/// Puts the copy in the place of the log.
fn promote(broker: &Arc<Broker>, partition: &Arc<Partition>) -> Result<(), StorageError> {
    // Most is synced before the partition is held.
    if let Some(future) = partition.future().lock().as_mut() {
        sync(future)?;
    }
    let from;
    {
        let mut log = partition.log();
        let mut future = partition.future().lock();
        if partition.is_gone() {
            return Ok(());
        }
        let Some(mut target) = future.take() else { return Ok(()) };
        let unique = broker.random_uuid();
        let finished = finish(&log, &mut target, broker.wall_ms());
        if let Err(error) = finished {
            *future = Some(target);
            return Err(error);
        }
        target.set_high_watermark(log.high_watermark());
        from = log.dir().parent().map(ToOwned::to_owned);
        let delay_ms = partition.settings().log.file_delete_delay_ms;
        broker.logs().promote(&mut log, target, unique, broker.wall_ms() + delay_ms)?;
    }
    let to = partition.log().dir().parent().map(ToOwned::to_owned);
    info!(partition = %partition.topic_partition, ?from, ?to, "moved a replica");
    broker.logs().write_checkpoints(&broker.partitions().all());
    if let (Some(from), Some(to)) = (from, to) {
        broker.cleaner().moved(broker, &partition.topic_partition, &from, &to);
    }
    broker.logs().assign(partition);
    if let Err(cause) = broker.quorum().assign_directories(broker) {
        error!(partition = %partition.topic_partition, %cause, "could not tell the controller of a replica's directory");
    }
    Ok(())
}

fn finish(log: &Log, target: &mut Log, now_ms: i64) -> Result<(), StorageError> {
    let view = log.view();
    while copy(&view, target, now_ms)? > 0 {}
    target.set_high_watermark(log.high_watermark());
    target.delete_records(log.log_start_offset())?;
    target.set_config(Arc::clone(log.config()));
    if let Some(epoch) = log.latest_epoch() {
        target.assign_epoch(epoch);
    }
    sync(target)
}

fn sync(log: &mut Log) -> Result<(), StorageError> {
    let end = log.log_end_offset();
    log.flush_files()?.iter().try_for_each(Unsynced::sync_data)?;
    log.flushed(end);
    Ok(())
}

/// Wants the replica of a partition in the directory `path`: a copy begins, goes on, or is given up.
/// # Errors
/// Kafka's codes (`ReplicaManager.alterReplicaLogDirs`).
pub(crate) fn alter(broker: &Arc<Broker>, name: &TopicPartition, path: &str) -> Result<(), ErrorCode> {
    let logs = broker.logs();
    let index = logs.dirs().iter().position(|dir| dir.path().as_os_str() == path);
    if name.to_string().len() + FUTURE_NAME > LONGEST_NAME {
        return Err(ErrorCode::InvalidTopicException);
    }
    let index = index.ok_or(ErrorCode::LogDirNotFound)?;
    if logs.dirs()[index].is_offline() {
        return Err(ErrorCode::KafkaStorageError);
    }
    if logs.is_cordoned(&broker.config(), index) {
        return Err(ErrorCode::InvalidReplicaAssignment);
    }
    let Some(partition) = broker.partitions().get(&name.topic, name.partition) else {
        logs.prefer(name, index);
        return Err(ErrorCode::ReplicaNotAvailable);
    };
    if partition.is_offline() {
        return Err(ErrorCode::KafkaStorageError);
    }
    let log = partition.log();
    let mut future = partition.future().lock();
    if let Some(before) = future.as_ref() {
        if logs.home(before.dir()) == Some(index) {
            return Ok(());
        }
        if let Some(before) = future.take() {
            logs.discard(before, name, broker.random_uuid(), broker.wall_ms());
            info!(partition = %name, "gave up moving a replica");
        }
    }
    if logs.home(log.dir()) == Some(index) {
        return Ok(());
    }
    if logs.dirs().iter().any(super::log_manager::ManagedDir::is_offline) {
        return Err(ErrorCode::KafkaStorageError);
    }
    let unique = broker.random_uuid();
    let created = logs.create_future(&partition, log.log_start_offset(), (index, unique), broker.wall_ms());
    *future = Some(created.map_err(|cause| {
        error!(partition = %name, %cause, "could not begin to move a replica");
        cause.code()
    })?);
    drop(future);
    drop(log);
    info!(partition = %name, to = path, "began to move a replica");
    broker.mover().wake();
    Ok(())
}

/// `.`, 32 digits, and `-future`.
const FUTURE_NAME: usize = 40;
/// The longest name of a directory.
const LONGEST_NAME: usize = 255;
