//! The indexes beside a segment: offsets, times, aborted transactions.

use std::path::{Path, PathBuf};

use super::batches::LogFile;
use super::{Complaints, IndexStyle, absolute, base_offset, unreadable};
use crate::cli::java::{Exception, Failure};
use crate::cli::out::Out;

const OFFSET_ENTRY: usize = 8;
const TIME_ENTRY: usize = 12;
const TRANSACTION_ENTRY: usize = 34;
const NO_TIMESTAMP: i64 = -1;

/// An offset and where it is.
#[derive(Debug, Clone, Copy)]
struct OffsetEntry {
    offset: i64,
    position: u64,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has as many bytes as the array")
}

/// The whole entries of an index.
fn entries(path: &Path, size: usize) -> Result<Vec<Vec<u8>>, Exception> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    Ok(bytes.chunks_exact(size).map(<[u8]>::to_vec).collect())
}

/// The base offset of an index, and the log beside it, which is there.
fn base_and_log(path: &Path) -> Result<(i64, PathBuf), Exception> {
    let base = base_offset(path)?;
    let log = path.with_extension("log");
    let log = std::path::absolute(&log).unwrap_or(log);
    LogFile::open(&log, 0, u64::MAX)?;
    Ok((base, log))
}

fn offset_entries(path: &Path, base: i64) -> Result<Vec<OffsetEntry>, Exception> {
    let entry = |bytes: Vec<u8>| OffsetEntry {
        offset: base + i64::from(i32::from_be_bytes(number(&bytes, 0))),
        position: u64::from(u32::from_be_bytes(number(&bytes, 4))),
    };
    Ok(entries(path, OFFSET_ENTRY)?.into_iter().map(entry).collect())
}

/// Dumps a `.index` file and compares it with its log.
pub(super) fn dump_offsets(
    path: &Path,
    style: IndexStyle,
    complaints: &mut Complaints,
    out: &mut Out,
) -> Result<(), Failure> {
    let (base, log) = base_and_log(path)?;
    let entries = offset_entries(path, base)?;
    let Some(last) = entries.last() else {
        return Ok(out.line(format_args!("{} is empty.", path.display()))?);
    };
    if style.sanity_only {
        check(path, OFFSET_ENTRY, last.offset, base)?;
        return Ok(out.line(format_args!("{} passed sanity check.", path.display()))?);
    }
    for (at, entry) in entries.iter().enumerate() {
        // A crash may leave zeros after the entries.
        if entry.offset == base && at > 0 {
            return Ok(());
        }
        let first = LogFile::open(&log, entry.position, u64::MAX)?.next()?;
        let missing = || Exception::new("java.util.NoSuchElementException", "null");
        let found = first.ok_or_else(missing)?.1.header.last_offset();
        if found != entry.offset {
            complaints.offsets.entry(absolute(path)).or_default().insert(entry.offset, found);
        }
        if !style.verify_only {
            out.line(format_args!("offset: {} position: {}", entry.offset, entry.position))?;
        }
    }
    Ok(())
}

fn check(path: &Path, entry_size: usize, last_offset: i64, base: i64) -> Result<(), Exception> {
    let corrupt =
        |message: String| Exception::new("org.apache.kafka.storage.internals.log.CorruptIndexException", message);
    let file = absolute(path);
    if last_offset < base {
        return Err(corrupt(format!(
            "Corrupt index found, index file ({file}) has non-zero size but the last offset is {last_offset} which is \
             less than the base offset {base}"
        )));
    }
    let len = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if len % entry_size as u64 == 0 {
        return Ok(());
    }
    Err(corrupt(format!(
        "Index file {file} is corrupt, found {len} bytes which is neither positive nor a multiple of {entry_size}"
    )))
}

fn check_times(path: &Path, first: i64, (last, _): (i64, i64)) -> Result<(), Exception> {
    if last >= first {
        return Ok(());
    }
    let file = absolute(path);
    let message = format!(
        "Corrupt time index found, time index file ({file}) has non-zero size but the last timestamp is {last} which is \
         less than the first timestamp {first}"
    );
    Err(Exception::new("org.apache.kafka.storage.internals.log.CorruptIndexException", message))
}

/// Dumps a `.timeindex` file and compares it with its log.
pub(super) fn dump_times(
    path: &Path,
    style: IndexStyle,
    complaints: &mut Complaints,
    out: &mut Out,
) -> Result<(), Failure> {
    let (base, log) = base_and_log(path)?;
    let offsets = offset_entries(&path.with_extension("index"), base)?;
    let entries = entries(path, TIME_ENTRY)?;
    let entry = |bytes: &Vec<u8>| {
        let offset = base + i64::from(i32::from_be_bytes(number(bytes, 8)));
        (i64::from_be_bytes(number(bytes, 0)), offset)
    };
    if style.sanity_only {
        if let (Some(first), Some(last)) = (entries.first().map(entry), entries.last().map(entry)) {
            check_times(path, first.0, last)?;
            check(path, TIME_ENTRY, last.1, base)?;
        }
        return Ok(out.line(format_args!("{} passed sanity check.", path.display()))?);
    }
    let mut previous = NO_TIMESTAMP;
    for (at, (timestamp, offset)) in entries.iter().map(entry).enumerate() {
        if offset == base && at > 0 {
            return Ok(());
        }
        let before = offsets
            .iter()
            .enumerate()
            .take_while(|(at, entry)| entry.offset <= offset && (*at == 0 || entry.offset != base));
        let position = before.last().map_or(0, |(_, entry)| entry.position);
        compare(path, &log, position, (timestamp, offset), previous, complaints)?;
        if !style.verify_only {
            out.line(format_args!("timestamp: {timestamp} offset: {offset}"))?;
        }
        previous = timestamp;
    }
    Ok(())
}

fn compare(
    path: &Path,
    log: &Path,
    position: u64,
    (timestamp, offset): (i64, i64),
    previous: i64,
    complaints: &mut Complaints,
) -> Result<(), Exception> {
    let mut file = LogFile::open(log, position, u64::MAX)?;
    let file_name = absolute(path);
    let batch = loop {
        match file.next()? {
            Some((_, batch)) if batch.header.last_offset() < offset => {}
            found => break found.map(|(_, batch)| batch),
        }
    };
    let Some(batch) = batch.as_ref().filter(|batch| batch.header.last_offset() == offset) else {
        let found = batch.map_or(-1, |batch| batch.header.last_offset());
        complaints.not_found.entry(file_name).or_default().push((offset, found));
        return Ok(());
    };
    let corrupt = |error: protocol::record::BatchError| {
        Exception::new("org.apache.kafka.common.errors.CorruptRecordException", error.to_string())
    };
    let mut newest = NO_TIMESTAMP;
    for record in batch.records().map_err(corrupt)? {
        newest = newest.max(record.map_err(corrupt)?.timestamp);
    }
    if newest != timestamp {
        complaints.timestamps.entry(file_name.clone()).or_default().push((timestamp, newest));
    }
    if previous >= timestamp {
        complaints.unordered.entry(file_name).or_default().push((timestamp, previous));
    }
    Ok(())
}

/// Dumps a `.txnindex` file.
pub(super) fn dump_transactions(path: &Path, out: &mut Out) -> Result<(), Failure> {
    base_offset(path)?;
    for entry in entries(path, TRANSACTION_ENTRY)? {
        let long = |at: usize| i64::from_be_bytes(number(&entry, at));
        out.line(format_args!(
            "version: {} producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
            i16::from_be_bytes(number(&entry, 0)),
            long(2),
            long(10),
            long(18),
            long(26)
        ))?;
    }
    Ok(())
}
