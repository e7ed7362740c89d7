//! Fetches for members of share groups: reads the log where a share-partition has something to give, and acquires it.
//! Only the headers of batches are read here; the records go from the file to the socket.

use std::sync::Arc;

use protocol::record::{Batch, BatchHeader, ControlRecordType};
use protocol::types::Offset;
use storage::{FileSlice, LogView, ReadError};
use tracing::warn;

use super::sessions::TopicIdPartition;
use super::settings::{self, ShareGroupSettings};
use super::{Led, Refusal, SharePartitions};
use crate::Broker;
use crate::purgatory::Waiter;
use crate::share_partition::{
    AcquireMode, AcquireRequest, AcquiredRange, FetchedBatch, Member, SharePartition, aborted_batches,
};

/// Bytes that are read at a time to look for the headers of batches.
const HEADERS_CHUNK: usize = 4096;
/// How long a fetch waits before it looks again for a coordinator that is not there yet.
const RETRY_MS: i64 = 50;
/// More bytes than any fetch waits for.
const ENOUGH: u64 = 1 << 40;
/// How often one look reads on where a read gave nothing to acquire, though it moved the share-partition on.
const READS_PER_LOOK: usize = 8;

/// What a member fetches.
#[derive(Debug, Clone)]
pub(crate) struct ShareFetch {
    pub(crate) group_id: Arc<str>,
    pub(crate) member: Member,
    pub(crate) mode: AcquireMode,
    pub(crate) max_wait_ms: i64,
    pub(crate) min_bytes: u64,
    pub(crate) max_bytes: u64,
    pub(crate) max_records: i64,
    pub(crate) batch_size: i64,
    /// In the order in which they are served.
    pub(crate) partitions: Vec<TopicIdPartition>,
}

/// What a partition gave.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) partition: TopicIdPartition,
    pub(crate) outcome: Result<Option<Records>, Refusal>,
}

/// Acquired records.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) slice: FileSlice,
    pub(crate) ranges: Vec<AcquiredRange>,
    count: i64,
}

/// What one look at the partitions gave.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) fetched: Vec<Fetched>,
    /// Something is there that the member must hear of at once.
    done: bool,
    /// A share-partition has no state yet, because its coordinator is not there.
    retry: bool,
}

impl Look {
    /// Whether the member is to hear of it at once.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    fn refuse(&mut self, partition: TopicIdPartition, refusal: Refusal) {
        self.done = true;
        self.fetched.push(Fetched { partition, outcome: Err(refusal) });
    }
}

/// Fetches; waits until there is something, but not longer than the member wants.
pub(crate) async fn fetch(broker: Arc<Broker>, fetch: ShareFetch) -> Look {
    let deadline_ms = broker.monotonic_ms() + fetch.max_wait_ms;
    loop {
        // A waiter is for one time: what it registered with goes with it.
        let waiter = Waiter::default();
        for led in leds(&broker, &fetch) {
            waiter.watch(led.partition().watchers());
            waiter.watch(led.watchers());
        }
        let seen = look(&broker, &fetch, false);
        let now_ms = broker.monotonic_ms();
        if seen.done || now_ms >= deadline_ms {
            return if seen.done { seen } else { look(&broker, &fetch, true) };
        }
        let until_ms = if seen.retry { deadline_ms.min(now_ms + RETRY_MS) } else { deadline_ms };
        waiter.wait(&mut broker.timers().deadline(until_ms)).await;
    }
}

fn leds(broker: &Broker, fetch: &ShareFetch) -> Vec<Arc<Led>> {
    let shares = broker.share_partitions();
    let keys = fetch.partitions.iter().map(|partition| SharePartitions::key(&fetch.group_id, *partition));
    keys.filter_map(|key| shares.find_or_create(broker, &key).ok()).collect()
}

