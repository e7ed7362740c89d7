//! The primitive types of the protocol: reading from a shared buffer and writing to a gathering one.
//! A reader never allocates for a claimed length that its buffer cannot hold; payloads stay slices of the buffer.

use bytes::{Buf, Bytes};

use crate::Uuid;

/// What a decoded message may occupy in memory beyond its payload, in bytes: far above what any real request needs,
/// and the bound on what a hostile one gets.
pub const DECODE_BUDGET: usize = 256 << 20;

/// A payload at least this long is spliced into the output instead of copied, in bytes.
const SPLICE_THRESHOLD: usize = 1024;

/// Why bytes are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The buffer ends before the message.
    #[error("{wanted} bytes needed, {left} left")]
    Underflow {
        /// Bytes that the next item needs.
        wanted: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// A length that no buffer can have.
    #[error("invalid length {0}")]
    InvalidLength(i64),
    /// A null where the version allows none.
    #[error("non-nullable field {0} was serialized as null")]
    UnexpectedNull(&'static str),
    /// A variable-length number with too many bytes.
    #[error("varint is too long")]
    VarintTooLong,
    /// The elements would need more memory than [`DECODE_BUDGET`].
    #[error("{0} elements exceed the decode budget")]
    TooManyElements(usize),
    /// A tag that is defined for this message appeared twice or out of order.
    #[error("tag {0} is out of order")]
    TagOutOfOrder(u32),
    /// The message has no such version.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// Name of the message.
        message: &'static str,
        /// Version asked for.
        version: i16,
    },
}

/// Why a message cannot be written in a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field has a value that the version cannot carry.
    #[error("attempted to write a non-default {field} at version {version}")]
    UnsupportedField {
        /// Name of the field.
        field: &'static str,
        /// Version asked for.
        version: i16,
    },
    /// A null where the version allows none.
    #[error("null value for non-nullable field {0}")]
    UnexpectedNull(&'static str),
    /// A string or array longer than its length field can say.
    #[error("length {0} does not fit its field")]
    TooLong(usize),
    /// The message has no such version.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// Name of the message.
        message: &'static str,
        /// Version asked for.
        version: i16,
    },
}

/// A tagged field that the schema does not name; kept as Kafka keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTaggedField {
    /// Its tag.
    pub tag: u32,
    /// Its bytes.
    pub data: Bytes,
}

/// The value of a `records` field: record batches as bytes, or a place where the shell puts bytes it holds elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Records {
    /// No records at all.
    #[default]
    Null,
    /// Batches in memory.
    Bytes(Bytes),
    /// `len` bytes that are not in memory, such as a range of a file; `id` names them to the writer of the response.
    External {
        /// Chosen by the caller.
        id: u32,
        /// Length in bytes.
        len: u32,
    },
}

impl Records {
    /// The batches, where they are in memory.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Null | Self::External { .. } => None,
        }
    }

    /// Length in bytes; 0 for null.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::External { len, .. } => *len as usize,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads one message from a buffer.
#[derive(Debug)]
pub struct Reader {
    buffer: Bytes,
    budget: usize,
}

macro_rules! read_number {
    ($($name:ident: $ty:ty, $get:ident, $size:literal;)*) => {
        $(
            #[doc = concat!("The next `", stringify!($ty), "`, big endian.")]
            /// # Errors
            /// [`DecodeError::Underflow`] if the buffer ends first.
            #[inline]
            pub fn $name(&mut self) -> Result<$ty, DecodeError> {
                self.need($size)?;
                Ok(self.buffer.$get())
            }
        )*
    };
}

impl Reader {
    /// Reads from the start of `buffer`.
    #[must_use]
    pub fn new(buffer: Bytes) -> Self {
        Self { buffer, budget: DECODE_BUDGET }
    }

    /// Lowers what the decoded message may occupy in memory from [`DECODE_BUDGET`] to `budget`, in bytes.
    #[must_use]
    pub fn with_budget(self, budget: usize) -> Self {
        Self { budget: self.budget.min(budget), ..self }
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.buffer.len()
    }

