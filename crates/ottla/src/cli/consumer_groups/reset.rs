//! `kafka-consumer-groups.sh --reset-offsets`.

use std::collections::BTreeMap;

use client::Client;
use protocol::types::{Offset, TimestampMs};
use protocol::{ErrorCode, TopicPartition};

use super::offsets::{self, Committed};
use super::{groups, print_error, selected};
use crate::cli::get_offsets::list_offsets;
use crate::cli::java::{DEFAULT_CAPACITY, Exception, Failure, hash_order, parse_number};
use crate::cli::options::Parsed;
use crate::cli::out::{self, Out};
use crate::cli::time;

/// Asks for the end of a partition.
pub(in crate::cli) const LATEST: TimestampMs = -1;
/// Asks for the start of a partition.
pub(in crate::cli) const EARLIEST: TimestampMs = -2;

/// New offsets.
pub(in crate::cli) type Plan = BTreeMap<TopicPartition, Offset>;

/// Plans new offsets, commits them with `--execute`, and prints them.
pub(super) async fn reset(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let mut results: Vec<(String, Vec<(TopicPartition, Offset)>)> = Vec::new();
    for group in selected(client, parsed).await? {
        let state = match groups::describe(client, &group).await {
            Ok(described) => described.state,
            Err(error) if error.code == ErrorCode::GroupIdNotFound => "Dead".to_owned(),
            Err(error) => return Err(error.into()),
        };
        if !matches!(state.as_str(), "Empty" | "Dead") {
            let message = format!(
                "Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
            );
            print_error(out, &message)?;
            results.push((group, Vec::new()));
            continue;
        }
        let partitions = scope(client, parsed, &group).await?;
        check_partitions(client, &partitions).await?;
        let plan = plan(client, parsed, &group, &partitions, out).await?;
        let mut plan: Vec<(TopicPartition, Offset)> = plan.into_iter().collect();
        if parsed.has("execute") {
            offsets::commit(client, &group, &plan).await?;
        }
        hash_order(&mut plan, DEFAULT_CAPACITY, |(partition, _)| partition);
        results.push((group, plan));
    }
    hash_order(&mut results, DEFAULT_CAPACITY, |(group, _)| group);
    if parsed.has("export") { export(parsed, &results, out) } else { print(&results, out) }
}

/// Prints new offsets of groups.
/// # Errors
/// When nobody reads.
pub(in crate::cli) fn print(results: &[(String, Vec<(TopicPartition, Offset)>)], out: &mut Out) -> Result<(), Failure> {
    let group_width = results.iter().map(|(group, _)| group.len()).max().unwrap_or(0).max(15);
    let topics = results.iter().flat_map(|(_, plan)| plan.iter().map(|(partition, _)| partition.topic.len()));
    let topic_width = topics.max().unwrap_or(0).max(15);
    let mut row = |group: &str, topic: &str, partition: &str, offset: &str| {
        out.text(format_args!("\n{group:<group_width$} {topic:<topic_width$} {partition:<10} {offset}"))
    };
    if !results.is_empty() {
        row("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET")?;
    }
    for (group, plan) in results {
        for (partition, offset) in plan {
            row(group, &partition.topic, &partition.partition.to_string(), &offset.to_string())?;
        }
    }
    out.line("")?;
    Ok(())
}

fn export(parsed: &Parsed, results: &[(String, Vec<(TopicPartition, Offset)>)], out: &mut Out) -> Result<(), Failure> {
    let single = parsed.all("group").len() == 1;
    for (group, plan) in results {
        for (partition, offset) in plan {
            let group = if single { String::new() } else { format!("{group},") };
            out.line(format_args!("{group}{},{},{offset}", partition.topic, partition.partition))?;
        }
    }
    out.line("")?;
    Ok(())
}

/// Reads `topic:0,1`.
/// # Errors
/// Kafka's words for what cannot be read.
pub(super) fn topic_partitions(text: &str) -> Result<Vec<TopicPartition>, Exception> {
    let parts: Vec<&str> = text.split(':').collect();
    let [topic, partitions] = parts.as_slice() else {
        let message = format!("Invalid topic arg '{text}', expected topic name and partitions");
        return Err(Exception::illegal_argument(message));
    };
    let partition = |number: &str| {
        let message = format!("Invalid partition '{number}' specified in topic arg '{text}''");
        number.parse().map(|index| TopicPartition::new(*topic, index)).map_err(|_| Exception::illegal_argument(message))
    };
    partitions.split(',').map(partition).collect()
}

