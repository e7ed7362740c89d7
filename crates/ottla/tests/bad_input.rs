//! Bytes that no proper client sends: a Kafka error or a closed connection, bounded memory, other clients unharmed.

#![allow(clippy::disallowed_methods, reason = "a real process is watched in real time")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::frame::encode_request;
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol::messages::{ApiVersionsRequest, CreateTopicsRequest, FetchRequest, MetadataRequest};
use protocol::record::{BatchBuilder, BatchSettings, Compression};
use protocol::{ApiKey, ErrorCode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use support::{Broker, FETCH_VERSION, batch, fetch_request};

/// What a broker may grow by while it is treated badly, in MB.
const GROWTH_MB: u64 = 64;

/// A broker with the topic `t` and a client's record in it.
fn broker(name: &str) -> Broker {
    let broker = Broker::fresh(name, &[]);
    broker.connect().create_topic("t", &[]);
    broker.assert_serves("t");
    broker
}

fn assert_grew_less_than(broker: &Broker, before: u64, limit: u64) {
    let highest = broker.memory_mb("VmHWM");
    assert!(highest < before + limit, "memory went from {before} MB to {highest} MB");
}

/// Pseudo-random bytes from a seed (xorshift).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// A batch whose header field at `position` is replaced, with a CRC that fits again.
fn patched(records: &Bytes, position: usize, field: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(&records[..]);
    bytes[position..position + field.len()].copy_from_slice(field);
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

/// CRC32C, bit by bit: the test does not trust the code under test.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn random_bytes_end_the_connection_and_nothing_else() {
    let broker = broker("random_bytes");
    let before = broker.memory_mb("VmRSS");
    for seed in 0..300 {
        let mut client = broker.connect();
        let bytes = noise(seed, 1 + (seed as usize * 37) % 5000);
        // A refused connection may be reset while it is still being written to.
        let _ = client.socket.write_all(&bytes);
        let _ = client.socket.shutdown(std::net::Shutdown::Write);
        assert!(client.is_closed(), "seed {seed} left the connection open");
    }
    broker.assert_serves("t");
    assert_grew_less_than(&broker, before, GROWTH_MB);
}

#[test]
fn random_bodies_under_a_proper_header_are_answered_or_close_the_connection() {
    let broker = broker("random_bodies");
    let before = broker.memory_mb("VmRSS");
    for api in ApiKey::all().filter(|api| api.on_broker()) {
        for version in api.versions() {
            let mut client = broker.connect();
            let mut frame = vec![0, 0, 0, 0];
            frame.extend(api.code().to_be_bytes());
            frame.extend(version.to_be_bytes());
            frame.extend([0, 0, 0, 1, 0, 1, b'x']);
            if api.request_header_version(version) >= 2 {
                frame.push(0);
            }
            frame.extend(noise(u64::from(version.unsigned_abs()) + 1, 200));
            let length = u32::try_from(frame.len() - 4).unwrap();
            frame[..4].copy_from_slice(&length.to_be_bytes());
            let _ = client.socket.write_all(&frame);
            let _ = client.socket.shutdown(std::net::Shutdown::Write);
            assert!(client.is_closed(), "{} version {version} left the connection open", api.name());
        }
    }
    broker.assert_serves("t");
    assert_grew_less_than(&broker, before, GROWTH_MB);
}

#[test]
fn truncated_frames_wait_for_their_rest_and_cost_nothing() {
    let broker = broker("truncated_frames");
    let before = broker.memory_mb("VmRSS");
    let claimed: Vec<TcpStream> = (0..500)
        .map(|_| {
            let mut socket = broker.connect().socket;
            socket.write_all(&90_000_000u32.to_be_bytes()).unwrap();
            socket.write_all(&[0, 0, 0, 12, 0, 0]).unwrap();
            socket
        })
        .collect();
    broker.assert_serves("t");
    assert_grew_less_than(&broker, before, GROWTH_MB);
    drop(claimed);
    broker.assert_serves("t");
}

#[test]
fn frames_of_impossible_length_close_the_connection() {
    let broker = broker("frame_lengths");
    let before = broker.memory_mb("VmRSS");
    for length in [0x7FFF_FFFF_u32, 0x8000_0000, 0xFFFF_FFFF, 104_857_601] {
        let mut client = broker.connect();
        client.socket.write_all(&length.to_be_bytes()).unwrap();
        assert!(client.is_closed(), "a frame of {length} bytes was waited for");
    }
    broker.assert_serves("t");
    assert_grew_less_than(&broker, before, GROWTH_MB);
}

#[test]
fn claimed_counts_that_the_frame_cannot_hold_close_the_connection() {
    let broker = broker("claimed_counts");
    let before = broker.memory_mb("VmRSS");
    let metadata = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    let frame = encode_request(1, Some("test"), &metadata, 1).unwrap().into_bytes();
    for count in [0x7FFF_FFFF_u32, 0x1000_0000] {
        let mut client = broker.connect();
        let mut bytes = BytesMut::from(&frame[..]);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&count.to_be_bytes());
        client.socket.write_all(&bytes).unwrap();
        assert!(client.is_closed());
    }
    broker.assert_serves("t");
    assert_grew_less_than(&broker, before, GROWTH_MB);
}

