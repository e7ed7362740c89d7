//! `--add-scram` of `kafka-storage.sh format`: credentials that a cluster has from its first record on (KIP-900).

use std::collections::BTreeMap;

use bytes::Bytes;
use metadata::VersionedRecord;
use metadata::scram::ScramMechanism;
use protocol::json::base64;
use protocol::messages::UserScramCredentialRecord;

use super::random_salt;
use crate::cli::stop::Stop;

/// The record of `MECHANISM=[name=USER,password=TEXT]`, with `salt`, `iterations` and `saltedpassword` as Kafka reads them.
/// # Errors
/// Kafka's words for what cannot be read.
pub(super) fn record(text: &str) -> Result<VersionedRecord, Stop> {
    let fail = |message: String| Stop::error(&message);
    let text = text.trim();
    let (name, config) =
        text.split_once('=').ok_or_else(|| fail(format!("Failed to find equals sign in SCRAM argument '{text}'")))?;
    let mechanism = ScramMechanism::from_name(name)
        .ok_or_else(|| fail(format!("The add-scram mechanism {name} is not supported.")))?;
    let config = config
        .strip_prefix('[')
        .ok_or_else(|| fail("Expected configuration string to start with [".to_owned()))?
        .strip_suffix(']')
        .ok_or_else(|| fail("Expected configuration string to end with ]".to_owned()))?;
    let mut parts = parts(config)?;
    let user = parts.remove("name").ok_or_else(|| fail("You must supply 'name' to add-scram".to_owned()))?;
    let salt = parts.remove("salt").map(|text| decode(text, "salt")).transpose()?;
    let iterations = match parts.remove("iterations") {
        None => ScramMechanism::MIN_ITERATIONS,
        Some(text) => text.parse().map_err(|_| fail(format!("Failed to parse iterations count: {text}")))?,
    };
    let (password, salted) = (parts.remove("password"), parts.remove("saltedpassword"));
    if !parts.is_empty() {
        let unknown: Vec<&str> = parts.into_keys().collect();
        return Err(fail(format!("Unknown SCRAM configurations: {}", unknown.join(", "))));
    }
    if password.is_none() && salted.is_some() && salt.is_none() {
        return Err(fail("You must supply 'salt' with 'saltedpassword' to add-scram".to_owned()));
    }
    let salt = salt.map_or_else(random_salt, Ok)?;
    check_iterations(mechanism, iterations)?;
    let salted = match (password, salted) {
        (Some(password), _) => mechanism.salted_password(password.as_bytes(), &salt, iterations),
        (None, Some(salted)) => decode(salted, "saltedPassword")?,
        (None, None) => {
            return Err(fail("You must supply one of 'password' or 'saltedpassword' to add-scram".to_owned()));
        }
    };
    let keys = mechanism.keys(&salted);
    let record = UserScramCredentialRecord {
        name: user.to_owned(),
        mechanism: mechanism.code(),
        salt: Bytes::from(salt),
        stored_key: Bytes::from(keys.stored),
        server_key: Bytes::from(keys.server),
        iterations,
        ..Default::default()
    };
    Ok(VersionedRecord::new(record, 0))
}

fn parts(config: &str) -> Result<BTreeMap<&str, &str>, Stop> {
    let mut parts = BTreeMap::new();
    for part in config.split(',') {
        let missing = || Stop::error(&format!("No equals sign found in SCRAM component: {part}"));
        let (name, value) = part.split_once('=').ok_or_else(missing)?;
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        parts.insert(name, quoted.unwrap_or(value));
    }
    Ok(parts)
}

fn decode(text: &str, what: &str) -> Result<Vec<u8>, Stop> {
    base64::decode(text).ok_or_else(|| Stop::error(&format!("Failed to decode given {what}: {text}")))
}

fn check_iterations(mechanism: ScramMechanism, iterations: i32) -> Result<(), Stop> {
    let (least, most) = (ScramMechanism::MIN_ITERATIONS, ScramMechanism::MAX_ITERATIONS);
    let name = mechanism.name().replace('-', "_");
    let rule = match iterations {
        few if few < least => format!(">= {least}"),
        many if many > most => format!("<= {most}"),
        _ => return Ok(()),
    };
    Err(Stop::error(&format!("The 'iterations' value must be {rule} for add-scram using {name}")))
}