async fn scope(client: &Client, parsed: &Parsed, group: &str) -> Result<Vec<TopicPartition>, Failure> {
    if parsed.has("all-topics") {
        return Ok(offsets::committed(client, group).await?.into_keys().collect());
    }
    if !parsed.has("topic") {
        if parsed.has("from-file") {
            return Ok(Vec::new());
        }
        return Err(parsed.usage("One of the reset scopes should be defined: --all-topics, --topic.").into());
    }
    Ok(named_partitions(client, &parsed.all("topic")).await?)
}

/// The partitions of `topic` and `topic:0,1` words.
/// # Errors
/// Kafka's words for what cannot be read, and for a topic that does not exist.
pub(in crate::cli) async fn named_partitions(
    client: &Client,
    words: &[&str],
) -> Result<Vec<TopicPartition>, Exception> {
    let mut partitions = Vec::new();
    for text in words {
        if text.contains(':') {
            partitions.extend(topic_partitions(text)?);
            continue;
        }
        let cluster = client.metadata(Some(&[text])).await?;
        let unknown = || Exception::of_code(ErrorCode::UnknownTopicOrPartition, None);
        let topic = cluster.topic(text).ok_or_else(unknown)?;
        partitions.extend(topic.partitions.iter().map(|partition| TopicPartition::new(*text, partition.index)));
    }
    Ok(partitions)
}

