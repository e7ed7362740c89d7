//! `kafka-share-groups.sh --describe`.

use std::collections::BTreeMap;

use client::Client;
use protocol::messages::share_group_describe_response::{DescribedGroup, Member};

use super::offsets::{StartOffset, group, start_offsets};
use super::{MISSING, print_error, selected};
use crate::cli::java::Failure;
use crate::cli::options::Parsed;
use crate::cli::out::{self, Out};

/// Prints offsets, members or the state of groups.
pub(super) async fn describe(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let verbose = parsed.has("verbose");
    let mut groups = BTreeMap::new();
    for id in selected(client, parsed).await? {
        let described = group(client, &id).await?;
        groups.insert(id, described);
    }
    if parsed.has("members") {
        for (id, (group, _)) in &groups {
            members(id, group, verbose, out)?;
        }
    } else if parsed.has("state") {
        for (id, (group, coordinator)) in &groups {
            state(id, group, coordinator, verbose, out)?;
        }
    } else {
        let mut found = BTreeMap::new();
        for id in groups.keys() {
            found.insert(id, start_offsets(client, id).await?);
        }
        for (id, found) in found {
            offsets(id, &found, verbose, out)?;
        }
    }
    Ok(())
}

fn offsets(id: &str, found: &[StartOffset], verbose: bool, out: &mut Out) -> Result<(), Failure> {
    if found.is_empty() {
        return Ok(out.line(format_args!("\nShare group '{id}' has no offset information."))?);
    }
    let group_width = id.chars().count().max(15);
    let topic_width = found.iter().map(|one| one.partition.topic.chars().count()).max().unwrap_or(0).max(15);
    let mut row = |topic: &str, partition: &str, epoch: &str, offset: &str, lag: &str, group: &str| {
        let epoch = if verbose { format!("{epoch:<13} ") } else { String::new() };
        out.text(format_args!(
            "\n{group:<group_width$} {topic:<topic_width$} {partition:<10} {epoch}{offset:<13} {lag}"
        ))
    };
    row("TOPIC", "PARTITION", "LEADER-EPOCH", "START-OFFSET", "LAG", "GROUP")?;
    for one in found {
        let shown = |number: Option<i64>| number.map_or_else(|| MISSING.to_owned(), |number| number.to_string());
        let epoch = if one.offset.is_some() { one.leader_epoch.to_string() } else { MISSING.to_owned() };
        let partition = one.partition.partition.to_string();
        row(&one.partition.topic, &partition, &epoch, &shown(one.offset), &shown(one.lag), id)?;
    }
    Ok(out.line("")?)
}

fn state(id: &str, group: &DescribedGroup, coordinator: &str, verbose: bool, out: &mut Out) -> Result<(), Failure> {
    has_members(id, group, out)?;
    let id_width = id.chars().count().max(15);
    let width = coordinator.chars().count().max(25);
    let count = group.members.len();
    let state = &group.group_state;
    if verbose {
        out.text(format_args!(
            "\n{:<id_width$} {:<width$} {:<15} {:<12} {:<17} #MEMBERS",
            "GROUP", "COORDINATOR (ID)", "STATE", "GROUP-EPOCH", "ASSIGNMENT-EPOCH"
        ))?;
        let (epoch, target) = (group.group_epoch, group.assignment_epoch);
        out.text(format_args!("\n{id:<id_width$} {coordinator:<width$} {state:<15} {epoch:<12} {target:<17} {count}"))?;
    } else {
        out.text(format_args!("\n{:<id_width$} {:<width$} {:<15} #MEMBERS", "GROUP", "COORDINATOR (ID)", "STATE"))?;
        out.text(format_args!("\n{id:<id_width$} {coordinator:<width$} {state:<15} {count}"))?;
    }
    Ok(out.line("")?)
}

fn members(id: &str, group: &DescribedGroup, verbose: bool, out: &mut Out) -> Result<(), Failure> {
    if !has_members(id, group, out)? || group.members.is_empty() {
        return Ok(());
    }
    let mut members: Vec<&Member> = group.members.iter().collect();
    members.sort_by(|left, right| left.member_id.cmp(&right.member_id));
    let width = |text: fn(&Member) -> &str| {
        members.iter().map(|member| text(member).chars().count()).max().unwrap_or(0).max(15)
    };
    let id_width = id.chars().count().max(15);
    let (member, host, client) =
        (width(|member| &member.member_id), width(|member| &member.client_host), width(|member| &member.client_id));
    let mut row = |cells: [&str; 7]| {
        let [id, member_id, client_host, client_id, partitions, epoch, assignment] = cells;
        let epoch = if verbose { format!("{epoch:<13} ") } else { String::new() };
        out.text(format_args!(
            "\n{id:<id_width$} {member_id:<member$} {client_host:<host$} {client_id:<client$} {partitions:<12} \
             {epoch}{assignment}"
        ))
    };
    row(["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS", "MEMBER-EPOCH", "ASSIGNMENT"])?;
    for member in members {
        let topics = &member.assignment.topic_partitions;
        let count: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
        let mut assignment: Vec<String> = topics
            .iter()
            .map(|topic| {
                let mut partitions = topic.partitions.clone();
                partitions.sort_unstable();
                let partitions: Vec<String> = partitions.iter().map(ToString::to_string).collect();
                format!("{}:{}", topic.topic_name, partitions.join(","))
            })
            .collect();
        assignment.sort();
        row([
            id,
            &member.member_id,
            &member.client_host,
            &member.client_id,
            &count.to_string(),
            &member.member_epoch.to_string(),
            &assignment.join(";"),
        ])?;
    }
    Ok(out.line("")?)
}

/// Says so where a group is dead or empty; false if it is dead.
fn has_members(id: &str, group: &DescribedGroup, out: &mut Out) -> Result<bool, Failure> {
    match group.group_state.as_str() {
        "Dead" => {
            print_error(out, &format!("Share group '{id}' does not exist."))?;
            Ok(false)
        }
        "Empty" => {
            out.flush()?;
            out::error_text(&format!("\nShare group '{id}' has no active members.\n"));
            Ok(true)
        }
        _ => Ok(true),
    }
}
