//! Walks the records of a batch for what a broker has to know of each, without making any: compressed records are
//! streamed and skipped, so that no more than one piece of a decoder's output is held.

use super::BatchError;
use super::compression::Pieces;
use super::entry::header_count;
use super::varint::{Cursor, varint, varlong};

/// What validation has to know of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) has_key: bool,
}

pub(super) const REMAINING: BatchError =
    BatchError::InvalidRecord("Incorrect declared batch size, records still remaining in file");
const CUT_OFF: BatchError = BatchError::InvalidRecord("Incorrect declared batch size, premature EOF reached");
pub(super) const MISSIZED: BatchError = BatchError::InvalidRecord("Invalid record size: its parts do not add up to it");

/// Visits the `count` records that `records` has to be.
pub(super) fn walk_slice(records: &[u8], count: i32, mut visit: impl FnMut(Step)) -> Result<(), BatchError> {
    let mut at = 0;
    for _ in 0..count {
        visit(next_step(records, &mut at)?);
    }
    if at < records.len() { Err(REMAINING) } else { Ok(()) }
}

/// Reads over the record at `at` of `records`, and moves `at` behind it.
#[inline(always)]
fn next_step(records: &[u8], at: &mut usize) -> Result<Step, BatchError> {
    let mut cursor = Cursor { bytes: records, at: *at };
    let length = usize::try_from(cursor.varint()?).map_err(|_| MISSIZED)?;
    let body = cursor.skip(length)?;
    *at = cursor.at;
    let mut cursor = Cursor::new(&records[body..body + length]);
    cursor.byte()?;
    let timestamp_delta = cursor.varlong()?;
    let offset_delta = cursor.varint()?;
    let has_key = cursor.skip_nullable()?;
    cursor.skip_nullable()?;
    let headers = cursor.varint()?;
    if headers != 0 {
        skip_headers(&mut cursor, headers)?;
    }
    if cursor.remaining() > 0 {
        return Err(MISSIZED);
    }
    Ok(Step { timestamp_delta, offset_delta, has_key })
}

/// Skips `count` headers of a record.
pub(super) fn skip_headers(cursor: &mut Cursor<'_>, count: i32) -> Result<(), BatchError> {
    for _ in 0..header_count(count, cursor.remaining())? {
        if !cursor.skip_nullable()? {
            return Err(BatchError::InvalidRecord("Invalid negative header key size"));
        }
        cursor.skip_nullable()?;
    }
    Ok(())
}

/// Visits the `count` records that `pieces` has to be.
pub(super) fn walk_pieces(pieces: Pieces<'_>, count: i32, mut visit: impl FnMut(Step)) -> Result<(), BatchError> {
    let mut stream = Stream { pieces, at: 0, passed: 0 };
    for _ in 0..count {
        visit(stream.record()?);
    }
    if stream.at < stream.pieces.current().len() || stream.pieces.advance()? { Err(REMAINING) } else { Ok(()) }
}

/// Reads over the ends of pieces.
struct Stream<'a> {
    pieces: Pieces<'a>,
    at: usize,
    /// Bytes of the pieces before the current one.
    passed: u64,
}

impl Stream<'_> {
    fn record(&mut self) -> Result<Step, BatchError> {
        let mut at = self.at;
        // A record that ends in this piece is read as from any slice; a fault there is a fault in the slow way, too,
        // unless the piece was too short.
        if let Ok(step) = next_step(self.pieces.current(), &mut at) {
            self.at = at;
            return Ok(step);
        }
        self.straddling_record()
    }

    fn straddling_record(&mut self) -> Result<Step, BatchError> {
        let length = self.varint()?;
        let end = self.position() + u64::try_from(length).map_err(|_| MISSIZED)?;
        self.byte()?;
        let timestamp_delta = varlong(|| self.byte())?;
        let offset_delta = self.varint()?;
        let has_key = self.skip_nullable()?;
        self.skip_nullable()?;
        let left = end.checked_sub(self.position()).ok_or(MISSIZED)?;
        let count = self.varint()?;
        for _ in 0..header_count(count, usize::try_from(left).unwrap_or(usize::MAX))? {
            if !self.skip_nullable()? {
                return Err(BatchError::InvalidRecord("Invalid negative header key size"));
            }
            self.skip_nullable()?;
        }
        if self.position() != end {
            return Err(MISSIZED);
        }
        Ok(Step { timestamp_delta, offset_delta, has_key })
    }

    fn position(&self) -> u64 {
        self.passed + self.at as u64
    }

    fn varint(&mut self) -> Result<i32, BatchError> {
        varint(|| self.byte())
    }

    fn byte(&mut self) -> Result<u8, BatchError> {
        while self.at == self.pieces.current().len() {
            self.next_piece()?;
        }
        let byte = self.pieces.current()[self.at];
        self.at += 1;
        Ok(byte)
    }

    fn next_piece(&mut self) -> Result<(), BatchError> {
        self.passed += self.pieces.current().len() as u64;
        self.at = 0;
        if self.pieces.advance()? { Ok(()) } else { Err(CUT_OFF) }
    }

    /// Skips a length and as many bytes; false for a negative length, which means null.
    fn skip_nullable(&mut self) -> Result<bool, BatchError> {
        let Ok(mut count) = usize::try_from(self.varint()?) else {
            return Ok(false);
        };
        loop {
            let here = self.pieces.current().len() - self.at;
            if count <= here {
                self.at += count;
                return Ok(true);
            }
            count -= here;
            self.next_piece()?;
        }
    }
}
