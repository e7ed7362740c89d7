//! Turns committed batches and snapshots of the metadata log into images, and what changed between them.
//! Nothing inside of a metadata transaction (KIP-868) is published before its end.

use std::sync::Arc;

use bytes::Bytes;
use protocol::record::batches;
use protocol::types::{LeaderEpoch, Offset, TimestampMs};

use crate::MetadataError;
use crate::checkpoint::read_checkpoint;
use crate::delta::ImageDelta;
use crate::image::{ClusterImage, Provenance};
use crate::record::{MetadataRecord, VersionedRecord};

/// Follows the metadata log.
#[derive(Debug, Default)]
pub struct MetadataLoader {
    image: ClusterImage,
    delta: ImageDelta,
    published: Arc<ClusterImage>,
    before_transaction: Option<(ClusterImage, ImageDelta)>,
}

/// A new image and what changed since the one before.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The image before.
    pub before: Arc<ClusterImage>,
    /// The new image.
    pub image: Arc<ClusterImage>,
    /// What changed.
    pub delta: ImageDelta,
}

impl MetadataLoader {
    /// Starts before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Offset of the next record to load.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.image.provenance.last_offset + 1
    }

    /// Loads committed batches of the log. Batches below [`Self::next_offset`] are skipped.
    /// # Errors
    /// A batch or record that cannot be read or does not fit. The loader must not be used any further.
    pub fn load_batches(&mut self, log: &Bytes) -> Result<(), MetadataError> {
        for batch in batches(log) {
            let batch = batch?;
            if batch.header.last_offset() < self.next_offset() {
                continue;
            }
            if !batch.header.is_control() {
                for record in batch.records()? {
                    let record = record?;
                    let value = record.value.as_ref().ok_or(MetadataError::Garbage(0))?;
                    self.load_record(&VersionedRecord::decode(value)?.record)?;
                }
            }
            self.advance(Provenance {
                last_offset: batch.header.last_offset(),
                last_epoch: batch.header.partition_leader_epoch,
                last_timestamp: batch.header.max_timestamp,
            });
        }
        Ok(())
    }

    /// Loads records that are decoded already, the last of them at `provenance`.
    /// # Errors
    /// As [`Self::load_batches`].
    pub fn load_records<'a>(
        &mut self,
        provenance: Provenance,
        records: impl IntoIterator<Item = &'a VersionedRecord>,
    ) -> Result<(), MetadataError> {
        records.into_iter().try_for_each(|record| self.load_record(&record.record))?;
        self.advance(provenance);
        Ok(())
    }

    /// Loads a snapshot that stands for all records below `end_offset`. It replaces everything loaded so far; to those who act on
    /// the publication it looks as if only the differences had been written.
    /// # Errors
    /// As [`Self::load_batches`].
    pub fn load_snapshot(
        &mut self,
        file: &Bytes,
        end_offset: Offset,
        epoch: LeaderEpoch,
    ) -> Result<TimestampMs, MetadataError> {
        let checkpoint = read_checkpoint(file)?;
        let mut image = ClusterImage::default();
        let mut delta = ImageDelta::default();
        for record in &checkpoint.records {
            image.apply(&record.record, &mut delta)?;
        }
        add_removed(&self.published, &image, &mut delta);
        let last_timestamp = checkpoint.last_contained;
        image.provenance = Provenance { last_offset: end_offset - 1, last_epoch: epoch, last_timestamp };
        self.image = image;
        self.delta = delta;
        self.before_transaction = None;
        Ok(last_timestamp)
    }

    /// The newest image, if it is not published yet and no transaction is open.
    pub fn publish(&mut self) -> Option<Publication> {
        if self.before_transaction.is_some() || self.image.provenance == self.published.provenance {
            return None;
        }
        let image = Arc::new(self.image.clone());
        let before = std::mem::replace(&mut self.published, Arc::clone(&image));
        Some(Publication { before, image, delta: std::mem::take(&mut self.delta) })
    }

    /// Whether what was loaded ends inside of a metadata transaction.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.before_transaction.is_some()
    }

    /// The image that was published last.
    #[must_use]
    pub fn image(&self) -> &Arc<ClusterImage> {
        &self.published
    }

    fn load_record(&mut self, record: &MetadataRecord) -> Result<(), MetadataError> {
        match record {
            MetadataRecord::BeginTransaction(_) => {
                if self.before_transaction.is_some() {
                    return Err(MetadataError::Transaction("one begins inside of another"));
                }
                self.before_transaction = Some((self.image.clone(), self.delta.clone()));
            }
            MetadataRecord::EndTransaction(_) => {
                self.before_transaction.take().ok_or(MetadataError::Transaction("one ends that did not begin"))?;
            }
            MetadataRecord::AbortTransaction(_) => {
                let before = self.before_transaction.take();
                let (image, delta) = before.ok_or(MetadataError::Transaction("one aborts that did not begin"))?;
                self.image = image;
                self.delta = delta;
            }
            other => self.image.apply(other, &mut self.delta)?,
        }
        Ok(())
    }

    fn advance(&mut self, provenance: Provenance) {
        self.image.provenance = provenance;
    }
}

/// What a snapshot lacks was removed before it: a delta made from its records alone would not say so.
fn add_removed(before: &ClusterImage, after: &ClusterImage, delta: &mut ImageDelta) {
    for topic in before.topics() {
        match after.topic_by_id(topic.id) {
            Some(_) => {
                delta.created_topics.remove(&topic.id);
            }
            None => {
                delta.deleted_topics.insert(topic.id, Arc::clone(topic));
            }
        }
    }
    let gone = before.configs().map(|(resource, _)| resource).filter(|resource| after.config(resource).is_none());
    delta.changed_configs.extend(gone.cloned());
    let gone = before.brokers().map(|broker| broker.id).filter(|id| after.broker(*id).is_none());
    delta.changed_brokers.extend(gone);
}

#[cfg(test)]
#[path = "loader_tests.rs"]
mod tests;
