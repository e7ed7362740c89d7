//! Holds a sender back to a rate, by pauses of at least two milliseconds.

use std::time::Duration;

const MIN_PAUSE: Duration = Duration::from_millis(2);

/// Keeps to so many things per second.
#[derive(Debug)]
pub(in crate::cli) struct Throttle {
    rate: f64,
    start_ms: i64,
    deficit: Duration,
}

impl Throttle {
    /// A negative `rate` is no limit.
    pub(in crate::cli) fn new(rate: f64, start_ms: i64) -> Self {
        Self { rate, start_ms, deficit: Duration::ZERO }
    }

    /// Whether `so_far` things are more than the rate allows until `now_ms`.
    #[expect(clippy::cast_precision_loss, reason = "a rate is a rough figure")]
    pub(in crate::cli) fn is_ahead(&self, so_far: u64, now_ms: i64) -> bool {
        if self.rate < 0.0 {
            return false;
        }
        let elapsed = (now_ms - self.start_ms) as f64 / 1000.0;
        elapsed > 0.0 && so_far as f64 / elapsed > self.rate
    }

    /// Waits for the share of one thing, once shares have added up to a pause that the system can keep.
    pub(in crate::cli) async fn pause(&mut self) {
        if self.rate == 0.0 {
            std::future::pending::<()>().await;
        }
        self.deficit += Duration::from_secs_f64(1.0 / self.rate);
        if self.deficit >= MIN_PAUSE {
            // The timer rounds up to milliseconds; what it slept too long is made up for by `is_ahead`.
            tokio::time::sleep(self.deficit).await;
            self.deficit = Duration::ZERO;
        }
    }
}
