//! Cutting a log at its end, as a follower does where its leader's log differs from its own (KIP-101).

use std::sync::Arc;

use protocol::types::Offset;

use crate::error::StorageError;
use crate::log::{Active, Log};
use crate::place::FileKind;
use crate::segment::Segment;

impl Log {
    /// Removes all from `offset` on. Nothing happens if the log ends before.
    /// # Errors
    /// The disk's; then the log is offline, since its files may not agree with each other.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<(), StorageError> {
        self.check_online()?;
        if offset >= self.log_end_offset {
            return Ok(());
        }
        if offset < self.segments[0].base_offset() {
            return self.truncate_fully_and_start_at(offset);
        }
        self.touched = true;
        let cut = self.cut(offset);
        self.or_offline(cut)
    }

    /// Removes all and starts anew at `offset`.
    /// # Errors
    /// The disk's; then the log is offline.
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) -> Result<(), StorageError> {
        self.check_online()?;
        self.touched = true;
        let cleared = self.clear(offset);
        self.or_offline(cleared)
    }

    fn or_offline(&mut self, result: Result<(), StorageError>) -> Result<(), StorageError> {
        self.offline |= result.is_err();
        result
    }

    fn cut(&mut self, offset: Offset) -> Result<(), StorageError> {
        // Readers stop at the new end before the bytes after it go.
        self.recovery_point = self.recovery_point.min(offset);
        self.high_watermark = self.high_watermark.min(offset);
        let keep = self.segments.partition_point(|segment| segment.base_offset() < offset).max(1);
        let gone = self.segments.split_off(keep);
        self.remove_segments(&gone)?;
        let segment = Arc::clone(self.active_segment());
        let size = segment.locate(offset, segment.size())?.map_or(segment.size(), |found| found.position);
        segment.truncate(offset, size)?;
        segment.file()?.truncate(size)?;
        self.active.reset();
        self.log_end_offset = offset;
        self.log_start_offset = self.log_start_offset.min(offset);
        self.epochs.truncate_from_end(offset);
        let place = Arc::clone(&self.place);
        self.producers.remove_snapshots(&place, |snapshot| snapshot > offset)?;
        self.producers.load(&place, self.log_start_offset, offset)?;
        self.replay_producers(offset)?;
        self.publish_segments();
        Ok(())
    }

    fn clear(&mut self, offset: Offset) -> Result<(), StorageError> {
        let gone = std::mem::take(&mut self.segments);
        let segment = Arc::new(Segment::new(Arc::clone(&self.place), offset, 0));
        self.segments.push(Arc::clone(&segment));
        self.remove_segments(&gone)?;
        segment.create(None)?;
        self.unsynced_names = true;
        self.active = Active::new(0, &self.config, offset);
        self.log_start_offset = offset;
        self.log_end_offset = offset;
        self.high_watermark = offset;
        self.recovery_point = self.recovery_point.min(offset);
        self.epochs.clear();
        let place = Arc::clone(&self.place);
        self.producers.remove_snapshots(&place, |_| true)?;
        self.producers.reset(offset);
        self.publish_segments();
        Ok(())
    }

    /// Removes segments, the last one first. Durable on return: what is written next would contradict them.
    pub(crate) fn remove_segments(&self, segments: &[Arc<Segment>]) -> Result<(), StorageError> {
        if segments.is_empty() {
            return Ok(());
        }
        for segment in segments.iter().rev() {
            for kind in FileKind::ALL {
                self.place.remove_if_there(kind, segment.base_offset())?;
            }
        }
        Ok(self.place.disk.sync_dir(&self.dir)?)
    }
}
