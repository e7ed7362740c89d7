//! Gives fetched records to a member: new ones, and those that are available again.
//! What was fetched is acquired by whole batches of the log, so that members can acknowledge them as such; records that
//! failed before are given in smaller and smaller numbers, the last time alone, so that one bad record spoils no others.

use std::ops::RangeInclusive;

use protocol::types::{Offset, ProducerId, TimestampMs};

use super::SharePartition;
use super::in_flight::{InFlight, InFlightBatch, Member, Records};

/// The fewest deliveries after which records are given in smaller numbers.
const MIN_THROTTLING_DELIVERIES: i16 = 2;
/// A limit of deliveries up to this leaves no room for giving a record alone.
const TOO_FEW_TO_ISOLATE: i16 = 2;

/// How many records a member takes (KIP-1206).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcquireMode {
    /// Whole batches, even if they are more than asked for.
    BatchOptimized,
    /// No more than asked for.
    RecordLimit,
}

/// A batch of the log that was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FetchedBatch {
    /// Offset of its first record.
    pub(crate) base_offset: Offset,
    /// Offset of its last record.
    pub(crate) last_offset: Offset,
    /// The transactional producer that wrote it.
    pub(crate) transactional: Option<ProducerId>,
    /// It is the marker of an aborted transaction.
    pub(crate) aborts: bool,
    /// Where it is in what was fetched, in bytes.
    pub(crate) position: u32,
    /// Its size, in bytes.
    pub(crate) size: u32,
}

/// What a member wants.
#[derive(Debug)]
pub(crate) struct AcquireRequest<'a> {
    /// Who.
    pub(crate) member: &'a Member,
    /// How.
    pub(crate) mode: AcquireMode,
    /// Up to how many records are to be acknowledged together.
    pub(crate) batch_size: i64,
    /// How many records.
    pub(crate) max_records: i64,
    /// Where the log was read.
    pub(crate) fetch_offset: Offset,
    /// What was read.
    pub(crate) batches: &'a [FetchedBatch],
    /// Which of that nobody may see.
    pub(crate) aborted: &'a [FetchedBatch],
    /// The time.
    pub(crate) now_ms: TimestampMs,
}

/// Records that a member got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AcquiredRange {
    /// The first.
    pub(crate) first_offset: Offset,
    /// The last.
    pub(crate) last_offset: Offset,
    /// How often they were delivered, this time included.
    pub(crate) delivery_count: i16,
}

/// All that a member got.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Acquired {
    /// In the order of their offsets.
    pub(crate) ranges: Vec<AcquiredRange>,
    /// How many offsets that are.
    pub(crate) count: i64,
}

impl Acquired {
    fn add(&mut self, more: Self) {
        self.ranges.extend(more.ranges);
        self.count += more.count;
    }
}

impl SharePartition {
    /// Acquires what was fetched, as far as it is free.
    pub(crate) fn acquire(&mut self, request: &AcquireRequest<'_>) -> Acquired {
        let (Some(first), Some(last)) = (request.batches.first(), request.batches.last()) else {
            return Acquired::default();
        };
        if last.last_offset < self.start_offset {
            return Acquired::default();
        }
        let (last_offset, max_records) = self.acquirable(request, last.last_offset);
        if max_records <= 0 {
            return Acquired::default();
        }
        self.archive_missing(request.fetch_offset, first.base_offset);
        // The log holds nothing in between, so that there is no gap to fill.
        if request.fetch_offset < first.base_offset && self.open_gaps().is_some() {
            self.close_gaps(first.base_offset);
            self.advance();
        }
        let acquired = self.acquire_range(request, (first.base_offset, last_offset), max_records);
        if request.aborted.is_empty() { acquired } else { self.without_aborted(acquired, request.aborted) }
    }

    /// Up to which offset to acquire, and how many records, so that no more are in flight than may be.
    fn acquirable(&self, request: &AcquireRequest<'_>, last_offset: Offset) -> (Offset, i64) {
        let free = self.settings.max_record_locks - self.in_flight();
        let max_records = request.max_records.min(free);
        // Without room, records that are in flight may still be given again.
        if max_records <= 0 && request.max_records > 0 && request.fetch_offset <= self.end_offset {
            let again = self.end_offset - request.fetch_offset + 1;
            return (last_offset.min(self.end_offset), request.max_records.min(again));
        }
        (last_offset, max_records)
    }