/// Looks once. A last look takes what there is, even if it is less than the member waits for.
pub(crate) fn look(broker: &Arc<Broker>, fetch: &ShareFetch, last: bool) -> Look {
    let mut seen = Look::default();
    let settings = settings::of(broker, &fetch.group_id);
    let mut leds = Vec::with_capacity(fetch.partitions.len());
    for partition in &fetch.partitions {
        let key = SharePartitions::key(&fetch.group_id, *partition);
        match broker.share_partitions().find_or_create(broker, &key) {
            Ok(led) => leds.push((*partition, led)),
            Err(code) => seen.refuse(*partition, code.into()),
        }
    }
    // One byte is there whenever there is a record: no need to look twice.
    if fetch.min_bytes > 1 && !last && !seen.done {
        let mut bytes = 0;
        for (_, led) in &leds {
            match offered(broker, led, &settings) {
                Some(offered) => bytes += offered,
                None => seen.retry = true,
            }
        }
        if bytes < fetch.min_bytes {
            return seen;
        }
    }
    let share = fetch.max_bytes / u64::try_from(leds.len().max(1)).unwrap_or(1);
    let mut left = fetch.max_records;
    for (partition, led) in leds {
        match take(broker, &led, fetch, &settings, (left, share)) {
            Ok(None) => seen.retry = true,
            Ok(Some(records)) => {
                if let Some(records) = &records {
                    seen.done = true;
                    left -= records.count;
                }
                seen.fetched.push(Fetched { partition, outcome: Ok(records) });
            }
            Err(refusal) => seen.refuse(partition, refusal),
        }
    }
    seen
}

/// How many bytes a share-partition has to give; nothing is known if its state is not there yet.
fn offered(broker: &Arc<Broker>, led: &Arc<Led>, settings: &ShareGroupSettings) -> Option<u64> {
    let view = led.partition().view();
    let next = led.with(broker, |partition| {
        partition.set_settings(settings.partition);
        partition.can_acquire().then(|| partition.next_fetch_offset())
    });
    match next {
        // A refusal, or a log that begins later, is more than the member waits for.
        Err(_) => Some(ENOUGH),
        Ok(Some(Some(offset))) if offset < view.log_start_offset => Some(ENOUGH),
        Ok(Some(Some(offset))) => {
            let slice = view.read(offset, u32::MAX, bound(&view, settings), true);
            Some(slice.ok().flatten().map_or(0, |slice| slice.len.into()))
        }
        Ok(Some(None)) => Some(0),
        Ok(None) => None,
    }
}

fn bound(view: &LogView, settings: &ShareGroupSettings) -> Offset {
    if settings.committed { view.last_stable_offset } else { view.high_watermark }
}

/// Acquires what a share-partition has to give; `None` if its state is not there yet.
fn take(
    broker: &Arc<Broker>,
    led: &Arc<Led>,
    fetch: &ShareFetch,
    settings: &ShareGroupSettings,
    (max_records, max_bytes): (i64, u64),
) -> Result<Option<Option<Records>>, Refusal> {
    if max_records <= 0 {
        return Ok(Some(None));
    }
    let view = led.partition().view();
    let max_bytes = u32::try_from(max_bytes.max(1)).unwrap_or(u32::MAX);
    let now_ms = broker.monotonic_ms();
    let taken = led.with(broker, |partition| {
        partition.set_settings(settings.partition);
        for _ in 0..READS_PER_LOOK {
            if !partition.can_acquire() {
                return Ok(None);
            }
            let offset = partition.next_fetch_offset();
            if offset < view.log_start_offset {
                partition.log_start_moved(view.log_start_offset);
                continue;
            }
            let read = Read { view: &view, settings, max_bytes, max_records, now_ms };
            let records = read.acquire(partition, fetch, offset)?;
            if records.is_some() || partition.next_fetch_offset() == offset {
                return Ok(records);
            }
        }
        Ok(None)
    })?;
    taken.transpose()
}

/// One read of the log.
struct Read<'a> {
    view: &'a LogView,
    settings: &'a ShareGroupSettings,
    max_bytes: u32,
    max_records: i64,
    now_ms: i64,
}

