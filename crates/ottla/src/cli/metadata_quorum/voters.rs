//! `kafka-metadata-quorum.sh add-controller` and `remove-controller`: voters come and go (KIP-853).

use std::path::Path;

use client::Client;
use metadata::config::{parse_host_port, properties};
use protocol::Uuid;
use protocol::messages::add_raft_voter_request::Listener;
use protocol::messages::{AddRaftVoterRequest, RemoveRaftVoterRequest};

use crate::cli::java::{Exception, Failure};
use crate::cli::options::argparse::Arguments;
use crate::cli::out::Out;
use crate::cli::session::Properties;
use crate::cli::stop::Stop;

const CONTROLLER_FILE: &str = "Is this a valid controller configuration file?";

/// Makes the controller of a configuration file a voter.
/// # Errors
/// What the file lacks; else the quorum's.
pub(super) async fn add(
    client: &Client,
    arguments: &Arguments,
    properties: &Properties,
    out: &mut Out,
) -> Result<(), Failure> {
    let voter_id = controller_id(properties)?;
    let voter_directory_id = directory_id(metadata_dir(properties)?)?;
    let listeners = endpoints(properties)?;
    let shown: Vec<String> = listeners.iter().map(shown).collect();
    if !arguments.has("--dry-run") {
        let request = AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: 60_000,
            voter_id,
            voter_directory_id,
            listeners,
            ..Default::default()
        };
        let response = client.retry("addRaftVoter", async || client.send_to_any(&request).await).await;
        let response = response.map_err(|error| Exception::from(error).executed())?;
        Exception::check(response.error_code, response.error_message.as_deref()).map_err(Exception::executed)?;
    }
    let done = if arguments.has("--dry-run") { "DRY RUN of adding" } else { "Added" };
    let endpoints = shown.join(", ");
    let id = voter_directory_id;
    Ok(out.line(format_args!("{done} controller {voter_id} with directory id {id} and endpoints: {endpoints}"))?)
}

/// Takes the vote of a controller.
/// # Errors
/// Wrong ids; else the quorum's.
pub(super) async fn remove(client: &Client, arguments: &Arguments, out: &mut Out) -> Result<(), Failure> {
    let refuse = |message: String| Err(Stop::error(&message).into());
    let id = arguments.one("--controller-id").unwrap_or_default();
    let Ok(voter_id) = id.parse::<i32>() else {
        return refuse(format!("argument --controller-id/-i: could not convert '{id}' to Integer"));
    };
    if voter_id < 0 {
        return refuse(format!("Invalid negative --controller-id: {voter_id}"));
    }
    let text = arguments.one("--controller-directory-id").unwrap_or_default();
    let Ok(voter_directory_id) = text.parse::<Uuid>() else {
        if text.len() == 1 {
            let reason = "Input byte[] should at least have 2 bytes for base64 bytes";
            return refuse(format!("Failed to parse --controller-directory-id: {reason}"));
        }
        return refuse(format!(
            "Failed to parse --controller-directory-id: Input string `{text}` decoded as {} bytes, which is not equal to \
             the expected 16 bytes of a base64-encoded UUID",
            text.len() * 3 / 4
        ));
    };
    if !arguments.has("--dry-run") {
        let request = RemoveRaftVoterRequest { cluster_id: None, voter_id, voter_directory_id, ..Default::default() };
        let response = client.retry("removeRaftVoter", async || client.send_to_any(&request).await).await;
        let response = response.map_err(|error| Exception::from(error).executed())?;
        Exception::check(response.error_code, response.error_message.as_deref()).map_err(Exception::executed)?;
    }
    let done = if arguments.has("--dry-run") { "DRY RUN of removing " } else { "Removed " };
    Ok(out.line(format_args!("{done} KRaft controller {voter_id} with directory id {voter_directory_id}"))?)
}

fn controller_id(properties: &Properties) -> Result<i32, Stop> {
    let refuse = |reason: &str| Stop::error(&format!("{reason} configuration file. {CONTROLLER_FILE}"));
    let id = properties.get("node.id").ok_or_else(|| refuse("node.id not found in"))?;
    let id: i32 = id.trim().parse().map_err(|_| Stop::error(&format!("For input string: \"{id}\"")))?;
    if id < 0 {
        return Err(refuse("node.id was negative in"));
    }
    if !properties.get("process.roles").is_some_and(|roles| roles.contains("controller")) {
        return Err(refuse("process.roles did not contain 'controller' in"));
    }
    Ok(id)
}

fn metadata_dir(properties: &Properties) -> Result<&str, Stop> {
    let first = |dirs: &String| dirs.trim().split(',').next().map_or(0, str::len);
    if let Some(dir) = properties.get("metadata.log.dir") {
        return Ok(dir);
    }
    let dirs = properties.get("log.dirs");
    dirs.map(|dirs| &dirs.trim()[..first(dirs)])
        .ok_or_else(|| Stop::error(&format!("Neither metadata.log.dir nor log.dirs were found. {CONTROLLER_FILE}")))
}

fn directory_id(dir: &str) -> Result<Uuid, Stop> {
    let bytes = std::fs::read(Path::new(dir).join("meta.properties"))
        .map_err(|_| Stop::error(&format!("Unable to read meta.properties from {dir}")))?;
    let found = properties::parse(&bytes).into_iter().find(|property| property.name == "directory.id");
    let id = found.and_then(|property| property.value.parse().ok());
    id.ok_or_else(|| Stop::error(&format!("No directory id found in {dir}")))
}

fn endpoints(properties: &Properties) -> Result<Vec<Listener>, Stop> {
    let names = properties
        .get("controller.listener.names")
        .ok_or_else(|| Stop::error(&format!("controller.listener.names was not found. {CONTROLLER_FILE}")))?;
    let listed = ["advertised.listeners", "listeners"].into_iter().filter_map(|name| properties.get(name));
    let known: Vec<(String, String, u16)> = listed
        .flat_map(|listeners| listeners.split(','))
        .filter_map(|listener| {
            let (name, address) = listener.trim().split_once("://")?;
            let (host, port) = parse_host_port(address)?;
            Some((name.to_uppercase(), host, port))
        })
        .collect();
    let endpoint = |name: &str| {
        let name = name.trim().to_uppercase();
        let missing = || Stop::error(&format!("Cannot find information about controller listener name: {name}"));
        let (name, host, port) = known.iter().find(|(known, ..)| *known == name).ok_or_else(missing)?;
        let host = if host.is_empty() { "localhost" } else { host };
        Ok(Listener { name: name.clone(), host: host.to_owned(), port: *port, ..Default::default() })
    };
    names.split(',').map(endpoint).collect()
}

fn shown(listener: &Listener) -> String {
    let host = if listener.host.contains(':') { format!("[{}]", listener.host) } else { listener.host.clone() };
    format!("{}://{host}:{}", listener.name, listener.port)
}
