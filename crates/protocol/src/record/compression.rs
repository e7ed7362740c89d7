//! The codecs of record batches. What a batch claims decides nothing: every decoder stops at a limit of its caller,
//! gives its output piece by piece, and holds no more than one piece of it.

use std::cell::RefCell;
use std::io::{Read, Write};

use zstd::zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::lz4::Lz4Blocks;
use super::snappy::{self, SnappyBlocks};
use super::{BatchError, Compression};

/// The most that the records of one batch may occupy when decompressed, in bytes.
pub const DECOMPRESSED_LIMIT: usize = 256 << 20;

/// Size of the pieces in which the streaming codecs give their output, in bytes.
const PIECE_SIZE: usize = 64 << 10;
/// A piece buffer above this size is not kept for the next batch, in bytes.
const KEPT_BUFFER: usize = 1 << 20;
/// A Zstandard context above this size is not kept: a frame may claim a window of 128 MiB, in bytes.
const KEPT_CONTEXT: usize = 8 << 20;

thread_local! {
    static ZSTD_DECODER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
    static ZSTD_ENCODER: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The decompressed records of one batch, piece by piece.
pub(super) struct Pieces<'a> {
    codec: Decoder<'a>,
    buffer: Vec<u8>,
    /// Where in `buffer` the current piece ends; the uncompressed codec has its piece elsewhere.
    filled: usize,
    produced: usize,
    limit: usize,
}

enum Decoder<'a> {
    None { piece: &'a [u8], given: bool },
    Gzip(Box<flate2::bufread::MultiGzDecoder<&'a [u8]>>),
    Snappy(SnappyBlocks<'a>),
    Lz4(Lz4Blocks<'a>),
    Zstd { context: Option<DCtx<'static>>, input: &'a [u8], frame_open: bool },
}

impl<'a> Pieces<'a> {
    /// Starts to decompress `input`; fails once the output is larger than `limit` bytes.
    pub(super) fn new(codec: Compression, input: &'a [u8], limit: usize) -> Result<Self, BatchError> {
        Self::start(codec, input, limit, false)
    }

    /// As [`Pieces::new`], for message format v0, whose writers put a wrong checksum into LZ4 headers.
    pub(super) fn of_format_v0(codec: Compression, input: &'a [u8], limit: usize) -> Result<Self, BatchError> {
        Self::start(codec, input, limit, true)
    }

    fn start(codec: Compression, input: &'a [u8], limit: usize, format_v0: bool) -> Result<Self, BatchError> {
        let codec = match codec {
            Compression::None => Decoder::None { piece: input, given: false },
            Compression::Gzip => Decoder::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(input))),
            Compression::Snappy => Decoder::Snappy(SnappyBlocks::new(input)),
            Compression::Lz4 => Decoder::Lz4(Lz4Blocks::new(input, format_v0)?),
            Compression::Zstd => Decoder::Zstd { context: Some(zstd_decoder()?), input, frame_open: false },
        };
        let buffer = BUFFER.with_borrow_mut(std::mem::take);
        Ok(Self { codec, buffer, filled: 0, produced: 0, limit })
    }

    /// The piece that [`Pieces::advance`] made.
    pub(super) fn current(&self) -> &[u8] {
        match &self.codec {
            Decoder::None { piece, given: true } => piece,
            _ => &self.buffer[..self.filled],
        }
    }

    /// Makes the next piece; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, BatchError> {
        self.filled = self.make_piece()?;
        self.produced += self.filled;
        if self.produced > self.limit {
            return Err(BatchError::LimitExceeded { limit: self.limit });
        }
        Ok(self.filled > 0)
    }

    fn make_piece(&mut self) -> Result<usize, BatchError> {
        let allowed = self.limit.saturating_sub(self.produced);
        match &mut self.codec {
            Decoder::None { piece, given } => {
                if *given {
                    *piece = &[];
                }
                *given = true;
                Ok(piece.len())
            }
            Decoder::Gzip(decoder) => {
                reserve(&mut self.buffer, PIECE_SIZE);
                decoder.read(&mut self.buffer).map_err(|error| refused(Compression::Gzip, &error))
            }
            Decoder::Snappy(blocks) => blocks.next_block(&mut self.buffer, allowed),
            Decoder::Lz4(blocks) => blocks.next_block(&mut self.buffer),
            Decoder::Zstd { context, input, frame_open } => {
                reserve(&mut self.buffer, PIECE_SIZE);
                let context = context.as_mut().expect("taken only by drop");
                zstd_piece(context, input, frame_open, &mut self.buffer)
            }
        }
    }
}

