//! A tool's connection to a cluster: the client made from `--bootstrap-server` and the properties of `--command-config`.
//! Every tool runs on a runtime of its own, on this thread alone unless it has to be fast.

use std::collections::BTreeMap;
use std::future::Future;

use client::{Client, ClientConfig};
use metadata::config::properties;

use super::java::Exception;
use super::stop::Stop;

/// Properties by name.
pub(crate) type Properties = BTreeMap<String, String>;

/// Runs `work` to its end on this thread.
/// # Errors
/// When the system refuses what a runtime needs.
pub(crate) fn run<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Runs `work` on this thread, and what it spawns on others.
/// # Errors
/// When the system refuses what a runtime needs.
pub(crate) fn run_on_threads<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Reads a properties file.
/// # Errors
/// Java's words for a file that cannot be read.
pub(crate) fn load_properties(path: &str) -> Result<Properties, Exception> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Exception::new("java.nio.file.NoSuchFileException", path),
        std::io::ErrorKind::PermissionDenied => Exception::new("java.nio.file.AccessDeniedException", path),
        _ => Exception::new("java.io.IOException", error.to_string()),
    })?;
    Ok(properties::parse(&bytes).into_iter().map(|property| (property.name, property.value)).collect())
}

/// The properties of an optional file.
/// # Errors
/// As [`load_properties`].
pub(crate) fn optional_properties(path: Option<&str>) -> Result<Properties, Exception> {
    path.map_or_else(|| Ok(Properties::new()), load_properties)
}

/// Refuses `--print-metrics`: the native client keeps no metrics, so there is nothing true to print.
/// # Errors
/// If it was given.
pub(crate) fn refuse_metrics(asked: bool) -> Result<(), Stop> {
    if !asked {
        return Ok(());
    }
    Err(Stop::error("This client keeps no metrics to print: leave out --print-metrics."))
}

/// Adds `name=value` words, each of which needs its `=`.
/// # Errors
/// Kafka's words for one that has none, or several.
pub(crate) fn add_pairs(properties: &mut Properties, pairs: &[&str]) -> Result<(), Exception> {
    for pair in pairs {
        match pair.split('=').collect::<Vec<_>>().as_slice() {
            [name, value] if !value.is_empty() => properties.insert((*name).to_owned(), (*value).to_owned()),
            _ => return Err(Exception::illegal_argument(format!("Invalid property: {pair}"))),
        };
    }
    Ok(())
}

/// Adds `name=value` words; a word without `=`, or with nothing after it, has an empty value.
pub(crate) fn add_lenient_pairs(properties: &mut Properties, pairs: &[&str]) {
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        properties.insert(name.to_owned(), value.to_owned());
    }
}

/// The properties in the client's own form.
pub(crate) fn client_properties(properties: &Properties) -> client::Properties {
    properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Connects an admin tool.
/// # Errors
/// When no bootstrap server answers within `default.api.timeout.ms`.
pub(crate) async fn connect(bootstrap: &str, properties: &Properties) -> Result<Client, Exception> {
    let mut settings = client_properties(properties);
    settings.set("bootstrap.servers", bootstrap);
    if !settings.contains("client.id") {
        settings.set("client.id", "adminclient-1");
    }
    let config = ClientConfig::from_properties(&settings)?;
    if !any_resolves(&config.bootstrap_servers).await {
        let message = "Failed to create new KafkaAdminClient";
        return Err(Exception::new("org.apache.kafka.common.KafkaException", message));
    }
    Ok(Client::connect(config).await?)
}

/// Whether there is a host behind any of the addresses: without one, waiting does not help.
async fn any_resolves(servers: &[String]) -> bool {
    for server in servers {
        if tokio::net::lookup_host(server.as_str()).await.is_ok_and(|mut found| found.next().is_some()) {
            return true;
        }
    }
    false
}
