//! `kafka-consumer-groups.sh --describe`.

use std::collections::BTreeMap;

use client::Client;
use protocol::TopicPartition;
use protocol::types::Offset;

use super::groups::{self, Group, Member};
use super::offsets::{self, Committed};
use super::{MISSING, print_error, selected};
use crate::cli::get_offsets::list_offsets;
use crate::cli::java::{Exception, Failure};
use crate::cli::options::Parsed;
use crate::cli::out::{self, Out};

const LATEST: i64 = -1;

/// Prints offsets, members or states of the groups.
pub(super) async fn describe(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let verbose = parsed.has("verbose");
    let mut described: BTreeMap<String, Group> = BTreeMap::new();
    for id in selected(client, parsed).await? {
        let group = groups::describe(client, &id).await?;
        described.insert(id, group);
    }
    if parsed.has("members") {
        for group in described.values() {
            print_members(group, verbose, out)?;
        }
    } else if parsed.has("state") {
        for group in described.values() {
            print_state(group, verbose, out)?;
        }
    } else {
        for group in described.values() {
            let rows = rows(client, group).await?;
            print_offsets(group, &rows, verbose, out)?;
        }
    }
    Ok(())
}

/// Whether there is something to print; says why not.
fn should_print(group: &Group, rows: usize, out: &mut Out) -> Result<bool, Failure> {
    let id = &group.id;
    out.flush()?;
    match group.state.as_str() {
        "Dead" => print_error(out, &format!("Consumer group '{id}' does not exist."))?,
        "Empty" => out::error_text(&format!("\nConsumer group '{id}' has no active members.\n")),
        "Stable" => {}
        "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
            out::error_text(&format!("\nWarning: Consumer group '{id}' is rebalancing.\n"));
        }
        state => {
            let message = format!("Expected a valid consumer group state, but found '{state}'.");
            return Err(Exception::new("org.apache.kafka.common.KafkaException", message).into());
        }
    }
    Ok(group.state != "Dead" && rows > 0)
}

/// A partition, as one line.
struct Row {
    partition: TopicPartition,
    offset: Option<Offset>,
    leader_epoch: Option<i32>,
    end: Option<Offset>,
    /// Id, host and client id.
    member: Option<(String, String, String)>,
}

async fn rows(client: &Client, group: &Group) -> Result<Vec<Row>, Exception> {
    let committed = offsets::committed(client, &group.id).await?;
    let mut members: Vec<&Member> = group.members.iter().filter(|member| !member.assignment.is_empty()).collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.assignment.len()));
    let assigned: Vec<&TopicPartition> = members.iter().flat_map(|member| &member.assignment).collect();
    let unassigned: Vec<TopicPartition> =
        committed.keys().filter(|partition| !assigned.contains(partition)).cloned().collect();
    let mut rows = Vec::new();
    for member in &members {
        let names = (member.id.clone(), member.host.clone(), member.client_id.clone());
        rows.extend(of_partitions(client, &member.assignment, &committed, Some(names)).await?);
    }
    rows.extend(of_partitions(client, &unassigned, &committed, None).await?);
    Ok(rows)
}

async fn of_partitions(
    client: &Client,
    partitions: &[TopicPartition],
    committed: &Committed,
    member: Option<(String, String, String)>,
) -> Result<Vec<Row>, Exception> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut sorted = partitions.to_vec();
    sorted.sort();
    let mut names: Vec<&str> = sorted.iter().map(|partition| &*partition.topic).collect();
    names.dedup();
    client.metadata(Some(&names)).await?;
    let mut ends: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    for (partition, found) in list_offsets(client, &sorted, LATEST).await? {
        if let Ok((offset, _)) = found {
            ends.insert(partition, offset);
        }
    }
    let row = |partition: TopicPartition| Row {
        offset: committed.get(&partition).map(|(offset, _)| *offset),
        leader_epoch: committed.get(&partition).and_then(|(_, epoch)| *epoch),
        end: ends.get(&partition).copied(),
        member: member.clone(),
        partition,
    };
    Ok(sorted.into_iter().map(row).collect())
}

fn text<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| MISSING.to_owned(), |value| value.to_string())
}

