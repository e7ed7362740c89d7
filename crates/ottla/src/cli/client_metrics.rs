//! `kafka-client-metrics.sh`: subscriptions to the metrics of clients (KIP-1000).

use client::Client;

use super::configs::resource::{self, Kind};
use super::java::{DEFAULT_CAPACITY, Exception, Failure, hash_order};
use super::options::{self, Parsed, tables::client_metrics::OPTIONS};
use super::out::Out;
use super::session;
use super::stop::Stop;
use super::storage::random_uuid;

const TITLE: &str = "This tool helps to manipulate and describe client metrics configurations.";

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args).map_err(|error| options::usage(OPTIONS, &error.to_string()))?;
    parsed.help_or_version(TITLE)?;
    let actions = ["alter", "delete", "describe", "list"];
    if actions.iter().filter(|action| parsed.has(action)).count() != 1 {
        let message = "Command must include exactly one action: --alter, --delete, --describe or --list.";
        return Err(parsed.usage(message));
    }
    check(&parsed).map_err(Failure::traced)?;
    session::run(async {
        let done = execute(&parsed, out).await;
        done.or_else(|failure| match failure {
            Failure::Exception(error) => {
                out.line(format_args!("Error while executing client metrics command : {}", error.message))?;
                Err(Stop::silent(1))
            }
            Failure::Stop(stop) => Err(stop),
        })
    })
}

fn check(parsed: &Parsed) -> Result<(), Failure> {
    let refuse = |message: &str| Err(Exception::illegal_argument(message).into());
    if !parsed.has("bootstrap-server") {
        return refuse("--bootstrap-server must be specified.");
    }
    let changes = ["generate-name", "interval", "match", "metrics"];
    parsed.forbid("delete", &changes)?;
    parsed.forbid("describe", &changes)?;
    parsed.forbid("list", &["name", "generate-name", "interval", "match", "metrics"])?;
    let named = parsed.has("name");
    if parsed.has("alter") {
        if named == parsed.has("generate-name") {
            return refuse("One of --name or --generate-name must be specified with --alter.");
        }
        let interval = parsed.one("interval")?.filter(|interval| !interval.is_empty());
        if interval.is_some_and(|interval| interval.parse::<i32>().is_err()) {
            return refuse("Invalid interval value. Enter an integer, or leave empty to reset.");
        }
    }
    if parsed.has("delete") && !named {
        return refuse("A client metrics resource name must be specified with --delete.");
    }
    Ok(())
}

async fn execute(parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let properties = session::optional_properties(parsed.one("command-config")?)?;
    let client = session::connect(parsed.text("bootstrap-server")?, &properties).await?;
    if parsed.has("alter") {
        alter(&client, parsed, out).await
    } else if parsed.has("delete") {
        delete(&client, parsed.text("name")?, out).await
    } else if parsed.has("describe") {
        describe(&client, parsed.one("name")?, out).await
    } else {
        Ok(out.line(resource::names(&client, Kind::ClientMetrics).await?.join("\n"))?)
    }
}

async fn alter(client: &Client, parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let name = match parsed.one("name")? {
        Some(name) => name.to_owned(),
        None => random_uuid()?.to_string(),
    };
    let (mut set, mut reset) = (Vec::new(), Vec::new());
    for (option, config) in [("interval", "interval.ms"), ("metrics", "metrics"), ("match", "match")] {
        if !parsed.has(option) {
            continue;
        }
        match parsed.all(option).join(",") {
            value if value.is_empty() => reset.push(config),
            value => set.push((config.to_owned(), value)),
        }
    }
    resource::alter(client, Kind::ClientMetrics, &name, &set, &reset).await?;
    Ok(out.line(format_args!("Altered client metrics config for {name}."))?)
}

async fn delete(client: &Client, name: &str, out: &mut Out) -> Result<(), Failure> {
    let entries = resource::describe(client, Kind::ClientMetrics, name).await?;
    let all: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    resource::alter(client, Kind::ClientMetrics, name, &[], &all).await?;
    Ok(out.line(format_args!("Deleted client metrics config for {name}."))?)
}

async fn describe(client: &Client, name: Option<&str>, out: &mut Out) -> Result<(), Failure> {
    let mut names = resource::names(client, Kind::ClientMetrics).await?;
    if let Some(name) = name {
        if !names.iter().any(|other| other == name) {
            let line = format!("The client metric resource {name} doesn't exist and doesn't have dynamic config.");
            return Ok(out.line(line)?);
        }
        names = vec![name.to_owned()];
    }
    for name in names {
        out.line(format_args!("Client metrics configs for {name} are:"))?;
        let mut entries = resource::describe(client, Kind::ClientMetrics, &name).await?;
        hash_order(&mut entries, DEFAULT_CAPACITY, |entry| entry.name.as_str());
        for entry in entries {
            out.line(format_args!("  {}={}", entry.name, entry.value.as_deref().unwrap_or("null")))?;
        }
    }
    Ok(())
}
