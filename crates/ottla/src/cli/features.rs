//! `kafka-features.sh`: the levels of features, and changing them.

use std::collections::BTreeMap;

use client::Client;
use metadata::features::{FEATURES, METADATA_VERSION, MetadataVersion};
use protocol::messages::update_features_request::FeatureUpdateKey;
use protocol::messages::{ApiVersionsRequest, UpdateFeaturesRequest};

use super::java::{Exception, Failure};
use super::options::argparse::{self, Arguments, Command, Group, Named, Refusal, one, required, switch};
use super::out::Out;
use super::session;
use super::stop::{KAFKA_VERSION, Stop};
use super::storage::{dependencies, release_version, version_mapping};

const FEATURE: Named = one(&["--feature"]);
const DRY_RUN: Named = switch(&["--dry-run"]);
const UNSAFE: Named = switch(&["--unsafe"]);

const fn subcommand(name: &'static str, help: &'static str, arguments: &'static [Named]) -> Command {
    Command { name, help, arguments, groups: &[], subcommands: &[] }
}

const TOOL: Command = Command {
    name: "kafka-features",
    help: include_str!("options/help/features.txt"),
    arguments: &[one(&["--bootstrap-server"]), one(&["--bootstrap-controller"]), one(&["--command-config"])],
    groups: &[Group { names: &["--bootstrap-server", "--bootstrap-controller"], required: false }],
    subcommands: &[
        subcommand("describe", include_str!("options/help/features-describe.txt"), &[one(&["--node-id"])]),
        subcommand(
            "upgrade",
            include_str!("options/help/features-upgrade.txt"),
            &[one(&["--metadata"]), one(&["--release-version"]), FEATURE, DRY_RUN],
        ),
        subcommand(
            "downgrade",
            include_str!("options/help/features-downgrade.txt"),
            &[one(&["--metadata"]), one(&["--release-version"]), FEATURE, UNSAFE, DRY_RUN],
        ),
        subcommand("disable", include_str!("options/help/features-disable.txt"), &[FEATURE, UNSAFE, DRY_RUN]),
        subcommand(
            "version-mapping",
            include_str!("options/help/features-version-mapping.txt"),
            &[one(&["--release-version"])],
        ),
        subcommand(
            "feature-dependencies",
            include_str!("options/help/features-feature-dependencies.txt"),
            &[required(&["--feature"])],
        ),
    ],
};

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

/// New levels by feature.
type Updates = BTreeMap<String, i16>;

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let arguments = argparse::read(&TOOL, args).map_err(refused)?;
    match arguments.command {
        "version-mapping" => return version_mapping(&arguments, out),
        "feature-dependencies" => {
            arguments.all("--feature").into_iter().try_for_each(|text| parse_level(text).map(drop))?;
            return dependencies(&arguments, out);
        }
        _ => {}
    }
    session::run(async {
        let done = execute(&arguments, out).await;
        done.map_err(|failure| match failure {
            Failure::Exception(error) => Stop::error(&error.message),
            Failure::Stop(stop) => stop,
        })
    })
}

fn refused(refusal: Refusal) -> Stop {
    match refusal {
        Refusal::Wrong { message, .. } => {
            let stderr = format!("Command line error: {message}. Type --help for help.");
            Stop { stderr, ..Stop::silent(1) }
        }
        help => help.stop(0),
    }
}

async fn execute(arguments: &Arguments, out: &mut Out) -> Result<(), Failure> {
    let properties = session::optional_properties(arguments.one("--command-config"))?;
    let node_id = argparse::number::<i32>(&TOOL, arguments, "--node-id", "Integer").map_err(refused)?;
    let bootstrap = arguments.one("--bootstrap-server").or_else(|| arguments.one("--bootstrap-controller"));
    let Some(bootstrap) = bootstrap else {
        let message = "You must specify either --bootstrap-controller or --bootstrap-server.".to_owned();
        return Err(refused(Refusal::Wrong { text: String::new(), message }).into());
    };
    let command = arguments.command;
    let updates = match command {
        "describe" => None,
        "disable" => Some(disabled(arguments)?),
        _ => Some(updates(arguments, command, out)?),
    };
    let client = session::connect(bootstrap, &properties).await?;
    match updates {
        None => describe(&client, node_id, out).await,
        Some(updates) => update(&client, arguments, updates, out).await,
    }
}

