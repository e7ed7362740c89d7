//! Time as the rooms see it. Wall time may jump; monotonic time never goes back.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

/// Where time comes from.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since 1970.
    fn wall_ms(&self) -> i64;

    /// Nanoseconds since an arbitrary moment, never decreasing.
    fn monotonic_nanos(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct OsClock {
    started: Instant,
}

impl OsClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for OsClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for OsClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic_nanos(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A clock that moves only when told to. Clones share their time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    wall_ms: Arc<AtomicI64>,
    nanos: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands at `wall_ms`.
    #[must_use]
    pub fn new(wall_ms: i64) -> Self {
        Self { wall_ms: Arc::new(AtomicI64::new(wall_ms)), nanos: Arc::new(AtomicU64::new(0)) }
    }

    /// Moves both times forward.
    pub fn advance_ms(&self, ms: u32) {
        self.wall_ms.fetch_add(i64::from(ms), Ordering::SeqCst);
        self.nanos.fetch_add(u64::from(ms) * 1_000_000, Ordering::SeqCst);
    }

    /// Makes wall time jump; monotonic time stays.
    pub fn set_wall_ms(&self, wall_ms: i64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic_nanos(&self) -> u64 {
        self.nanos.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_time_moves_only_when_told() {
        let clock = ManualClock::new(1000);
        let shared = clock.clone();
        clock.advance_ms(5);
        assert_eq!((shared.wall_ms(), shared.monotonic_nanos()), (1005, 5_000_000));
        clock.set_wall_ms(1);
        assert_eq!((shared.wall_ms(), shared.monotonic_nanos()), (1, 5_000_000));
    }

    #[test]
    fn machine_time_is_after_2020_and_never_goes_back() {
        let clock = OsClock::new();
        assert!(clock.wall_ms() > 1_577_836_800_000);
        let first = clock.monotonic_nanos();
        assert!(clock.monotonic_nanos() >= first);
    }
}
