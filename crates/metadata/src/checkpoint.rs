//! Files of metadata records: `bootstrap.checkpoint` and snapshots `<end offset>-<epoch>.checkpoint`.
//! A header batch, batches of records, a footer batch; without the footer the file is not complete.

use bytes::{Bytes, BytesMut};
use protocol::messages::{SnapshotFooterRecord, SnapshotHeaderRecord};
use protocol::record::{BatchBuilder, BatchSettings, ControlRecord, batches};
use protocol::types::{LeaderEpoch, Offset, TimestampMs};

use crate::MetadataError;
use crate::record::VersionedRecord;

/// Most bytes of records in one batch. Kafka takes up to 8 MiB.
const BATCH_LIMIT: usize = 1 << 20;

/// Writes a file of metadata records to memory.
#[derive(Debug)]
pub struct CheckpointWriter {
    file: BytesMut,
    epoch: LeaderEpoch,
    now: TimestampMs,
    next_offset: Offset,
    open: Option<BatchBuilder>,
}

impl CheckpointWriter {
    /// Starts a file. `last_contained` is the append time of the last record that a snapshot stands for, 0 for a bootstrap file.
    /// `control` follows the header: the version of the quorum's protocol and its voters.
    /// # Errors
    /// If a control record cannot be written.
    pub fn new(
        now: TimestampMs,
        epoch: LeaderEpoch,
        last_contained: TimestampMs,
        control: &[ControlRecord],
    ) -> Result<Self, MetadataError> {
        let mut writer = Self { file: BytesMut::new(), epoch, now, next_offset: 0, open: None };
        let header = SnapshotHeaderRecord { last_contained_log_timestamp: last_contained, ..Default::default() };
        let header = [ControlRecord::SnapshotHeader(header)];
        writer.write_control(header.iter().chain(control))?;
        Ok(writer)
    }

    /// Appends a record.
    /// # Errors
    /// If its version cannot carry it.
    pub fn append(&mut self, record: &VersionedRecord) -> Result<(), MetadataError> {
        let value = record.encode()?;
        let settings = self.settings(false);
        let now = self.now;
        let open = self.open.get_or_insert_with(|| BatchBuilder::new(settings));
        open.append(now, None, Some(&value), &[]);
        if open.size_in_bytes() >= BATCH_LIMIT {
            self.close_batch();
        }
        Ok(())
    }

    /// Appends the footer and returns the file.
    /// # Errors
    /// If the footer cannot be written.
    pub fn finish(mut self) -> Result<Bytes, MetadataError> {
        self.close_batch();
        self.write_control([ControlRecord::SnapshotFooter(SnapshotFooterRecord::default())].iter())?;
        Ok(self.file.freeze())
    }

    fn settings(&self, is_control: bool) -> BatchSettings {
        BatchSettings { base_offset: self.next_offset, leader_epoch: self.epoch, is_control, ..Default::default() }
    }

    fn close_batch(&mut self) {
        if let Some(batch) = self.open.take() {
            self.next_offset = batch.next_offset();
            self.file.extend_from_slice(&batch.build());
        }
    }

    fn write_control<'a>(&mut self, records: impl Iterator<Item = &'a ControlRecord>) -> Result<(), MetadataError> {
        let mut batch = BatchBuilder::new(self.settings(true));
        for record in records {
            let (key, value) = record.encode()?;
            batch.append(self.now, Some(&key), Some(&value), &[]);
        }
        self.open = Some(batch);
        self.close_batch();
        Ok(())
    }
}

/// A file of metadata records as it was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    /// Control records without header and footer.
    pub control: Vec<ControlRecord>,
    /// Records.
    pub records: Vec<VersionedRecord>,
    /// Append time of the last record that the file stands for.
    pub last_contained: TimestampMs,
    /// Whether the footer is there.
    pub is_complete: bool,
}

/// Reads a file of metadata records.
/// # Errors
/// A batch or record that cannot be read.
pub fn read_checkpoint(file: &Bytes) -> Result<Checkpoint, MetadataError> {
    let mut checkpoint = Checkpoint::default();
    for batch in batches(file) {
        let batch = batch?;
        batch.verify_crc()?;
        for record in batch.records()? {
            let record = record?;
            if !batch.header.is_control() {
                let value = record.value.as_ref().ok_or(MetadataError::Garbage(0))?;
                checkpoint.records.push(VersionedRecord::decode(value)?);
                continue;
            }
            match ControlRecord::decode(&record)? {
                ControlRecord::SnapshotHeader(header) => {
                    checkpoint.last_contained = header.last_contained_log_timestamp
                }
                ControlRecord::SnapshotFooter(_) => checkpoint.is_complete = true,
                other => checkpoint.control.push(other),
            }
        }
    }
    Ok(checkpoint)
}
