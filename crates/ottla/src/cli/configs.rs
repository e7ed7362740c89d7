//! `kafka-configs.sh`: shows and changes the configurations of topics, brokers, groups and client metrics.

mod entity;
mod quotas;
pub(super) mod resource;
mod scram;

use client::Client;
use metadata::scram::ScramMechanism;

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

/// Changes quotas or credentials of users, clients and addresses.
async fn alter_clients(
    client: &Client,
    entity: &Entity,
    added: &[(String, String)],
    deleted: &[&str],
) -> Result<(), Failure> {
    let refuse = |message: String| Err(Exception::illegal_argument(message).into());
    let with_argument = "using --bootstrap-server.";
    let keys: Vec<&str> = added.iter().map(|(key, _)| key.as_str()).collect();
    let but = |names: &[&str], allowed: &dyn Fn(&str) -> bool| -> Vec<String> {
        names.iter().filter(|name| !allowed(name)).map(|name| (*name).to_owned()).collect()
    };
    if entity.kind() == "ips" {
        let unknown = but(&[keys.as_slice(), deleted].concat(), &|key| quotas::ADDRESS.contains(&key));
        if !unknown.is_empty() {
            let unknown = unknown.join(",");
            return refuse(format!(
                "Only connection quota configs can be added for 'ips' {with_argument} Unexpected config names: {unknown}"
            ));
        }
        return Ok(quotas::alter(client, entity, added, deleted).await?);
    }
    let is_quota = |key: &str| quotas::USER_AND_CLIENT.contains(&key);
    let is_scram = |key: &str| ScramMechanism::from_name(key).is_some();
    let has_quotas = keys.iter().chain(deleted).any(|key| is_quota(key));
    let has_scram = keys.iter().chain(deleted).any(|key| is_scram(key));
    let only_users = entity.kinds.len() == 1 && entity.kind() == "users";
    let (what, kind) = if only_users { ("quota and SCRAM credential", "users") } else { ("quota", "clients") };
    for (verb, names, list) in [("added", keys.as_slice(), "Set"), ("deleted", deleted, "ArraySeq")] {
        let unknown = but(names, &|key| is_quota(key) || only_users && is_scram(key));
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            return refuse(format!(
                "Only {what} configs can be {verb} for '{kind}' {with_argument} Unexpected config names: {list}({unknown})"
            ));
        }
    }
    if has_scram && entity.names.iter().any(String::is_empty) {
        return refuse(format!(
            "The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials {with_argument}"
        ));
    }
    if has_scram && has_quotas {
        return refuse(format!(
            "Cannot alter both quota and SCRAM credential configs simultaneously for 'users' {with_argument}"
        ));
    }
    match entity.names.as_slice() {
        _ if has_quotas => Ok(quotas::alter(client, entity, added, deleted).await?),
        [user] => scram::alter(client, user, added, deleted).await,
        names => {
            let message = format!(
                "Altering user SCRAM credentials should never occur for more zero or multiple users: {}",
                names.join(", ")
            );
            Err(Exception::new("java.lang.IllegalStateException", message).into())
        }
    }
}

async fn alter(client: &Client, parsed: &Parsed, entity: &Entity, out: &mut Out) -> Result<(), Failure> {
    if entity.kinds.len() != entity.names.len() {
        return Err(Exception::illegal_argument("An entity name must be specified for every entity type").into());
    }
    let added = added(parsed)?;
    let deleted: Vec<&str> = parsed.all("delete-config").into_iter().map(str::trim).collect();
    let (kind, name) = (entity.kind(), entity.names.first().map(String::as_str).unwrap_or_default());
    let Some(resource) = resource::Kind::of(kind) else {
        alter_clients(client, entity, &added, &deleted).await?;
        return completed(kind, name, out);
    };
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
    completed(kind, name, out)
}

fn completed(kind: &str, name: &str, out: &mut Out) -> Result<(), Failure> {
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
    let Some(resource) = resource::Kind::of(kind) else {
        quotas::describe(client, entity, out).await?;
        // Credentials belong to users alone, and no user is the default of all.
        if entity.kinds.iter().all(|kind| kind == "users") && !entity.names.iter().any(String::is_empty) {
            scram::describe(client, &entity.names, out).await?;
        }
        return Ok(());
    };
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
