//! `kafka-broker-api-versions.sh`: which requests the brokers of a cluster take, in which versions.

use std::collections::BTreeMap;

use client::{ApiVersionRange, Broker, Lane};
use protocol::ApiKey;

use super::java::{Exception, Failure};
use super::options::{self, Parsed, tables::broker_api_versions::OPTIONS};
use super::out::Out;
use super::session;
use super::stop::Stop;

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args).map_err(|error| Exception::from(error).traced())?;
    parsed.help_or_version("This tool helps to retrieve broker version information.")?;
    parsed.require(&["bootstrap-server"])?;
    session::run(async { execute(&parsed, out).await.map_err(Failure::traced) })
}

async fn execute(parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let properties = session::optional_properties(parsed.one("command-config")?)?;
    let client = session::connect(parsed.text("bootstrap-server")?, &properties).await?;
    let brokers: Vec<Broker> = client.cluster().brokers.values().cloned().collect();
    for broker in brokers {
        let rack = broker.rack.as_deref().unwrap_or("null");
        let node = format!("{}:{} (id: {} rack: {rack} isFenced: false)", broker.host, broker.port, broker.id);
        match client.broker(broker.id, Lane::Request).await {
            Ok(connection) => out.line(format_args!("{node} -> {}", table(connection.api_versions())))?,
            Err(error) => out.line(format_args!("{node} -> ERROR: {}", Exception::from(error).message))?,
        }
    }
    Ok(())
}

fn table(versions: &BTreeMap<i16, ApiVersionRange>) -> String {
    let mut rows: BTreeMap<i16, String> =
        versions.iter().map(|(code, range)| (*code, row(*code, range.min, range.max))).collect();
    for api in ApiKey::all().filter(|api| api.on_broker()) {
        rows.entry(api.code()).or_insert_with(|| format!("{}({}): UNSUPPORTED", api.name(), api.code()));
    }
    let rows: Vec<String> = rows.into_values().collect();
    format!("(\n\t{}\n)", rows.join(",\n\t"))
}

fn row(code: i16, min: i16, max: i16) -> String {
    let range = if min == max { min.to_string() } else { format!("{min} to {max}") };
    let Some(api) = ApiKey::from_code(code) else { return format!("UNKNOWN({code}): {range}") };
    let ours = api.all_versions();
    let usable = if *ours.end() < min {
        "unusable: node too new".to_owned()
    } else if max < *ours.start() {
        "unusable: node too old".to_owned()
    } else {
        format!("usable: {}", max.min(*ours.end()))
    };
    format!("{}({code}): {range} [{usable}]", api.name())
}
