//! A blocking connection to a broker, and the requests that every load needs.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use protocol::frame::{decode_response_header, encode_request};
use protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, Message, ProduceRequest, ProduceResponse, Request,
};
use protocol::record::{BatchBuilder, BatchSettings};
use protocol::{ErrorCode, Records};

/// Version of Produce that names topics.
pub(crate) const PRODUCE_VERSION: i16 = 12;

/// One socket; requests and responses in order.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
}

impl Connection {
    /// Connects to `address`.
    pub(crate) fn open(address: &str) -> Result<Self> {
        let socket = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        socket.set_nodelay(true)?;
        Ok(Self { socket })
    }

    /// Sends `request` and waits for its response.
    pub(crate) fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response> {
        let frame = encode_request(0, Some("load"), request, version)?.into_bytes();
        self.socket.write_all(&frame)?;
        let frame = self.read_frame()?;
        let (_, mut reader) = decode_response_header(&frame, R::API_KEY, version)?;
        Ok(R::Response::decode(&mut reader, version)?)
    }

    /// Reads one frame without its length.
    pub(crate) fn read_frame(&mut self) -> Result<Bytes> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut frame)?;
        Ok(Bytes::from(frame))
    }

    /// Creates topics and waits until each partition has a leader.
    pub(crate) fn create_topics(&mut self, names: &[String], partitions: i32, configs: &[(&str, &str)]) -> Result<()> {
        let configs: Vec<_> = configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: (*name).to_owned(),
                value: Some((*value).to_owned()),
                ..Default::default()
            })
            .collect();
        let topics = names
            .iter()
            .map(|name| CreatableTopic {
                name: name.clone(),
                num_partitions: partitions,
                replication_factor: 1,
                configs: configs.clone(),
                ..Default::default()
            })
            .collect();
        let request = CreateTopicsRequest { topics, timeout_ms: 60_000, ..Default::default() };
        let response = self.call(&request, 7)?;
        for topic in &response.topics {
            ensure!(topic.error_code == 0, "{}: {:?}", topic.name, ErrorCode::from_code(topic.error_code));
        }
        while !self.has_leaders(names, partitions)? {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Ok(())
    }

    /// Deletes a topic.
    pub(crate) fn delete_topic(&mut self, name: &str) -> Result<()> {
        let request =
            DeleteTopicsRequest { topic_names: vec![name.to_owned()], timeout_ms: 60_000, ..Default::default() };
        let response = self.call(&request, 5)?;
        let failed = response.responses.iter().find(|topic| topic.error_code != 0);
        ensure!(failed.is_none(), "{name} is not deleted: {failed:?}");
        Ok(())
    }

    /// True once the leader of each partition answers: metadata name it a little earlier.
    fn has_leaders(&mut self, names: &[String], partitions: i32) -> Result<bool> {
        let topics = names.iter().map(|name| ListOffsetsTopic {
            name: name.clone(),
            partitions: (0..partitions)
                .map(|partition_index| ListOffsetsPartition { partition_index, timestamp: -1, ..Default::default() })
                .collect(),
            ..Default::default()
        });
        let request = ListOffsetsRequest { replica_id: -1, topics: topics.collect(), ..Default::default() };
        let response = self.call(&request, 9)?;
        Ok(response.topics.iter().flat_map(|topic| &topic.partitions).all(|partition| partition.error_code == 0))
    }
}

/// A batch of `count` records with values of `size` bytes that do not compress to nothing.
pub(crate) fn batch(count: usize, size: usize) -> Bytes {
    let value: Vec<u8> = (0..size).map(|i| (i.wrapping_mul(31) >> 2) as u8).collect();
    let mut builder = BatchBuilder::new(BatchSettings::default());
    for _ in 0..count {
        builder.append(now_ms(), None, Some(&value), &[]);
    }
    builder.build()
}

/// Wall clock, epoch milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The frame of a Produce request of one batch.
pub(crate) fn produce_frame(topic: &str, partition: i32, acks: i16, records: Bytes) -> Result<Bytes> {
    let request = ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Records::Bytes(records),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    Ok(encode_request(0, Some("load"), &request, PRODUCE_VERSION)?.into_bytes())
}

/// Fails if the response in `frame` refuses a batch.
pub(crate) fn check_produced(frame: &Bytes) -> Result<()> {
    let (_, mut reader) = decode_response_header(frame, protocol::ApiKey::Produce, PRODUCE_VERSION)?;
    let response = ProduceResponse::decode(&mut reader, PRODUCE_VERSION)?;
    for partition in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
        if partition.error_code != 0 {
            bail!("produce refused: {:?}", ErrorCode::from_code(partition.error_code));
        }
    }
    Ok(())
}
