//! Brings cleaned segments into a log, and finishes that after a crash. The files tell how far it had come: `.cleaned` is not
//! complete and goes; `.swap` is complete and stays, and what it replaces goes (`LocalLog.replaceSegments`, `LogLoader`).

use std::path::Path;
use std::sync::Arc;

use platform::{DirEntry, OpenMode};
use protocol::types::Offset;
use tracing::info;

use super::CleanError;
use super::output::{CleanedSegment, cleaned_path, suffixed};
use crate::error::StorageError;
use crate::log::Log;
use crate::place::{CLEANED_SUFFIX, DELETED_SUFFIX, FileKind, Place, SWAP_SUFFIX, ignore_missing};
use crate::retention::Removed;
use crate::segment::scan_headers;

impl Log {
    /// Replaces segments by what a cleaning made of them. Readers of an older view go on reading what they have; the files
    /// are to be removed after `file.delete.delay.ms`.
    /// # Errors
    /// [`CleanError::Aborted`] if the log has changed there; then nothing happened. The disk's; then the log is offline.
    pub fn swap_in(&mut self, cleaned: CleanedSegment) -> Result<Removed, CleanError> {
        self.check_online()?;
        let first = self.segments.partition_point(|segment| segment.base_offset() < cleaned.segment.base_offset());
        let end = first + cleaned.replaced.len();
        let unchanged = end < self.segments.len()
            && self.segments[first..end]
                .iter()
                .zip(&cleaned.replaced)
                .all(|(segment, (read, size))| Arc::ptr_eq(segment, read) && segment.size() == *size);
        if !unchanged || !Arc::ptr_eq(&self.place, &cleaned.place) {
            return Err(CleanError::Aborted);
        }
        for (segment, _) in &cleaned.replaced {
            segment.detach()?;
        }
        self.touched = true;
        let swapped = self.swap_files(&cleaned);
        match swapped {
            Ok(removed) => {
                self.segments.splice(first..end, [cleaned.segment]);
                self.unsynced_names = true;
                self.publish_segments();
                Ok(removed)
            }
            Err(error) => {
                self.offline = true;
                Err(CleanError::Storage(error))
            }
        }
    }

    fn swap_files(&mut self, cleaned: &CleanedSegment) -> Result<Removed, StorageError> {
        let place = Arc::clone(&self.place);
        let base_offset = cleaned.segment.base_offset();
        for kind in &cleaned.kinds {
            let from = cleaned_path(&place, *kind, base_offset);
            place.disk.rename(&from, &suffixed(&place, *kind, base_offset, SWAP_SUFFIX))?;
        }
        let mut removed = Removed::new(Arc::clone(&place.disk));
        for (segment, _) in &cleaned.replaced {
            // The producers' state at the start of the segment stays true.
            let keeps_snapshot = segment.base_offset() == base_offset;
            self.rename_away(segment, keeps_snapshot, &mut removed)?;
        }
        for kind in &cleaned.kinds {
            let from = suffixed(&place, *kind, base_offset, SWAP_SUFFIX);
            place.disk.rename(&from, &place.path(*kind, base_offset))?;
        }
        Ok(removed)
    }
}

/// Removes what was left half done, finishes what was complete, and gives the files that remain.
pub(crate) fn finish_swaps(place: &Place, entries: Vec<DirEntry>) -> Result<Vec<DirEntry>, StorageError> {
    let dir = place.dir();
    let path = |name: &str| dir.join(name);
    let is_left_over = |entry: &DirEntry| {
        // Snapshots of the metadata log are the quorum's.
        let deleted = entry.name.ends_with(DELETED_SUFFIX) && !entry.name.contains(".checkpoint");
        !entry.is_dir && (deleted || entry.name.ends_with(CLEANED_SUFFIX) || entry.name.ends_with(SWAP_SUFFIX))
    };
    if !entries.iter().any(is_left_over) {
        return Ok(entries);
    }
    let offset_of = |name: &str, suffix: &str| Some(FileKind::parse(name.strip_suffix(suffix)?)?.1);
    let unfinished = entries.iter().filter_map(|entry| offset_of(&entry.name, CLEANED_SUFFIX)).min();
    let (left_over, mut files): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_left_over);
    let mut swaps = Vec::new();
    for entry in left_over {
        match offset_of(&entry.name, SWAP_SUFFIX) {
            // Its other files are `.cleaned` still.
            Some(offset) if unfinished.is_none_or(|unfinished| offset < unfinished) => swaps.push(entry.name),
            _ => ignore_missing(place.disk.remove_file(&path(&entry.name)))?,
        }
    }
    let mut replaced: Vec<(Offset, Offset)> = Vec::new();
    for name in &swaps {
        if let Some((FileKind::Log, base_offset)) = name.strip_suffix(SWAP_SUFFIX).and_then(FileKind::parse) {
            replaced.push((base_offset, end_of(place, &path(name), base_offset)?));
        }
    }
    let mut kept = Vec::with_capacity(files.len() + swaps.len());
    for entry in files.drain(..) {
        let covers =
            |offset: Offset| replaced.iter().any(|(start, end)| *start == offset || (*start..*end).contains(&offset));
        match FileKind::parse(&entry.name) {
            Some((FileKind::Snapshot, offset)) if replaced.iter().any(|(start, _)| *start == offset) => {
                kept.push(entry)
            }
            Some((_, offset)) if covers(offset) => {
                info!(path = %path(&entry.name).display(), "removing a file that was compacted");
                ignore_missing(place.disk.remove_file(&path(&entry.name)))?;
            }
            _ => kept.push(entry),
        }
    }
    for name in swaps {
        let swapped = name.strip_suffix(SWAP_SUFFIX).unwrap_or(&name);
        place.disk.rename(&path(&name), &path(swapped))?;
        kept.retain(|entry| entry.name != swapped);
        kept.push(DirEntry { name: swapped.to_owned(), is_dir: false });
    }
    Ok(kept)
}

/// The offset after the last batch of a segment's file.
fn end_of(place: &Place, path: &Path, base_offset: Offset) -> Result<Offset, StorageError> {
    let file = place.disk.open(path, OpenMode::Read)?;
    let mut end = base_offset;
    scan_headers(file.as_ref(), 0, file.len()?, |header, _| {
        end = header.next_offset();
        true
    })?;
    Ok(end)
}
