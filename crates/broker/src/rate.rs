//! Holds work of the background to a number of bytes per second.

/// When the next byte may be moved, in nanoseconds of a clock that never goes back.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    next: u64,
}

impl Rate {
    /// Accounts for `bytes`, and says until when to wait before them.
    pub(crate) fn reserve(&mut self, now: u64, bytes: u64, bytes_per_second: f64) -> u64 {
        let cost = (bytes as f64 / bytes_per_second.max(1.0) * 1e9) as u64;
        let start = self.next.max(now);
        self.next = start.saturating_add(cost);
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_wait_for_those_before_them() {
        let mut rate = Rate::default();
        assert_eq!(rate.reserve(100, 500, 1000.0), 100);
        assert_eq!(rate.reserve(100, 500, 1000.0), 500_000_100);
        assert_eq!(rate.reserve(2_000_000_000, 1, f64::MAX), 2_000_000_000);
        assert_eq!(rate.reserve(2_000_000_000, 1, f64::MAX), 2_000_000_000);
    }
}
