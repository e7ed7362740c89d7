//! `kafka-leader-election.sh`: elects preferred leaders, or leaders out of sync.

use client::Client;
use protocol::messages::ElectLeadersRequest;
use protocol::messages::elect_leaders_request::TopicPartitions;
use protocol::messages::elect_leaders_response::ElectLeadersResponse;
use protocol::{ErrorCode, TopicPartition};
use serde_json::Value;

use super::java::{DEFAULT_CAPACITY, Exception, Failure, hash_order};
use super::options::{self, ParseError, Parsed, tables::leader_election::OPTIONS};
use super::out::Out;
use super::session;
use super::stop::Stop;

const COMMAND_FAILED: &str = "org.apache.kafka.tools.AdminCommandFailedException";
const OPERATION: &str = "org.apache.kafka.tools.AdminOperationException";
const TIMEOUT_MS: i32 = 30_000;

/// Kinds of elections with their codes.
const KINDS: [(&str, i8); 2] = [("PREFERRED", 0), ("UNCLEAN", 1)];

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args).map_err(|error| Exception::from(error).traced())?;
    parsed.help_or_version(
        "This tool attempts to elect a new leader for a set of topic partitions. The type of elections supported are \
         preferred replicas and unclean replicas.",
    )?;
    check(&parsed).map_err(Failure::traced)?;
    session::run(async { execute(&parsed, out).await.map_err(Failure::traced) })
}

fn check(parsed: &Parsed) -> Result<(), Failure> {
    let refuse = |message: String| Err(Exception::new(COMMAND_FAILED, message).into());
    let missing: Vec<&str> =
        ["bootstrap-server", "election-type"].into_iter().filter(|option| !parsed.has(option)).collect();
    if !missing.is_empty() {
        return refuse(format!("Missing required option(s): {}", missing.join(", ")));
    }
    parsed.forbid("admin.config", &["command-config"])?;
    let choices = ["topic", "all-topic-partitions", "path-to-json-file"];
    if choices.iter().filter(|option| parsed.has(option)).count() != 1 {
        let choices = choices.join(", ");
        return refuse(format!("One and only one of the following options is required: {choices}"));
    }
    match (parsed.has("topic"), parsed.has("partition")) {
        (true, false) => refuse("Missing required option(s): partition".to_owned()),
        (false, true) => refuse("Option partition is only allowed if topic is used".to_owned()),
        _ => Ok(()),
    }
}

async fn execute(parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let text = parsed.text("election-type")?;
    let kind = KINDS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    let kind =
        kind.ok_or_else(|| ParseError::BadArgument { option: "election-type".to_owned(), value: text.to_owned() })?;
    let partitions = match parsed.one("path-to-json-file")? {
        Some(path) => Some(read_file(path)?),
        None if parsed.has("topic") => {
            let partition = parsed.number("partition")?.unwrap_or_default();
            Some(vec![TopicPartition::new(parsed.text("topic")?, partition)])
        }
        None => None,
    };
    let config = if parsed.has("admin.config") {
        let deprecated = "Option --admin.config has been deprecated and will be removed in a future version.";
        out.line(format_args!("{deprecated} Use --command-config instead."))?;
        parsed.one("admin.config")?
    } else {
        parsed.one("command-config")?
    };
    let mut properties = session::optional_properties(config)?;
    for (name, value) in [("default.api.timeout.ms", TIMEOUT_MS), ("request.timeout.ms", TIMEOUT_MS / 2)] {
        properties.entry(name.to_owned()).or_insert_with(|| value.to_string());
    }
    let client = session::connect(parsed.text("bootstrap-server")?, &properties).await?;
    let response = elect(&client, kind.1, partitions.as_deref()).await?;
    print(kind.0, response, out)
}

