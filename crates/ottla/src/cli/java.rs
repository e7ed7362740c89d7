//! What Java does that shows in the tools' output: the order of its hash maps, exceptions as text.

use client::ClientError;
use protocol::{ErrorCode, TopicPartition};

use super::options::ParseError;
use super::stop::Stop;

/// A Java exception as far as tools print it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    /// Class with its package.
    pub(crate) class: String,
    /// Its message.
    pub(crate) message: String,
    /// Kafka's code, where a broker or the client gave one.
    pub(crate) code: ErrorCode,
}

impl Exception {
    /// An exception that carries no code.
    pub(crate) fn new(class: &str, message: impl Into<String>) -> Self {
        Self { class: class.to_owned(), message: message.into(), code: ErrorCode::UnknownServerError }
    }

    /// `IllegalArgumentException`.
    pub(crate) fn illegal_argument(message: impl Into<String>) -> Self {
        Self::new("java.lang.IllegalArgumentException", message)
    }

    /// The exception of an error code.
    pub(crate) fn of_code(code: ErrorCode, message: Option<&str>) -> Self {
        let package = match code {
            ErrorCode::InvalidRecord => "org.apache.kafka.common",
            _ => "org.apache.kafka.common.errors",
        };
        let message = message.unwrap_or_else(|| code.message()).to_owned();
        Self { class: format!("{package}.{}", code.exception()), message, code }
    }

    /// Nothing for code 0.
    pub(crate) fn check(code: i16, message: Option<&str>) -> Result<(), Self> {
        if code == 0 { Ok(()) } else { Err(Self::of_code(ErrorCode::from_code(code), message)) }
    }

    /// As whoever waited for a future gets it.
    pub(crate) fn executed(self) -> Self {
        Self { class: "java.util.concurrent.ExecutionException".to_owned(), message: self.to_string(), code: self.code }
    }

    /// The message, then what stands for the stack trace, on stderr; code 1.
    pub(crate) fn traced(&self) -> Stop {
        Stop::error(&format!("{}\n{self}\n", self.message))
    }
}

impl std::fmt::Display for Exception {
    /// As Java's `toString`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

impl From<ClientError> for Exception {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Broker { code, message } => Self::of_code(*code, message.as_deref()),
            ClientError::Connect { .. } | ClientError::Disconnected { .. } | ClientError::UnknownNode(_) => {
                Self::of_code(ErrorCode::RequestTimedOut, Some("Timed out waiting for a node assignment."))
            }
            ClientError::InvalidConfig { .. } => {
                Self::new("org.apache.kafka.common.config.ConfigException", error.to_string())
            }
            _ => Self::of_code(error.code(), Some(&error.to_string())),
        }
    }
}

impl From<ParseError> for Exception {
    fn from(error: ParseError) -> Self {
        Self::new(error.class(), error.to_string())
    }
}

/// A number, or the exception that Java throws for text that is none.
/// # Errors
/// `NumberFormatException`.
pub(crate) fn parse_number<N: std::str::FromStr>(text: &str) -> Result<N, Exception> {
    let message = || format!("For input string: \"{text}\"");
    text.parse().map_err(|_| Exception::new("java.lang.NumberFormatException", message()))
}

/// A number as Java's `Double.toString` prints it.
pub(crate) fn double(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e7).contains(&size) || !value.is_finite() {
        return format!("{value:?}").replace("inf", "Infinity");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

/// Why an action of a tool ended: with an exception to report, or at once.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be reported in the way of the tool.
    Exception(Exception),
    /// An end that says all there is to say.
    Stop(Stop),
}

impl Failure {
    /// The end of a tool that prints the message of an exception, and the exception after it.
    pub(crate) fn traced(self) -> Stop {
        match self {
            Self::Exception(error) => error.traced(),
            Self::Stop(stop) => stop,
        }
    }
}

impl<E: Into<Exception>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Exception(error.into())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Stop(error.into())
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Something that Java puts into hash maps.
pub(crate) trait JavaHash {
    /// Its `hashCode`.
    fn hash_code(&self) -> i32;
}

impl JavaHash for str {
    fn hash_code(&self) -> i32 {
        self.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
    }
}

impl JavaHash for String {
    fn hash_code(&self) -> i32 {
        self.as_str().hash_code()
    }
}

impl JavaHash for TopicPartition {
    fn hash_code(&self) -> i32 {
        (31 + self.partition).wrapping_mul(31).wrapping_add(self.topic.hash_code())
    }
}

impl JavaHash for i32 {
    fn hash_code(&self) -> i32 {
        *self
    }
}

/// Sorts as a `HashMap` of `capacity` iterates after the items went into it in their present order.
pub(crate) fn hash_order<T, K: JavaHash + ?Sized>(items: &mut [T], capacity: usize, key: impl Fn(&T) -> &K) {
    let mut buckets = capacity.max(1).next_power_of_two();
    while items.len() > buckets / 4 * 3 + buckets % 4 * 3 / 4 {
        buckets *= 2;
    }
    items.sort_by_key(|item| {
        let hash = key(item).hash_code().cast_unsigned();
        (hash ^ hash >> 16) as usize & (buckets - 1)
    });
}

/// Initial capacity of a map that was not told its size.
pub(crate) const DEFAULT_CAPACITY: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_in_java() {
        assert_eq!([1024.0, 0.5, 1e7, 1.25e10, 1e-4].map(double), ["1024.0", "0.5", "1.0E7", "1.25E10", "1.0E-4"]);
    }

    #[test]
    fn strings_hash_and_iterate_as_in_java() {
        assert_eq!("hello".hash_code(), 99_162_322);
        let mut names = ["topic-c", "banana", "topic-a", "apple"];
        // `new HashSet<>(List.of(..))` printed by a JVM.
        hash_order(&mut names, DEFAULT_CAPACITY, |name| *name);
        assert_eq!(names, ["banana", "apple", "topic-a", "topic-c"]);
    }
}
