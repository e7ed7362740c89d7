//! The wall clock, read in this one place; everything that waits uses `tokio::time`, which tests can pause.

use std::time::SystemTime;

use protocol::types::TimestampMs;

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the client depends on `protocol` alone; this is its only wall clock")]
pub(crate) fn wall_ms() -> TimestampMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    TimestampMs::try_from(since.as_millis()).unwrap_or(TimestampMs::MAX)
}
