//! Record batches of a segment or a snapshot, read one at a time: a file may be larger than memory.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;
use protocol::record::{Batch, ControlRecord, ControlRecordType, LOG_OVERHEAD, MAGIC_V2, Record};
use protocol::{Message, json};

use super::{Complaints, LogStyle, absolute, base_offset, unreadable};
use crate::cli::java::{Exception, Failure};
use crate::cli::out::Out;

/// Bytes up to and with the magic: a shorter tail is no batch.
const HEADER_UP_TO_MAGIC: u64 = 17;
/// The least that a batch has after its length field.
const MIN_RECORD_OVERHEAD: i32 = 14;
const INDENT: &str = "|";

/// Reads the batches of a file in order.
pub(super) struct LogFile {
    file: File,
    name: String,
    end: u64,
    position: u64,
}

impl LogFile {
    /// From `position` on, not beyond `max_bytes` of the file.
    /// # Errors
    /// If the file cannot be opened.
    pub(super) fn open(path: &Path, position: u64, max_bytes: u64) -> Result<Self, Exception> {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let len = file.metadata().map_err(|error| unreadable(path, &error))?.len();
        Ok(Self { file, name: absolute(path), end: len.min(max_bytes), position })
    }

    /// The next batch and its position; none at the end, and for a batch that the end cuts off.
    /// # Errors
    /// A length or a magic that no batch has, and what the disk says.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Batch)>, Exception> {
        let position = self.position;
        if position + HEADER_UP_TO_MAGIC > self.end {
            return Ok(None);
        }
        let failed = |error: std::io::Error| Exception::new("java.io.IOException", error.to_string());
        let mut overhead = [0; LOG_OVERHEAD];
        self.file.read_exact_at(&mut overhead, position).map_err(failed)?;
        let length = i32::from_be_bytes([overhead[8], overhead[9], overhead[10], overhead[11]]);
        let corrupt =
            |message: String| Exception::new("org.apache.kafka.common.errors.CorruptRecordException", message);
        let Ok(size) = usize::try_from(length).map(|length| length + LOG_OVERHEAD) else {
            return Err(corrupt(self.too_small(length)));
        };
        if length < MIN_RECORD_OVERHEAD {
            return Err(corrupt(self.too_small(length)));
        }
        if position + size as u64 > self.end {
            return Ok(None);
        }
        let mut bytes = vec![0; size];
        self.file.read_exact_at(&mut bytes, position).map_err(failed)?;
        let batch = Batch::parse(&Bytes::from(bytes)).map_err(|error| corrupt(error.to_string()))?;
        self.position += size as u64;
        Ok(Some((position, batch)))
    }

    fn too_small(&self, size: i32) -> String {
        let file = &self.name;
        format!("Found record size {size} smaller than minimum record overhead ({MIN_RECORD_OVERHEAD}) in file {file}.")
    }
}

/// Dumps a `.log` or `.checkpoint` file.
pub(super) fn dump(path: &Path, style: &LogStyle, complaints: &mut Complaints, out: &mut Out) -> Result<(), Failure> {
    title(path, out)?;
    let mut file = LogFile::open(path, 0, style.max_bytes)?;
    let mut last_offset = -1;
    while let Some((position, batch)) = file.next()? {
        print_batch(&batch, position, out)?;
        if style.deep {
            let corrupt = |error: protocol::record::BatchError| {
                Exception::new("org.apache.kafka.common.errors.CorruptRecordException", error.to_string())
            };
            for record in batch.records().map_err(corrupt)? {
                let record = record.map_err(corrupt)?;
                if record.offset != last_offset + 1 {
                    complaints.gaps.entry(absolute(path)).or_default().insert(last_offset, record.offset);
                }
                last_offset = record.offset;
                print_record(&batch, &record, style, out)?;
            }
        }
    }
    let trailing = file.end - file.position;
    if trailing > 0 && style.max_bytes == u64::from(i32::MAX.unsigned_abs()) {
        let name = path.file_name().unwrap_or_default().display();
        out.line(format_args!("Found {trailing} invalid bytes at the end of {name}"))?;
    }
    Ok(())
}

fn title(path: &Path, out: &mut Out) -> Result<(), Failure> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.ends_with(".log") {
        out.line(format_args!("Log starting offset: {}", base_offset(path)?))?;
    } else if name == metadata::bootstrap::BOOTSTRAP_CHECKPOINT {
        out.line("KRaft bootstrap snapshot")?;
    } else {
        let id = name.strip_suffix(".checkpoint").and_then(|id| id.split_once('-'));
        let id = id.and_then(|(offset, epoch)| Some((offset.parse::<i64>().ok()?, epoch.parse::<i32>().ok()?)));
        let (offset, epoch) =
            id.ok_or_else(|| Exception::new("java.util.NoSuchElementException", "No value present"))?;
        out.line(format_args!("Snapshot end offset: {offset}, epoch: {epoch}"))?;
    }
    Ok(())
}

