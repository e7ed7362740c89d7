//! Compaction: both cleaners over the same log, which Apache Kafka wrote. What is left must be the same, batch by batch.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Run;
use super::report::Report;
use super::system::{Kind, release_binary};
use crate::{apache_kafka, process, workspace};

/// Size of the log, in MB.
const MEGABYTES: u64 = 1000;
/// When the cleanings take place: after all records, and after the horizon that the first of them sets.
const TIMES: [u64; 2] = [2_000_000, 3_000_000];

/// Cleans a log twice by both cleaners: keys first, tombstones and markers then.
pub(super) fn compaction(run: &Run, report: &mut Report) -> Result<()> {
    let dir = workspace::target().join("bench/compaction");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    let java = Java::compile(&dir)?;
    build()?;
    let source = dir.join("t-0");
    let megabytes = run.scaled(MEGABYTES).max(10);
    java.run("make", &[path(&source), &megabytes.to_string()])?;
    for _ in 0..run.runs {
        let mut left = Vec::new();
        for kind in [Kind::Ottla, Kind::ApacheKafka].into_iter().filter(|kind| run.kinds.contains(kind)) {
            let log = dir.join(format!("{kind:?}")).join("t-0");
            copy(&source, &log)?;
            let mut seconds = 0.0;
            for time in TIMES {
                let time = time.to_string();
                let said = match kind {
                    Kind::Ottla => {
                        let mut command = Command::new(release_binary("examples/compact"));
                        process::output(command.arg(&log).arg(&time))?
                    }
                    _ => java.run("clean", &[path(&log), &time])?,
                };
                let cost = said.split_whitespace().find_map(|word| word.strip_prefix("cpu_s="));
                seconds += cost.context("the cleaner did not say what it cost")?.parse::<f64>()?;
                left.push(java.run("show", &[path(&log)])?);
            }
            report.add("compaction", "MB per CPU s", kind, megabytes as f64 / seconds);
        }
        if let [first, then, kafkas_first, kafkas_then] = left.as_slice() {
            ensure!(first == kafkas_first, "the cleaners left something else of keys: see {}", dir.display());
            ensure!(then == kafkas_then, "the cleaners left something else of tombstones: see {}", dir.display());
        }
    }
    Ok(())
}

struct Java {
    classes: PathBuf,
}

impl Java {
    fn compile(dir: &Path) -> Result<Self> {
        apache_kafka::fetch()?;
        let mut javac = Command::new("javac");
        javac.args(["-nowarn", "-cp"]).arg(apache_kafka::home().join("libs/*")).arg("-d").arg(dir);
        process::output(javac.arg(workspace::root().join("interop/compaction/Compact.java")))?;
        Ok(Self { classes: dir.to_owned() })
    }

    fn run(&self, verb: &str, arguments: &[&str]) -> Result<String> {
        let mut java = Command::new("java");
        let class_path = format!("{}:{}/libs/*", self.classes.display(), apache_kafka::home().display());
        java.args(["-Xmx2g", "-cp", &class_path]);
        java.arg(format!(
            "-Dlog4j2.configurationFile={}",
            apache_kafka::home().join("conf/log4j2.properties").display()
        ));
        process::output(java.arg("Compact").arg(verb).args(arguments))
    }
}

fn build() -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace::root()).args(["build", "--release", "-p", "ottla-storage", "--example", "compact"]);
    process::run(&mut cargo)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