async fn elect(
    client: &Client,
    election_type: i8,
    partitions: Option<&[TopicPartition]>,
) -> Result<ElectLeadersResponse, Exception> {
    let topics = partitions.map(|partitions| {
        let mut topics: Vec<TopicPartitions> = Vec::new();
        for partition in partitions {
            match topics.iter_mut().find(|topic| *topic.topic == *partition.topic) {
                Some(topic) => topic.partitions.push(partition.partition),
                None => topics.push(TopicPartitions {
                    topic: partition.topic.to_string(),
                    partitions: vec![partition.partition],
                    ..Default::default()
                }),
            }
        }
        topics
    });
    let request =
        ElectLeadersRequest { election_type, topic_partitions: topics, timeout_ms: TIMEOUT_MS, ..Default::default() };
    let response = client.retry("electLeaders", async || client.send_to_any(&request).await).await?;
    Exception::check(response.error_code, None)?;
    Ok(response)
}

fn print(kind: &str, response: ElectLeadersResponse, out: &mut Out) -> Result<(), Failure> {
    let (mut succeeded, mut needless, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for topic in response.replica_election_results {
        for result in topic.partition_result {
            let partition = TopicPartition::new(topic.topic.as_str(), result.partition_id);
            match ErrorCode::from_code(result.error_code) {
                ErrorCode::None => succeeded.push(partition),
                ErrorCode::ElectionNotNeeded => needless.push(partition),
                code => failed.push((partition, Exception::of_code(code, result.error_message.as_deref()))),
            }
        }
    }
    let listed = |partitions: &mut Vec<TopicPartition>| {
        hash_order(partitions, DEFAULT_CAPACITY, |partition| partition);
        partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    if !succeeded.is_empty() {
        let partitions = listed(&mut succeeded);
        out.line(format_args!("Successfully completed leader election ({kind}) for partitions {partitions}"))?;
    }
    if !needless.is_empty() {
        out.line(format_args!("Valid replica already elected for partitions {}", listed(&mut needless)))?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    hash_order(&mut failed, DEFAULT_CAPACITY, |(partition, _)| partition);
    for (partition, error) in &failed {
        out.line(format_args!("Error completing leader election ({kind}) for partition: {partition}: {error}"))?;
    }
    let end = Exception::new(COMMAND_FAILED, format!("{} replica(s) could not be elected", failed.len()));
    let mut lines = vec![end.message.clone(), end.to_string()];
    lines.extend(failed.iter().map(|(_, error)| format!("\tSuppressed: {error}")));
    Err(Stop::error(&lines.join("\n")).into())
}

/// Reads `{"partitions": [{"topic": .., "partition": ..}]}`.
fn read_file(path: &str) -> Result<Vec<TopicPartition>, Exception> {
    let refuse = |message: String| Exception::new(OPERATION, message);
    let text = std::fs::read_to_string(path).map_err(|_| {
        Exception::new("java.lang.RuntimeException", format!("java.io.IOException: Unable to read file {path}"))
    })?;
    let json: Value = serde_json::from_str(&text).map_err(|_| refuse("Replica election data is empty".to_owned()))?;
    let listed = json.get("partitions").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| refuse("Replica election data is missing \"partitions\" field".to_owned()))?;
    let mut partitions: Vec<TopicPartition> = Vec::new();
    let mut twice: Vec<String> = Vec::new();
    for entry in listed {
        let topic = entry.get("topic").and_then(Value::as_str);
        let partition = entry.get("partition").and_then(Value::as_i64).and_then(|index| i32::try_from(index).ok());
        let (Some(topic), Some(partition)) = (topic, partition) else {
            return Err(refuse(format!("Replica election data is not understood: {entry}")));
        };
        let partition = TopicPartition::new(topic, partition);
        if partitions.contains(&partition) {
            twice.push(partition.to_string());
        } else {
            partitions.push(partition);
        }
    }
    if !twice.is_empty() {
        let twice = twice.join(", ");
        return Err(refuse(format!("Replica election data contains duplicate partitions: [{twice}]")));
    }
    Ok(partitions)
}
