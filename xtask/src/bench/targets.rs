//! What Ottla promises itself, per cell and metric.

use std::fmt;

/// Limits that all must hold; none for a figure that is only shown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Target {
    at_most: Option<f64>,
    at_most_of_kafka: Option<f64>,
    at_least_of_kafka: Option<f64>,
    at_most_of_floor: Option<f64>,
}

impl Target {
    const NONE: Self = Self { at_most: None, at_most_of_kafka: None, at_least_of_kafka: None, at_most_of_floor: None };

    const fn at_most(limit: f64) -> Self {
        Self { at_most: Some(limit), ..Self::NONE }
    }

    const fn at_most_of_kafka(ratio: f64) -> Self {
        Self { at_most_of_kafka: Some(ratio), ..Self::NONE }
    }

    const fn at_least_of_kafka(ratio: f64) -> Self {
        Self { at_least_of_kafka: Some(ratio), ..Self::NONE }
    }

    const fn and_at_most_of_floor(self, ratio: f64) -> Self {
        Self { at_most_of_floor: Some(ratio), ..self }
    }

    /// Whether the target is met; nothing if it has no limit or a limit has nothing to be compared with.
    pub(crate) fn met(&self, value: f64, of_kafka: Option<f64>, of_floor: Option<f64>) -> Option<bool> {
        let checks = [
            self.at_most.map(|limit| Some(value <= limit)),
            self.at_most_of_kafka.map(|limit| of_kafka.map(|ratio| ratio <= limit)),
            self.at_least_of_kafka.map(|limit| of_kafka.map(|ratio| ratio >= limit)),
            self.at_most_of_floor.map(|limit| of_floor.map(|ratio| ratio <= limit)),
        ];
        let known: Vec<bool> = checks.into_iter().flatten().collect::<Option<_>>()?;
        if known.is_empty() { None } else { Some(known.into_iter().all(|holds| holds)) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = [
            self.at_most.map(|limit| format!("<= {limit}")),
            self.at_most_of_kafka.map(|limit| format!("<= {limit}x Apache Kafka")),
            self.at_least_of_kafka.map(|limit| format!(">= {limit}x Apache Kafka")),
            self.at_most_of_floor.map(|limit| format!("<= {limit}x floor")),
        ];
        f.write_str(&limits.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// The target of a metric in a cell.
pub(crate) fn target(cell: &str, metric: &str) -> Target {
    match metric {
        "CPU s/GB" if cell.contains("100 B") => Target::at_most_of_kafka(0.3),
        "CPU s/GB" => Target::at_most_of_kafka(0.2).and_at_most_of_floor(1.3),
        "MB per CPU s" => Target::at_least_of_kafka(2.0),
        "MB/s" => Target::at_least_of_kafka(1.0),
        "requests per CPU s" => Target::at_least_of_kafka(5.0),
        "requests/s" => Target::at_least_of_kafka(1.0),
        "p50 ms" | "p99 ms" | "p99.9 ms" if cell.starts_with("end to end") => Target::at_most_of_kafka(0.5),
        "exec to first ack ms" => Target::at_most(50.0),
        "idle memory MB" => Target::at_most(15.0),
        "idle CPU %" => Target::at_most(0.2),
        "binary MB" => Target::at_most(30.0),
        "created in s" => Target::at_most(10.0),
        "restarted in s" => Target::at_most(2.0),
        "memory MB" if cell.starts_with("10,000 partitions") => Target::at_most(150.0),
        "memory MB" if cell.starts_with("10,000 idle") => Target::at_most(80.0),
        "unsynced / synced" if !cell.ends_with("at a time") => Target::at_most(1.25),
        _ => Target::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_of_a_target_must_hold() {
        let target = target("produce 1 KiB", "CPU s/GB");
        assert_eq!(target.met(1.0, Some(0.1), Some(1.2)), Some(true));
        assert_eq!(target.met(1.0, Some(0.1), Some(1.4)), Some(false));
        assert_eq!(target.met(1.0, Some(0.1), None), None);
        assert_eq!(target.to_string(), "<= 0.2x Apache Kafka, <= 1.3x floor");
    }
}
