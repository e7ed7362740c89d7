//! Listener, voter and bootstrap addresses as configurations write them.

use std::collections::BTreeMap;

use super::ConfigError;

/// How connections of a listener are secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityProtocol {
    /// Nothing.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without TLS.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// The protocol of a name in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl]
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }

    /// Kafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// Its code in records and messages.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Plaintext => 0,
            Self::Ssl => 1,
            Self::SaslPlaintext => 2,
            Self::SaslSsl => 3,
        }
    }
}

/// An address to listen on or to advertise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the listener, in upper case.
    pub listener: String,
    /// How it is secured.
    pub security_protocol: SecurityProtocol,
    /// Host; none is every address.
    pub host: Option<String>,
    /// Port; 0 is any free one.
    pub port: u16,
}

/// One entry of `controller.quorum.voters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumVoter {
    /// Its `node.id`.
    pub id: i32,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Reads endpoints such as `PLAINTEXT://localhost:9092`.
/// # Errors
/// An entry that is no endpoint, has an unknown listener name, repeats a name or, with `distinct_ports`, a port.
pub fn parse_listeners(
    name: &'static str,
    entries: &[String],
    protocols: &BTreeMap<String, SecurityProtocol>,
    distinct_ports: bool,
) -> Result<Vec<Endpoint>, ConfigError> {
    let shown = format!("[{}]", entries.join(", "));
    let refuse =
        |reason: String| ConfigError::rule(name, format!("Error creating broker listeners from '{shown}': {reason}"));
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(entries.len());
    for entry in entries {
        let (listener, host, port) =
            split_endpoint(entry).ok_or_else(|| refuse(format!("Unable to parse {entry} to a broker endpoint")))?;
        let listener = listener.to_uppercase();
        let security_protocol = *protocols
            .get(&listener)
            .ok_or_else(|| refuse(format!("No security protocol defined for listener {listener}")))?;
        if endpoints.iter().any(|other| other.listener == listener) {
            return Err(refuse(format!("Each listener must have a different name, listeners: {shown}")));
        }
        let clashes =
            |other: &Endpoint| other.port == port && port != 0 && !is_other_family(other.host.as_deref(), host);
        if distinct_ports && endpoints.iter().any(clashes) {
            return Err(refuse(format!("Each listener must have a different port, listeners: {shown}")));
        }
        let host = (!host.is_empty()).then(|| host.to_owned());
        endpoints.push(Endpoint { listener, security_protocol, host, port });
    }
    Ok(endpoints)
}

/// Whether one host is an IPv4 address and the other an IPv6 one: then both may use the same port.
fn is_other_family(one: Option<&str>, other: &str) -> bool {
    use std::net::IpAddr;
    match (one.and_then(|host| host.parse::<IpAddr>().ok()), other.parse::<IpAddr>().ok()) {
        (Some(one), Some(other)) => one.is_ipv4() != other.is_ipv4(),
        _ => false,
    }
}

/// Splits `name://host:port`; the host may be empty or in brackets.
fn split_endpoint(entry: &str) -> Option<(&str, &str, u16)> {
    let (listener, address) = entry.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-%._:".contains(&byte);
    (host.bytes().all(allowed)).then_some(())?;
    Some((listener, host, port.parse().ok()?))
}

/// Splits `host:port`; the host may be an IPv6 address in brackets.
#[must_use]
pub fn parse_host_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'))?;
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-%._:".contains(&byte)) {
        return None;
    }
    Some((host.to_owned(), port.parse().ok()?))
}

/// Reads `controller.quorum.voters`, `{id}@{host}:{port}` each.
/// # Errors
/// An entry of another form.
pub fn parse_quorum_voters(entries: &[String]) -> Result<Vec<QuorumVoter>, ConfigError> {
    const NAME: &str = "controller.quorum.voters";
    const FORM: &str = "Each entry should be in the form `{id}@{host}:{port}`.";
    let mut voters = Vec::with_capacity(entries.len());
    for entry in entries {
        let (id, address) = entry
            .split_once('@')
            .ok_or_else(|| ConfigError::rule(NAME, format!("Invalid configuration value for {NAME}. {FORM}")))?;
        let id = id
            .parse()
            .map_err(|_| ConfigError::rule(NAME, format!("Failed to parse voter ID as an integer from {id}")))?;
        let (host, port) = parse_host_port(address).ok_or_else(|| {
            let part = if address.contains(':') { "host port" } else { "host name" };
            ConfigError::rule(
                NAME,
                format!("Failed to parse {part} from entry {entry} for the configuration {NAME}. {FORM}"),
            )
        })?;
        voters.push(QuorumVoter { id, host, port });
    }
    Ok(voters)
}

/// Reads one entry of `controller.quorum.bootstrap.servers`.
pub(crate) fn parse_bootstrap_server(entry: &str) -> Result<(String, u16), ConfigError> {
    const NAME: &str = "controller.quorum.bootstrap.servers";
    parse_host_port(entry).ok_or_else(|| {
        let reason = format!(
            "Failed to parse host name from {entry} for the configuration {NAME}. Each entry should be in the form \"{{host}}:{{port}}\""
        );
        ConfigError::rule(NAME, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(entries: &[&str]) -> Result<Vec<Endpoint>, ConfigError> {
        let protocols = BTreeMap::from([
            ("PLAINTEXT".to_owned(), SecurityProtocol::Plaintext),
            ("CONTROLLER".to_owned(), SecurityProtocol::Plaintext),
        ]);
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        parse_listeners("listeners", &entries, &protocols, true)
    }

    #[test]
    fn hosts_may_be_empty_or_ipv6() {
        let parsed = listeners(&["plaintext://:9092", "CONTROLLER://[::1]:9093"]).expect("valid");
        assert_eq!(parsed[0].host, None);
        assert_eq!(parsed[0].listener, "PLAINTEXT");
        assert_eq!((parsed[1].host.as_deref(), parsed[1].port), (Some("::1"), 9093));
    }

    #[test]
    fn clashes_and_nonsense_are_refused() {
        let text = |entries: &[&str]| listeners(entries).expect_err("invalid").to_string();
        assert!(text(&["PLAINTEXT:9092"]).ends_with("Unable to parse PLAINTEXT:9092 to a broker endpoint"));
        assert!(text(&["TLS://a:1"]).ends_with("No security protocol defined for listener TLS"));
        assert!(text(&["PLAINTEXT://a:1", "CONTROLLER://b:1"]).contains("Each listener must have a different port"));
        assert!(listeners(&["PLAINTEXT://127.0.0.1:1", "CONTROLLER://[::1]:1"]).is_ok());
    }

    #[test]
    fn voters_need_id_host_and_port() {
        let voters = parse_quorum_voters(&["1@localhost:9093".to_owned()]).expect("valid");
        assert_eq!(voters[0], QuorumVoter { id: 1, host: "localhost".to_owned(), port: 9093 });
        assert!(parse_quorum_voters(&["localhost:9093".to_owned()]).is_err());
    }
}
