//! How a tool ends before its work is done: what it still prints, and the exit code.
//! Kafka's tools differ in what they print for the same mistake, so every way is named here once.

use std::fmt;

/// The version of Apache Kafka whose tools these are.
pub(crate) const KAFKA_VERSION: &str = "4.3.1";

/// An early end. Each text ends with a line break or is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Goes to stdout.
    pub(crate) stdout: String,
    /// Goes to stderr.
    pub(crate) stderr: String,
    /// Exit code.
    pub(crate) code: u8,
}

impl Stop {
    /// Ends with this code and not a word.
    pub(crate) fn silent(code: u8) -> Self {
        Self { stdout: String::new(), stderr: String::new(), code }
    }

    /// `message` on stderr, code 1.
    pub(crate) fn error(message: &str) -> Self {
        Self { stderr: format!("{message}\n"), ..Self::silent(1) }
    }

    /// The version on stdout, code 0.
    pub(crate) fn version() -> Self {
        Self { stdout: format!("{KAFKA_VERSION}\n"), ..Self::silent(0) }
    }

    /// What the JVM says of an exception that nobody catches.
    pub(crate) fn uncaught(class: &str, message: &dyn fmt::Display) -> Self {
        Self::error(&format!("Exception in thread \"main\" {class}: {message}"))
    }
}

impl From<std::io::Error> for Stop {
    /// A reader that went away is no failure worth a word.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe { Self::silent(1) } else { Self::error(&error.to_string()) }
    }
}
