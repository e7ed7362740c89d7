//! `kafka-storage.sh info`.

use std::path::Path;

use metadata::config::BrokerConfig;

use super::{META_PROPERTIES, directories, meta_properties};
use crate::cli::out::Out;
use crate::cli::session::Properties;
use crate::cli::stop::Stop;

/// Prints the directories, what they are formatted for, and what is wrong with them.
pub(super) fn info(config: &BrokerConfig, out: &mut Out) -> Result<(), Stop> {
    let mut problems = Vec::new();
    let mut found = Vec::new();
    let mut first: Option<Properties> = None;
    for dir in directories(config) {
        let path = Path::new(&dir);
        if !path.is_dir() {
            let is = if path.exists() { "is not a directory" } else { "does not exist" };
            problems.push(format!("{dir} {is}"));
            continue;
        }
        found.push(dir.clone());
        let Some(properties) = meta_properties(&dir)? else {
            problems.push(format!("{dir} is not formatted."));
            continue;
        };
        if !properties.contains_key("version") {
            problems.push(format!("Error loading {dir}/{META_PROPERTIES}: No version was found."));
            continue;
        }
        match &first {
            None => first = Some(properties),
            Some(first) if first.get("cluster.id") != properties.get("cluster.id") => {
                problems.push("Mismatched cluster IDs between storage directories.".to_owned());
            }
            Some(first) if first.get("node.id") != properties.get("node.id") => {
                problems.push("Mismatched node IDs between storage directories.".to_owned());
            }
            Some(_) => {}
        }
    }
    if first.as_ref().is_some_and(|first| first.get("version").is_some_and(|version| version == "0")) {
        let legacy = "the directories are formatted for legacy mode.";
        problems.push(format!("The kafka configuration file appears to be for a cluster in KRaft mode, but {legacy}"));
    }
    print(&found, first.as_ref(), &problems, out)
}

fn print(found: &[String], metadata: Option<&Properties>, problems: &[String], out: &mut Out) -> Result<(), Stop> {
    if !found.is_empty() {
        out.line(if found.len() == 1 { "Found log directory:" } else { "Found log directories:" })?;
        found.iter().try_for_each(|dir| out.line(format_args!("  {dir}")))?;
        out.line("")?;
    }
    if let Some(metadata) = metadata {
        let entries: Vec<String> = metadata.iter().map(|(name, value)| format!("{name}={value}")).collect();
        out.line(format_args!("Found metadata: {{{}}}\n", entries.join(", ")))?;
    }
    if problems.is_empty() {
        return Ok(());
    }
    out.line(if problems.len() == 1 { "Found problem:" } else { "Found problems:" })?;
    problems.iter().try_for_each(|problem| out.line(format_args!("  {problem}")))?;
    out.line("")?;
    Err(Stop::silent(1))
}
