//! What all tests against a broker need.
#![allow(clippy::unwrap_used, reason = "a test fails by its panic")]
#![allow(dead_code, reason = "not every test needs everything")]

use std::time::{SystemTime, UNIX_EPOCH};

use client::{Client, ClientConfig};
use protocol::messages::CreateTopicsRequest;
use protocol::messages::create_topics_request::CreatableTopic;

pub(crate) async fn connect() -> Option<Client> {
    let bootstrap = std::env::var("OTTLA_BOOTSTRAP").ok()?;
    let config = ClientConfig { bootstrap_servers: vec![bootstrap], ..ClientConfig::default() };
    Some(Client::connect(config).await.unwrap())
}

#[allow(clippy::disallowed_methods, reason = "names have to differ from run to run")]
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos())
}

pub(crate) async fn create_topic(client: &Client, name: &str, partitions: i32) -> String {
    let name = unique(name);
    let topic = CreatableTopic {
        name: name.clone(),
        num_partitions: partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() };
    let response = client.send_to_controller(&request).await.unwrap();
    assert_eq!(response.topics[0].error_code, 0, "{response:?}");
    name
}
