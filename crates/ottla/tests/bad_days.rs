//! Bad days of the machine: full disks, kills, ends in a hurry, two brokers over one folder. Nothing acked is lost.

#![allow(clippy::disallowed_methods, reason = "a real process is watched in real time")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use protocol::ErrorCode;

use support::{Broker, Client, batch, fresh_dir};

/// A file system in memory over a folder; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts `megabytes` over `dir`; none if this user may not.
    fn mount(dir: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(dir).unwrap();
        let options = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Self(dir.to_owned()))
    }

    fn make_read_only(&self) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,ro"]).arg(&self.0).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the broker over it may still be ending.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_refuses_writes_and_keeps_what_was_acked() {
    let dir = fresh_dir("full_disk");
    let Some(disk) = SmallDisk::mount(&dir.join("data"), 24) else {
        eprintln!("skipped: this user cannot mount a small file system");
        return;
    };
    let broker = Broker::over(&dir, &[]);
    let mut client = broker.connect();
    client.create_topic("t", &[("segment.bytes", "4194304")]);
    let value = vec![7; 100_000];
    let mut acked = 0;
    let refused = loop {
        let (error, _) = client.produce("t", -1, batch(&[&value]));
        if error != ErrorCode::None {
            break error;
        }
        acked += 1;
        assert!(acked < 1000, "the disk never became full");
    };
    assert_eq!(refused, ErrorCode::KafkaStorageError);
    assert!(acked > 50, "only {acked} records fitted");

    let (error, _) = broker.connect().produce("t", -1, batch(&[&value]));
    assert_eq!(error, ErrorCode::KafkaStorageError);
    let (batches, _) = broker.connect().fetch("t", 0);
    assert!(!batches.is_empty(), "reads do not go on");
    let mut reader = broker.connect();
    let mut offset = 0;
    while offset < acked {
        let (batches, next) = reader.fetch("t", offset);
        assert!(next > offset, "of {acked} acked records those from {offset} are gone");
        assert!(batches.iter().all(|batch| batch.verify_crc().is_ok()));
        offset = next;
    }
    drop(broker);
    drop(disk);
}

#[test]
fn a_read_only_disk_is_refused_with_the_reason() {
    let dir = fresh_dir("read_only_disk");
    let Some(disk) = SmallDisk::mount(&dir.join("data"), 64) else {
        eprintln!("skipped: this user cannot mount a small file system");
        return;
    };
    let mut broker = Broker::over(&dir, &[]);
    broker.connect().create_topic("t", &[]);
    broker.assert_serves("t");
    broker.terminate();
    assert!(disk.make_read_only());
    let mut second = Broker::spawned(&dir, &[]);
    assert!(!second.ended().success());
    let said = second.said();
    assert!(said.contains("Read-only file system") || said.contains("read-only"), "{said}");
}

/// Producers of one life of the broker: each sends its numbers in order and notes the last that was acked.
fn produce_until_killed(address: &str, producer: usize, from: u64, stop: &AtomicBool) -> (u64, u64) {
    const IN_FLIGHT: u64 = 8;
    let mut client = Client::connect(address);
    let (mut sent, mut acked) = (from, from);
    while !stop.load(Ordering::Relaxed) || acked < sent {
        while sent < acked + IN_FLIGHT && !stop.load(Ordering::Relaxed) {
            let value = format!("{producer} {sent}");
            if client.send_produce("t", -1, batch(&[value.as_bytes()])).is_err() {
                return (sent + 1, acked);
            }
            sent += 1;
        }
        match client.read_produced() {
            Ok((ErrorCode::None, _)) => acked += 1,
            Ok((error, _)) => panic!("refused: {error:?}"),
            Err(_) => return (sent, acked),
        }
    }
    (sent, acked)
}

