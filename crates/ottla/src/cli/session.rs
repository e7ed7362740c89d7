//! A tool's connection to a cluster: the client made from `--bootstrap-server` and the properties of `--command-config`.
//! Every tool runs on a runtime of its own, on this thread alone unless it has to be fast.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

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

/// What the properties say to the client; a name that it does not know is not its business.
/// # Errors
/// For a value of the wrong kind, and for a security protocol that this build does not speak.
pub(crate) fn client_config(bootstrap: &str, properties: &Properties) -> Result<ClientConfig, Exception> {
    let mut config = ClientConfig::default();
    config.bootstrap_servers = bootstrap.split(',').map(|server| server.trim().to_owned()).collect();
    if let Some(id) = properties.get("client.id") {
        config.client_id.clone_from(id);
    }
    let duration = |name: &str, target: &mut Duration| -> Result<(), Exception> {
        if let Some(value) = properties.get(name) {
            *target = Duration::from_millis(number(name, value)?);
        }
        Ok(())
    };
    duration("request.timeout.ms", &mut config.request_timeout)?;
    duration("default.api.timeout.ms", &mut config.api_timeout)?;
    duration("socket.connection.setup.timeout.ms", &mut config.connection_setup_timeout)?;
    duration("reconnect.backoff.ms", &mut config.reconnect_backoff)?;
    duration("reconnect.backoff.max.ms", &mut config.reconnect_backoff_max)?;
    duration("retry.backoff.ms", &mut config.retry_backoff)?;
    duration("retry.backoff.max.ms", &mut config.retry_backoff_max)?;
    duration("metadata.max.age.ms", &mut config.metadata_max_age)?;
    if let Some(protocol) = properties.get("security.protocol").filter(|name| !name.eq_ignore_ascii_case("PLAINTEXT")) {
        let message =
            format!("Invalid value {protocol} for configuration security.protocol: only PLAINTEXT is there yet");
        return Err(Exception::new("org.apache.kafka.common.config.ConfigException", message));
    }
    Ok(config)
}

/// A number from a property.
/// # Errors
/// Kafka's words for one that is none.
pub(crate) fn number<N: std::str::FromStr>(name: &str, value: &str) -> Result<N, Exception> {
    value.trim().parse().map_err(|_| {
        let message = format!("Invalid value {value} for configuration {name}: Not a number of type LONG");
        Exception::new("org.apache.kafka.common.config.ConfigException", message)
    })
}

/// Connects an admin tool.
/// # Errors
/// When no bootstrap server answers within `default.api.timeout.ms`.
pub(crate) async fn connect(bootstrap: &str, properties: &Properties) -> Result<Client, Exception> {
    let mut config = client_config(bootstrap, properties)?;
    if config.client_id.is_empty() {
        "adminclient-1".clone_into(&mut config.client_id);
    }
    Ok(Client::connect(config).await?)
}