    fn acquire_range(
        &mut self,
        request: &AcquireRequest<'_>,
        (fetched_from, last_offset): (Offset, Offset),
        mut max_records: i64,
    ) -> Acquired {
        let base_offset = self.align(fetched_from);
        let from = fetched_from.min(base_offset);
        if from > last_offset {
            return Acquired::default();
        }
        let known: Vec<Offset> = self.batches.range(from..=last_offset).map(|(key, _)| *key).collect();
        if known.is_empty() {
            return self.acquire_new(request, (base_offset, last_offset), max_records);
        }
        let mut acquired = Acquired::default();
        let mut gap_from = base_offset;
        for key in known {
            if acquired.count >= max_records {
                break;
            }
            if self.open_gaps().is_some() {
                if gap_from < key {
                    acquired.add(self.acquire_new(request, (gap_from, key - 1), max_records - acquired.count));
                }
                gap_from = self.batches.get(&key).map_or(gap_from, |batch| batch.last_offset + 1);
                if acquired.count >= max_records {
                    break;
                }
            }
            if self.acquire_known(request, key, fetched_from..=last_offset, max_records, &mut acquired) {
                max_records = 0;
                break;
            }
        }
        let behind = self.batches.range(..=last_offset).next_back().map_or(from, |(_, batch)| batch.last_offset + 1);
        if acquired.count < max_records && behind <= last_offset {
            acquired.add(self.acquire_new(request, (behind, last_offset), max_records - acquired.count));
        }
        if let Some(last) = acquired.ranges.last() {
            self.close_gaps(last.last_offset + 1);
        }
        acquired
    }

    /// Where acquisition begins: at the batch in flight that holds the first offset, and not below the start offset.
    fn align(&self, base_offset: Offset) -> Offset {
        match self.batches.range(..=base_offset).next_back() {
            None => base_offset.max(self.start_offset),
            Some((key, batch)) if batch.last_offset >= base_offset => *key,
            Some(_) => base_offset,
        }
    }

    /// Acquires what is available of a batch in flight. True if nothing more is to be given along with it.
    fn acquire_known(
        &mut self,
        request: &AcquireRequest<'_>,
        key: Offset,
        fetched: RangeInclusive<Offset>,
        max_records: i64,
        acquired: &mut Acquired,
    ) -> bool {
        let throttling = self.throttling_deliveries();
        let locked_until = self.lock_until(request.now_ms);
        let delivery_limit = self.settings.delivery_limit;
        let Some(batch) = self.batches.get_mut(&key) else { return false };
        let left = max_records - acquired.count;
        let whole = batch.first_offset >= *fetched.start() && batch.last_offset <= *fetched.end();
        let limited = request.mode == AcquireMode::RecordLimit && batch.count() > left;
        let throttled = most_deliveries(batch, &fetched) >= throttling;
        if throttled && acquired.count > 0 {
            return true;
        }
        if !batch.is_split() && !batch.is_available() {
            return false;
        }
        if whole && !batch.is_split() && !limited && !throttled {
            let (first_offset, last_offset, count) = (batch.first_offset, batch.last_offset, batch.count());
            if let Records::Same(record) = &mut batch.records {
                record.acquire(request.member, locked_until);
                let delivery_count = record.delivery_count;
                acquired.ranges.push(AcquiredRange { first_offset, last_offset, delivery_count });
                acquired.count += count;
            }
            return false;
        }
        let limit = if request.mode == AcquireMode::RecordLimit { left } else { i64::MAX };
        let rules = PartRules { fetched, limit, throttling, delivery_limit, locked_until };
        let count = acquire_part(batch, request.member, &rules, &mut acquired.ranges);
        acquired.count += count;
        throttled && count > 0
    }

    /// From how many deliveries on records are given in smaller numbers: half of the limit.
    fn throttling_deliveries(&self) -> i16 {
        let half = self.settings.delivery_limit / 2 + self.settings.delivery_limit % 2;
        half.max(MIN_THROTTLING_DELIVERIES)
    }

    /// Acquires records that are not in flight yet.
    fn acquire_new(
        &mut self,
        request: &AcquireRequest<'_>,
        (first_offset, last_offset): (Offset, Offset),
        max_records: i64,
    ) -> Acquired {
        let first = if self.batches.is_empty() { first_offset.max(self.end_offset) } else { first_offset };
        let mut last = last_offset;
        if max_records < last - first + 1 {
            last = end_of_batch(request.batches, first + max_records - 1);
            // Gaps need not end where batches do.
            if self.open_gaps().is_some() {
                last = last.min(last_offset);
            }
        }
        if last < first {
            return Acquired::default();
        }
        let ranges = self.lock_new(request, (first, last), max_records);
        if self.batches.first_key_value().is_some_and(|(key, _)| *key == first) {
            self.start_offset = first;
        }
        self.end_offset = self.end_offset.max(last);
        let taken_to = match (request.mode, ranges.first()) {
            (AcquireMode::RecordLimit, Some(range)) => range.last_offset,
            _ => last,
        };
        self.close_gaps(taken_to + 1);
        Acquired { ranges, count: taken_to - first + 1 }
    }

