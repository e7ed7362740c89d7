//! The LZ4 frame format as far as Kafka uses it: one frame of independent blocks, the content checksum not verified.
//! Blocks are at most 4 MiB, so a hostile frame makes a decoder hold no more than that.

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::compression::{refused, reserve, unable};
use super::{BatchError, Compression};

const MAGIC: u32 = 0x184D_2204;
const VERSION_MASK: u8 = 0b1100_0000;
const VERSION_1: u8 = 0b0100_0000;
const INDEPENDENT_FLAG: u8 = 0b0010_0000;
const BLOCK_CHECKSUM_FLAG: u8 = 0b0001_0000;
const CONTENT_SIZE_FLAG: u8 = 0b0000_1000;
const RESERVED_FLAGS: u8 = 0b0000_0011;
const RESERVED_BLOCK_FLAGS: u8 = 0b1000_1111;
const UNCOMPRESSED_FLAG: u32 = 1 << 31;

/// The blocks of one frame.
pub(super) struct Lz4Blocks<'a> {
    rest: &'a [u8],
    block_limit: usize,
    block_checksums: bool,
    finished: bool,
}

impl<'a> Lz4Blocks<'a> {
    /// Reads the header of the frame; its checksum is ignored for message format v0, where Kafka's clients had it wrong.
    pub(super) fn new(input: &'a [u8], format_v0: bool) -> Result<Self, BatchError> {
        let mut rest = input;
        if u32::from_le_bytes(take(&mut rest)?) != MAGIC {
            return Err(refused(Compression::Lz4, &"this is not an LZ4 frame"));
        }
        let descriptor = rest;
        let [flags, block_flags] = take(&mut rest)?;
        if flags & VERSION_MASK != VERSION_1 || flags & RESERVED_FLAGS != 0 || block_flags & RESERVED_BLOCK_FLAGS != 0 {
            return Err(refused(Compression::Lz4, &"the frame has an unknown version or reserved bits"));
        }
        if flags & INDEPENDENT_FLAG == 0 {
            return Err(refused(Compression::Lz4, &"dependent blocks are not supported"));
        }
        let block_limit = match block_flags >> 4 {
            id @ 4..=7 => 1 << (8 + 2 * id),
            _ => return Err(refused(Compression::Lz4, &"the frame has an unknown block size")),
        };
        if flags & CONTENT_SIZE_FLAG != 0 {
            take::<8>(&mut rest)?;
        }
        let descriptor = &descriptor[..descriptor.len() - rest.len()];
        let [checksum] = take(&mut rest)?;
        if !format_v0 && checksum != (xxh32(descriptor) >> 8) as u8 {
            return Err(refused(Compression::Lz4, &"the checksum of the frame's header is wrong"));
        }
        Ok(Self { rest, block_limit, block_checksums: flags & BLOCK_CHECKSUM_FLAG != 0, finished: false })
    }

    /// Decompresses the next block to the start of `buffer` and returns its size: 0 at the end.
    pub(super) fn next_block(&mut self, buffer: &mut Vec<u8>) -> Result<usize, BatchError> {
        while !self.finished {
            let size = self.block(buffer)?;
            if size > 0 {
                return Ok(size);
            }
        }
        Ok(0)
    }

    fn block(&mut self, buffer: &mut Vec<u8>) -> Result<usize, BatchError> {
        let word = u32::from_le_bytes(take(&mut self.rest)?);
        let length = (word & !UNCOMPRESSED_FLAG) as usize;
        if length == 0 {
            self.finished = true;
            return Ok(0);
        }
        if length > self.block_limit {
            return Err(refused(Compression::Lz4, &"the block is larger than the frame allows"));
        }
        let block = self.rest.get(..length).ok_or_else(cut_off)?;
        self.rest = &self.rest[length..];
        if self.block_checksums && u32::from_le_bytes(take(&mut self.rest)?) != xxh32(block) {
            return Err(refused(Compression::Lz4, &"the checksum of the block is wrong"));
        }
        if word & UNCOMPRESSED_FLAG != 0 {
            reserve(buffer, length);
            buffer[..length].copy_from_slice(block);
            return Ok(length);
        }
        reserve(buffer, self.block_limit);
        lz4_flex::block::decompress_into(block, &mut buffer[..self.block_limit])
            .map_err(|error| refused(Compression::Lz4, &error))
    }
}

fn cut_off() -> BatchError {
    refused(Compression::Lz4, &"the frame is cut off")
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BatchError> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or_else(cut_off)?;
    *rest = left;
    Ok(*taken)
}

/// Appends `input`, as one frame of blocks of 64 KiB, to `out`.
pub(super) fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), BatchError> {
    let frame = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(frame, out);
    encoder.write_all(input).map_err(|error| unable(Compression::Lz4, &error))?;
    encoder.try_finish().map_err(|error| unable(Compression::Lz4, &error))
}

const PRIME_1: u32 = 0x9E37_79B1;
const PRIME_2: u32 = 0x85EB_CA77;
const PRIME_3: u32 = 0xC2B2_AE3D;
const PRIME_4: u32 = 0x27D4_EB2F;
const PRIME_5: u32 = 0x1656_67B1;

/// XXH32 with seed 0, the checksum of the frame format.
fn xxh32(input: &[u8]) -> u32 {
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let (stripes, tail) = input.split_at(input.len() & !15);
    let mut hash = if stripes.is_empty() {
        PRIME_5
    } else {
        let mut lanes = [PRIME_1.wrapping_add(PRIME_2), PRIME_2, 0, 0u32.wrapping_sub(PRIME_1)];
        for stripe in stripes.chunks_exact(16) {
            for (lane, bytes) in lanes.iter_mut().zip(stripe.chunks_exact(4)) {
                *lane = lane.wrapping_add(word(bytes).wrapping_mul(PRIME_2)).rotate_left(13).wrapping_mul(PRIME_1);
            }
        }
        let [a, b, c, d] = lanes;
        a.rotate_left(1).wrapping_add(b.rotate_left(7)).wrapping_add(c.rotate_left(12)).wrapping_add(d.rotate_left(18))
    };
    // The format defines the length modulo 2^32.
    hash = hash.wrapping_add(input.len() as u32);
    let words = tail.chunks_exact(4);
    let bytes = words.remainder();
    for bytes in words {
        hash = hash.wrapping_add(word(bytes).wrapping_mul(PRIME_3)).rotate_left(17).wrapping_mul(PRIME_4);
    }
    for byte in bytes {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIME_5)).rotate_left(11).wrapping_mul(PRIME_1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIME_2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIME_3);
    hash ^ (hash >> 16)
}
