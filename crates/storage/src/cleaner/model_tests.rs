//! Compaction against a model: random keys, tombstones, transactions, cleanings and crashes. Whatever happened, the last
//! record of every key is there; below what was cleaned nothing is that Kafka would have dropped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use platform::{Random, SimDisk};
use protocol::record::BatchSettings;
use protocol::types::{Offset, ProducerId};

use super::tests::{SETTINGS, Unpaced, all_batches, append, compacted, flush, keyed, marker};
use super::{CleanError, CleanerSettings, clean};
use crate::config::LogConfig;
use crate::log::Log;
use crate::log::tests::options;
use crate::recovery::OpenOptions;

const KEYS: u64 = 12;
const PRODUCERS: i64 = 3;

type Value = Option<String>;

/// What was appended and became of it.
#[derive(Default)]
struct Model {
    /// Every record that is not aborted, by offset.
    records: BTreeMap<Offset, (String, Value)>,
    /// Records of open transactions.
    open: HashMap<ProducerId, Vec<(Offset, String, Value)>>,
    sequences: HashMap<ProducerId, i32>,
    checkpoint: Offset,
    synced: Offset,
    now_ms: i64,
}

impl Model {
    fn step(&mut self, log: &mut Log, random: &mut Random) -> Result<(), ()> {
        self.now_ms += random.below(300).cast_signed();
        match random.below(12) {
            0..=5 => self.append(log, random),
            6 | 7 => self.end(log, random),
            8 => self.flush(log),
            9 => log.roll(self.now_ms).map_err(drop),
            _ => self.clean(log, random),
        }
    }

    fn append(&mut self, log: &mut Log, random: &mut Random) -> Result<(), ()> {
        let producer_id = random.below(4).cast_signed() - 1;
        let transactional = producer_id > 0 || producer_id == 0 && self.open.contains_key(&0);
        let compression = protocol::record::Compression::ALL[usize::try_from(random.below(8)).unwrap().min(4)];
        let mut settings = BatchSettings { compression, ..BatchSettings::default() };
        if producer_id >= 0 {
            settings.producer_id = producer_id;
            settings.producer_epoch = 0;
            settings.base_sequence = self.sequences.get(&producer_id).copied().unwrap_or(0);
            settings.is_transactional = transactional;
        }
        let start = log.log_end_offset();
        let records: Vec<(Offset, String, Value)> = (0..random.below(4).cast_signed() + 1)
            .map(|at| {
                let value =
                    (!random.one_in(5)).then(|| format!("{}-{}", start + at, "v".repeat(random.below(40) as usize)));
                (start + at, format!("k{}", random.below(KEYS)), value)
            })
            .collect();
        let pairs: Vec<_> = records.iter().map(|(_, key, value)| (key.as_str(), value.as_deref())).collect();
        append(log, &keyed(settings, &pairs, self.now_ms)).map_err(drop)?;
        if producer_id >= 0 {
            *self.sequences.entry(producer_id).or_default() += i32::try_from(records.len()).unwrap();
        }
        if transactional {
            self.open.entry(producer_id).or_default().extend(records);
        } else {
            self.records.extend(records.into_iter().map(|(offset, key, value)| (offset, (key, value))));
        }
        Ok(())
    }

    /// Ends a transaction, one way or the other.
    fn end(&mut self, log: &mut Log, random: &mut Random) -> Result<(), ()> {
        let producer_id = random.below(PRODUCERS.unsigned_abs()).cast_signed();
        let Some(records) = self.open.get(&producer_id).cloned() else { return Ok(()) };
        let commits = !random.one_in(3);
        append(log, &marker(producer_id, 0, commits, self.now_ms)).map_err(drop)?;
        self.open.remove(&producer_id);
        if commits {
            self.records.extend(records.into_iter().map(|(offset, key, value)| (offset, (key, value))));
        }
        Ok(())
    }

    fn flush(&mut self, log: &mut Log) -> Result<(), ()> {
        let end = log.log_end_offset();
        flush(log).map_err(drop)?;
        self.synced = end;
        Ok(())
    }

    fn clean(&mut self, log: &mut Log, random: &mut Random) -> Result<(), ()> {
        self.flush(log)?;
        let range = log.cleanable(Some(self.checkpoint), self.now_ms).map_err(drop)?;
        if range.cleanable_bytes == 0 {
            return Ok(());
        }
        let cleaning = log.start_cleaning(range, self.now_ms);
        let slots = if random.one_in(3) { 8 } else { 1000 };
        let settings = CleanerSettings { dedupe_bytes: 12 * slots, ..SETTINGS };
        let mut swap = |cleaned| -> Result<(), CleanError> { Ok(log.swap_in(cleaned)?.remove_now()?) };
        let done = clean(&cleaning, &settings, &mut Unpaced, &mut swap).map_err(drop)?;
        self.checkpoint = done.end_offset;
        self.check_dropped(log, range.first_uncleanable);
        Ok(())
    }

