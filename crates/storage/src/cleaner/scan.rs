//! Reads a segment in chunks of whole batches. A batch larger than the buffer makes it grow for the time being.

use std::ops::Range;

use platform::File;
use protocol::record::{BatchError, BatchHeader};
use protocol::types::Offset;

use super::CleanError;

/// A buffer, and the batches in it.
#[derive(Debug)]
pub(crate) struct Chunk {
    buffer: Vec<u8>,
    least: usize,
    /// Headers of the whole batches in the buffer, and where these are.
    pub(crate) batches: Vec<(BatchHeader, Range<usize>)>,
}

impl Chunk {
    pub(crate) fn new(io_buffer_bytes: usize) -> Self {
        Self { buffer: Vec::new(), least: io_buffer_bytes.max(4096), batches: Vec::new() }
    }

    /// The bytes that were read.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads at `position` of a segment that ends at `end`; the bytes of whole batches, which are at least one.
    pub(crate) fn fill(
        &mut self,
        file: &dyn File,
        base_offset: Offset,
        position: u64,
        end: u64,
    ) -> Result<usize, CleanError> {
        let corrupt = |position, reason| CleanError::Corrupt { base_offset, position, reason };
        let mut wanted = self.least;
        loop {
            let left = usize::try_from(end - position).unwrap_or(usize::MAX);
            self.buffer.resize(wanted.min(left), 0);
            let read = file.pread(&mut self.buffer, position)?;
            self.batches.clear();
            let mut at = 0;
            let cut = loop {
                if at == read {
                    break None;
                }
                let header = match BatchHeader::parse(&self.buffer[at..read]) {
                    Ok(header) => header,
                    Err(BatchError::Truncated { wanted, left }) => break Some((wanted, left)),
                    Err(reason) => return Err(corrupt(position + at as u64, reason)),
                };
                let size = header.size_in_bytes();
                if size > read - at {
                    break Some((size, read - at));
                }
                header
                    .verify_crc(&self.buffer[at..at + size])
                    .map_err(|reason| corrupt(position + at as u64, reason))?;
                self.batches.push((header, at..at + size));
                at += size;
            };
            match cut {
                Some((wanted, left)) if position + (at + wanted) as u64 > end || read < self.buffer.len() => {
                    return Err(corrupt(position + at as u64, BatchError::Truncated { wanted, left }));
                }
                Some((size, _)) if at == 0 => wanted = size.max(self.least),
                _ if at == 0 => return Err(CleanError::Aborted),
                _ => return Ok(at),
            }
        }
    }
}
