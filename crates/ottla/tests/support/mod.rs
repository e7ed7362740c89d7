//! A broker process and a blocking client for the system tests.
//! Both are owned by one test: the process ends and its folder goes when they are dropped.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::disallowed_methods, reason = "a real process is watched in real time")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::frame::{decode_response_header, encode_request};
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::{
    CreateTopicsRequest, FetchRequest, ListOffsetsRequest, Message, ProduceRequest, ProduceResponse, Request,
};
use protocol::record::{BatchBuilder, BatchSettings};
use protocol::{ApiKey, ErrorCode, Records, record};

/// How long anything may take before a test gives up.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// Versions that name topics.
pub(crate) const PRODUCE_VERSION: i16 = 12;
pub(crate) const FETCH_VERSION: i16 = 12;

/// Looks at `condition` until it holds; another process tells nobody when it changes.
pub(crate) fn wait_for(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if condition() {
            return true;
        }
        std::thread::park_timeout(Duration::from_millis(3));
    }
    condition()
}

/// An empty folder for the test `name`.
pub(crate) fn fresh_dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// Two ports that nobody uses now.
fn free_ports() -> (u16, u16) {
    let sockets = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let [first, second] = sockets.map(|socket| socket.local_addr().unwrap().port());
    (first, second)
}

/// A broker process over a folder.
pub(crate) struct Broker {
    pub(crate) address: String,
    pub(crate) dir: PathBuf,
    properties: PathBuf,
    child: Child,
}

impl Broker {
    /// Starts a broker over a fresh folder.
    pub(crate) fn fresh(name: &str, more: &[(&str, &str)]) -> Self {
        Self::over(&fresh_dir(name), more)
    }

    /// Starts a broker over `dir`, formatted if it is not yet, and waits until it answers.
    pub(crate) fn over(dir: &Path, more: &[(&str, &str)]) -> Self {
        let mut broker = Self::spawned(dir, more);
        let up = wait_for(LIMIT, || broker.answers() || broker.has_ended());
        assert!(up && !broker.has_ended(), "the broker did not come up: {}", broker.said());
        broker
    }

    /// Starts a broker over `dir` and does not wait.
    pub(crate) fn spawned(dir: &Path, more: &[(&str, &str)]) -> Self {
        let (port, controller) = free_ports();
        let data = dir.join("data");
        let mut text = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
             offsets.topic.replication.factor=1\nlog.dirs={}\n",
            data.display()
        );
        for (name, value) in more {
            text += &format!("{name}={value}\n");
        }
        let properties = dir.join(format!("server-{port}.properties"));
        fs::write(&properties, text).unwrap();
        if !data.join("meta.properties").exists() {
            let format = ["storage", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"];
            let status = ottla().args(format).arg(&properties).stdout(Stdio::null()).status().unwrap();
            assert!(status.success(), "formatting failed: {status}");
        }
        let log = File::create(properties.with_extension("log")).unwrap();
        let mut command = ottla();
        command.args(["server", "--config"]).arg(&properties);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { address: format!("127.0.0.1:{port}"), dir: dir.to_owned(), properties, child }
    }

    /// True once the broker answers a request.
    fn answers(&self) -> bool {
        const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0, 0];
        let Ok(mut socket) = TcpStream::connect(&self.address) else { return false };
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let mut head = [0; 8];
        socket.write_all(&API_VERSIONS).is_ok() && socket.read_exact(&mut head).is_ok() && head[4..] == [0, 0, 0, 7]
    }

    /// True if the process is gone.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What the process wrote to its outputs.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.properties.with_extension("log")).unwrap_or_default()
    }

    /// Kills the process at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to end, and returns how it ended and how long it took.
    pub(crate) fn terminate(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        let status = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
        assert!(wait_for(LIMIT, || self.has_ended()), "SIGTERM was not heeded: {}", self.said());
        (self.child.wait().unwrap(), start.elapsed())
    }

    /// Waits until the process ends by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        assert!(wait_for(LIMIT, || self.has_ended()), "the broker still runs: {}", self.said());
        self.child.wait().unwrap()
    }

    /// Resident memory in MB: `VmRSS` now, or `VmHWM` at its highest.
    pub(crate) fn memory_mb(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<u64>().unwrap() / 1024
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.address)
    }

    /// Fails unless a well-behaved client can produce to `topic` and read back in a reasonable time.
    pub(crate) fn assert_serves(&self, topic: &str) {
        let start = Instant::now();
        let mut client = self.connect();
        let produced = client.produce(topic, -1, batch(&[b"healthy"]));
        assert_eq!(produced.0, ErrorCode::None, "{}", self.said());
        let (batches, _) = client.fetch(topic, produced.1);
        assert!(!batches.is_empty(), "what was acked is not there");
        assert!(start.elapsed() < Duration::from_secs(5), "other clients waited {:?}", start.elapsed());
        assert!(!self.said().contains("panicked"), "a request made the broker panic: {}", self.said());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // The process may have been killed or have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn ottla() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ottla"))
}

/// A batch of one record per value.
pub(crate) fn batch(values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchSettings::default());
    for value in values {
        builder.append(0, None, Some(value), &[]);
    }
    builder.build()
}

