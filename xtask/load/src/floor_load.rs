//! The loads of the floor: the same bytes in the same pieces as a broker gets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::Result;

use crate::connection::batch;
use crate::options::Options;
use crate::report_throughput;

fn request(kind: u64, partition: u64, word: u64, length: u64) -> [u8; 32] {
    let mut header = [0; 32];
    for (bytes, word) in header.chunks_exact_mut(8).zip([kind, partition, word, length]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    header
}

fn read_word(socket: &mut TcpStream) -> Result<u64> {
    let mut word = [0; 8];
    socket.read_exact(&mut word)?;
    Ok(u64::from_le_bytes(word))
}

fn connect(options: &Options) -> Result<TcpStream> {
    let socket = TcpStream::connect(options.text("bootstrap", "127.0.0.1:24090"))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Empties all partitions.
pub(crate) fn empty(options: &Options) -> Result<()> {
    let mut socket = connect(options)?;
    socket.write_all(&request(2, 0, 0, 0))?;
    read_word(&mut socket).map(drop)
}

/// Writes `--bytes` in batches of `--batch` with `--in-flight` unanswered, over `--partitions`, at most `--rate` bytes per
/// second.
pub(crate) fn produce(options: &Options) -> Result<()> {
    let total: u64 = options.number("bytes", 1_000_000_000)?;
    let partitions: u64 = options.number("partitions", 1)?;
    let in_flight: u64 = options.number("in-flight", 5)?;
    let rate: f64 = options.number("rate", f64::INFINITY)?;
    let payload = batch(1, options.number::<usize>("batch", 65_536)?.saturating_sub(70).max(1));
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &payload);
    let mut socket = connect(options)?;
    let start = Instant::now();
    let (mut sent, mut requests, mut answered) = (0, 0, 0);
    while sent < total {
        let ahead = sent as f64 / rate - start.elapsed().as_secs_f64();
        if ahead > 0.0 {
            std::thread::sleep(std::time::Duration::from_secs_f64(ahead));
        }
        if requests - answered == in_flight {
            read_word(&mut socket)?;
            answered += 1;
        }
        socket.write_all(&request(0, requests % partitions, sum, payload.len() as u64))?;
        socket.write_all(&payload)?;
        sent += payload.len() as u64;
        requests += 1;
    }
    for _ in answered..requests {
        read_word(&mut socket)?;
    }
    report_throughput(sent, start.elapsed().as_secs_f64());
    Ok(())
}

/// Reads `--bytes` from `--partitions` in turn, `--batch` bytes at a time.
pub(crate) fn consume(options: &Options) -> Result<()> {
    let total: u64 = options.number("bytes", 1_000_000_000)?;
    let partitions: usize = options.number("partitions", 1)?;
    let length: u64 = options.number("batch", 1 << 20)?;
    let mut offsets = vec![0; partitions];
    let mut socket = connect(options)?;
    let mut buffer = vec![0; usize::try_from(length)?];
    let start = Instant::now();
    let mut read = 0;
    for partition in (0..partitions).cycle() {
        if read >= total {
            break;
        }
        let length = length.min(total - read);
        socket.write_all(&request(1, partition as u64, offsets[partition], length))?;
        let length = read_word(&mut socket)?;
        socket.read_exact(&mut buffer[..usize::try_from(length)?])?;
        offsets[partition] += length;
        read += length;
    }
    report_throughput(read, start.elapsed().as_secs_f64());
    Ok(())
}
