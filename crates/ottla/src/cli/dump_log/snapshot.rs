//! Snapshots of the producers of a partition.

use std::path::Path;

use bytes::Bytes;
use protocol::Message as _;
use protocol::messages::ProducerSnapshot;

use super::unreadable;
use crate::cli::java::Failure;
use crate::cli::out::{self, Out};

/// Dumps a `.snapshot` file.
pub(super) fn dump(path: &Path, out: &mut Out) -> Result<(), Failure> {
    let bytes = Bytes::from(std::fs::read(path).map_err(|error| unreadable(path, &error))?);
    let entries = match read(&bytes) {
        Ok(snapshot) => snapshot.producer_entries,
        Err(error) => {
            out.flush()?;
            out::error_text(&format!("{error}\n"));
            return Ok(());
        }
    };
    for entry in entries {
        out.text(format_args!(
            "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {} lastTimestamp: {}",
            entry.producer_id,
            entry.epoch,
            entry.coordinator_epoch,
            match entry.current_txn_first_offset {
                -1 => "OptionalLong.empty".to_owned(),
                offset => format!("OptionalLong[{offset}]"),
            },
            entry.timestamp
        ))?;
        if entry.last_offset >= 0 {
            let first = entry.last_sequence.wrapping_sub(entry.offset_delta);
            out.text(format_args!(
                " firstSequence: {} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
                if first < 0 { first.wrapping_add(i32::MAX).wrapping_add(1) } else { first },
                entry.last_sequence,
                entry.last_offset,
                entry.offset_delta,
                entry.timestamp
            ))?;
        }
        out.line("")?;
    }
    Ok(())
}

fn read(bytes: &Bytes) -> Result<ProducerSnapshot, String> {
    const VERSION: i16 = 1;
    let version = bytes.get(..2).map(|version| i16::from_be_bytes([version[0], version[1]]));
    if version != Some(VERSION) {
        let version = version.unwrap_or_default();
        return Err(format!("Snapshot contained an unknown file version {version}"));
    }
    // The checksum is the message's first field and covers what comes after it.
    const COVERED_FROM: usize = 6;
    let snapshot = ProducerSnapshot::decode_from(&bytes.slice(2..), VERSION).map_err(|error| error.to_string())?;
    let computed = crc_fast::crc32_iscsi(&bytes[COVERED_FROM..]);
    if snapshot.crc != computed {
        return Err(format!(
            "Snapshot is corrupt (CRC is no longer valid). Stored crc: {}. Computed crc: {computed}",
            snapshot.crc
        ));
    }
    Ok(snapshot)
}
