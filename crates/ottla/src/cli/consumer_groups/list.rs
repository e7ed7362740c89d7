//! `kafka-consumer-groups.sh --list`.

use client::Client;

use super::groups;
use crate::cli::java::{Exception, Failure};
use crate::cli::options::Parsed;
use crate::cli::out::Out;

/// Prints the ids of all groups, or a table with their types and states.
pub(super) async fn list(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let (with_type, with_state) = (parsed.has("type"), parsed.has("state"));
    let states = states(parsed.one("state")?.unwrap_or_default())?;
    let types = types(parsed.one("type")?.unwrap_or_default())?;
    let groups = groups::list(client, &states, &types).await?;
    if !with_type && !with_state {
        for group in groups {
            out.line(group.group_id)?;
        }
        return Ok(());
    }
    let width = groups.iter().map(|group| group.group_id.len()).max().unwrap_or(0).max(15) + 10;
    let mut row = |id: &str, kind: &str, state: &str| -> Result<(), Failure> {
        let kind = if with_type { format!(" {kind:<20}") } else { String::new() };
        let state = if with_state { format!(" {state:<20}") } else { String::new() };
        Ok(out.line(format_args!("{id:<width$}{kind}{state}"))?)
    };
    row("GROUP", "TYPE", "STATE")?;
    for group in &groups {
        row(&group.group_id, capitalized(&group.group_type), &group.group_state)?;
    }
    Ok(())
}

fn capitalized(kind: &str) -> &str {
    ["Classic", "Consumer"].into_iter().find(|known| known.eq_ignore_ascii_case(kind)).unwrap_or("Unknown")
}

fn states(text: &str) -> Result<Vec<String>, Exception> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let plain = |state: &str| state.trim().replace('_', "").to_lowercase();
    let parsed = text.split(',').map(|state| {
        let known = groups::STATES.iter().find(|known| known.to_lowercase() == plain(state));
        known.map(|known| (*known).to_owned())
    });
    parsed.collect::<Option<Vec<_>>>().ok_or_else(|| {
        let valid = groups::STATES.join(", ");
        Exception::illegal_argument(format!("Invalid state list '{text}'. Valid states are: {valid}"))
    })
}

fn types(text: &str) -> Result<Vec<String>, Exception> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let parsed = text.split(',').map(|kind| match kind.trim().to_lowercase().as_str() {
        "classic" => Some("Classic".to_owned()),
        "consumer" => Some("Consumer".to_owned()),
        _ => None,
    });
    parsed.collect::<Option<Vec<_>>>().ok_or_else(|| {
        Exception::illegal_argument(format!("Invalid types list '{text}'. Valid types are: Consumer, Classic"))
    })
}
