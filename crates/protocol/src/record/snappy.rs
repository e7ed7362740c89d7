//! Snappy as Kafka's clients write it: raw blocks in the framing of xerial's `SnappyOutputStream`. Some clients write
//! one raw block without the framing; both are read, the framing is written.

use super::compression::{refused, reserve, unable};
use super::{BatchError, Compression};

/// Magic, version 1 and least compatible version 1 of the framing.
const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const MAGIC_SIZE: usize = 8;
/// Input of one block as xerial's stream cuts it, in bytes.
const BLOCK_SIZE: usize = 32 << 10;
/// No Snappy element yields more than 64 bytes for two bytes of input.
const LARGEST_RATIO: usize = 32;

/// The blocks of one batch.
pub(super) struct SnappyBlocks<'a> {
    rest: &'a [u8],
    framed: bool,
    decoder: snap::raw::Decoder,
}

impl<'a> SnappyBlocks<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        let framed = input.len() >= HEADER.len() && input[..MAGIC_SIZE] == HEADER[..MAGIC_SIZE];
        let rest = if framed { &input[HEADER.len()..] } else { input };
        Self { rest, framed, decoder: snap::raw::Decoder::new() }
    }

    /// Decompresses the next block to the start of `buffer` and returns its size: 0 at the end.
    pub(super) fn next_block(&mut self, buffer: &mut Vec<u8>, allowed: usize) -> Result<usize, BatchError> {
        while !self.rest.is_empty() {
            let block = self.take_block()?;
            let size = snap::raw::decompress_len(block).map_err(|error| refused(Compression::Snappy, &error))?;
            if size > allowed {
                return Err(BatchError::LimitExceeded { limit: allowed });
            }
            if size / LARGEST_RATIO > block.len() {
                return Err(refused(Compression::Snappy, &"the claimed length is more than the block can yield"));
            }
            reserve(buffer, size);
            let written =
                self.decoder.decompress(block, buffer).map_err(|error| refused(Compression::Snappy, &error))?;
            if written > 0 {
                return Ok(written);
            }
        }
        Ok(0)
    }

    fn take_block(&mut self) -> Result<&'a [u8], BatchError> {
        if !self.framed {
            return Ok(std::mem::take(&mut self.rest));
        }
        let cut_off = || refused(Compression::Snappy, &"the block is cut off");
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or_else(cut_off)?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = rest.get(..length).ok_or_else(cut_off)?;
        self.rest = &rest[length..];
        // Streams that were concatenated have a header in the middle, where its magic reads as a length; those are
        // written by no producer and end in the error above.
        Ok(block)
    }
}

/// Appends `input`, framed and compressed, to `out`.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    out.extend_from_slice(&HEADER);
    let mut encoder = snap::raw::Encoder::new();
    for block in input.chunks(BLOCK_SIZE) {
        let length_at = out.len();
        let start = length_at + 4;
        out.resize(start + snap::raw::max_compress_len(block.len()), 0);
        let written =
            encoder.compress(block, &mut out[start..]).map_err(|error| unable(Compression::Snappy, &error))?;
        let length = u32::try_from(written).map_err(|error| unable(Compression::Snappy, &error))?;
        out[length_at..start].copy_from_slice(&length.to_be_bytes());
        out.truncate(start + written);
    }
    Ok(())
}
