//! `errors.tsv` -> `enum ErrorCode`.

use std::fmt::Write as _;

/// The source of `ErrorCode` and its tables.
pub(crate) fn generate(table: &str) -> String {
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let (mut variants, mut codes, mut names, mut retriable) =
        (String::new(), String::new(), String::new(), String::new());
    let (mut exceptions, mut messages) = (String::new(), String::new());
    for row in &rows {
        let (code, name) = (row[0], row[1]);
        let variant: String = name.split('_').map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect();
        let _ = writeln!(variants, "    /// `{name}` ({code}).\n    {variant} = {code},");
        let _ = writeln!(codes, "            {code} => Self::{variant},");
        let _ = writeln!(names, "            Self::{variant} => {name:?},");
        let _ = writeln!(exceptions, "            Self::{variant} => {:?},", row[3]);
        let _ = writeln!(messages, "            Self::{variant} => {:?},", row[4]);
        if row[2] == "true" {
            let _ = write!(retriable, "{}Self::{variant}", if retriable.is_empty() { "" } else { " | " });
        }
    }
    format!(
        "/// Kafka's error codes (`org.apache.kafka.common.protocol.Errors`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
#[repr(i16)]
pub enum ErrorCode {{
{}}}

impl ErrorCode {{
    /// The error of a code on the wire; an unknown one is `UnknownServerError`, as in Kafka's clients.
    #[must_use]
    pub fn from_code(code: i16) -> Self {{
        match code {{
{codes}            _ => Self::UnknownServerError,
        }}
    }}

    /// Kafka's name, such as `NOT_LEADER_OR_FOLLOWER`.
    #[must_use]
    pub fn name(self) -> &'static str {{
        match self {{
{names}        }}
    }}

    /// Java's class of the exception for it, without its package; empty for no error.
    #[must_use]
    pub fn exception(self) -> &'static str {{
        match self {{
{exceptions}        }}
    }}

    /// What Kafka says where the answer carries no message of its own.
    #[must_use]
    pub fn message(self) -> &'static str {{
        match self {{
{messages}        }}
    }}

    /// Whether a client may try again.
    #[must_use]
    pub fn is_retriable(self) -> bool {{
        matches!(self, {retriable})
    }}
}}
",
        variants.replace("    None = 0", "    #[default]\n    None = 0")
    )
}
