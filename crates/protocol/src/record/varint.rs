//! The variable-length numbers inside records: zigzag, least significant group of seven bits first.

use super::BatchError;

const CUT_OFF: BatchError = BatchError::InvalidRecord("Incorrect declared batch size, premature EOF reached");
const TOO_LONG: BatchError = BatchError::InvalidRecord("Found invalid record structure: a varint is too long");

/// Reads from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, BatchError> {
        let byte = *self.bytes.get(self.at).ok_or(CUT_OFF)?;
        self.at += 1;
        Ok(byte)
    }

    // Most numbers in records take one or two bytes: those are read without a loop.
    #[inline(always)]
    pub(super) fn varint(&mut self) -> Result<i32, BatchError> {
        match self.short() {
            Some(value) => Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed()),
            None => self.long_varint(),
        }
    }

    #[inline(always)]
    pub(super) fn varlong(&mut self) -> Result<i64, BatchError> {
        match self.short() {
            Some(value) => Ok(i64::from((value >> 1).cast_signed() ^ -(value & 1).cast_signed())),
            None => self.long_varlong(),
        }
    }

    /// A number of one or two bytes, if the next is such a one.
    #[inline(always)]
    fn short(&mut self) -> Option<u32> {
        match *self.bytes.get(self.at..)? {
            [first, ..] if first < 0x80 => {
                self.at += 1;
                Some(u32::from(first))
            }
            [first, second, ..] if second < 0x80 => {
                self.at += 2;
                Some(u32::from(first & 0x7f) | u32::from(second) << 7)
            }
            _ => None,
        }
    }

    #[cold]
    fn long_varint(&mut self) -> Result<i32, BatchError> {
        varint(|| self.byte())
    }

    #[cold]
    fn long_varlong(&mut self) -> Result<i64, BatchError> {
        varlong(|| self.byte())
    }

    /// Skips `count` bytes and returns where they start.
    #[inline]
    pub(super) fn skip(&mut self, count: usize) -> Result<usize, BatchError> {
        if self.remaining() < count {
            return Err(CUT_OFF);
        }
        let start = self.at;
        self.at += count;
        Ok(start)
    }

    /// Skips a length and as many bytes; false for a negative length, which means null.
    #[inline(always)]
    pub(super) fn skip_nullable(&mut self) -> Result<bool, BatchError> {
        let length = self.varint()?;
        let Ok(length) = usize::try_from(length) else {
            return Ok(false);
        };
        self.skip(length)?;
        Ok(true)
    }

    /// Skips a length and as many bytes, and returns where they are; `None` for a negative length, which means null.
    #[inline]
    pub(super) fn nullable(&mut self) -> Result<Option<(usize, usize)>, BatchError> {
        let length = self.varint()?;
        let Ok(length) = usize::try_from(length) else {
            return Ok(None);
        };
        let start = self.skip(length)?;
        Ok(Some((start, start + length)))
    }
}

/// Reads a varint byte by byte.
#[inline]
pub(super) fn varint(mut byte: impl FnMut() -> Result<u8, BatchError>) -> Result<i32, BatchError> {
    let mut value = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let group = byte()?;
        value |= u32::from(group & 0x7f) << shift;
        if group & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    Err(TOO_LONG)
}

/// Reads a varlong byte by byte.
#[inline]
pub(super) fn varlong(mut byte: impl FnMut() -> Result<u8, BatchError>) -> Result<i64, BatchError> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let group = byte()?;
        value |= u64::from(group & 0x7f) << shift;
        if group & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    Err(TOO_LONG)
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_varlong(out, i64::from(value));
}

/// Appends a varlong.
pub(super) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Size of a varint or varlong, in bytes.
pub(super) fn varlong_size(value: i64) -> usize {
    let bits = 64 - (((value << 1) ^ (value >> 63)) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}