/// One blocking connection.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.set_write_timeout(Some(LIMIT)).unwrap();
        Self { socket }
    }

    /// Sends a request and waits for its response.
    pub(crate) fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.try_call(request, version).unwrap()
    }

    /// As [`Client::call`], with the error of a connection that ends.
    pub(crate) fn try_call<R: Request>(&mut self, request: &R, version: i16) -> io::Result<R::Response> {
        let frame = encode_request(0, Some("test"), request, version).unwrap().into_bytes();
        self.socket.write_all(&frame)?;
        let frame = self.read_frame()?;
        let (_, mut reader) = decode_response_header(&frame, R::API_KEY, version).unwrap();
        Ok(R::Response::decode(&mut reader, version).unwrap())
    }

    pub(crate) fn read_frame(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut frame)?;
        Ok(Bytes::from(frame))
    }

    /// Reads until the other side closes; true if it does so before the limit.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = [0; 4096];
        loop {
            match self.socket.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// Creates a topic of one partition and waits until its leader answers.
    pub(crate) fn create_topic(&mut self, name: &str, configs: &[(&str, &str)]) {
        let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            ..Default::default()
        });
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..Default::default() };
        let response = self.call(&request, 7);
        assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0]);
        assert!(wait_for(LIMIT, || self.end_offset(name).is_ok()));
    }

    /// The offset after the last record.
    pub(crate) fn end_offset(&mut self, topic: &str) -> Result<i64, ErrorCode> {
        let partition = ListOffsetsPartition { partition_index: 0, timestamp: -1, ..Default::default() };
        let topic = ListOffsetsTopic { name: topic.to_owned(), partitions: vec![partition], ..Default::default() };
        let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
        let partition = self.call(&request, 9).topics[0].partitions[0].clone();
        match ErrorCode::from_code(partition.error_code) {
            ErrorCode::None => Ok(partition.offset),
            error => Err(error),
        }
    }

    /// Produces `records` to partition 0; its error and base offset.
    pub(crate) fn produce(&mut self, topic: &str, acks: i16, records: Bytes) -> (ErrorCode, i64) {
        self.send_produce(topic, acks, records).unwrap();
        self.read_produced().unwrap()
    }

    pub(crate) fn send_produce(&mut self, topic: &str, acks: i16, records: Bytes) -> io::Result<()> {
        let partition = PartitionProduceData { index: 0, records: Records::Bytes(records), ..Default::default() };
        let topic = TopicProduceData { name: topic.to_owned(), partition_data: vec![partition], ..Default::default() };
        let request = ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() };
        let frame = encode_request(0, Some("test"), &request, PRODUCE_VERSION).unwrap().into_bytes();
        self.socket.write_all(&frame)
    }

    pub(crate) fn read_produced(&mut self) -> io::Result<(ErrorCode, i64)> {
        let frame = self.read_frame()?;
        let (_, mut reader) = decode_response_header(&frame, ApiKey::Produce, PRODUCE_VERSION).unwrap();
        let response = ProduceResponse::decode(&mut reader, PRODUCE_VERSION).unwrap();
        let partition = &response.responses[0].partition_responses[0];
        Ok((ErrorCode::from_code(partition.error_code), partition.base_offset))
    }

    /// Fetches partition 0 once from `offset`: whole batches, and the offset after them.
    pub(crate) fn fetch(&mut self, topic: &str, offset: i64) -> (Vec<record::Batch>, i64) {
        let response = self.call(&fetch_request(topic, offset, 1 << 20), FETCH_VERSION);
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.error_code, 0, "fetch refused: {:?}", ErrorCode::from_code(partition.error_code));
        let mut next = offset;
        let mut batches = Vec::new();
        let bytes = partition.records.bytes().cloned().unwrap_or_default();
        for batch in record::batches(&bytes).map_while(Result::ok) {
            next = batch.header.next_offset();
            batches.push(batch);
        }
        (batches, next)
    }

    /// The values of all records of partition 0, with their offsets.
    pub(crate) fn read_all(&mut self, topic: &str) -> Vec<(i64, Bytes)> {
        let end = self.end_offset(topic).unwrap();
        let mut offset = 0;
        let mut values = Vec::new();
        while offset < end {
            let (batches, next) = self.fetch(topic, offset);
            assert!(next > offset, "nothing at offset {offset} of {end}");
            for batch in batches {
                let records = batch.records().unwrap().map(Result::unwrap);
                values.extend(records.map(|record| (record.offset, record.value.unwrap_or_default())));
            }
            offset = next;
        }
        values
    }
}

/// A request for up to `max_bytes` of partition 0 from `offset`.
pub(crate) fn fetch_request(topic: &str, offset: i64, max_bytes: i32) -> FetchRequest {
    let partition =
        FetchPartition { partition: 0, fetch_offset: offset, partition_max_bytes: max_bytes, ..Default::default() };
    let topic = FetchTopic { topic: topic.to_owned(), partitions: vec![partition], ..Default::default() };
    FetchRequest { max_wait_ms: 100, min_bytes: 1, max_bytes, topics: vec![topic], ..Default::default() }
}
