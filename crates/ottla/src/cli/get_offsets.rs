//! `kafka-get-offsets.sh`: the earliest, latest or otherwise special offsets of partitions.

use std::collections::BTreeMap;

use client::Client;
use protocol::messages::ListOffsetsRequest;
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use protocol::types::{Offset, TimestampMs};
use protocol::{ErrorCode, TopicPartition};

use super::java::{Exception, Failure, hash_order, parse_number};
use super::options::{self, Parsed, tables::get_offsets::OPTIONS};
use super::out::{self, Out};
use super::session;
use super::stop::Stop;
use super::topic_filter::{IncludeList, is_internal};

const USAGE: &str = "An interactive shell for getting topic-partition offsets.";
const TIMES: [(&str, TimestampMs); 6] = [
    ("latest", -1),
    ("earliest", -2),
    ("max-timestamp", -3),
    ("earliest-local", -4),
    ("latest-tiered", -5),
    ("earliest-pending-upload", -6),
];
/// `TerseException`: an exception whose message says enough.
const TERSE: &str = "org.apache.kafka.tools.TerseException";

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    if args.is_empty() {
        return Err(options::usage(OPTIONS, USAGE));
    }
    let parsed = options::parse(OPTIONS, args).map_err(|error| occurred(terse(error.to_string()).into()))?;
    parsed.help_or_version(USAGE)?;
    parsed.require(&["bootstrap-server"])?;
    session::run(async { execute(&parsed, out).await.map_err(occurred) })
}

fn terse(message: impl Into<String>) -> Exception {
    Exception::new(TERSE, message)
}

fn occurred(failure: Failure) -> Stop {
    match failure {
        Failure::Stop(stop) => stop,
        Failure::Exception(error) if error.class == TERSE => Stop::error(&format!("Error occurred: {}", error.message)),
        Failure::Exception(error) => Stop::error(&format!("Error occurred: {}\n{error}\n", error.message)),
    }
}

async fn execute(parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let bootstrap = parsed.text("bootstrap-server")?;
    check_bootstrap(parsed, bootstrap)?;
    if parsed.has("topic-partitions") && parsed.has_any(&["topic", "partitions"]) {
        return Err(terse("--topic-partitions cannot be used with --topic or --partitions").into());
    }
    let time = time(parsed.text("time")?)?;
    let rules = rules(parsed)?;
    let mut properties = session::optional_properties(parsed.one("command-config")?)?;
    properties.insert("client.id".to_owned(), "GetOffsetShell".to_owned());
    let client = session::connect(bootstrap, &properties).await?;
    let partitions = matching(&client, &rules, parsed.has("exclude-internal-topics")).await?;
    if partitions.is_empty() {
        return Err(terse("Could not match any topic-partitions with the specified filters").into());
    }
    let found = list_offsets(&client, &partitions, time).await?;
    let mut lines: BTreeMap<String, (TopicPartition, Offset)> = BTreeMap::new();
    for (partition, result) in found {
        match result {
            Ok((offset, _)) if offset >= 0 => {
                lines.insert(partition.to_string(), (partition, offset));
            }
            Ok(_) => {}
            Err(error) => out::error_text(&format!(
                "Skip getting offsets for topic-partition {partition} due to error: {error}\n"
            )),
        }
    }
    for (partition, offset) in lines.values() {
        out.line(format_args!("{}:{}:{offset}", partition.topic, partition.partition))?;
    }
    Ok(())
}

/// Refuses bootstrap servers without a port.
/// # Errors
/// The usage.
pub(super) fn check_bootstrap(parsed: &Parsed, servers: &str) -> Result<(), Stop> {
    if servers.trim().is_empty() {
        return Err(parsed.usage("Error while validating the bootstrap address\n"));
    }
    let has_port = |server: &str| server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u32>().is_ok());
    if servers.split(',').all(has_port) {
        return Ok(());
    }
    Err(parsed.usage("Please provide valid host:port like host1:9091,host2:9092\n"))
}

fn time(text: &str) -> Result<TimestampMs, Exception> {
    if let Some((_, time)) = TIMES.iter().find(|(name, _)| *name == text) {
        return Ok(*time);
    }
    text.parse().map_err(|_| {
        terse(format!(
            "Malformed time argument {text}. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or \
             earliest-local / -5 or latest-tiered / -6 or earliest-pending-upload, or a specified long format timestamp"
        ))
    })
}

/// Topics and partitions that one pattern means.
struct Rule {
    topics: IncludeList,
    partitions: Partitions,
}

enum Partitions {
    All,
    Set(Vec<i32>),
    Range(i32, i32),
}

