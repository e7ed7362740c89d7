//! The client against brokers that are old, silent, or broken: a few lines that speak the protocol take their place.
#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::time::Duration;

use bytes::Bytes;
use client::{Client, ClientConfig, ClientError, Producer, ProducerConfig, Record};
use protocol::messages::api_versions_response::ApiVersion;
use protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use protocol::messages::{ApiVersionsResponse, DescribeClusterRequest, InitProducerIdResponse, MetadataResponse};
use protocol::{ApiKey, ErrorCode, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a broker does with a request: api, version, correlation id. `None` closes the connection.
type Answer = fn(ApiKey, i16, i32, i32) -> Option<Vec<u8>>;

/// Starts a broker and returns the configuration to reach it.
async fn broker(answer: Answer) -> ClientConfig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer, i32::from(port)));
        }
    });
    ClientConfig {
        bootstrap_servers: vec![format!("127.0.0.1:{port}")],
        request_timeout: Duration::from_millis(300),
        api_timeout: Duration::from_millis(900),
        ..ClientConfig::default()
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, port: i32) {
    while let Ok(length) = stream.read_i32().await {
        let mut request = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut request).await.unwrap();
        let (api, header, _) = frame::decode_request_header(&Bytes::from(request)).unwrap();
        match answer(api, header.request_api_version, header.correlation_id, port) {
            Some(bytes) => stream.write_all(&bytes).await.unwrap(),
            None => return,
        }
    }
}

fn versions() -> ApiVersionsResponse {
    let range = |api: ApiKey| ApiVersion {
        api_key: api.code(),
        min_version: *api.versions().start(),
        max_version: *api.versions().end(),
        ..ApiVersion::default()
    };
    ApiVersionsResponse { api_keys: ApiKey::all().map(range).collect(), ..ApiVersionsResponse::default() }
}

fn metadata(port: i32) -> MetadataResponse {
    let broker = MetadataResponseBroker { host: "127.0.0.1".to_owned(), port, ..MetadataResponseBroker::default() };
    let topic = MetadataResponseTopic {
        name: Some("t".to_owned()),
        partitions: vec![MetadataResponsePartition::default()],
        ..MetadataResponseTopic::default()
    };
    MetadataResponse { brokers: vec![broker], topics: vec![topic], ..MetadataResponse::default() }
}

fn encode<M: protocol::Message>(api: ApiKey, version: i16, correlation_id: i32, response: &M) -> Option<Vec<u8>> {
    Some(frame::encode_response(api, version, correlation_id, response).unwrap().into_bytes().to_vec())
}

/// Answers what every broker has to, and nothing else ever.
fn silent(api: ApiKey, version: i16, id: i32, port: i32) -> Option<Vec<u8>> {
    match api {
        ApiKey::ApiVersions => encode(api, version, id, &versions()),
        ApiKey::Metadata => encode(api, version, id, &metadata(port)),
        ApiKey::InitProducerId => {
            encode(api, version, id, &InitProducerIdResponse { producer_id: 1, ..Default::default() })
        }
        _ => Some(Vec::new()),
    }
}

async fn describe(answer: Answer) -> ClientError {
    let client = Client::connect(broker(answer).await).await.unwrap();
    client.send_to_any(&DescribeClusterRequest::default()).await.unwrap_err()
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_given_up_and_a_new_connection_made() {
    let client = Client::connect(broker(silent).await).await.unwrap();
    let error = client.send_to_any(&DescribeClusterRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::RequestTimedOut, "{error}");
    assert!(client.metadata(Some(&["t"])).await.unwrap().topic("t").is_some());
}

#[tokio::test]
async fn a_broker_that_hangs_up_is_an_error_that_may_pass() {
    let error = describe(|api, version, id, port| match api {
        ApiKey::DescribeCluster => None,
        _ => silent(api, version, id, port),
    });
    let error = error.await;
    assert!(matches!(error, ClientError::Disconnected { .. }), "{error}");
    assert!(error.is_retriable());
}

#[tokio::test]
async fn answers_to_nothing_and_frames_without_end_close_the_connection() {
    let wrong_id = describe(|api, version, id, port| match api {
        ApiKey::DescribeCluster => Some(vec![0, 0, 0, 5, 0x7f, 0, 0, 0, 0]),
        _ => silent(api, version, id, port),
    });
    assert!(wrong_id.await.is_retriable());
    let endless = describe(|api, version, id, port| match api {
        ApiKey::DescribeCluster => Some(vec![0x7f, 0xff, 0xff, 0xff, 0]),
        _ => silent(api, version, id, port),
    });
    assert!(matches!(endless.await, ClientError::InvalidResponse { .. }));
    let garbage = describe(|api, version, id, port| match api {
        ApiKey::DescribeCluster => Some([&[0, 0, 0, 9][..], &id.to_be_bytes(), &[0xff; 5]].concat()),
        _ => silent(api, version, id, port),
    });
    assert!(matches!(garbage.await, ClientError::Decode(_)));
}

#[tokio::test]
async fn a_broker_with_older_versions_is_spoken_to_in_them() {
    let config = broker(|api, version, id, port| match (api, version) {
        (ApiKey::ApiVersions, 1..) => {
            let refusal = ApiVersionsResponse { error_code: ErrorCode::UnsupportedVersion.code(), ..versions() };
            encode(api, 0, id, &refusal)
        }
        (ApiKey::ApiVersions, _) => {
            let mut old = versions();
            old.api_keys.retain(|range| range.api_key != ApiKey::DescribeCluster.code());
            for range in old.api_keys.iter_mut().filter(|range| range.api_key == ApiKey::Metadata.code()) {
                range.max_version = 5;
            }
            for range in old.api_keys.iter_mut().filter(|range| range.api_key == ApiKey::ApiVersions.code()) {
                range.max_version = 0;
            }
            encode(api, 0, id, &old)
        }
        (ApiKey::Metadata, 6..) => None,
        _ => silent(api, version, id, port),
    });
    let client = Client::connect(config.await).await.unwrap();
    assert!(client.metadata(Some(&["t"])).await.unwrap().topic("t").is_some());
    let error = client.send_to_any(&DescribeClusterRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnsupportedVersion);
}

#[tokio::test]
async fn records_that_nobody_acknowledges_fail_and_give_their_memory_back() {
    let client = Client::connect(broker(silent).await).await.unwrap();
    let config = ProducerConfig {
        delivery_timeout: Duration::from_millis(700),
        buffer_memory: 40_000,
        max_block: Duration::from_secs(10),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(client, config).unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..10 {
        let record = Record { topic: "t", value: Some(&[0; 10_000]), ..Record::default() };
        deliveries.push(producer.send(record).await.unwrap());
    }
    producer.flush().await;
    for delivery in deliveries {
        assert!(delivery.delivered().await.is_err());
    }
    let large = Record { topic: "t", value: Some(&[0; 50_000]), ..Record::default() };
    assert!(matches!(producer.send(large).await, Err(ClientError::RecordTooLarge { setting: "buffer.memory", .. })));
}

#[tokio::test]
async fn a_bootstrap_server_that_is_not_there_fails_in_time() {
    let config = ClientConfig {
        bootstrap_servers: vec!["127.0.0.1:1".to_owned()],
        api_timeout: Duration::from_millis(300),
        ..ClientConfig::default()
    };
    assert!(matches!(Client::connect(config).await, Err(ClientError::Connect { .. })));
    let unknown =
        ClientConfig { bootstrap_servers: vec!["no.such.name.invalid:1".to_owned()], ..ClientConfig::default() };
    assert!(matches!(Client::connect(unknown).await, Err(ClientError::InvalidConfig { .. })));
}
