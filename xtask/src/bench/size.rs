//! Cells of size: start, idle, many partitions, many connections.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use super::report::Report;
use super::system::{Kind, System, release_binary};
use super::{Run, in_turn, port, started, tools};
use crate::{process, workspace};

/// How long idle CPU is watched.
const IDLE: Duration = Duration::from_secs(10);
/// Topics and partitions of each: 10,000 together.
const MANY: (u32, u32) = (100, 100);

/// The kinds that are brokers, in turn.
fn brokers(run: &Run) -> impl Iterator<Item = Kind> {
    run.kinds.iter().copied().filter(|kind| *kind != Kind::Floor)
}

/// Waits while the system has nothing to do.
fn rest(time: Duration) {
    #[allow(clippy::disallowed_methods, reason = "idle is what is measured")]
    sleep(time);
}

/// Seconds from exec until a produce to `topic` is acked.
fn seconds_to_first_ack(system: &mut System, topic: &str, create: bool) -> Result<f64> {
    let options = [("topic", topic.to_owned()), ("create", create.to_string())];
    let mut load = tools::load("first", &system.address, &options);
    let load = load.stdout(Stdio::piped()).spawn()?;
    // The load is up and trying before the broker starts.
    rest(Duration::from_millis(50));
    let executed = system.execute()?;
    let output = load.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let acked: u128 = text.trim().strip_prefix("acked_ns=").context("the load reported no ack")?.parse()?;
    Ok(acked.saturating_sub(executed) as f64 / 1e9)
}

/// From exec to the first acked produce, with formatting; then what an idle broker costs.
pub(super) fn start(run: &Run, report: &mut Report) -> Result<()> {
    let cell = "one broker";
    for round in 0..run.runs {
        let kinds: Vec<Kind> = brokers(run).collect();
        for kind in in_turn(&kinds, round).copied() {
            let mut system = System::unformatted(kind, "start", port(kind))?;
            let formatting = system.format_seconds()?;
            let seconds = formatting + seconds_to_first_ack(&mut system, "first", true)?;
            report.add(cell, "exec to first ack ms", kind, seconds * 1e3);
            if round == 0 {
                rest(IDLE);
                let before = system.cpu()?;
                rest(IDLE);
                let percent = system.cpu()?.since(&before).total() / IDLE.as_secs_f64() * 100.0;
                report.add(cell, "idle CPU %", kind, percent);
                report.add(cell, "idle memory MB", kind, system.memory_mb()?);
            }
            system.stop()?;
        }
    }
    if run.kinds.contains(&Kind::Ottla) {
        report.add(cell, "binary MB", Kind::Ottla, binary_mb()?);
    }
    Ok(())
}

/// Size of the binary as the `dist` profile ships it: without the lines that profilers read.
fn binary_mb() -> Result<f64> {
    let stripped = workspace::target().join("bench/ottla-stripped");
    process::output(Command::new("strip").arg("-o").arg(&stripped).arg(release_binary("ottla")))?;
    Ok(fs::metadata(stripped)?.len() as f64 / 1e6)
}

/// 10,000 partitions: created, counted in memory, restarted.
pub(super) fn partitions(run: &Run, report: &mut Report) -> Result<()> {
    let cell = "10,000 partitions";
    let (topics, each) = MANY;
    for round in 0..run.runs.min(3) {
        // Apache Kafka takes minutes for this, and one sample of them is enough.
        for kind in brokers(run).filter(|kind| round == 0 || *kind == Kind::Ottla) {
            let mut system = started(kind, "partitions")?;
            let options =
                [("prefix", "many".to_owned()), ("count", topics.to_string()), ("partitions", each.to_string())];
            let values = tools::run_load("topics", &system.address, &options)?;
            report.add(cell, "created in s", kind, values["seconds"]);
            report.add(cell, "memory MB", kind, system.memory_mb()?);
            system.stop()?;
            let topic = format!("many-{}", topics - 1);
            report.add(cell, "restarted in s", kind, seconds_to_first_ack(&mut system, &topic, false)?);
            report.add(cell, "memory MB after restart", kind, system.memory_mb()?);
            system.stop()?;
        }
    }
    Ok(())
}

/// 10,000 connections that said ApiVersions and then nothing.
pub(super) fn connections(run: &Run, report: &mut Report) -> Result<()> {
    for kind in brokers(run) {
        let system = started(kind, "connections")?;
        let before = system.memory_mb()?;
        let mut load = tools::load("idle", &system.address, &[("connections", "10000".to_owned())]);
        let mut load = load.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut ready = String::new();
        BufReader::new(load.stdout.take().context("stdout is a pipe")?).read_line(&mut ready)?;
        let opened = ready.trim() == "ready=10000";
        if opened {
            report.add("10,000 idle connections", "memory MB", kind, system.memory_mb()?);
            report.add("10,000 idle connections", "KB per connection", kind, (system.memory_mb()? - before) / 10.0);
        } else {
            report.skip("10,000 idle connections", &format!("{} refused some", kind.title()));
        }
        drop(load.stdin.take());
        process::wait_for(Duration::from_secs(10), || load.try_wait().is_ok_and(|status| status.is_some()));
    }
    Ok(())
}
