//! The floor: what any log broker pays for bytes on this machine. Socket to file with CRC32C, file to socket by sendfile.
//! One thread per connection, one file per partition. A request is four little-endian words, then the payload if it is a
//! write: kind (0 write, 1 read, 2 empty all), partition, offset, length. A write is answered by eight bytes, the end of the file; a
//! read waits until the file reaches the offset, then is answered by the length in eight bytes and the bytes.

use std::fs::{File, OpenOptions};
use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};

use crc_fast::{CrcAlgorithm, checksum};

/// One file that only grows.
struct Partition {
    file: File,
    end: Mutex<u64>,
    grown: Condvar,
}

impl Partition {
    fn append(&self, payload: &[u8]) -> Result<u64> {
        let mut end = self.end.lock().expect("no holder panics");
        self.file.write_all_at(payload, *end)?;
        *end += payload.len() as u64;
        self.grown.notify_all();
        Ok(*end)
    }

    /// Waits for bytes at `offset` and returns how many there are.
    fn available(&self, offset: u64) -> u64 {
        let end = self.end.lock().expect("no holder panics");
        let end = self.grown.wait_while(end, |end| *end <= offset).expect("no holder panics");
        *end - offset
    }
}

struct Floor {
    directory: PathBuf,
    partitions: Mutex<Vec<Option<Arc<Partition>>>>,
}

impl Floor {
    fn partition(&self, index: usize) -> Result<Arc<Partition>> {
        let mut partitions = self.partitions.lock().expect("no holder panics");
        if partitions.len() <= index {
            partitions.resize_with(index + 1, || None);
        }
        if let Some(partition) = &partitions[index] {
            return Ok(Arc::clone(partition));
        }
        let path = self.directory.join(format!("floor-{index}"));
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)?;
        let partition = Arc::new(Partition { file, end: Mutex::new(0), grown: Condvar::new() });
        partitions[index] = Some(Arc::clone(&partition));
        Ok(partition)
    }

    fn serve(&self, mut socket: TcpStream) -> Result<()> {
        socket.set_nodelay(true)?;
        let mut payload = Vec::new();
        let mut header = [0u8; 32];
        loop {
            socket.read_exact(&mut header)?;
            let [kind, index, offset, length] = words(&header);
            if kind == 2 {
                self.partitions.lock().expect("no holder panics").clear();
                socket.write_all(&0u64.to_le_bytes())?;
                continue;
            }
            let partition = self.partition(index as usize)?;
            if kind == 0 {
                payload.resize(length as usize, 0);
                socket.read_exact(&mut payload)?;
                // The sum is compared as a broker compares it; the load sends the right one as the offset.
                if checksum(CrcAlgorithm::Crc32Iscsi, &payload) != offset {
                    return Ok(());
                }
                let end = partition.append(&payload)?;
                socket.write_all(&end.to_le_bytes())?;
            } else {
                let mut left = partition.available(offset).min(length);
                socket.write_all(&left.to_le_bytes())?;
                let mut from = offset;
                while left > 0 {
                    left -= rustix::fs::sendfile(&socket, &partition.file, Some(&mut from), left as usize)? as u64;
                }
            }
        }
    }
}

fn words(header: &[u8; 32]) -> [u64; 4] {
    let (words, _) = header.as_chunks::<8>();
    [words[0], words[1], words[2], words[3]].map(u64::from_le_bytes)
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:24090".to_owned());
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned()));
    let listener = TcpListener::bind(address)?;
    let floor = Arc::new(Floor { directory, partitions: Mutex::default() });
    for socket in listener.incoming() {
        let floor = Arc::clone(&floor);
        let socket = socket?;
        std::thread::spawn(move || floor.serve(socket));
    }
    Ok(())
}