async fn describe(client: &Client, node_id: Option<i32>, out: &mut Out) -> Result<(), Failure> {
    let request = ApiVersionsRequest {
        client_software_name: "ottla".to_owned(),
        client_software_version: KAFKA_VERSION.to_owned(),
        ..Default::default()
    };
    let response = match node_id {
        Some(id) if id < 0 => {
            return Err(Stop::error(&format!("Invalid node id {id}: must be non-negative.")).into());
        }
        Some(id) => client.retry("describeFeatures", async || client.send_to(id, &request).await).await?,
        None => client.retry("describeFeatures", async || client.send_to_any(&request).await).await?,
    };
    Exception::check(response.error_code, None)?;
    let mut supported: Vec<_> = response.supported_features.iter().collect();
    supported.sort_by(|one, other| one.name.cmp(&other.name));
    let epoch = match response.finalized_features_epoch {
        epoch if epoch < 0 => "-".to_owned(),
        epoch => epoch.to_string(),
    };
    for feature in supported {
        let finalized = response.finalized_features.iter().find(|other| other.name == feature.name);
        let level = finalized.map_or(0, |finalized| finalized.max_version_level);
        out.line(format_args!(
            "Feature: {:<40}  SupportedMinVersion: {:<15}  SupportedMaxVersion: {:<15}  FinalizedVersionLevel: {:<15}  Epoch: {epoch}",
            feature.name,
            shown(&feature.name, feature.min_version),
            shown(&feature.name, feature.max_version),
            shown(&feature.name, level),
        ))?;
    }
    Ok(())
}

fn shown(feature: &str, level: i16) -> String {
    if feature != METADATA_VERSION {
        return level.to_string();
    }
    MetadataVersion::from_level(level).map_or_else(|| format!("UNKNOWN [{level}]"), |version| version.name().to_owned())
}

fn parse_level(text: &str) -> Result<(String, i16), Stop> {
    let fail = |reason: &str| Stop::error(&format!("Can't parse feature=level string {text}: {reason}"));
    let (name, level) = text.split_once('=').ok_or_else(|| fail("equals sign not found."))?;
    let (name, level) = (name.trim(), level.trim());
    let number = level.parse().map_err(|_| fail(&format!("unable to parse {level} as a short.")))?;
    Ok((name.to_owned(), number))
}

fn more_than_once(feature: &str) -> Stop {
    Stop::error(&format!("Feature {feature} was specified more than once."))
}

fn updates(arguments: &Arguments, command: &str, out: &mut Out) -> Result<Updates, Stop> {
    let (metadata, features) = (arguments.one("--metadata"), arguments.all("--feature"));
    let mut updates = Updates::new();
    if let Some(release) = arguments.one("--release-version") {
        if metadata.is_some() || !features.is_empty() {
            return Err(Stop::error("Can not specify `release-version` with other feature flags."));
        }
        let version = release_version(release, true)?;
        updates.insert(METADATA_VERSION.to_owned(), version.level());
        let levels = FEATURES.iter().map(|feature| (feature.name.to_owned(), feature.default_level(version)));
        updates.extend(levels.filter(|(_, level)| command != "upgrade" || *level > 0));
        return Ok(updates);
    }
    if let Some(metadata) = metadata {
        out.line(" `metadata` flag is deprecated and may be removed in a future release.")?;
        updates.insert(METADATA_VERSION.to_owned(), release_version(metadata, true)?.level());
    }
    for text in features {
        let (name, level) = parse_level(text)?;
        if updates.insert(name.clone(), level).is_some() {
            return Err(more_than_once(&name));
        }
    }
    Ok(updates)
}

fn disabled(arguments: &Arguments) -> Result<Updates, Stop> {
    let mut updates = Updates::new();
    for feature in arguments.all("--feature") {
        if updates.insert(feature.to_owned(), 0).is_some() {
            return Err(more_than_once(feature));
        }
    }
    Ok(updates)
}

async fn update(client: &Client, arguments: &Arguments, updates: Updates, out: &mut Out) -> Result<(), Failure> {
    let (command, dry_run) = (arguments.command, arguments.has("--dry-run"));
    if updates.is_empty() {
        return Err(Stop::error(&format!("You must specify at least one feature to {command}")).into());
    }
    let upgrade_type = match (command, arguments.has("--unsafe")) {
        ("upgrade", _) => UPGRADE,
        (_, true) => UNSAFE_DOWNGRADE,
        (_, false) => SAFE_DOWNGRADE,
    };
    let feature_updates = updates.iter().map(|(feature, level)| FeatureUpdateKey {
        feature: feature.clone(),
        max_version_level: *level,
        upgrade_type,
        ..Default::default()
    });
    let request = UpdateFeaturesRequest {
        timeout_ms: 60_000,
        feature_updates: feature_updates.collect(),
        validate_only: dry_run,
        ..Default::default()
    };
    let answer = client.retry("updateFeatures", async || client.send_to_any(&request).await).await;
    let failed = match answer {
        Ok(response) => Exception::check(response.error_code, response.error_message.as_deref()).err(),
        Err(error) => Some(error.into()),
    };
    for (feature, level) in &updates {
        let line = match (&failed, command) {
            (Some(error), _) => {
                let helper = if dry_run { "Can not" } else { "Could not" };
                let to = if command == "disable" { String::new() } else { format!(" to {level}") };
                format!("{helper} {command} {feature}{to}. {}", error.message)
            }
            (None, "disable") => format!("{feature} {} disabled.", if dry_run { "can be" } else { "was" }),
            (None, _) => format!("{feature} {} {command}d to {level}.", if dry_run { "can be" } else { "was" }),
        };
        out.line(line)?;
    }
    if failed.is_none() {
        return Ok(());
    }
    let count = updates.len();
    Err(Stop::error(&format!("{count} out of {count} operation(s) failed.")).into())
}