    /// The rest of the buffer.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.buffer
    }

    #[inline]
    fn need(&self, wanted: usize) -> Result<(), DecodeError> {
        if self.buffer.len() < wanted {
            return Err(DecodeError::Underflow { wanted, left: self.buffer.len() });
        }
        Ok(())
    }

    read_number! {
        i8: i8, get_i8, 1;
        u8: u8, get_u8, 1;
        i16: i16, get_i16, 2;
        u16: u16, get_u16, 2;
        i32: i32, get_i32, 4;
        u32: u32, get_u32, 4;
        i64: i64, get_i64, 8;
        f64: f64, get_f64, 8;
    }

    /// The next byte as a truth value.
    /// # Errors
    /// [`DecodeError::Underflow`] if the buffer ends first.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u8()? != 0)
    }

    /// The next 16 bytes.
    /// # Errors
    /// [`DecodeError::Underflow`] if the buffer ends first.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.need(16)?;
        let mut bytes = [0; 16];
        self.buffer.copy_to_slice(&mut bytes);
        Ok(Uuid::from_bytes(bytes))
    }

    /// An unsigned variable-length number of at most 5 bytes.
    /// # Errors
    /// [`DecodeError::VarintTooLong`], or [`DecodeError::Underflow`] if the buffer ends first.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// A zigzag variable-length number of at most 5 bytes.
    /// # Errors
    /// As [`Reader::uvarint`].
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.uvarint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// A zigzag variable-length number of at most 10 bytes.
    /// # Errors
    /// As [`Reader::uvarint`].
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let mut raw = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            raw |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed());
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        let length = if flexible { i64::from(self.uvarint()?) - 1 } else { i64::from(self.i32()?) };
        Self::checked_length(length)
    }

    fn checked_length(length: i64) -> Result<Option<usize>, DecodeError> {
        match length {
            -1 => Ok(None),
            0..=0x7fff_ffff => Ok(Some(usize::try_from(length).map_err(|_| DecodeError::InvalidLength(length))?)),
            _ => Err(DecodeError::InvalidLength(length)),
        }
    }

    /// The next `length` bytes, as a slice of the buffer.
    /// # Errors
    /// [`DecodeError::Underflow`] if the buffer ends first.
    pub fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        self.need(length)?;
        Ok(self.buffer.split_to(length))
    }

    /// A string or null. Bytes that are not UTF-8 become U+FFFD, as in Java.
    /// # Errors
    /// [`DecodeError::InvalidLength`], [`DecodeError::Underflow`].
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<String>, DecodeError> {
        let length = if flexible { self.length(true)? } else { Self::checked_length(i64::from(self.i16()?))? };
        let Some(length) = length else {
            return Ok(None);
        };
        if length > 0x7fff {
            return Err(DecodeError::InvalidLength(length as i64));
        }
        self.need(length)?;
        let text = String::from_utf8_lossy(&self.buffer[..length]).into_owned();
        self.buffer.advance(length);
        Ok(Some(text))
    }

    /// A string.
    /// # Errors
    /// As [`Reader::nullable_string`], and [`DecodeError::UnexpectedNull`].
    pub fn string(&mut self, flexible: bool, field: &'static str) -> Result<String, DecodeError> {
        self.nullable_string(flexible)?.ok_or(DecodeError::UnexpectedNull(field))
    }

    /// Bytes or null, as a slice of the buffer.
    /// # Errors
    /// [`DecodeError::InvalidLength`], [`DecodeError::Underflow`].
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        match self.length(flexible)? {
            None => Ok(None),
            Some(length) => self.take(length).map(Some),
        }
    }

    /// Bytes, as a slice of the buffer.
    /// # Errors
    /// As [`Reader::nullable_bytes`], and [`DecodeError::UnexpectedNull`].
    pub fn bytes(&mut self, flexible: bool, field: &'static str) -> Result<Bytes, DecodeError> {
        self.nullable_bytes(flexible)?.ok_or(DecodeError::UnexpectedNull(field))
    }

    /// Record batches, as a slice of the buffer.
    /// # Errors
    /// As [`Reader::nullable_bytes`].
    pub fn records(&mut self, flexible: bool) -> Result<Records, DecodeError> {
        Ok(self.nullable_bytes(flexible)?.map_or(Records::Null, Records::Bytes))
    }

    /// An array or null. `smallest` is the least number of bytes that an element takes on the wire.
    /// # Errors
    /// [`DecodeError::Underflow`] or [`DecodeError::TooManyElements`] before anything is allocated, and those of `element`.
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        smallest: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.length(flexible)? else {
            return Ok(None);
        };
        self.need(count.saturating_mul(smallest))?;
        let cost = count.saturating_mul(size_of::<T>());
        self.budget = self.budget.checked_sub(cost).ok_or(DecodeError::TooManyElements(count))?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// An array.
    /// # Errors
    /// As [`Reader::nullable_array`], and [`DecodeError::UnexpectedNull`].
    pub fn array<T>(
        &mut self,
        flexible: bool,
        smallest: usize,
        field: &'static str,
        element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.nullable_array(flexible, smallest, element)?.ok_or(DecodeError::UnexpectedNull(field))
    }

    /// The tagged fields at the end of a structure. `known` takes a tag and a reader of its bytes and says whether it read
    /// them; the others are returned.
    /// # Errors
    /// [`DecodeError::TagOutOfOrder`], and those of `known`.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<Vec<RawTaggedField>, DecodeError> {
        let mut unknown = Vec::new();
        let mut last = None;
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            if last.is_some_and(|last| tag <= last) {
                return Err(DecodeError::TagOutOfOrder(tag));
            }
            last = Some(tag);
            let size = self.uvarint()? as usize;
            let data = self.take(size)?;
            let mut reader = Self { buffer: data.clone(), budget: self.budget };
            if known(tag, &mut reader)? {
                self.budget = reader.budget;
            } else {
                unknown.push(RawTaggedField { tag, data });
            }
        }
        Ok(unknown)
    }
}