fn print_offsets(group: &Group, rows: &[Row], verbose: bool, out: &mut Out) -> Result<(), Failure> {
    if !should_print(group, rows.len(), out)? {
        return Ok(());
    }
    let missing = || (MISSING.to_owned(), MISSING.to_owned(), MISSING.to_owned());
    let mut table = vec![
        [
            "GROUP",
            "TOPIC",
            "PARTITION",
            "LEADER-EPOCH",
            "CURRENT-OFFSET",
            "LOG-END-OFFSET",
            "LAG",
            "CONSUMER-ID",
            "HOST",
            "CLIENT-ID",
        ]
        .map(str::to_owned),
    ];
    for row in rows {
        let (id, host, client_id) = row.member.clone().unwrap_or_else(missing);
        let lag = row.offset.and_then(|offset| row.end.map(|end| end - offset));
        table.push([
            group.id.clone(),
            row.partition.topic.to_string(),
            row.partition.partition.to_string(),
            text(row.leader_epoch),
            text(row.offset),
            text(row.end),
            text(lag),
            id,
            host,
            client_id,
        ]);
    }
    let widest = |column: usize| table.iter().skip(1).map(|row| row[column].len()).max().unwrap_or(0).max(15);
    let widths = [widest(0), widest(1), 10, 15, 15, 15, 15, widest(7), widest(8), 0];
    for row in &table {
        let cells = row.iter().zip(widths).enumerate().filter(|(column, _)| verbose || *column != 3);
        let cells: Vec<String> = cells.map(|(_, (cell, width))| format!("{cell:<width$}")).collect();
        out.text(format_args!("\n{}", cells.join(" ")))?;
    }
    out.line("")?;
    Ok(())
}

fn assignment(partitions: &[TopicPartition]) -> String {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        by_topic.entry(&partition.topic).or_default().push(partition.partition);
    }
    let mut topics: Vec<String> = Vec::new();
    for (topic, mut partitions) in by_topic {
        partitions.sort_unstable();
        let partitions: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        topics.push(format!("{topic}:{}", partitions.join(",")));
    }
    topics.sort();
    if topics.is_empty() { MISSING.to_owned() } else { topics.join(";") }
}

fn print_members(group: &Group, verbose: bool, out: &mut Out) -> Result<(), Failure> {
    should_print(group, group.members.len(), out)?;
    let printed = if group.state == "Dead" { &[][..] } else { &group.members[..] };
    let with_instances = printed.iter().any(|member| member.instance_id.as_ref().is_some_and(|id| !id.is_empty()));
    let kinds: Vec<bool> = printed.iter().filter_map(|member| member.upgraded).collect();
    let migrating = kinds.contains(&true) && kinds.contains(&false);
    let mut table = vec![
        [
            "GROUP",
            "CONSUMER-ID",
            "GROUP-INSTANCE-ID",
            "HOST",
            "CLIENT-ID",
            "#PARTITIONS",
            "CURRENT-EPOCH",
            "CURRENT-ASSIGNMENT",
            "TARGET-EPOCH",
            "TARGET-ASSIGNMENT",
            "UPGRADED",
        ]
        .map(str::to_owned),
    ];
    for member in &group.members {
        table.push([
            group.id.clone(),
            member.id.clone(),
            member.instance_id.clone().unwrap_or_default(),
            member.host.clone(),
            member.client_id.clone(),
            member.assignment.len().to_string(),
            text(member.epoch),
            assignment(&member.assignment),
            text(group.target_epoch),
            assignment(&member.target),
            text(member.upgraded),
        ]);
    }
    let least = [15, 15, 17, 15, 15, 15, 15, 20, 15, 20, 0];
    let widths: Vec<usize> = (0..least.len())
        .map(|column| match column {
            5 | 6 | 8 | 10 => least[column],
            _ => table.iter().skip(1).map(|row| row[column].len()).max().unwrap_or(0).max(least[column]),
        })
        .collect();
    out.line("")?;
    for row in &table {
        let shown = |column: &usize| match column {
            2 => with_instances,
            0..=5 => true,
            10 => verbose && migrating,
            _ => verbose,
        };
        let cells =
            (0..row.len()).filter(shown).map(|column| format!("{:<width$}", row[column], width = widths[column]));
        let line = cells.collect::<Vec<_>>().join(" ");
        let after = if verbose { "" } else { " " };
        out.line(format_args!("{line}{after}"))?;
    }
    Ok(())
}

fn print_state(group: &Group, verbose: bool, out: &mut Out) -> Result<(), Failure> {
    if !should_print(group, 1, out)? {
        return Ok(());
    }
    let (host, port, id) = &group.coordinator;
    let coordinator = format!("{host}:{port}  ({id})");
    let assignor = if group.assignor.is_empty() { MISSING } else { &group.assignor };
    let members = group.members.len().to_string();
    let (epoch, target) = (text(group.epoch), text(group.target_epoch));
    let header = [
        "GROUP",
        "COORDINATOR (ID)",
        "ASSIGNMENT-STRATEGY",
        "STATE",
        "GROUP-EPOCH",
        "TARGET-ASSIGNMENT-EPOCH",
        "#MEMBERS",
    ];
    let row = [&group.id, &coordinator, assignor, &group.state, &epoch, &target, &members];
    let widths = [group.id.len().max(15), coordinator.len().max(25), 20, 20, 15, 25, 0];
    for row in [header, row] {
        let cells = row.iter().zip(widths).enumerate().filter(|(column, _)| verbose || !matches!(column, 4 | 5));
        let cells: Vec<String> = cells.map(|(_, (cell, width))| format!("{cell:<width$}")).collect();
        out.text(format_args!("\n{}", cells.join(" ")))?;
    }
    out.line("")?;
    Ok(())
}
