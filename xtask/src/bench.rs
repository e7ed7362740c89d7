//! Speed and size beside Apache Kafka 4.3.1.

use anyhow::{Result, bail};

/// Runs the benchmarks and prints their table.
pub(crate) fn run(_args: &[String]) -> Result<()> {
    bail!("there are no benchmarks yet")
}
