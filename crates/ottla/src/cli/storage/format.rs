//! `kafka-storage.sh format`: writes `meta.properties` and a cluster's first records into empty log directories.

use std::collections::BTreeMap;
use std::path::Path;

use broker::format::Format;
use metadata::bootstrap::{BootstrapMetadata, InitialVoter};
use metadata::config::{BrokerConfig, parse_host_port};
use metadata::features::{KRAFT_VERSION, METADATA_VERSION, MetadataVersion};
use platform::OsDisk;

use super::features::release_version;
use super::scram;
use super::{META_PROPERTIES, directories, meta_properties, random_uuid};
use crate::cli::java::{DEFAULT_CAPACITY, hash_order};
use crate::cli::options::argparse::Arguments;
use crate::cli::out::Out;
use crate::cli::stop::Stop;
use crate::cli::time::now_ms;

const RUNTIME: &str = "java.lang.RuntimeException";

/// What is asked for.
struct Plan<'a> {
    version: MetadataVersion,
    format: Format<'a>,
}

/// Formats the directories that are empty.
pub(super) fn format(arguments: &Arguments, config: &BrokerConfig, out: &mut Out) -> Result<(), Stop> {
    let plan = plan(arguments, config)?;
    let (mut empty, mut formatted) = (Vec::new(), Vec::new());
    for dir in directories(config) {
        match meta_properties(&dir)? {
            Some(properties) => {
                verify(&dir, "cluster.id", properties.get("cluster.id"), plan.format.cluster_id)?;
                verify(&dir, "node.id", properties.get("node.id"), &plan.format.node_id.to_string())?;
                formatted.push(dir);
            }
            None => empty.push(dir),
        }
    }
    // Kafka keeps the directories in hash maps, and reports them in that order.
    hash_order(&mut empty, DEFAULT_CAPACITY, |dir| dir);
    hash_order(&mut formatted, DEFAULT_CAPACITY, |dir| dir);
    if let Some(dir) = formatted.first().filter(|_| !arguments.has("--ignore-formatted")) {
        return Err(Stop::error(&format!(
            "Log directory {dir} is already formatted. Use --ignore-formatted to ignore this directory and format the \
             others."
        )));
    }
    if empty.is_empty() {
        return Ok(out.line("All of the log directories are already formatted.")?);
    }
    out.line(format_args!("Bootstrap metadata: {}", plan.format.bootstrap))?;
    for dir in empty {
        format_dir(&dir, &plan, out)?;
    }
    Ok(())
}

fn verify(dir: &str, name: &str, found: Option<&String>, expected: &str) -> Result<(), Stop> {
    let found = found.map_or("", String::as_str);
    if found == expected {
        return Ok(());
    }
    let message = format!("Invalid {name} in: {dir}/{META_PROPERTIES}. Expected {expected}, but read {found}");
    Err(Stop::uncaught(RUNTIME, &message))
}

fn plan<'a>(arguments: &'a Arguments, config: &'a BrokerConfig) -> Result<Plan<'a>, Stop> {
    if config.process_roles().is_empty() {
        return Err(Stop::error(
            "The kafka configuration file appears to be for a legacy cluster. Formatting is only supported for \
             clusters in KRaft mode.",
        ));
    }
    let release = arguments.one("--release-version").map(|release| release_version(release, false)).transpose()?;
    let mut levels = levels(arguments)?;
    let voters = voters(arguments, config)?;
    let is_dynamic = config.controller_quorum_voters().is_empty();
    let version = match (levels.remove(METADATA_VERSION), release) {
        (Some(_), Some(_)) => {
            return Err(Stop::error(
                "Use --release-version instead of --feature metadata.version=X to avoid ambiguity.",
            ));
        }
        (Some(level), None) => MetadataVersion::from_level(level).ok_or_else(|| {
            Stop::uncaught(
                "java.lang.IllegalArgumentException",
                &format!("No MetadataVersion with feature level {level}"),
            )
        })?,
        (None, release) => release.unwrap_or(MetadataVersion::LATEST),
    };
    let kraft_version = kraft_version(levels.get(KRAFT_VERSION).copied(), is_dynamic)?;
    let mut bootstrap =
        BootstrapMetadata::new(version, &levels, "format command").map_err(|error| Stop::error(&error.to_string()))?;
    if arguments.has("--add-scram") && !version.is_scram_supported() {
        return Err(Stop::error(&format!("SCRAM is only supported in {METADATA_VERSION} 3.5-IV2 or later.")));
    }
    for credential in arguments.all("--add-scram") {
        bootstrap.records.push(scram::record(credential)?);
    }
    let format = Format {
        cluster_id: arguments.one("--cluster-id").unwrap_or_default(),
        node_id: config.node_id(),
        metadata_dir: Path::new(config.metadata_log_dir()),
        controller_listener: config.controller_listener_names().first().map(String::as_str).unwrap_or_default(),
        kraft_version,
        bootstrap,
        voters,
    };
    Ok(Plan { version, format })
}

