//! Loads with many connections: one record a request, or nothing at all.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use hdrhistogram::Histogram;
use protocol::frame::encode_request;
use protocol::messages::ApiVersionsRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::task::JoinSet;

use crate::connection::{batch, check_produced, produce_frame};
use crate::options::Options;
use crate::{report, report_latencies};

fn runtime() -> Result<runtime::Runtime> {
    Ok(runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn call(socket: &mut TcpStream, frame: &[u8], response: &mut Vec<u8>) -> Result<()> {
    socket.write_all(frame).await?;
    read_response(socket, response).await
}

async fn read_response(socket: &mut TcpStream, response: &mut Vec<u8>) -> Result<()> {
    let length = socket.read_u32().await?;
    response.resize(length as usize, 0);
    socket.read_exact(response).await?;
    Ok(())
}

/// Each of `--connections` sends requests of one record of `--size` for `--seconds`, with `--in-flight` of them unanswered.
pub(crate) fn small(options: &Options) -> Result<()> {
    let connections: i32 = options.number("connections", 1)?;
    let partitions: i32 = options.number("partitions", 1)?;
    let acks = options.number("acks", 1)?;
    let in_flight: usize = options.number("in-flight", 1)?;
    let seconds: f64 = options.number("seconds", 3.0)?;
    let (topic, address) = (options.text("topic", "load"), options.text("bootstrap", "127.0.0.1:9092"));
    let records = batch(1, options.number("size", 100)?);
    let frames = (0..partitions)
        .map(|partition| Ok(Arc::new(produce_frame(topic, partition, acks, records.clone())?)))
        .collect::<Result<Vec<_>>>()?;
    runtime()?.block_on(async {
        let mut sockets = Vec::new();
        for _ in 0..connections {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            sockets.push(socket);
        }
        let (start, mut clients) = (Instant::now(), JoinSet::new());
        let end = start + Duration::from_secs_f64(seconds);
        for (socket, frame) in sockets.into_iter().zip(frames.iter().cycle()) {
            clients.spawn(keep_sending(socket, Arc::clone(frame), in_flight, end));
        }
        let mut latencies = Histogram::<u64>::new(3)?;
        while let Some(client) = clients.join_next().await {
            latencies.add(client??)?;
        }
        report("requests", latencies.len());
        report("requests_per_second", latencies.len() as f64 / start.elapsed().as_secs_f64());
        report_latencies(&latencies);
        Ok(())
    })
}

/// Keeps `in_flight` requests on their way until `end`.
async fn keep_sending(
    mut socket: TcpStream,
    frame: Arc<Bytes>,
    in_flight: usize,
    end: Instant,
) -> Result<Histogram<u64>> {
    let mut latencies = Histogram::<u64>::new(3)?;
    let mut response = Vec::new();
    let mut sent = VecDeque::with_capacity(in_flight);
    let mut now = Instant::now();
    loop {
        while now < end && sent.len() < in_flight {
            socket.write_all(&frame).await?;
            sent.push_back(now);
        }
        let Some(since) = sent.pop_front() else { return Ok(latencies) };
        read_response(&mut socket, &mut response).await?;
        if latencies.is_empty() {
            check_produced(&Bytes::copy_from_slice(&response))?;
        }
        now = Instant::now();
        latencies.record(u64::try_from((now - since).as_nanos())?)?;
    }
}

/// Opens `--connections`, says ApiVersions on each, reports that they are ready and holds them until standard input ends.
pub(crate) fn idle(options: &Options) -> Result<()> {
    let count: usize = options.number("connections", 1)?;
    let request = ApiVersionsRequest {
        client_software_name: "load".to_owned(),
        client_software_version: "1".to_owned(),
        ..Default::default()
    };
    let frame = encode_request(0, Some("load"), &request, 3)?.into_bytes();
    runtime()?.block_on(async {
        let mut sockets = Vec::new();
        let mut response = Vec::new();
        for _ in 0..count {
            let mut socket = TcpStream::connect(options.text("bootstrap", "127.0.0.1:9092")).await?;
            call(&mut socket, &frame, &mut response).await?;
            sockets.push(socket);
        }
        report("ready", sockets.len());
        std::io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    })
}