#[test]
fn many_partitions_in_one_fetch_are_answered_one_by_one_and_a_million_refused() {
    let broker = broker("million_partitions");
    let before = broker.memory_mb("VmRSS");
    let fetch = |count| {
        let partitions = (0..count).map(|partition| FetchPartition { partition, ..Default::default() });
        let topic = FetchTopic { topic: "t".to_owned(), partitions: partitions.collect(), ..Default::default() };
        let request = FetchRequest { max_bytes: 1, topics: vec![topic], ..Default::default() };
        broker.connect().call(&request, FETCH_VERSION)
    };
    let answered = fetch(100_000);
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    let partitions = &answered.responses[0].partitions;
    assert_eq!(partitions.iter().filter(|partition| partition.error_code == unknown).count(), 99_999);
    let refused = fetch(1_000_000);
    assert_eq!((ErrorCode::from_code(refused.error_code), refused.responses.len()), (ErrorCode::InvalidRequest, 0));
    broker.assert_serves("t");
    assert_grew_less_than(&broker, before, 150);
}

#[test]
fn a_topic_of_a_million_partitions_is_refused() {
    let broker = broker("million_partition_topic");
    let topic = CreatableTopic {
        name: "huge".to_owned(),
        num_partitions: 1_000_000,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let response = broker.connect().call(&request, 7);
    assert_eq!(ErrorCode::from_code(response.topics[0].error_code), ErrorCode::PolicyViolation);
    broker.assert_serves("t");
}

#[test]
fn a_batch_with_a_wrong_crc_is_refused_as_corrupt() {
    let broker = broker("wrong_crc");
    let mut client = broker.connect();
    let end = client.end_offset("t").unwrap();
    let mut bytes = BytesMut::from(&batch(&[b"value"])[..]);
    bytes[17] ^= 1;
    assert_eq!(client.produce("t", 1, bytes.freeze()).0, ErrorCode::CorruptMessage);
    assert_eq!(client.end_offset("t"), Ok(end));
    broker.assert_serves("t");
}

#[test]
fn batches_with_wrong_counts_and_lengths_are_refused() {
    let broker = broker("wrong_counts");
    let mut client = broker.connect();
    let end = client.end_offset("t").unwrap();
    let good = batch(&[b"one", b"two", b"three"]);
    let bad = [
        ("records count too high", patched(&good, 57, &1000i32.to_be_bytes())),
        ("records count too low", patched(&good, 57, &1i32.to_be_bytes())),
        ("records count negative", patched(&good, 57, &(-1i32).to_be_bytes())),
        ("records count at its limit", patched(&good, 57, &i32::MAX.to_be_bytes())),
        ("last offset delta too high", patched(&good, 23, &7i32.to_be_bytes())),
        ("length of a record", patched(&good, 61, &[0x7F])),
        ("magic", patched(&good, 16, &[9])),
        ("no records", Bytes::new()),
        ("cut off", good.slice(..good.len() - 1)),
        ("batch length too high", patched(&good, 8, &1_000_000i32.to_be_bytes())),
        ("batch length negative", patched(&good, 8, &(-1i32).to_be_bytes())),
        ("noise", Bytes::from(noise(7, 400))),
    ];
    for (what, records) in bad {
        client.send_produce("t", 1, records).unwrap();
        match client.read_produced() {
            Ok((error, _)) => assert_ne!(error, ErrorCode::None, "accepted: {what}"),
            Err(_) => client = broker.connect(),
        }
        assert_eq!(client.end_offset("t"), Ok(end), "appended: {what}");
    }
    broker.assert_serves("t");
}

#[test]
fn decompression_bombs_are_refused_or_stored_as_they_came() {
    let broker = broker("bombs");
    let before = broker.memory_mb("VmRSS");
    let zeros = vec![0; 500 << 20];
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Lz4] {
        let mut builder = BatchBuilder::new(BatchSettings { compression, ..BatchSettings::default() });
        builder.append(0, None, Some(&zeros), &[]);
        let records = builder.build();
        let mut client = broker.connect();
        client.send_produce("t", 1, records).unwrap();
        // An error or a closed connection: either is an answer.
        let _ = client.read_produced();
        broker.assert_serves("t");
    }
    assert_grew_less_than(&broker, before, 300);
}