fn levels(arguments: &Arguments) -> Result<BTreeMap<String, i16>, Stop> {
    let mut levels = BTreeMap::new();
    for text in arguments.all("--feature") {
        let cannot = |why: String| Stop::uncaught(RUNTIME, &format!("Can't parse feature=level string {text}: {why}"));
        let (name, level) = text.split_once('=').ok_or_else(|| cannot("equals sign not found.".to_owned()))?;
        let level = level.trim();
        let parsed = level.parse().map_err(|_| cannot(format!("unable to parse {level} as a short.")))?;
        levels.insert(name.trim().to_owned(), parsed);
    }
    Ok(levels)
}

fn kraft_version(asked: Option<i16>, is_dynamic: bool) -> Result<i16, Stop> {
    let flags = "--standalone, --initial-controllers, or --no-initial-controllers";
    match asked {
        Some(0) if is_dynamic => Err(Stop::error(&format!(
            "Cannot set kraft.version to 0 if controller.quorum.voters is empty and one of the flags {flags} is used. \
             For dynamic controllers support, try removing the --feature flag for kraft.version."
        ))),
        Some(level) if level != 0 && !is_dynamic => Err(Stop::error(&format!(
            "Cannot set kraft.version to {level} unless controller.quorum.voters is empty and one of the flags {flags} \
             is used. For dynamic controllers support, try using one of {flags} and removing controller.quorum.voters."
        ))),
        Some(level) => Ok(level),
        None => Ok(i16::from(is_dynamic)),
    }
}

fn voters(arguments: &Arguments, config: &BrokerConfig) -> Result<Option<Vec<InitialVoter>>, Stop> {
    let (initial, standalone) = (arguments.one("--initial-controllers"), arguments.has("--standalone"));
    let has_static_voters = !config.controller_quorum_voters().is_empty();
    if has_static_voters && (initial.is_some() || standalone) {
        return Err(Stop::error(
            "You cannot specify controller.quorum.voters and format the node with --initial-controllers or \
             --standalone. If you want to use dynamic quorum, please remove controller.quorum.voters and specify \
             controller.quorum.bootstrap.servers instead.",
        ));
    }
    if let Some(text) = initial {
        return text.split(',').map(|voter| initial_voter(voter.trim())).collect::<Result<_, _>>().map(Some);
    }
    if standalone {
        if !config.is_controller() {
            return Err(Stop::error("You can only use --standalone on a controller."));
        }
        return standalone_voter(config).map(|voter| Some(vec![voter]));
    }
    if !arguments.has("--no-initial-controllers") && config.is_controller() && !has_static_voters {
        return Err(Stop::error(
            "Because controller.quorum.voters is not set on this controller, you must specify one of the following: \
             --standalone, --initial-controllers, or --no-initial-controllers.",
        ));
    }
    Ok(None)
}

/// Reads `id@host:port:directory`.
fn initial_voter(text: &str) -> Result<InitialVoter, Stop> {
    let bad = |why: &str| Stop::uncaught("java.lang.IllegalArgumentException", &why);
    let (id, rest) = text.split_once('@').ok_or_else(|| bad("No @ found in dynamic voter string."))?;
    let id = id.parse().map_err(|_| bad("Failed to parse node id in dynamic voter string."))?;
    let (address, directory) =
        rest.rsplit_once(':').ok_or_else(|| bad("No colon following hostname could be found."))?;
    let (host, port) = parse_host_port(address).ok_or_else(|| bad("No colon following port could be found."))?;
    let directory_id = directory.parse().map_err(|_| bad("Failed to parse directory ID in dynamic voter string."))?;
    Ok(InitialVoter { id, directory_id, host, port })
}

fn standalone_voter(config: &BrokerConfig) -> Result<InitialVoter, Stop> {
    let name = config.controller_listener_names().first().cloned().unwrap_or_default();
    let listener = config.listeners().into_iter().find(|listener| listener.listener == name);
    let advertised = config.list("advertised.listeners").into_iter().find_map(|text| {
        let (scheme, address) = text.split_once("://")?;
        if scheme.eq_ignore_ascii_case(&name) { parse_host_port(address) } else { None }
    });
    let (host, port) = match (advertised, listener) {
        (Some(address), _) => address,
        (None, Some(listener)) => (listener.host.unwrap_or_default(), listener.port),
        (None, None) => return Err(Stop::uncaught(RUNTIME, &"No controller listeners found.")),
    };
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    Ok(InitialVoter { id: config.node_id(), directory_id: random_uuid()?, host, port })
}

fn format_dir(dir: &str, plan: &Plan<'_>, out: &mut Out) -> Result<(), Stop> {
    let format = &plan.format;
    let is_metadata = Path::new(dir) == format.metadata_dir;
    let own = format.voters.iter().flatten().find(|voter| voter.id == format.node_id);
    let (kind, directory_id) = match (is_metadata, &format.voters, own) {
        (false, ..) => ("data directory", random_uuid()?),
        (true, None, _) => ("metadata directory", random_uuid()?),
        (true, Some(_), None) => ("dynamic metadata directory", random_uuid()?),
        (true, Some(_), Some(own)) => ("dynamic metadata voter directory", own.directory_id),
    };
    out.line(format_args!("Formatting {kind} {dir} with {METADATA_VERSION} {}.", plan.version.name()))?;
    let written = format.write(&OsDisk::new(), Path::new(dir), directory_id, now_ms());
    written.map_err(|error| Stop::error(&format!("{dir}: {error}")))
}
