//! Two measures that quotas are held against, in Kafka's arithmetic: a rate over sliding samples (`Rate` of a `WindowedSum`) and
//! a bucket of tokens (`TokenBucket`). Pure: the time comes in.

/// How many samples are kept, and how long each one lasts (`quota.window.num`, `quota.window.size.seconds`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) samples: usize,
    pub(crate) sample_ms: i64,
}

impl Window {
    /// The time that all full samples cover.
    pub(crate) fn full_ms(self) -> i64 {
        self.sample_ms * i64::try_from(self.samples).unwrap_or(i64::MAX / self.sample_ms.max(1))
    }
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    started_ms: i64,
    last_ms: i64,
    sum: f64,
}

impl Sample {
    fn new(now_ms: i64) -> Self {
        Self { started_ms: now_ms, last_ms: now_ms, sum: 0.0 }
    }
}

/// How much there is per second.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate {
    samples: Vec<Sample>,
    current: usize,
}

impl Rate {
    /// Adds `amount`, or takes it back if it is negative.
    pub(crate) fn record(&mut self, window: Window, amount: f64, now_ms: i64) {
        if self.samples.is_empty() {
            self.samples.push(Sample::new(now_ms));
        }
        if now_ms - self.samples[self.current].started_ms >= window.sample_ms {
            // One more than is asked for: the oldest one overlaps the window only in part.
            self.current = (self.current + 1) % (window.samples + 1);
            match self.samples.get_mut(self.current) {
                Some(oldest) => *oldest = Sample::new(now_ms),
                None => self.samples.push(Sample::new(now_ms)),
            }
        }
        let sample = &mut self.samples[self.current];
        sample.sum += amount;
        sample.last_ms = now_ms;
    }

    /// For how many milliseconds the client must pause to get back to `limit`; none if it is within.
    pub(crate) fn over(&mut self, window: Window, limit: f64, now_ms: i64) -> Option<i64> {
        for sample in &mut self.samples {
            if now_ms - sample.last_ms >= window.full_ms() {
                *sample = Sample::new(now_ms);
            }
        }
        let sum: f64 = self.samples.iter().map(|sample| sample.sum).sum();
        let window_ms = self.window_ms(window, now_ms) as f64;
        let rate = sum / (window_ms / 1000.0);
        (rate > limit).then(|| ((rate - limit) / limit * window_ms).round() as i64)
    }

    /// The time that the rate is taken over: what has passed, as if at least all samples but the current one were full.
    fn window_ms(&self, window: Window, now_ms: i64) -> i64 {
        let oldest = self.samples.iter().map(|sample| sample.started_ms).min().unwrap_or(now_ms);
        let elapsed = now_ms - oldest;
        let full = elapsed / window.sample_ms;
        let least = i64::try_from(window.samples).unwrap_or(i64::MAX) - 1;
        (elapsed + (least - full).max(0) * window.sample_ms).max(1)
    }
}

/// Tokens that come back with time and are spent by changes; may go below zero, then nothing more is spent.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenBucket {
    tokens: f64,
    updated_ms: i64,
}

impl TokenBucket {
    /// Takes `amount` tokens.
    pub(crate) fn spend(&mut self, window: Window, limit: f64, amount: f64, now_ms: i64) {
        let burst = self.refill(window, limit, now_ms);
        self.tokens = (self.tokens - amount).min(burst);
    }

    /// For how many milliseconds the client must pause until the bucket is no more below zero; none if it is not.
    pub(crate) fn over(&mut self, window: Window, limit: f64, now_ms: i64) -> Option<i64> {
        self.refill(window, limit, now_ms);
        (self.tokens < 0.0).then(|| (-self.tokens / limit * 1000.0).round() as i64)
    }

    fn refill(&mut self, window: Window, limit: f64, now_ms: i64) -> f64 {
        let burst = window.full_ms() as f64 / 1000.0 * limit;
        let passed = (now_ms - self.updated_ms) as f64 / 1000.0;
        self.tokens = (self.tokens + limit * passed).min(burst);
        self.updated_ms = now_ms;
        burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { samples: 11, sample_ms: 1000 };

    #[test]
    fn a_burst_is_paid_for_by_the_time_that_it_was_too_early() {
        let mut rate = Rate::default();
        rate.record(WINDOW, 5000.0, 0);
        assert_eq!(rate.over(WINDOW, 500.0, 0), None);
        rate.record(WINDOW, 500.0, 0);
        // 5,500 in ten seconds are 550 a second: a tenth too much of ten seconds.
        assert_eq!(rate.over(WINDOW, 500.0, 0), Some(1000));
        assert_eq!(rate.over(WINDOW, 500.0, 11_000), None);
    }

    #[test]
    fn what_is_taken_back_does_not_count() {
        let mut rate = Rate::default();
        rate.record(WINDOW, 9000.0, 100);
        rate.record(WINDOW, -9000.0, 100);
        assert_eq!(rate.over(WINDOW, 1.0, 100), None);
    }

    #[test]
    fn a_bucket_allows_a_burst_and_then_one_change_at_a_time() {
        let now = 1_000_000;
        let mut bucket = TokenBucket::default();
        assert_eq!(bucket.over(WINDOW, 2.0, now), None);
        bucket.spend(WINDOW, 2.0, 22.0, now);
        assert_eq!(bucket.over(WINDOW, 2.0, now), None);
        bucket.spend(WINDOW, 2.0, 10.0, now);
        assert_eq!(bucket.over(WINDOW, 2.0, now), Some(5000));
        assert_eq!(bucket.over(WINDOW, 2.0, now + 5000), None);
    }
}