impl Drop for Pieces<'_> {
    fn drop(&mut self) {
        if let Decoder::Zstd { context, .. } = &mut self.codec {
            let small = context.take().filter(|context| context.sizeof() <= KEPT_CONTEXT);
            ZSTD_DECODER.with_borrow_mut(|kept| *kept = small);
        }
        if self.buffer.capacity() <= KEPT_BUFFER {
            BUFFER.with_borrow_mut(|kept| *kept = std::mem::take(&mut self.buffer));
        }
    }
}

/// Makes `buffer` at least `size` bytes long.
pub(super) fn reserve(buffer: &mut Vec<u8>, size: usize) {
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
}

/// What `codec` said against its input.
pub(super) fn refused(codec: Compression, reason: &dyn std::fmt::Display) -> BatchError {
    BatchError::Decompress { codec: codec.name(), reason: reason.to_string() }
}

fn zstd_decoder() -> Result<DCtx<'static>, BatchError> {
    let kept = ZSTD_DECODER.with_borrow_mut(Option::take);
    let mut context = kept.or_else(DCtx::try_create).ok_or_else(|| refused(Compression::Zstd, &"out of memory"))?;
    context.reset(ResetDirective::SessionOnly).map_err(|code| refused(Compression::Zstd, &get_error_name(code)))?;
    Ok(context)
}

/// Fills `buffer` from `input`; 0 at the end of the last frame.
fn zstd_piece(
    context: &mut DCtx<'static>,
    input: &mut &[u8],
    frame_open: &mut bool,
    buffer: &mut [u8],
) -> Result<usize, BatchError> {
    let mut output = OutBuffer::around(buffer);
    // A frame may hold back output after all input is read, and may be empty: only no progress at all is the end.
    while output.pos() == 0 && (*frame_open || !input.is_empty()) {
        let mut source = InBuffer::around(input);
        let hint = context
            .decompress_stream(&mut output, &mut source)
            .map_err(|code| refused(Compression::Zstd, &get_error_name(code)))?;
        let read = source.pos();
        *input = &input[read..];
        *frame_open = hint != 0;
        if read == 0 && output.pos() == 0 {
            return Err(refused(Compression::Zstd, &"the frame is cut off"));
        }
    }
    Ok(output.pos())
}

/// Decompresses all of `input`.
/// # Errors
/// [`BatchError::LimitExceeded`] once the output is larger than `limit` bytes; [`BatchError::Decompress`] if the codec
/// refuses the input.
pub fn decompress(codec: Compression, input: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    collect(Pieces::new(codec, input, limit)?)
}

/// As [`decompress`], for message format v0.
pub(super) fn decompress_format_v0(codec: Compression, input: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    collect(Pieces::of_format_v0(codec, input, limit)?)
}

fn collect(mut pieces: Pieces<'_>) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    while pieces.advance()? {
        out.extend_from_slice(pieces.current());
    }
    Ok(out)
}

/// Appends `input`, compressed, to `out`. Without a level the codec's default in Kafka is used; Snappy has none, and
/// LZ4 takes every level for the same.
/// # Errors
/// [`BatchError::Compress`] if the codec refuses the level.
pub fn compress(codec: Compression, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    match codec {
        Compression::None => {
            out.extend_from_slice(input);
            Ok(())
        }
        Compression::Gzip => gzip(level, input, out),
        Compression::Snappy => snappy::compress(input, out),
        Compression::Lz4 => super::lz4::compress(input, out),
        Compression::Zstd => zstd(level, input, out),
    }
}

/// What `codec` said against compressing.
pub(super) fn unable(codec: Compression, reason: &dyn std::fmt::Display) -> BatchError {
    BatchError::Compress { codec: codec.name(), reason: reason.to_string() }
}

fn gzip(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    let level = match level {
        None | Some(-1) => flate2::Compression::default(),
        Some(level @ 0..=9) => flate2::Compression::new(level.unsigned_abs()),
        Some(level) => return Err(unable(Compression::Gzip, &format!("there is no level {level}"))),
    };
    let mut encoder = flate2::write::GzEncoder::new(out, level);
    encoder.write_all(input).and_then(|()| encoder.try_finish()).map_err(|error| unable(Compression::Gzip, &error))
}

fn zstd(level: Option<i32>, input: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    let failed = |code| unable(Compression::Zstd, &get_error_name(code));
    let kept = ZSTD_ENCODER.with_borrow_mut(Option::take);
    let mut context = kept.or_else(CCtx::try_create).ok_or_else(|| unable(Compression::Zstd, &"out of memory"))?;
    let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
    let start = out.len();
    out.resize(start + zstd::zstd_safe::compress_bound(input.len()), 0);
    let written = context.compress2(&mut out[start..], input).map_err(failed)?;
    out.truncate(start + written);
    if context.sizeof() <= KEPT_CONTEXT {
        ZSTD_ENCODER.with_borrow_mut(|kept| *kept = Some(context));
    }
    Ok(())
}
