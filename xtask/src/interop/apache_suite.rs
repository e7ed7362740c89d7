//! Apache Kafka's own integration tests, run by `../shared/suites/apachekafka.sh` against one broker process a test.
//! `interop/apache-kafka/passing.txt` names what Ottla passes; it only grows, and what it names must pass.
//! `interop/apache-kafka/baseline.txt` is the same for Apache Kafka itself on one broker: the bar.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};

use super::{scratch, this_program};
use crate::node::Kind;
use crate::tally::Tally;
use crate::{apache_kafka, process, workspace};

/// The suite's name on the command line.
pub(super) const NAME: &str = "apache-kafka";
/// Classes that run at once. Most tests wait more than they compute.
const WORKERS: u16 = 2;
/// Below the ports that the system gives to clients: a broker's port is not taken while it is down.
const FIRST_PORT: u16 = 23000;
/// Each worker has its own ports.
const PORTS_OF_WORKER: u16 = 3000;

/// Runs the classes of the list and counts the tests in it. `UPDATE_PASSING=1` adds what passes now and is not yet in it;
/// `CLASSES` (space separated) runs these instead of the classes of the list.
pub(super) fn run(kind: Kind, tally: &mut Tally) -> Result<()> {
    let runner = workspace::root().join("../shared/suites/apachekafka.sh");
    let missing =
        ["java", "javac", "mvn", "patch", "unzip", "python3"].into_iter().find(|program| !process::exists(program));
    if let Some(program) = missing {
        tally.skip(NAME, &format!("{program} is not installed"));
        return Ok(());
    }
    if !runner.exists() {
        tally.skip(NAME, &format!("there is no {}", runner.display()));
        return Ok(());
    }
    apache_kafka::fetch()?;
    let listed = read_list(kind)?;
    let asked = std::env::var("CLASSES").ok();
    let classes: BTreeSet<&str> = match &asked {
        Some(asked) => asked.split_whitespace().collect(),
        None => listed.iter().filter_map(|test| test.split("::").next()).collect(),
    };
    let listed: BTreeSet<&String> =
        listed.iter().filter(|test| classes.contains(test.split("::").next().unwrap_or_default())).collect();
    let mut longest_first: Vec<&str> = classes.iter().copied().collect();
    longest_first
        .sort_by_key(|class| Reverse(listed.iter().filter(|test| test.split("::").next() == Some(*class)).count()));
    let results = results(kind, &runner, &longest_first)?;
    for test in &listed {
        if results.contains(&("PASS".to_owned(), (*test).clone())) {
            tally.pass(1);
        } else {
            tally.fail(format!("{NAME}: {test}"));
        }
    }
    let new: BTreeSet<&String> = results.iter().filter(|(how, _)| how == "PASS").map(|(_, test)| test).collect();
    let new: Vec<&&String> = new.difference(&listed).collect();
    println!("{} tests of the list ran, {} pass that are not in it", listed.len(), new.len());
    if std::env::var_os("UPDATE_PASSING").is_some() {
        let mut all = read_list(kind)?;
        all.extend(new.into_iter().map(|test| (*test).clone()));
        write_list(kind, &all)?;
    }
    Ok(())
}

/// How each test ended: `PASS`, `FAIL` or `SKIP`, and its name as `class::method`.
type Results = Vec<(String, String)>;

/// Runs the classes, those with most tests in the list first, on [`WORKERS`] at a time.
fn results(kind: Kind, runner: &Path, classes: &[&str]) -> Result<Results> {
    let folder = scratch().join("apache-kafka");
    fs::create_dir_all(&folder)?;
    let launcher = folder.join(format!("launch-{}", kind.name()));
    fs::write(&launcher, format!("#!/bin/sh\nexec '{}' node {} \"$@\"\n", this_program()?, kind.name()))?;
    process::run(Command::new("chmod").arg("+x").arg(&launcher))?;
    let suite = Suite { kind, runner, folder: &folder, launcher: &launcher };
    // With no group named the script only installs what it needs, which two of it must not do at once.
    process::lines(&mut suite.command(), |_| {})?;
    let queue = Mutex::new(classes.iter());
    let next = || queue.lock().ok()?.next().copied();
    let workers: Vec<Result<Results>> = thread::scope(|scope| {
        let start = |worker| scope.spawn(move || suite.work(worker, next));
        let started: Vec<_> = (0..WORKERS).map(start).collect();
        started.into_iter().map(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked"))).collect()
    });
    let mut all = Vec::new();
    for results in workers {
        all.extend(results?);
    }
    Ok(all)
}

/// The script that runs the tests, and against what.
#[derive(Clone, Copy)]
struct Suite<'a> {
    kind: Kind,
    runner: &'a Path,
    folder: &'a Path,
    launcher: &'a Path,
}

impl Suite<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(self.runner);
        command.arg(self.launcher).env("SUITES", self.folder).env("FULL", "1");
        command.env("MAXBROKERS", "1").env("OTTLA", crate::node::ottla_binary());
        if std::env::var_os("PER").is_none() {
            command.env("PER", "60s");
        }
        command
    }

    /// Runs one class after the other until there is no next one.
    fn work<'c>(&self, worker: u16, next: impl Fn() -> Option<&'c str>) -> Result<Results> {
        let label = format!("{}-{worker}", self.kind.name());
        let file = self.folder.join(format!("results/ak-clients.{label}.txt"));
        let mut results = Vec::new();
        while let Some(class) = next() {
            let mut command = self.command();
            command.arg("clients").env("CLASSES", class).env("LABEL", &label);
            command.env("PORTBASE", (FIRST_PORT + worker * PORTS_OF_WORKER).to_string());
            // The script's own counts cover tests that are not in the list: its exit code says nothing here.
            process::lines(&mut command, |_| {})?;
            let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            for line in text.lines() {
                if let [how, test, ..] = line.split(' ').collect::<Vec<_>>().as_slice() {
                    results.push(((*how).to_owned(), (*test).to_owned()));
                }
            }
        }
        Ok(results)
    }
}

fn list(kind: Kind) -> PathBuf {
    workspace::root().join("interop/apache-kafka").join(match kind {
        Kind::Ottla => "passing.txt",
        Kind::ApacheKafka => "baseline.txt",
    })
}

fn read_list(kind: Kind) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(list(kind)).with_context(|| format!("reading {}", list(kind).display()))?;
    Ok(text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}

fn write_list(kind: Kind, tests: &BTreeSet<String>) -> Result<()> {
    let whose = match kind {
        Kind::Ottla => "Ottla. This list only grows",
        Kind::ApacheKafka => "Apache Kafka itself on a single broker",
    };
    let mut text = format!("# Tests of Apache Kafka 4.3.1 that pass against {whose}: UPDATE_PASSING=1 adds to it.\n");
    for test in tests {
        text.push_str(test);
        text.push('\n');
    }
    fs::write(list(kind), text)?;
    Ok(())
}
