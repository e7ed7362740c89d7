//! Speed and size: Ottla, Apache Kafka 4.3.1 and the floor in turn in the same run, on the same machine and disk.
//! The honest figure on a shared machine is the broker's CPU per unit of work; throughput is that of broker and load together.

mod compaction;
mod data;
mod report;
mod requests;
mod size;
mod system;
mod targets;
mod tools;

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::bench::report::Report;
use crate::bench::system::{Kind, System};
use crate::workspace;

/// Cells by name, in the order in which they run.
const CELLS: [(&str, Cell); 10] = [
    ("data", data::produce_and_consume),
    ("tail", data::tail),
    ("java", data::java_tools),
    ("small", requests::small),
    ("latency", requests::latency),
    ("fsync", requests::fsync),
    ("compaction", compaction::compaction),
    ("start", size::start),
    ("partitions", size::partitions),
    ("connections", size::connections),
];

type Cell = fn(&Run, &mut Report) -> Result<()>;

/// What a run covers.
#[derive(Debug)]
struct Run {
    runs: usize,
    kinds: Vec<Kind>,
    /// Part of the normal amount of data, for a quick look.
    scale: f64,
}

impl Run {
    /// Records that make up the normal amount of data.
    fn scaled(&self, count: u64) -> u64 {
        (count as f64 * self.scale) as u64
    }

    /// The systems, freshly formatted and answering.
    fn systems(&self, purpose: &str) -> Result<Vec<System>> {
        self.kinds.iter().map(|kind| started(*kind, purpose)).collect()
    }

    /// The brokers among the systems, freshly formatted and answering.
    fn brokers(&self, purpose: &str) -> Result<Vec<System>> {
        let kinds = self.kinds.iter().filter(|kind| **kind != Kind::Floor);
        kinds.map(|kind| started(*kind, purpose)).collect()
    }
}

/// The systems in the order of a round: who is first in one is last in the next, since what one leaves behind, in memory and
/// on the disk, is what the next one finds.
fn in_turn<T>(systems: &[T], round: usize) -> impl Iterator<Item = &T> {
    let (before, from) = systems.split_at(round % systems.len().max(1));
    from.iter().chain(before)
}

fn started(kind: Kind, purpose: &str) -> Result<System> {
    let mut system = System::prepare(kind, purpose, port(kind))?;
    system.start()?;
    Ok(system)
}

/// Each system has a port, and the one above it for its controller.
fn port(kind: Kind) -> u16 {
    match kind {
        Kind::Ottla => 24_010,
        Kind::ApacheKafka => 24_020,
        Kind::Floor => 24_030,
    }
}

/// Runs the cells named in `args` (all without names), prints the table and, for a whole run, writes `BENCHMARKS.md`.
/// `--runs N` (5), `--without ottla|apache-kafka|floor`, `--scale F` (1), `--write`, `--built` (takes the
/// release binaries as they are).
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut run = Run { runs: 5, kinds: vec![Kind::Ottla, Kind::ApacheKafka, Kind::Floor], scale: 1.0 };
    let mut names = Vec::new();
    let (mut write, mut built) = (false, false);
    let mut rest = args.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{argument} has no value"));
        match argument.as_str() {
            "--runs" => run.runs = value()?.parse()?,
            "--scale" => run.scale = value()?.parse()?,
            "--without" => {
                let without = value()?;
                run.kinds.retain(|kind| kind.folder() != without);
            }
            "--write" => write = true,
            "--built" => built = true,
            name if CELLS.iter().any(|(cell, _)| *cell == name) => names.push(name),
            other => bail!("no cell or option {other}; the cells are {:?}", CELLS.map(|(name, _)| name)),
        }
    }
    if !built {
        tools::build()?;
    }
    let mut report = Report::default();
    for (name, cell) in CELLS.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        eprintln!("{name}");
        #[allow(clippy::disallowed_methods, reason = "the time of a benchmark is measured")]
        let start = Instant::now();
        if let Err(error) = cell(&run, &mut report) {
            report.skip(name, &format!("{error:#}"));
        }
        eprintln!("{name} took {:.0} s", start.elapsed().as_secs_f64());
    }
    let table = report.table();
    println!("{table}");
    if write || (names.is_empty() && run.kinds.len() == 3) {
        let path = workspace::root().join("BENCHMARKS.md");
        let notes = notes(&fs::read_to_string(&path).unwrap_or_default());
        let command = format!("cargo xtask bench {}", args.join(" "));
        let text = format!("{}{table}{notes}", head(command.trim(), run.runs)?);
        fs::write(&path, text)?;
    }
    Ok(())
}

/// What stays of the file when a new table is written: the findings below it.
fn notes(old: &str) -> String {
    const TITLE: &str = "\n## Findings";
    old.find(TITLE).map_or_else(String::new, |start| old[start..].to_owned())
}

fn head(command: &str, runs: usize) -> Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let memory: f64 = memory.trim().trim_end_matches("kB").trim().parse()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(workspace::root()).output()?;
    Ok(format!(
        "# Benchmarks\n\n`{command}` at {}: medians of {runs}, Ottla, Apache Kafka 4.3.1 (its script's JVM flags, \
         1 GB heap) and the floor in turn.\n{} x {}, {:.0} GB, Linux {}; load and brokers share the machine.\n\n\
         The floor is `xtask/load/src/floor.rs`: socket to file with CRC32C and back by sendfile. CPU is user and kernel \
         time of the broker's process, per GB of record values. The load is librdkafka's `rdkafka_performance`, Kafka's perf \
         tools where a cell says so, and `xtask/load` for small requests, latency, connections and partitions.\n\n",
        String::from_utf8_lossy(&commit.stdout).trim(),
        cores,
        cpu.trim_start_matches([' ', '\t', ':']),
        memory * 1024.0 / 1e9,
        kernel.trim(),
    ))
}