    /// Puts records in flight, for as many as may be taken with a lock.
    fn lock_new(
        &mut self,
        request: &AcquireRequest<'_>,
        (first, last): (Offset, Offset),
        max_records: i64,
    ) -> Vec<AcquiredRange> {
        let locked_until = self.lock_until(request.now_ms);
        let record = InFlight::acquired(request.member, locked_until);
        let range = |first_offset, last_offset| AcquiredRange { first_offset, last_offset, delivery_count: 1 };
        if request.mode == AcquireMode::RecordLimit && last - first + 1 > max_records {
            let mut batch = InFlightBatch::new(first, last, record);
            let taken_to = first + max_records - 1;
            for (_, record) in batch.split().filter(|(offset, _)| *offset > taken_to) {
                *record = InFlight::new(super::RecordState::Available, 0);
            }
            self.batches.insert(first, batch);
            self.look_back = true;
            return vec![range(first, taken_to)];
        }
        let mut ranges = Vec::new();
        let mut from = first;
        if request.mode == AcquireMode::BatchOptimized && last - first + 1 > request.batch_size {
            for batch in request.batches.iter().take_while(|batch| batch.base_offset <= last) {
                if batch.base_offset - from >= request.batch_size {
                    ranges.push(range(from, batch.base_offset - 1));
                    from = batch.base_offset;
                }
            }
        }
        ranges.push(range(from, last));
        for range in &ranges {
            let batch = InFlightBatch::new(range.first_offset, range.last_offset, record.clone());
            self.batches.insert(range.first_offset, batch);
        }
        ranges
    }
}

/// The most deliveries of what is available in a range of a batch.
fn most_deliveries(batch: &InFlightBatch, range: &RangeInclusive<Offset>) -> i16 {
    let within = |first: &Offset| !batch.is_split() || range.contains(first);
    let available = batch.parts().filter(|((first, _), record)| within(first) && record.is_available());
    available.map(|(_, record)| record.delivery_count).max().unwrap_or(0)
}

/// How part of a batch is acquired.
struct PartRules {
    fetched: RangeInclusive<Offset>,
    limit: i64,
    throttling: i16,
    delivery_limit: i16,
    locked_until: TimestampMs,
}

/// Acquires records of a batch one by one, and gives their number.
fn acquire_part(batch: &mut InFlightBatch, member: &Member, rules: &PartRules, ranges: &mut Vec<AcquiredRange>) -> i64 {
    let size = batch.count();
    let isolates = rules.delivery_limit > TOO_FEW_TO_ISOLATE;
    let (mut count, mut throttled_limit) = (0, None);
    let before = ranges.len();
    for (offset, record) in batch.split() {
        if offset < *rules.fetched.start() || !record.is_available() {
            continue;
        }
        if offset > *rules.fetched.end() || (isolates && record.delivery_count == rules.delivery_limit - 1 && count > 0)
        {
            break;
        }
        if record.delivery_count >= rules.throttling && throttled_limit.is_none() {
            let halvings = u32::from((record.delivery_count - rules.throttling + 1).unsigned_abs());
            throttled_limit = Some((size >> halvings.min(63)).max(1));
        }
        record.acquire(member, rules.locked_until);
        let delivery_count = record.delivery_count;
        count += 1;
        match ranges[before..].last_mut() {
            Some(last) if last.last_offset + 1 == offset && last.delivery_count == delivery_count => {
                last.last_offset = offset;
            }
            _ => ranges.push(AcquiredRange { first_offset: offset, last_offset: offset, delivery_count }),
        }
        let alone = isolates && delivery_count == rules.delivery_limit;
        if alone || count == rules.limit || throttled_limit == Some(count) {
            break;
        }
    }
    count
}

/// The last offset of the batch that holds `offset`, or `offset` if none does.
fn end_of_batch(batches: &[FetchedBatch], offset: Offset) -> Offset {
    let at = batches.partition_point(|batch| batch.base_offset <= offset);
    let holder = at.checked_sub(1).and_then(|at| batches.get(at));
    holder.map_or(offset, |batch| batch.last_offset.max(offset))
}
