//! Requests -> `enum ApiKey` with its versions and listeners.

use std::fmt::Write as _;

use super::schema::MessageSpec;

/// The source of `ApiKey`.
pub(crate) fn generate(messages: &[MessageSpec]) -> String {
    let mut requests: Vec<&MessageSpec> = messages.iter().filter(|message| message.kind == "request").collect();
    requests.sort_by_key(|request| request.api_key);
    let mut variants = String::new();
    let mut rows = String::new();
    for request in &requests {
        let variant = request.name.trim_end_matches("Request");
        let key = request.api_key.unwrap_or_default();
        let flexible = request.flexible.as_ref().map_or(i16::MAX, |range| *range.start());
        let (first, last) = (request.versions.start(), request.versions.end());
        let stable = if request.latest_unstable { last - 1 } else { *last };
        let (broker, controller) =
            ["broker", "controller"].map(|name| request.listeners.iter().any(|listener| listener == name)).into();
        let _ = writeln!(variants, "    /// `{variant}` ({key}), versions {first} to {last}.\n    {variant} = {key},");
        let _ = writeln!(
            rows,
            "    ApiRow {{ key: ApiKey::{variant}, name: {variant:?}, first: {first}, last: {last}, stable: {stable}, flexible: {flexible}, broker: {broker}, controller: {controller} }},"
        );
    }
    format!(
        "/// Kafka's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum ApiKey {{
{variants}}}

const ROWS: [ApiRow; {}] = [
{rows}];
",
        requests.len()
    )
}