#[test]
fn ten_thousand_idle_connections_cost_at_most_80_mb() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.maximum.is_some_and(|maximum| maximum < 10_500) || setrlimit(Resource::Nofile, wanted).is_err() {
        eprintln!("skipped: the limit of open files is below 10,500");
        return;
    }
    let broker = broker("idle_connections");
    let request = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1".to_owned(),
        ..Default::default()
    };
    let connections: Vec<_> = (0..10_000)
        .map(|_| {
            let mut client = broker.connect();
            client.call(&request, 3);
            client
        })
        .collect();
    broker.assert_serves("t");
    let memory = broker.memory_mb("VmRSS");
    assert!(memory <= 80, "{memory} MB for {} connections", connections.len());
}

/// Fills the topic `t` with 32 MB.
fn fill(broker: &Broker) {
    let mut client = broker.connect();
    let value = noise(1, 900_000);
    for _ in 0..36 {
        assert_eq!(client.produce("t", 1, batch(&[&value])).0, ErrorCode::None);
    }
}

#[test]
fn clients_that_never_read_their_replies_are_pushed_back() {
    let broker = broker("never_reads");
    fill(&broker);
    let before = broker.memory_mb("VmRSS");
    let request = encode_request(1, Some("test"), &fetch_request("t", 0, 1 << 20), FETCH_VERSION).unwrap().into_bytes();
    let mut held = Vec::new();
    for _ in 0..32 {
        let mut client = broker.connect();
        client.socket.set_nonblocking(true).unwrap();
        let mut sent = 0;
        // As much as the sockets and the broker take, or 5 GB of replies.
        while sent < 5_000 {
            match client.socket.write(&request) {
                Ok(_) => sent += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => break,
            }
        }
        held.push(client);
    }
    broker.assert_serves("t");
    assert_grew_less_than(&broker, before, 2 * GROWTH_MB);
    drop(held);
    broker.assert_serves("t");
}

#[test]
fn slow_readers_hold_nobody_up_and_get_every_byte() {
    let broker = broker("slow_readers");
    fill(&broker);
    let before = broker.memory_mb("VmRSS");
    let request =
        encode_request(1, Some("test"), &fetch_request("t", 0, 32 << 20), FETCH_VERSION).unwrap().into_bytes();
    let mut readers: Vec<_> = (0..8).map(|_| broker.connect()).collect();
    for reader in &mut readers {
        reader.socket.write_all(&request).unwrap();
    }
    for _ in 0..20 {
        for reader in &mut readers {
            reader.socket.read_exact(&mut [0; 1000]).unwrap();
        }
        broker.assert_serves("t");
    }
    assert_grew_less_than(&broker, before, GROWTH_MB);
    let mut first = readers.swap_remove(0);
    first.socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut rest = vec![0; 30 << 20];
    first.socket.read_exact(&mut rest).unwrap();
}
