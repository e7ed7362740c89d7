//! What one fetch brought of one partition, decoded record by record as it is asked for.

use std::collections::{HashSet, VecDeque};

use protocol::TopicPartition;
use protocol::messages::fetch_response::AbortedTransaction;
use protocol::record::{Batch, BatchError, Batches, ControlRecordType, RecordIterator, TimestampType, batches};
use protocol::types::{LeaderEpoch, Offset, ProducerId};

use super::ConsumerRecord;
use crate::ClientError;

/// How records are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadOptions {
    pub(crate) check_crcs: bool,
    /// Leave out the records of aborted transactions.
    pub(crate) committed_only: bool,
}

/// The fetched records of one partition.
#[derive(Debug)]
pub(crate) struct CompletedFetch {
    pub(super) topic_partition: TopicPartition,
    /// Version of the partition's position that the fetch was made for.
    pub(super) version: u64,
    /// Offset of the next record to return.
    pub(super) next_offset: Offset,
    /// Epoch of the leader that wrote the last batch.
    pub(super) leader_epoch: LeaderEpoch,
    options: ReadOptions,
    batches: Batches,
    current: Option<(RecordIterator, TimestampType)>,
    /// Offset after the current batch; compaction may have removed its last records.
    batch_end: Offset,
    aborted: VecDeque<AbortedTransaction>,
    aborted_producers: HashSet<ProducerId>,
}

impl CompletedFetch {
    pub(crate) fn new(
        topic_partition: TopicPartition,
        version: u64,
        offset: Offset,
        records: &bytes::Bytes,
        options: ReadOptions,
    ) -> Self {
        Self {
            topic_partition,
            version,
            next_offset: offset,
            leader_epoch: -1,
            options,
            batches: batches(records),
            current: None,
            batch_end: offset,
            aborted: VecDeque::new(),
            aborted_producers: HashSet::new(),
        }
    }

    /// Names the aborted transactions that the records may belong to.
    pub(super) fn with_aborted(mut self, aborted: Option<Vec<AbortedTransaction>>) -> Self {
        let mut aborted = aborted.unwrap_or_default();
        aborted.sort_by_key(|transaction| transaction.first_offset);
        self.aborted = aborted.into();
        self
    }

    /// The next record, or `None` at the end.
    pub(crate) fn next_record(&mut self) -> Result<Option<ConsumerRecord>, ClientError> {
        loop {
            let Some((records, timestamp_type)) = &mut self.current else {
                if !self.next_batch()? {
                    return Ok(None);
                }
                continue;
            };
            let timestamp_type = *timestamp_type;
            let Some(record) = records.next() else {
                self.current = None;
                self.next_offset = self.next_offset.max(self.batch_end);
                continue;
            };
            let record = record?;
            // A batch is fetched as a whole, with records before the offset that was asked for.
            if record.offset < self.next_offset {
                continue;
            }
            self.next_offset = record.offset + 1;
            return Ok(Some(ConsumerRecord {
                topic: self.topic_partition.topic.clone(),
                partition: self.topic_partition.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                timestamp_type,
                leader_epoch: self.leader_epoch,
                key: record.key,
                value: record.value,
                headers: record.headers,
            }));
        }
    }

    /// Opens the next batch that has records to return; false at the end.
    fn next_batch(&mut self) -> Result<bool, ClientError> {
        loop {
            let batch = match self.batches.next() {
                None | Some(Err(BatchError::Truncated { .. })) => return Ok(false),
                Some(batch) => batch?,
            };
            if self.options.check_crcs {
                batch.verify_crc()?;
            }
            self.leader_epoch = batch.header.partition_leader_epoch;
            self.batch_end = batch.header.next_offset();
            if self.is_returned(&batch)? {
                self.current = Some((batch.records()?, batch.header.timestamp_type()));
                return Ok(true);
            }
            self.next_offset = self.next_offset.max(self.batch_end);
        }
    }

    fn is_returned(&mut self, batch: &Batch) -> Result<bool, ClientError> {
        let header = &batch.header;
        if self.options.committed_only && header.has_producer_id() {
            while let Some(aborted) = self.aborted.pop_front_if(|aborted| aborted.first_offset <= header.last_offset())
            {
                self.aborted_producers.insert(aborted.producer_id);
            }
            if header.is_control() && is_abort_marker(batch)? {
                self.aborted_producers.remove(&header.producer_id);
            }
        }
        let aborted = header.is_transactional() && self.aborted_producers.contains(&header.producer_id);
        Ok(!header.is_control() && !aborted)
    }
}

fn is_abort_marker(batch: &Batch) -> Result<bool, ClientError> {
    let Some(record) = batch.records()?.next() else { return Ok(false) };
    let key = record?.key.unwrap_or_default();
    Ok(ControlRecordType::parse(&key)? == ControlRecordType::Abort)
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use protocol::record::{BatchBuilder, BatchSettings};

    use super::*;

    const COMMITTED: ReadOptions = ReadOptions { check_crcs: true, committed_only: true };

    fn batch(base_offset: Offset, producer_id: ProducerId, values: &[&[u8]]) -> Bytes {
        let is_transactional = producer_id >= 0;
        let settings = BatchSettings { base_offset, producer_id, is_transactional, ..BatchSettings::default() };
        let mut builder = BatchBuilder::new(settings);
        for value in values {
            builder.append(0, None, Some(value), &[]);
        }
        builder.build()
    }

    fn marker(base_offset: Offset, producer_id: ProducerId, kind: u8) -> Bytes {
        let settings = BatchSettings {
            base_offset,
            producer_id,
            is_transactional: true,
            is_control: true,
            ..BatchSettings::default()
        };
        let mut builder = BatchBuilder::new(settings);
        builder.append(0, Some(&[0, 0, 0, kind]), Some(&[0; 6]), &[]);
        builder.build()
    }

    fn read(batches: &[Bytes], from: Offset, aborted: Vec<AbortedTransaction>) -> (Vec<Offset>, Offset) {
        let mut bytes = BytesMut::new();
        batches.iter().for_each(|batch| bytes.extend_from_slice(batch));
        let partition = TopicPartition::new("t", 0);
        let mut fetch = CompletedFetch::new(partition, 0, from, &bytes.freeze(), COMMITTED).with_aborted(Some(aborted));
        let mut offsets = Vec::new();
        while let Some(record) = fetch.next_record().unwrap() {
            offsets.push(record.offset);
        }
        (offsets, fetch.next_offset)
    }

    #[test]
    fn records_before_the_offset_and_a_cut_off_batch_are_left_out() {
        let last = batch(3, -1, &[b"d"]);
        let cut = last.slice(..last.len() - 1);
        assert_eq!(read(&[batch(0, -1, &[b"a", b"b", b"c"]), cut], 1, vec![]), (vec![1, 2], 3));
    }

    #[test]
    fn aborted_records_and_markers_are_left_out_and_passed_over() {
        let batches = [
            batch(0, 7, &[b"aborted"]),
            batch(1, 8, &[b"committed"]),
            marker(2, 7, 0),
            batch(3, 7, &[b"committed later"]),
            marker(4, 8, 1),
            marker(5, 7, 1),
        ];
        let aborted = AbortedTransaction { producer_id: 7, first_offset: 0, ..AbortedTransaction::default() };
        assert_eq!(read(&batches, 0, vec![aborted]), (vec![1, 3], 6));
    }
}