impl Rule {
    fn allows(&self, topic: &str, partition: i32) -> bool {
        let in_range = match &self.partitions {
            Partitions::All => true,
            Partitions::Set(set) => set.contains(&partition),
            Partitions::Range(from, to) => (*from..*to).contains(&partition),
        };
        in_range && self.topics.allows(topic)
    }
}

fn rules(parsed: &Parsed) -> Result<Vec<Rule>, Exception> {
    if let Some(patterns) = parsed.one("topic-partitions")? {
        return patterns.split(',').map(rule).collect();
    }
    let topics = IncludeList::new(parsed.one("topic")?.unwrap_or(".*"))?;
    let partitions = match parsed.one("partitions")? {
        None | Some("") => Partitions::All,
        Some(text) => {
            let set: Result<Vec<i32>, _> = text.split(',').map(str::parse).collect();
            Partitions::Set(set.map_err(|_| {
                terse(format!(
                    "--partitions expects a comma separated list of numeric partition ids, but received: {text}"
                ))
            })?)
        }
    };
    Ok(vec![Rule { topics, partitions }])
}

fn rule(text: &str) -> Result<Rule, Exception> {
    let invalid = || {
        let message = format!("{TERSE}: Invalid rule specification: {text}");
        Exception::new("java.lang.RuntimeException", message)
    };
    let (topic, partitions) = text.split_once(':').map_or((text, None), |(topic, rest)| (topic, Some(rest)));
    let topics = IncludeList::new(if topic.is_empty() { ".*" } else { topic })?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let bound = |text: &str, default: i32| if text.is_empty() { Ok(default) } else { parse_number(text) };
    let partitions = match partitions {
        None | Some("") => Partitions::Range(0, i32::MAX),
        Some(text) => match text.split_once('-') {
            Some((from, to)) if digits(from) && digits(to) => Partitions::Range(bound(from, 0)?, bound(to, i32::MAX)?),
            None if digits(text) => Partitions::Set(vec![parse_number(text)?]),
            _ => return Err(invalid()),
        },
    };
    Ok(Rule { topics, partitions })
}

async fn matching(client: &Client, rules: &[Rule], no_internal: bool) -> Result<Vec<TopicPartition>, Exception> {
    let cluster = client.metadata(None).await?;
    let mut partitions = Vec::new();
    for topic in cluster.topics.values().filter(|topic| !(no_internal && is_internal(&topic.name))) {
        let indexes = topic.partitions.iter().map(|partition| partition.index);
        let allowed = indexes.filter(|index| rules.iter().any(|rule| rule.allows(&topic.name, *index)));
        partitions.extend(allowed.map(|index| TopicPartition::new(topic.name.clone(), index)));
    }
    partitions.sort();
    Ok(partitions)
}

/// An offset and its timestamp.
pub(super) type Found = (Offset, TimestampMs);

/// Asks the leader of each partition for the offset at `time`.
/// # Errors
/// Where a broker does not answer at all; errors of single partitions are in the result.
pub(super) async fn list_offsets(
    client: &Client,
    partitions: &[TopicPartition],
    time: TimestampMs,
) -> Result<Vec<(TopicPartition, Result<Found, Exception>)>, Exception> {
    let cluster = client.cluster();
    let mut by_leader: BTreeMap<i32, Vec<&TopicPartition>> = BTreeMap::new();
    let mut results = Vec::new();
    for partition in partitions {
        match cluster.leader(&partition.topic, partition.partition) {
            Some((leader, _)) => by_leader.entry(leader).or_default().push(partition),
            None => {
                let error = Exception::of_code(ErrorCode::UnknownTopicOrPartition, None);
                results.push((partition.clone(), Err(error)));
            }
        }
    }
    for (leader, partitions) in by_leader {
        let mut topics: Vec<ListOffsetsTopic> = Vec::new();
        for partition in partitions {
            if topics.last().is_none_or(|topic| topic.name != *partition.topic) {
                topics.push(ListOffsetsTopic { name: partition.topic.to_string(), ..Default::default() });
            }
            let asked = ListOffsetsPartition {
                partition_index: partition.partition,
                current_leader_epoch: -1,
                timestamp: time,
                ..Default::default()
            };
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(asked);
            }
        }
        let request = ListOffsetsRequest { replica_id: -1, topics, timeout_ms: 30_000, ..Default::default() };
        let response = client.retry("listOffsets", async || client.send_to(leader, &request).await).await?;
        for topic in response.topics {
            for found in topic.partitions {
                let partition = TopicPartition::new(topic.name.as_str(), found.partition_index);
                let result = Exception::check(found.error_code, None).map(|()| (found.offset, found.timestamp));
                results.push((partition, result));
            }
        }
    }
    hash_order(&mut results, super::java::DEFAULT_CAPACITY, |(partition, _)| partition);
    Ok(results)
}