/// Partitions have to exist, and to have leaders.
/// # Errors
/// Kafka's words for those that do not.
pub(in crate::cli) async fn check_partitions(client: &Client, partitions: &[TopicPartition]) -> Result<(), Exception> {
    let mut names: Vec<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
    names.sort_unstable();
    names.dedup();
    let cluster = client.metadata(Some(&names)).await?;
    let list = |missing: &dyn Fn(&TopicPartition) -> bool| {
        partitions.iter().filter(|partition| missing(partition)).map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    let missing = list(&|partition| cluster.partition(&partition.topic, partition.partition).is_none());
    if !missing.is_empty() {
        let message = format!("The partitions \"{missing}\" do not exist");
        return Err(Exception::of_code(ErrorCode::UnknownTopicOrPartition, Some(&message)));
    }
    let leaderless = list(&|partition| cluster.leader(&partition.topic, partition.partition).is_none());
    if leaderless.is_empty() {
        return Ok(());
    }
    let message = format!("The partitions \"{leaderless}\" have no leader");
    Err(Exception::of_code(ErrorCode::LeaderNotAvailable, Some(&message)))
}

async fn plan(
    client: &Client,
    parsed: &Parsed,
    group: &str,
    partitions: &[TopicPartition],
    out: &mut Out,
) -> Result<Plan, Failure> {
    let all = |offset: Offset| partitions.iter().map(|partition| (partition.clone(), offset)).collect::<Plan>();
    if let Some(offset) = parsed.number("to-offset")? {
        return Ok(in_range(client, all(offset)).await?);
    }
    if parsed.has("to-earliest") {
        return Ok(at(client, partitions, EARLIEST).await?);
    }
    if parsed.has("to-latest") {
        return Ok(at(client, partitions, LATEST).await?);
    }
    if let Some(shift) = parsed.number::<i64>("shift-by")? {
        let committed = offsets::committed(client, group).await?;
        return Ok(in_range(client, shifted(partitions, &committed, shift)?).await?);
    }
    if let Some(text) = parsed.one("to-datetime")? {
        let unparsable = || Exception::new("java.text.ParseException", format!("Unparseable date: \"{text}\""));
        let timestamp = time::parse_datetime(text).ok_or_else(unparsable)?;
        return at_time(client, partitions, timestamp, out).await;
    }
    if let Some(text) = parsed.one("by-duration")? {
        let unparsable = || {
            let message = "Text cannot be parsed to a Duration";
            Exception::new("java.time.format.DateTimeParseException", message)
        };
        let duration = time::parse_duration(text).ok_or_else(unparsable)?;
        return at_time(client, partitions, time::now_ms() - duration, out).await;
    }
    if let Some(path) = parsed.one("from-file")? {
        let Some(plan) = from_file(path, parsed, group)? else {
            print_error(out, &format!("No reset plan for group {group} found"))?;
            return Ok(Plan::new());
        };
        return Ok(in_range(client, plan).await?);
    }
    if parsed.has("to-current") {
        let committed = offsets::committed(client, group).await?;
        let (known, unknown): (Vec<_>, Vec<_>) =
            partitions.iter().cloned().partition(|partition| committed.contains_key(partition));
        let mut plan = at(client, &unknown, LATEST).await?;
        plan.extend(known.into_iter().map(|partition| (partition.clone(), committed[&partition].0)));
        return Ok(plan);
    }
    let scenarios: Vec<String> = super::SCENARIOS.iter().map(|scenario| format!("[{scenario}]")).collect();
    let message =
        format!("Option '[reset-offsets]' requires one of the following scenarios: [{}]", scenarios.join(", "));
    Err(parsed.usage(&message).into())
}

fn shifted(partitions: &[TopicPartition], committed: &Committed, shift: i64) -> Result<Plan, Exception> {
    let one = |partition: &TopicPartition| {
        let reason = "since there is no current committed offset";
        let message = format!("Cannot shift offset for partition {partition} {reason}");
        let (offset, _) = committed.get(partition).ok_or_else(|| Exception::illegal_argument(message))?;
        Ok((partition.clone(), offset + shift))
    };
    partitions.iter().map(one).collect()
}

/// Offsets at a special timestamp.
/// # Errors
/// Those of the leaders.
pub(in crate::cli) async fn at(
    client: &Client,
    partitions: &[TopicPartition],
    time: TimestampMs,
) -> Result<Plan, Exception> {
    let mut sorted = partitions.to_vec();
    sorted.sort();
    let found = list_offsets(client, &sorted, time).await?;
    found.into_iter().map(|(partition, found)| Ok((partition, found?.0))).collect()
}

/// The first offsets of records that are not older, or the ends where there are none.
/// # Errors
/// Those of the leaders.
pub(in crate::cli) async fn at_time(
    client: &Client,
    partitions: &[TopicPartition],
    timestamp: TimestampMs,
    out: &mut Out,
) -> Result<Plan, Failure> {
    let mut plan = at(client, partitions, timestamp).await?;
    let without: Vec<TopicPartition> =
        plan.iter().filter(|(_, offset)| **offset < 0).map(|(partition, _)| partition.clone()).collect();
    for partition in &without {
        let (index, topic) = (partition.partition, &partition.topic);
        let fallback = "Falling back to latest known offset.";
        out.line(format_args!("\nWarn: Partition {index} from topic {topic} is empty. {fallback}"))?;
    }
    plan.extend(at(client, &without, LATEST).await?);
    Ok(plan)
}

/// Moves offsets that are outside of the log to its ends.
async fn in_range(client: &Client, wanted: Plan) -> Result<Plan, Exception> {
    let partitions: Vec<TopicPartition> = wanted.keys().cloned().collect();
    let mut names: Vec<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
    names.dedup();
    client.metadata(Some(&names)).await?;
    let (starts, ends) = (at(client, &partitions, EARLIEST).await?, at(client, &partitions, LATEST).await?);
    let mut plan = Plan::new();
    for (partition, offset) in wanted {
        let (start, end) = (starts.get(&partition).copied(), ends.get(&partition).copied());
        let limited = offset.min(end.unwrap_or(offset)).max(start.unwrap_or(offset));
        if limited != offset {
            let relation = if limited < offset { "higher than latest" } else { "lower than earliest" };
            out::error_text(&format!(
                "WARN New offset ({offset}) is {relation} offset for topic partition {partition}. Value will be set to \
                 {limited} (org.apache.kafka.tools.OffsetsUtils)\n"
            ));
        }
        plan.insert(partition, limited);
    }
    Ok(plan)
}

/// Reads lines of `topic,partition,offset`, or of `group,topic,partition,offset`.
fn from_file(path: &str, parsed: &Parsed, group: &str) -> Result<Option<Plan>, Exception> {
    let unreadable = |_| Exception::new("java.io.IOException", format!("Unable to read file {path}"));
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let mut plan: Option<Plan> = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let (of_group, topic, partition, offset) = match fields.as_slice() {
            [topic, partition, offset] if parsed.all("group").len() == 1 => (group, *topic, *partition, *offset),
            [of_group, topic, partition, offset] => (*of_group, *topic, *partition, *offset),
            _ => return Err(Exception::new("java.lang.RuntimeException", format!("Invalid line: {line}"))),
        };
        if of_group == group {
            let entry = (TopicPartition::new(topic, parse_number(partition)?), parse_number(offset)?);
            plan.get_or_insert_default().extend([entry]);
        }
    }
    Ok(plan)
}