impl Read<'_> {
    fn acquire(
        &self,
        partition: &mut SharePartition,
        fetch: &ShareFetch,
        offset: Offset,
    ) -> Result<Option<Records>, Refusal> {
        let bound = bound(self.view, self.settings);
        let slice = match self.view.read(offset, self.max_bytes, bound, true) {
            Ok(Some(slice)) => slice,
            Ok(None) | Err(ReadError::OffsetOutOfRange { .. }) => return Ok(None),
            Err(error) => return Err(error.code().into()),
        };
        let needed_to = partition.acquires_up_to(self.max_records);
        let batches = batches(&slice, needed_to, self.settings.committed).map_err(|cause| {
            warn!(%cause, offset, "could not read batches for a share group");
            Refusal::from(cause.code())
        })?;
        let mut aborted = Vec::new();
        if let Some(last) = batches.last().filter(|_| self.settings.committed) {
            let transactions = self.view.aborted_transactions(offset, last.last_offset + 1);
            aborted = aborted_batches(&batches, &transactions.map_err(|error| Refusal::from(error.code()))?);
        }
        let acquired = partition.acquire(&AcquireRequest {
            member: &fetch.member,
            mode: fetch.mode,
            batch_size: fetch.batch_size,
            max_records: self.max_records,
            fetch_offset: offset,
            batches: &batches,
            aborted: &aborted,
            now_ms: self.now_ms,
        });
        let (Some(first), Some(last)) = (acquired.ranges.first(), acquired.ranges.last()) else { return Ok(None) };
        let slice = cut(slice, &batches, first.first_offset, last.last_offset);
        Ok(Some(Records { slice, ranges: acquired.ranges, count: acquired.count }))
    }
}

/// The part of a slice that holds the batches with the offsets from `first` to `last`.
fn cut(slice: FileSlice, batches: &[FetchedBatch], first: Offset, last: Offset) -> FileSlice {
    let from = batches.partition_point(|batch| batch.base_offset <= first).saturating_sub(1);
    let to = batches.partition_point(|batch| batch.base_offset <= last).saturating_sub(1);
    match (batches.get(from), batches.get(to)) {
        (Some(from), Some(to)) => FileSlice {
            position: slice.position + u64::from(from.position),
            len: (to.position + to.size).saturating_sub(from.position),
            ..slice
        },
        _ => slice,
    }
}

/// The whole batches of a slice, up to the one that holds `needed_to`.
fn batches(slice: &FileSlice, needed_to: Offset, committed: bool) -> Result<Vec<FetchedBatch>, ReadError> {
    let mut found: Vec<FetchedBatch> = Vec::new();
    let mut chunk = [0; HEADERS_CHUNK];
    let mut at = 0;
    while at < slice.len {
        let room = HEADERS_CHUNK.min((slice.len - at) as usize);
        let read = slice.file.pread(&mut chunk[..room], slice.position + u64::from(at));
        let read = read.map_err(|error| ReadError::Storage(error.into()))?;
        let mut within = 0;
        while within < read {
            let Ok(header) = BatchHeader::parse(&chunk[within..read]) else { break };
            let size = u32::try_from(header.size_in_bytes()).unwrap_or(u32::MAX);
            let position = at + within as u32;
            if size > slice.len - position {
                return Ok(found);
            }
            let aborts = committed && header.is_control() && is_abort(slice, position, size)?;
            found.push(FetchedBatch {
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                transactional: header.is_transactional().then_some(header.producer_id),
                aborts,
                position,
                size,
            });
            if header.last_offset() >= needed_to {
                return Ok(found);
            }
            within += size as usize;
        }
        if within == 0 {
            return Ok(found);
        }
        at += within as u32;
    }
    Ok(found)
}

/// Whether a control batch is the marker of an aborted transaction.
fn is_abort(slice: &FileSlice, position: u32, size: u32) -> Result<bool, ReadError> {
    let batch = FileSlice { file: Arc::clone(&slice.file), position: slice.position + u64::from(position), len: size };
    let bytes = batch.read_all()?;
    let first = Batch::parse(&bytes).ok().and_then(|batch| batch.records().ok()?.next()?.ok());
    let key = first.and_then(|record| record.key);
    Ok(key.is_some_and(|key| matches!(ControlRecordType::parse(&key), Ok(ControlRecordType::Abort))))
}