#[test]
fn what_was_acked_outlives_fifty_kills_in_order_and_once() {
    const PRODUCERS: usize = 3;
    let dir = fresh_dir("fifty_kills");
    let mut next = [0; PRODUCERS];
    let mut acked: Vec<Vec<std::ops::Range<u64>>> = vec![Vec::new(); PRODUCERS];
    for life in 0..50 {
        let broker = Broker::over(&dir, &[("log.flush.interval.messages", "1")]);
        if life == 0 {
            broker.connect().create_topic("t", &[("segment.bytes", "1048576")]);
        } else {
            assert!(support::wait_for(support::LIMIT, || broker.connect().end_offset("t").is_ok()));
        }
        let (address, stop) = (broker.address.clone(), AtomicBool::new(false));
        let ends: Vec<(u64, u64)> = thread::scope(|scope| {
            let (address, stop) = (&address, &stop);
            let producers: Vec<_> = (0..PRODUCERS)
                .map(|index| {
                    let from = next[index];
                    scope.spawn(move || produce_until_killed(address, index, from, stop))
                })
                .collect();
            // Lives of different lengths, so that the kill meets different moments.
            thread::park_timeout(Duration::from_millis(20 + life * 7 % 90));
            broker.kill();
            stop.store(true, Ordering::Relaxed);
            producers.into_iter().map(|producer| producer.join().unwrap()).collect()
        });
        for (index, (sent, acked_to)) in ends.into_iter().enumerate() {
            acked[index].push(next[index]..acked_to);
            next[index] = sent;
        }
    }
    let broker = Broker::over(&dir, &[]);
    assert!(support::wait_for(support::LIMIT, || broker.connect().end_offset("t").is_ok()));
    let records = broker.connect().read_all("t");
    assert!(records.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "offsets have gaps");
    for (index, lives) in acked.iter().enumerate() {
        let prefix = format!("{index} ");
        let values = records.iter().map(|(_, value)| std::str::from_utf8(value).unwrap());
        let numbers: Vec<u64> = values.filter_map(|value| value.strip_prefix(&prefix)?.parse().ok()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "producer {index}: out of order or twice");
        let found: HashSet<u64> = numbers.into_iter().collect();
        let lost = lives.iter().cloned().flatten().find(|number| !found.contains(number));
        assert_eq!(lost, None, "producer {index}: an acked record is lost");
        assert!(lives.iter().map(|life| life.end - life.start).sum::<u64>() > 50, "hardly anything was acked");
    }
}

#[test]
fn sigterm_ends_the_broker_within_seconds_and_cleanly() {
    let mut broker = Broker::fresh("sigterm", &[]);
    let mut client = broker.connect();
    client.create_topic("t", &[]);
    broker.assert_serves("t");
    // A consumer waits for records that do not come, and a connection is idle.
    let mut waiting = broker.connect();
    let request = protocol::messages::FetchRequest { max_wait_ms: 60_000, ..support::fetch_request("t", 1, 1 << 20) };
    let frame = protocol::frame::encode_request(1, None, &request, support::FETCH_VERSION).unwrap().into_bytes();
    std::io::Write::write_all(&mut waiting.socket, &frame).unwrap();
    let (status, took) = broker.terminate();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    assert!(status.success() || status.code() == Some(143), "{status}: {}", broker.said());
    assert!(broker.dir.join("data/.kafka_cleanshutdown").exists(), "the shutdown was not marked as clean");
    let again = Broker::over(&broker.dir, &[]);
    assert!(support::wait_for(support::LIMIT, || again.connect().end_offset("t").is_ok()));
    assert_eq!(again.connect().read_all("t").len(), 1);
}

#[test]
fn a_second_start_over_the_same_folder_is_refused_with_the_reason() {
    let broker = Broker::fresh("second_start", &[]);
    broker.connect().create_topic("t", &[]);
    let mut second = Broker::spawned(&broker.dir, &[]);
    assert!(!second.ended().success());
    let said = second.said();
    assert!(said.contains("lock") && said.contains("data"), "the reason is missing: {said}");
    broker.assert_serves("t");
}
