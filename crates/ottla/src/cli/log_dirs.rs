//! `kafka-log-dirs.sh`: what lies in the log directories of brokers, as JSON.

use std::collections::BTreeSet;

use protocol::messages::DescribeLogDirsRequest;
use protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use protocol::{ErrorCode, TopicPartition};
use serde_json::{Value, json};

use super::java::{DEFAULT_CAPACITY, Exception, Failure, hash_order, parse_number};
use super::options::{self, Parsed, tables::log_dirs::OPTIONS};
use super::out::Out;
use super::session;
use super::stop::Stop;

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args).map_err(|error| Exception::from(error).traced())?;
    parsed.help_or_version("This tool helps to query log directory usage on the specified brokers.")?;
    parsed.require(&["bootstrap-server", "describe"])?;
    session::run(async { execute(&parsed, out).await.map_err(Failure::traced) })
}

async fn execute(parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let mut properties = session::optional_properties(parsed.one("command-config")?)?;
    properties.entry("client.id".to_owned()).or_insert_with(|| "log-dirs-tool".to_owned());
    let listed = |name: &str| -> Result<Vec<&str>, Exception> {
        Ok(parsed.text(name)?.split(',').filter(|part| !part.is_empty()).collect())
    };
    let topics = listed("topic-list")?;
    let client = session::connect(parsed.text("bootstrap-server")?, &properties).await?;
    let cluster: BTreeSet<i32> = client.cluster().brokers.keys().copied().collect();
    let mut asked: BTreeSet<i32> =
        listed("broker-list")?.into_iter().map(parse_number).collect::<Result<_, Exception>>()?;
    let join = |ids: &mut dyn Iterator<Item = &i32>| ids.map(ToString::to_string).collect::<Vec<_>>().join(",");
    let missing = join(&mut asked.difference(&cluster));
    if !missing.is_empty() {
        return Err(Stop::error(&format!(
            "ERROR: The given brokers do not exist from --broker-list: {missing}. Current existent brokers: {}",
            join(&mut cluster.iter())
        ))
        .into());
    }
    if asked.is_empty() {
        asked = cluster;
    }
    out.line("Querying brokers for log directories information")?;
    let mut brokers = Vec::new();
    for broker in &asked {
        let request = DescribeLogDirsRequest { topics: None, ..Default::default() };
        let response = client.retry("describeLogDirs", async || client.send_to(*broker, &request).await).await?;
        Exception::check(response.error_code, None)?;
        let dirs: Vec<Value> = response.results.iter().map(|dir| log_dir(dir, &topics)).collect();
        brokers.push(json!({ "broker": broker, "logDirs": dirs }));
    }
    out.line(format_args!("Received log directory information from brokers {}", join(&mut asked.iter())))?;
    out.line(json!({ "brokers": brokers, "version": 1 }))?;
    Ok(())
}

fn log_dir(dir: &DescribeLogDirsResult, topics: &[&str]) -> Value {
    let mut replicas = Vec::new();
    for topic in dir.topics.iter().filter(|topic| topics.is_empty() || topics.contains(&topic.name.as_str())) {
        for replica in &topic.partitions {
            replicas.push((TopicPartition::new(topic.name.as_str(), replica.partition_index), replica));
        }
    }
    hash_order(&mut replicas, DEFAULT_CAPACITY, |(partition, _)| partition);
    let partitions: Vec<Value> = replicas
        .iter()
        .map(|(partition, replica)| {
            json!({
                "partition": partition.to_string(),
                "size": replica.partition_size,
                "offsetLag": replica.offset_lag,
                "isFuture": replica.is_future_key,
            })
        })
        .collect();
    let error = ErrorCode::from_code(dir.error_code);
    let error = error.is_error().then(|| Exception::of_code(error, None).class);
    json!({ "partitions": partitions, "error": error, "logDir": dir.log_dir })
}