    /// Nothing is left that had to go, in what was just cleaned.
    fn check_dropped(&self, log: &Log, uncleanable: Offset) {
        let mut seen: HashMap<String, Offset> = HashMap::new();
        for batch in all_batches(log).into_iter().filter(|batch| !batch.header.is_control()) {
            let passed = batch.header.delete_horizon().is_some_and(|horizon| horizon <= self.now_ms);
            for record in batch.records().unwrap().map(Result::unwrap) {
                if record.offset >= self.checkpoint.min(uncleanable) {
                    return;
                }
                assert!(self.records.contains_key(&record.offset), "an aborted record at {}", record.offset);
                assert!(record.value.is_some() || !passed, "a tombstone at {} after its time", record.offset);
                let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                if let Some(before) = seen.insert(key, record.offset) {
                    panic!("{before} was replaced by {}", record.offset);
                }
            }
        }
    }

    /// The last record of every key is there, and everything that is there was appended there.
    fn check_kept(&self, log: &Log) {
        let mut found: BTreeMap<Offset, (String, Value)> = BTreeMap::new();
        let text = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        for batch in all_batches(log).into_iter().filter(|batch| !batch.header.is_control()) {
            for record in batch.records().unwrap().map(Result::unwrap) {
                found.insert(record.offset, (text(record.key.unwrap()), record.value.map(text)));
            }
        }
        let mut latest: HashMap<&str, (Offset, &Value)> = HashMap::new();
        for (offset, (key, value)) in self.records.range(..self.synced.min(log.log_end_offset())) {
            latest.insert(key, (*offset, value));
            if let Some(there) = found.get(offset) {
                assert_eq!((&there.0, &there.1), (key, value), "at {offset}");
            }
        }
        for (key, (offset, value)) in latest {
            assert!(found.contains_key(&offset) || value.is_none(), "{key} at {offset} is gone");
        }
    }

    /// Goes on from what a crash left.
    fn reopened(&mut self, log: &Log) {
        let end = log.log_end_offset();
        assert!(end >= self.synced);
        self.records.retain(|offset, _| *offset < end);
        // What a crash cut off may have been a marker: the producers' states say which transactions are open.
        self.open.clear();
        self.sequences.clear();
        for state in log.producer_states() {
            self.sequences.insert(state.producer_id, state.last_sequence + 1);
        }
        self.checkpoint = self.checkpoint.min(end);
    }
}

fn config() -> LogConfig {
    LogConfig { segment_bytes: 900, delete_retention_ms: 600, ..compacted() }
}

fn run(seed: u64) {
    let disk = SimDisk::new(seed);
    let mut random = Random::new(seed);
    let mut model = Model { now_ms: 1000, ..Model::default() };
    let mut log = Log::open(Arc::new(disk.clone()), options(config())).unwrap();
    for _ in 0..120 {
        model.step(&mut log, &mut random).unwrap();
    }
    model.flush(&mut log).unwrap();
    model.check_kept(&log);
    let (kept, before) = (log.producer_states(), log.log_end_offset());
    // Only finished transactions are checked across the crash that follows.
    let open: Vec<_> = model.open.keys().copied().collect();
    for producer_id in open {
        append(&mut log, &marker(producer_id, 0, false, model.now_ms)).unwrap();
        model.open.remove(&producer_id);
    }
    model.flush(&mut log).unwrap();
    disk.stop_after(random.below(60));
    for _ in 0..6 {
        if model.clean(&mut log, &mut random).is_err() || log.roll(0).is_err() {
            break;
        }
    }
    drop(log);
    disk.crash();
    let recovery_point = if random.one_in(2) { 0 } else { model.synced };
    let opened = OpenOptions { recovery_point, now_ms: model.now_ms, ..options(config()) };
    let mut log = Log::open(Arc::new(disk.clone()), opened).unwrap();
    assert!(log.log_end_offset() >= before);
    for state in &kept {
        let again = log.producer_states().into_iter().find(|other| other.producer_id == state.producer_id);
        assert_eq!(again.map(|again| again.last_sequence), Some(state.last_sequence), "producer {}", state.producer_id);
    }
    log.set_high_watermark(log.log_end_offset());
    model.check_kept(&log);
    model.reopened(&log);
    for _ in 0..40 {
        model.step(&mut log, &mut random).unwrap();
    }
    model.flush(&mut log).unwrap();
    model.check_kept(&log);
}

#[test]
fn a_compacted_log_is_what_the_model_says_through_crashes() {
    for seed in 0..200 {
        let ran = std::panic::catch_unwind(|| run(seed));
        assert!(ran.is_ok(), "seed {seed}");
    }
}