/// A piece of encoded output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes that the shell holds: see [`Records::External`].
    External {
        /// As given in [`Records::External`].
        id: u32,
        /// Length in bytes.
        len: u32,
    },
}

impl Chunk {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::External { len, .. } => *len as usize,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Collects encoded output: small items are copied, payloads are kept as they are between them.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    splices: Vec<(usize, Chunk)>,
    spliced: usize,
}

macro_rules! write_number {
    ($($name:ident: $ty:ty;)*) => {
        $(
            #[doc = concat!("Writes a `", stringify!($ty), "`, big endian.")]
            #[inline]
            pub fn $name(&mut self, value: $ty) {
                self.buffer.extend_from_slice(&value.to_be_bytes());
            }
        )*
    };
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self { buffer: Vec::with_capacity(256), splices: Vec::new(), spliced: 0 }
    }

    /// Bytes written so far, payloads included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len() + self.spliced
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    write_number! {
        put_i8: i8;
        put_u8: u8;
        put_i16: i16;
        put_u16: u16;
        put_i32: i32;
        put_u32: u32;
        put_i64: i64;
        put_f64: f64;
    }

    /// Writes a truth value as one byte.
    pub fn put_bool(&mut self, value: bool) {
        self.buffer.push(u8::from(value));
    }

    /// Writes 16 bytes.
    pub fn put_uuid(&mut self, value: Uuid) {
        self.buffer.extend_from_slice(value.as_bytes());
    }

    /// Writes an unsigned variable-length number.
    #[inline]
    pub fn put_uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    /// Writes a zigzag variable-length number.
    pub fn put_varint(&mut self, value: i32) {
        self.put_uvarint(((value << 1) ^ (value >> 31)).cast_unsigned());
    }

    /// Writes a zigzag variable-length number of up to 64 bits.
    pub fn put_varlong(&mut self, value: i64) {
        let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while raw >= 0x80 {
            self.buffer.push((raw & 0x7f) as u8 | 0x80);
            raw >>= 7;
        }
        self.buffer.push(raw as u8);
    }

    /// Copies bytes without a length.
    pub fn put_raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn put_length(&mut self, length: usize, flexible: bool) -> Result<(), EncodeError> {
        let short = i32::try_from(length).ok().filter(|length| *length < i32::MAX);
        let length = short.ok_or(EncodeError::TooLong(length))?;
        if flexible {
            self.put_uvarint(length.cast_unsigned() + 1);
        } else {
            self.put_i32(length);
        }
        Ok(())
    }

    fn put_null_length(&mut self, flexible: bool) {
        if flexible { self.put_uvarint(0) } else { self.put_i32(-1) }
    }

    /// Writes a string.
    /// # Errors
    /// [`EncodeError::TooLong`] above 32,767 bytes.
    pub fn put_string(&mut self, value: &str, flexible: bool) -> Result<(), EncodeError> {
        let length = i16::try_from(value.len()).map_err(|_| EncodeError::TooLong(value.len()))?;
        if flexible {
            self.put_uvarint(u32::from(length.cast_unsigned()) + 1);
        } else {
            self.put_i16(length);
        }
        self.put_raw(value.as_bytes());
        Ok(())
    }

    /// Writes a string or null.
    /// # Errors
    /// [`EncodeError::TooLong`]; [`EncodeError::UnexpectedNull`] where `nullable` is the name of a field that may not be null.
    pub fn put_nullable_string(&mut self, value: Option<&str>, flexible: bool) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.put_string(value, flexible),
            None => {
                if flexible {
                    self.put_uvarint(0)
                } else {
                    self.put_i16(-1)
                }
                Ok(())
            }
        }
    }

    /// Writes bytes, or null.
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn put_nullable_bytes(&mut self, value: Option<&Bytes>, flexible: bool) -> Result<(), EncodeError> {
        let Some(value) = value else {
            self.put_null_length(flexible);
            return Ok(());
        };
        self.put_length(value.len(), flexible)?;
        if value.len() >= SPLICE_THRESHOLD {
            self.splice(Chunk::Bytes(value.clone()));
        } else {
            self.put_raw(value);
        }
        Ok(())
    }

    /// Writes record batches.
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn put_records(&mut self, value: &Records, flexible: bool) -> Result<(), EncodeError> {
        match value {
            Records::Null => self.put_nullable_bytes(None, flexible),
            Records::Bytes(bytes) => self.put_nullable_bytes(Some(bytes), flexible),
            Records::External { id, len } => {
                self.put_length(*len as usize, flexible)?;
                self.splice(Chunk::External { id: *id, len: *len });
                Ok(())
            }
        }
    }

    fn splice(&mut self, chunk: Chunk) {
        self.spliced += chunk.len();
        self.splices.push((self.buffer.len(), chunk));
    }

    /// Writes the length of an array; its elements follow.
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn put_array_length(&mut self, length: usize, flexible: bool) -> Result<(), EncodeError> {
        self.put_length(length, flexible)
    }

    /// Writes a null array.
    pub fn put_null_array(&mut self, flexible: bool) {
        self.put_null_length(flexible);
    }

    /// Writes the tagged fields of a structure: `known` in order of tag, with `unknown` between them.
    pub fn put_tagged_fields(&mut self, known: Vec<(u32, Writer)>, unknown: &[RawTaggedField]) {
        self.put_uvarint((known.len() + unknown.len()) as u32);
        let mut unknown = unknown.iter().peekable();
        for (tag, value) in known {
            while let Some(raw) = unknown.next_if(|raw| raw.tag < tag) {
                self.put_raw_tagged_field(raw);
            }
            self.put_uvarint(tag);
            self.put_uvarint(value.len() as u32);
            self.append(value);
        }
        for raw in unknown {
            self.put_raw_tagged_field(raw);
        }
    }

    fn put_raw_tagged_field(&mut self, field: &RawTaggedField) {
        self.put_uvarint(field.tag);
        self.put_uvarint(field.data.len() as u32);
        self.put_raw(&field.data);
    }

    fn append(&mut self, other: Self) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&other.buffer);
        self.spliced += other.spliced;
        self.splices.extend(other.splices.into_iter().map(|(at, chunk)| (start + at, chunk)));
    }

    /// Overwrites the 4 bytes at `at` that were written before any payload.
    pub(crate) fn patch_i32(&mut self, at: usize, value: i32) {
        self.buffer[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// The output as pieces in order.
    #[must_use]
    pub fn into_chunks(self) -> Vec<Chunk> {
        let mut rest = Bytes::from(self.buffer);
        let mut chunks = Vec::with_capacity(self.splices.len() * 2 + 1);
        let mut taken = 0;
        for (at, chunk) in self.splices {
            if at > taken {
                chunks.push(Chunk::Bytes(rest.split_to(at - taken)));
                taken = at;
            }
            chunks.push(chunk);
        }
        if !rest.is_empty() {
            chunks.push(Chunk::Bytes(rest));
        }
        chunks
    }

    /// The output as one buffer. An external chunk has no bytes here and is left out.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.splices.is_empty() {
            return Bytes::from(self.buffer);
        }
        let mut joined = Vec::with_capacity(self.len());
        for chunk in self.into_chunks() {
            if let Chunk::Bytes(bytes) = chunk {
                joined.extend_from_slice(&bytes);
            }
        }
        Bytes::from(joined)
    }
}