fn print_batch(batch: &Batch, position: u64, out: &mut Out) -> Result<(), Failure> {
    let header = &batch.header;
    if header.magic >= MAGIC_V2 {
        let horizon = header.delete_horizon();
        let horizon = horizon.map_or_else(|| "OptionalLong.empty".to_owned(), |ms| format!("OptionalLong[{ms}]"));
        out.text(format_args!(
            "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {} \
             partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {horizon}",
            header.base_offset,
            header.last_offset(),
            header.records_count,
            header.base_sequence,
            header.last_sequence(),
            header.producer_id,
            header.producer_epoch,
            header.partition_leader_epoch,
            header.is_transactional(),
            header.is_control(),
        ))?;
    } else {
        out.text(format_args!("offset: {}", header.last_offset()))?;
    }
    let codec = header.compression().map_err(|error| Exception::illegal_argument(error.to_string()))?;
    out.line(format_args!(
        " position: {position} {}: {} size: {} magic: {} compresscodec: {} crc: {} isvalid: {}",
        timestamp_type(batch),
        header.max_timestamp,
        header.size_in_bytes(),
        header.magic,
        codec.name(),
        header.crc,
        batch.verify_crc().is_ok(),
    ))?;
    Ok(())
}

fn timestamp_type(batch: &Batch) -> &'static str {
    // The oldest format has no timestamps.
    if batch.header.magic == 0 { "NoTimestampType" } else { batch.header.timestamp_type().name() }
}

fn print_record(batch: &Batch, record: &Record, style: &LogStyle, out: &mut Out) -> Result<(), Failure> {
    if style.metadata {
        let size = |bytes: &Option<Bytes>| bytes.as_ref().map_or(-1, |bytes| bytes.len().cast_signed());
        let kind = timestamp_type(batch);
        out.text(format_args!(
            "{INDENT} offset: {} {kind}: {} keySize: {} valueSize: {}",
            record.offset,
            record.timestamp,
            size(&record.key),
            size(&record.value)
        ))?;
        if batch.header.magic >= MAGIC_V2 {
            let keys: Vec<_> = record.headers.iter().map(|(key, _)| String::from_utf8_lossy(key)).collect();
            out.text(format_args!(" sequence: {} headerKeys: [{}]", record.sequence, keys.join(",")))?;
        } else {
            let valid = batch.verify_crc().is_ok();
            out.text(format_args!(" isValid: {valid} crc: {}", batch.header.crc))?;
        }
        if batch.header.is_control() {
            out.text(control(record)?)?;
        }
    }
    if style.contents && !batch.header.is_control() {
        let (key, value) = style.decoder.decode(record)?;
        let mut prefix = if style.metadata { " ".to_owned() } else { format!("{INDENT} ") };
        if let Some(key) = key {
            out.text(format_args!("{prefix}key: {key}"))?;
            " ".clone_into(&mut prefix);
        }
        if let Some(value) = value {
            out.text(format_args!("{prefix}payload: {value}"))?;
        }
    }
    out.line("")?;
    Ok(())
}

fn control(record: &Record) -> Result<String, Exception> {
    let invalid = |error: &dyn std::fmt::Display| {
        Exception::new("org.apache.kafka.common.InvalidRecordException", error.to_string())
    };
    let kind = ControlRecordType::parse(record.key.as_deref().unwrap_or_default()).map_err(|error| invalid(&error))?;
    let decoded = ControlRecord::decode(record).map_err(|error| invalid(&error))?;
    let text = |title: &str, message: &'static str, version: i16| {
        let value = record.value.clone().unwrap_or_default();
        let json = json::decode(message, version, &value).map_err(|error| invalid(&error))?;
        Ok(format!(" {title} {json}"))
    };
    match decoded {
        ControlRecord::Abort(marker) | ControlRecord::Commit(marker) => {
            Ok(format!(" endTxnMarker: {} coordinatorEpoch: {}", kind.name(), marker.coordinator_epoch))
        }
        ControlRecord::LeaderChange(change) => {
            text("LeaderChange:", protocol::messages::LeaderChangeMessage::NAME, change.version)
        }
        ControlRecord::SnapshotHeader(header) => {
            text("SnapshotHeader", protocol::messages::SnapshotHeaderRecord::NAME, header.version)
        }
        ControlRecord::SnapshotFooter(footer) => {
            text("SnapshotFooter", protocol::messages::SnapshotFooterRecord::NAME, footer.version)
        }
        ControlRecord::KRaftVersion(version) => {
            text("KRaftVersion", protocol::messages::KRaftVersionRecord::NAME, version.version)
        }
        ControlRecord::KRaftVoters(voters) => {
            text("KRaftVoters", protocol::messages::VotersRecord::NAME, voters.version)
        }
        ControlRecord::Unknown => {
            let id =
                record.key.as_deref().and_then(|key| key.get(2..4)).map_or(-1, |id| i16::from_be_bytes([id[0], id[1]]));
            Ok(format!(" controlType: {}({id})", kind.name()))
        }
    }
}
