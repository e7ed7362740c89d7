//! Counts, latencies and their percentiles, as Kafka's tool keeps and prints them.

use std::io::Write as _;

use crate::cli::time::now_ms;

/// Latencies kept for the percentiles.
const MAX_SAMPLES: u64 = 500_000;
const MEGABYTE: f64 = 1024.0 * 1024.0;

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    count: u64,
    bytes: u64,
    latency: i64,
    max_latency: i64,
}

impl Sum {
    fn add(&mut self, latency: i64, count: u64, size: usize) {
        self.count += count;
        self.bytes += count * size as u64;
        self.latency += latency * count.cast_signed();
        self.max_latency = self.max_latency.max(latency);
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn rates(&self, elapsed_ms: i64) -> (f64, f64, f64) {
        let elapsed = elapsed_ms as f64;
        let records = 1000.0 * self.count as f64 / elapsed;
        let megabytes = 1000.0 * self.bytes as f64 / elapsed / MEGABYTE;
        (records, megabytes, self.latency as f64 / self.count as f64)
    }
}

/// What is known of the records sent so far.
#[derive(Debug)]
pub(super) struct Stats {
    start: i64,
    latencies: Vec<i64>,
    sampling: u64,
    seen: u64,
    reporting_interval: i64,
    total: Sum,
    window: Sum,
    window_start: i64,
    is_steady_state: bool,
    is_suppressed: bool,
}

impl Stats {
    /// For `records` records, of which a report is due every `reporting_interval` milliseconds.
    pub(super) fn new(records: u64, reporting_interval: i64, is_steady_state: bool) -> Self {
        let now = now_ms();
        Self {
            start: now,
            latencies: Vec::new(),
            sampling: records / records.min(MAX_SAMPLES),
            seen: 0,
            reporting_interval,
            total: Sum::default(),
            window: Sum::default(),
            window_start: now,
            is_steady_state,
            is_suppressed: false,
        }
    }

    /// Prints no more reports.
    pub(super) fn suppress(&mut self) {
        self.is_suppressed = true;
    }

    /// Counts `count` records of `size` bytes that were acknowledged at `now`, `latency` milliseconds after they were sent.
    pub(super) fn record(&mut self, latency: i64, count: u64, size: usize, now: i64) {
        self.total.add(latency, count, size);
        self.window.add(latency, count, size);
        let samples = (self.seen + count).div_ceil(self.sampling) - self.seen.div_ceil(self.sampling);
        self.latencies.extend((0..samples).map(|_| latency));
        self.seen += count;
        if now - self.window_start >= self.reporting_interval {
            self.report();
        }
    }

    fn report(&mut self) {
        let mut text = String::new();
        if self.is_steady_state && self.total.count == self.window.count {
            text.push_str("In steady state.\n");
        }
        if !self.is_suppressed {
            let (records, megabytes, average) = self.window.rates(now_ms() - self.window_start);
            text.push_str(&format!(
                "{} records sent, {records:.1} records/sec ({megabytes:.2} MB/sec), {average:.1} ms avg latency, \
                 {:.1} ms max latency.\n",
                self.window.count,
                max(&self.window)
            ));
        }
        // A reader that went away ends the tool with its last line.
        let _ = std::io::stdout().write_all(text.as_bytes());
        self.window = Sum::default();
        self.window_start = now_ms();
    }

    /// The last line.
    pub(super) fn total(&mut self) -> String {
        let (records, megabytes, average) = self.total.rates(now_ms() - self.start);
        self.latencies.sort_unstable();
        let percentile = |thousandths: usize| {
            let at = self.latencies.len() * thousandths / 1000;
            self.latencies.get(at).copied().unwrap_or(0)
        };
        format!(
            "{}{} records sent, {records:.6} records/sec ({megabytes:.2} MB/sec), {average:.2} ms avg latency, \
             {:.2} ms max latency, {} ms 50th, {} ms 95th, {} ms 99th, {} ms 99.9th.",
            self.total.count,
            if self.is_steady_state { " steady state" } else { "" },
            max(&self.total),
            percentile(500),
            percentile(950),
            percentile(990),
            percentile(999)
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn max(sum: &Sum) -> f64 {
    sum.max_latency as f64
}
