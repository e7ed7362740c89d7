//! Records that were delivered and are not acknowledged, by partition.

use std::collections::BTreeMap;

use protocol::TopicPartition;
use protocol::messages::share_fetch_response::PartitionData;
use protocol::types::Offset;

use super::ShareRecord;
use super::acknowledgements::{Acknowledgement, Acknowledgements};
use super::membership::TopicIdPartition;
use super::session::Pending;
use crate::ClientError;
use crate::consumer::completed::{CompletedFetch, ReadOptions};

/// Longest range of offsets taken from one answer: what a broker may lock of a partition is far below.
const MAX_ACQUIRED: i64 = 1 << 20;

/// A record that `poll` has returned.
#[derive(Debug)]
struct Delivered {
    acknowledged: Option<Acknowledgement>,
    /// Kept to be returned again after a renewal.
    record: ShareRecord,
}

/// The records that the application has.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    partitions: BTreeMap<TopicIdPartition, BTreeMap<Offset, Delivered>>,
    /// Records whose lock is being renewed.
    renewing: BTreeMap<TopicIdPartition, BTreeMap<Offset, ShareRecord>>,
}

impl Deliveries {
    /// `poll` returns a record.
    pub(super) fn add(&mut self, partition: TopicIdPartition, record: ShareRecord) {
        let delivered = Delivered { acknowledged: None, record };
        self.partitions.entry(partition).or_default().insert(delivered.record.record.offset, delivered);
    }

    /// Accepts everything.
    pub(super) fn accept_all(&mut self) {
        for delivered in self.partitions.values_mut().flat_map(BTreeMap::values_mut) {
            delivered.acknowledged.get_or_insert(Acknowledgement::Accept);
        }
    }

    /// Whether the application has a record that it did not acknowledge.
    pub(super) fn has_open(&self) -> bool {
        self.partitions.values().flat_map(BTreeMap::values).any(|delivered| delivered.acknowledged.is_none())
    }

    /// Acknowledges one record; false if it was not delivered, or was acknowledged and sent.
    pub(super) fn acknowledge(
        &mut self,
        partition: &TopicPartition,
        offset: Offset,
        acknowledgement: Acknowledgement,
    ) -> bool {
        let mut partitions = self.partitions.values_mut();
        let delivered = partitions.find_map(|records| {
            let delivered = records.get_mut(&offset)?;
            let record = &delivered.record.record;
            (record.topic == partition.topic && record.partition == partition.partition).then_some(delivered)
        });
        let Some(delivered) = delivered else { return false };
        delivered.acknowledged = Some(acknowledgement);
        true
    }

    /// Moves what was acknowledged to `pending`.
    pub(super) fn drain_into(&mut self, pending: &mut Pending) {
        for (partition, records) in &mut self.partitions {
            let mut open = BTreeMap::new();
            for (offset, delivered) in std::mem::take(records) {
                let Some(acknowledgement) = delivered.acknowledged else {
                    open.insert(offset, delivered);
                    continue;
                };
                pending.entry(*partition).or_default().add(offset, acknowledgement);
                if acknowledgement == Acknowledgement::Renew {
                    self.renewing.entry(*partition).or_default().insert(offset, delivered.record);
                }
            }
            *records = open;
        }
        self.partitions.retain(|_, records| !records.is_empty());
    }

    /// The records of a renewal that the broker has answered: they are returned again if it took place.
    pub(super) fn renewed(&mut self, partition: TopicIdPartition, sent: &Acknowledgements) -> Vec<ShareRecord> {
        let Some(renewing) = self.renewing.get_mut(&partition) else { return Vec::new() };
        sent.offsets().filter_map(|offset| renewing.remove(&offset)).collect()
    }
}

/// The acquired records of one partition; what was acquired without a record goes to `gaps`.
pub(super) fn decode(
    partition: &TopicPartition,
    data: &PartitionData,
    check_crcs: bool,
    gaps: &mut Acknowledgements,
) -> Result<Vec<ShareRecord>, ClientError> {
    let Some(first) = data.acquired_records.first() else { return Ok(Vec::new()) };
    let bytes = data.records.bytes().cloned().unwrap_or_default();
    let options = ReadOptions { check_crcs, committed_only: false };
    let mut fetch = CompletedFetch::new(partition.clone(), 0, first.first_offset, &bytes, options);
    let mut records = Vec::new();
    let mut next = fetch.next_record()?;
    for acquired in &data.acquired_records {
        if acquired.last_offset.saturating_sub(acquired.first_offset) > MAX_ACQUIRED {
            return Err(ClientError::InvalidArgument("a broker acquired more records than it may"));
        }
        let mut at = acquired.first_offset;
        while at <= acquired.last_offset {
            match next.take_if(|record| record.offset <= acquired.last_offset) {
                Some(record) if record.offset >= at => {
                    (at..record.offset).for_each(|gap| gaps.add_gap(gap));
                    at = record.offset + 1;
                    records.push(ShareRecord { record, delivery_count: acquired.delivery_count });
                    next = fetch.next_record()?;
                }
                Some(_) => next = fetch.next_record()?,
                None => break,
            }
        }
        (at..=acquired.last_offset).for_each(|gap| gaps.add_gap(gap));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use protocol::Records;
    use protocol::messages::share_fetch_response::AcquiredRecords;
    use protocol::record::{BatchBuilder, BatchSettings};

    use super::*;

    #[test]
    fn records_outside_of_what_was_acquired_are_left_out_and_gaps_are_acknowledged() {
        let mut builder = BatchBuilder::new(BatchSettings { base_offset: 10, ..BatchSettings::default() });
        for value in [b"a", b"b", b"c", b"d"] {
            builder.append(0, None, Some(value), &[]);
        }
        let acquired = |first_offset, last_offset, delivery_count| AcquiredRecords {
            first_offset,
            last_offset,
            delivery_count,
            ..AcquiredRecords::default()
        };
        let data = PartitionData {
            records: Records::Bytes(builder.build()),
            acquired_records: vec![acquired(8, 10, 1), acquired(12, 14, 2)],
            ..PartitionData::default()
        };
        let mut gaps = Acknowledgements::default();
        let records = decode(&TopicPartition::new("t", 0), &data, true, &mut gaps).unwrap();
        let seen: Vec<(Offset, i16)> =
            records.iter().map(|record| (record.record.offset, record.delivery_count)).collect();
        assert_eq!(seen, [(10, 1), (12, 2), (13, 2)]);
        let ranges: Vec<(Offset, Offset)> = gaps.ranges().iter().map(|range| (range.first, range.last)).collect();
        assert_eq!(ranges, [(8, 9), (14, 14)]);
    }
}
