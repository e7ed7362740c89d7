//! `kafka-configs.sh`: shows and changes the configurations of topics, brokers, groups and client metrics.

mod entity;
mod resource;

use client::Client;
use protocol::ErrorCode;

use super::java::{Exception, Failure};
use super::options::{self, Parsed, tables::configs::OPTIONS};
use super::out::Out;
use super::session;
use super::stop::Stop;
use entity::Entity;

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let terse = |error: options::ParseError| Stop::error(&error.to_string());
    let parsed = options::parse(OPTIONS, args).map_err(terse)?;
    parsed.help_or_version(
        "This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip, client-metrics \
         or group",
    )?;
    session::run(async {
        execute(&parsed, out).await.map_err(|failure| match failure {
            Failure::Stop(stop) => stop,
            Failure::Exception(error) if is_terse(&error) => Stop::error(&error.message),
            Failure::Exception(error) => {
                let title = format!("Error while executing config command with args '{}'", args.join(" "));
                Stop::error(&format!("{title}\njava.util.concurrent.ExecutionException: {error}"))
            }
        })
    })
}

/// Exceptions whose message alone is shown.
fn is_terse(error: &Exception) -> bool {
    let terse = ["IllegalArgumentException", "UnsupportedVersionException", "TerseConfigurationException"];
    error.class.starts_with("joptsimple.") || terse.iter().any(|class| error.class.ends_with(class))
}

async fn execute(parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    if [parsed.has("alter"), parsed.has("describe")].iter().filter(|given| **given).count() != 1 {
        return Err(parsed.usage("Command must include exactly one action: --describe, --alter").into());
    }
    parsed.forbid("describe", &["alter", "add-config", "delete-config"])?;
    let entity = Entity::new(parsed)?;
    let properties = session::optional_properties(parsed.one("command-config")?)?;
    let bootstrap = if parsed.has("bootstrap-server") { "bootstrap-server" } else { "bootstrap-controller" };
    let client = session::connect(parsed.text(bootstrap)?, &properties).await?;
    if parsed.has("alter") {
        alter(&client, parsed, &entity, out).await
    } else {
        describe(&client, &entity, parsed.has("all"), out).await
    }
}

fn unsupported_kind(entity: &Entity) -> Exception {
    let message = format!("Configurations of {} are not part of this build", entity.kind());
    Exception::of_code(ErrorCode::UnsupportedVersion, Some(&message))
}

async fn alter(client: &Client, parsed: &Parsed, entity: &Entity, out: &mut Out) -> Result<(), Failure> {
    if entity.kinds.len() != entity.names.len() {
        return Err(Exception::illegal_argument("An entity name must be specified for every entity type").into());
    }
    let added = added(parsed)?;
    let deleted: Vec<&str> = parsed.all("delete-config").into_iter().map(str::trim).collect();
    let (kind, name) = (entity.kind(), entity.names.first().map(String::as_str).unwrap_or_default());
    let resource = resource::Kind::of(kind).ok_or_else(|| unsupported_kind(entity))?;
    if resource == resource::Kind::BrokerLogger {
        let known = resource::describe(client, resource, name).await?;
        let unknown: Vec<&str> = deleted
            .iter()
            .copied()
            .chain(added.iter().map(|(logger, _)| logger.as_str()))
            .filter(|logger| !known.iter().any(|entry| entry.name == *logger))
            .collect();
        if !unknown.is_empty() {
            let message = format!("Invalid broker logger(s): {}", unknown.join(","));
            return Err(Exception::new("TerseConfigurationException", message).into());
        }
    }
    resource::alter(client, resource, name, &added, &deleted).await?;
    let one = &kind[..kind.len() - 1];
    if name.is_empty() {
        out.line(format_args!("Completed updating default config for {kind} in the cluster."))?;
    } else {
        out.line(format_args!("Completed updating config for {one} {name}."))?;
    }
    Ok(())
}

/// `--add-config` and `--add-config-file`: pairs split at commas, but not within brackets.
fn added(parsed: &Parsed) -> Result<Vec<(String, String)>, Exception> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    if let Some(file) = parsed.one("add-config-file")? {
        pairs.extend(session::load_properties(file)?);
    }
    if let Some(text) = parsed.one("add-config")? {
        for pair in split_outside_brackets(text, ',') {
            let parts = split_outside_brackets(pair, '=');
            let [name, value] = parts.as_slice() else {
                return Err(Exception::illegal_argument(
                    "requirement failed: Invalid entity config: all configs to be added must be in the format \
                     \"key=val\" or  \"key=[val1,val2]\" to group values which contain commas.",
                ));
            };
            pairs.push((name.trim().to_owned(), value.replace(['[', ']'], "").trim().to_owned()));
        }
    }
    let is_fine = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "$._-".contains(c));
    match pairs.iter().find(|(name, _)| !is_fine(name)) {
        Some((name, _)) => Err(Exception::illegal_argument(format!("Invalid character found for config key: {name}"))),
        None => Ok(pairs),
    }
}

fn split_outside_brackets(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut open) = (0, false);
    for (at, character) in text.char_indices() {
        match character {
            '[' => open = true,
            ']' => open = false,
            _ if character == separator && !open => {
                parts.push(&text[start..at]);
                start = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    if separator == ',' {
        // Java's `split` drops empty parts at the end.
        while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
    }
    parts
}

async fn describe(client: &Client, entity: &Entity, all: bool, out: &mut Out) -> Result<(), Failure> {
    let kind = entity.kind();
    let resource = resource::Kind::of(kind).ok_or_else(|| unsupported_kind(entity))?;
    let one = &kind[..kind.len() - 1];
    let names = match entity.names.first() {
        Some(name) => {
            let is_default_broker = resource == resource::Kind::Broker && name.is_empty();
            if !all && !is_default_broker && !resource::names(client, resource).await?.contains(name) {
                out.line(format_args!("The {one} '{name}' doesn't exist and doesn't have dynamic config."))?;
                return Ok(());
            }
            vec![name.clone()]
        }
        None => {
            let mut names = resource::names(client, resource).await?;
            if matches!(resource, resource::Kind::Broker | resource::Kind::BrokerLogger) {
                names.push(String::new());
            }
            names
        }
    };
    for name in names {
        if name.is_empty() {
            out.line(format_args!("Default configs for {kind} in the cluster are:"))?;
        } else {
            let source = if all { "All" } else { "Dynamic" };
            out.line(format_args!("{source} configs for {one} {name} are:"))?;
        }
        let source = resource.dynamic_source(name.is_empty()).filter(|_| !all);
        let mut entries = resource::describe(client, resource, &name).await?;
        entries.retain(|entry| source.is_none_or(|source| entry.config_source == source));
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        for entry in &entries {
            out.line(resource::line(entry))?;
        }
    }
    Ok(())
}
