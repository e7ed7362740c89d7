//! What each suite needs, installed under `target/interop/` from the languages' package registries, and its command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::scratch;
use crate::{apache_kafka, process, workspace};

/// One suite.
pub(super) struct Suite {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// Installs what it needs.
    pub(super) prepare: fn() -> Result<Command>,
}

/// Every suite, in the order they run.
pub(super) const SUITES: [Suite; 15] = [
    Suite { name: "java-4.3.1", prepare: || java("4.3.1") },
    Suite { name: "java-3.9.1", prepare: || java("3.9.1") },
    Suite { name: "java-2.8.2", prepare: || java("2.8.2") },
    Suite { name: "streams", prepare: streams },
    Suite { name: "java-share", prepare: java_share },
    Suite { name: "admin", prepare: admin },
    Suite { name: "python-confluent", prepare: || python("confluent_suite.py") },
    Suite { name: "python-kafka", prepare: || python("kafka_python_suite.py") },
    Suite { name: "node", prepare: node },
    Suite { name: "go", prepare: go },
    Suite { name: "kcat", prepare: kcat },
    Suite { name: "tools", prepare: tools },
    Suite { name: "disk", prepare: disk },
    Suite { name: "swap", prepare: swap },
    Suite { name: "client", prepare: client },
];

/// Something that cannot be had on this machine: the suite is skipped.
#[derive(Debug)]
pub(super) struct Missing(String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

fn need(program: &str) -> Result<()> {
    if process::exists(program) { Ok(()) } else { Err(Missing(format!("{program} is not installed")).into()) }
}

/// Runs a command that installs; its failure means that the suite is skipped.
fn install(command: &mut Command) -> Result<()> {
    process::output(command).map(drop).map_err(|error| Missing(format!("{error:#}")).into())
}

fn java(version: &str) -> Result<Command> {
    let class_path = java_classes(version, &["interop/java/src"], "classes")?;
    let mut command = Command::new("java");
    command.args(["-Xmx1G", "-XX:+UseSerialGC", "-cp", &class_path, "Suite"]);
    Ok(command)
}

/// Share groups, which clients know since 4.1.
fn java_share() -> Result<Command> {
    let class_path = java_classes("4.3.1", &["interop/java"], "share")?;
    let mut command = Command::new("java");
    command.args(["-Xmx1G", "-XX:+UseSerialGC", "-cp", &class_path, "Shares"]);
    Ok(command)
}

/// What the admin API answers, question by question, against what Apache Kafka answers.
fn admin() -> Result<Command> {
    let class_path = java_classes("4.3.1", &["interop/admin"], "admin")?;
    let mut command = Command::new("java");
    command.args(["-Xmx256M", "-XX:+UseSerialGC", "-cp", &class_path, "Answers"]);
    command.arg(workspace::root().join("interop/admin/answers.txt"));
    Ok(command)
}

/// Kafka Streams, with the clients that the other Java suite has.
fn streams() -> Result<Command> {
    let dir = scratch().join("streams");
    let class_path =
        compiled("interop/streams/pom.xml", &[], &dir, &["interop/java/src", "interop/streams/src"], "classes")?;
    let mut command = Command::new("java");
    command.args(["-Xmx1G", "-XX:+UseSerialGC", "-cp", &class_path, "StreamsSuite"]);
    Ok(command)
}

/// Compiles sources against a release of kafka-clients and returns the class path.
fn java_classes(version: &str, sources: &[&str], folder: &str) -> Result<String> {
    let dir = scratch().join("java").join(version);
    compiled("interop/java/pom.xml", &[format!("-Dkafka.version={version}")], &dir, sources, folder)
}

/// Compiles sources against what a Maven project depends on, in a folder of `dir`, and returns the class path.
fn compiled(pom: &str, properties: &[String], dir: &Path, sources: &[&str], folder: &str) -> Result<String> {
    need("javac")?;
    need("mvn")?;
    let (libs, classes) = (dir.join("libs"), dir.join(folder));
    if !libs.exists() {
        fs::create_dir_all(dir)?;
        apache_kafka::fetch_jars(pom, properties, &libs).map_err(|error| Missing(format!("{error:#}")))?;
    }
    fs::create_dir_all(&classes)?;
    let class_path = format!("{}:{}/*", classes.display(), libs.display());
    let is_java = |path: &Path| path.extension().is_some_and(|e| e == "java");
    let mut files = Vec::new();
    for folder in sources {
        files.extend(workspace::files(folder, &is_java)?);
    }
    let mut javac = Command::new("javac");
    javac.args(["-nowarn", "-Xlint:-deprecation", "-cp", &class_path, "-d"]).arg(&classes).args(files);
    process::output(&mut javac)?;
    Ok(class_path)
}

fn python(script: &str) -> Result<Command> {
    need("python3")?;
    let (venv, dir) = (scratch().join("python"), workspace::root().join("interop/python"));
    let requirements = dir.join("requirements.txt");
    if is_stale(&venv, &requirements)? {
        install(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        install(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "-r"]).arg(&requirements))?;
        mark(&venv, &requirements)?;
    }
    let mut command = Command::new(venv.join("bin/python"));
    command.arg(dir.join(script));
    Ok(command)
}

fn node() -> Result<Command> {
    need("node")?;
    need("npm")?;
    let (dir, from) = (scratch().join("node"), workspace::root().join("interop/node"));
    fs::create_dir_all(&dir)?;
    for path in workspace::files("interop/node", &|_| true)? {
        fs::copy(&path, dir.join(path.strip_prefix(&from)?))?;
    }
    let lock = dir.join("package-lock.json");
    if is_stale(&dir, &lock)? {
        install(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&dir))?;
        mark(&dir, &lock)?;
    }
    let mut command = Command::new("node");
    command.arg(dir.join("suite.js"));
    Ok(command)
}

fn go() -> Result<Command> {
    need("go")?;
    let (binary, from) = (scratch().join("go/suite"), workspace::root().join("interop/go"));
    install(Command::new("go").args(["mod", "download"]).current_dir(&from))?;
    let mut build = Command::new("go");
    process::output(build.args(["build", "-mod=readonly", "-o"]).arg(&binary).arg(".").current_dir(&from))?;
    Ok(Command::new(binary))
}

fn kcat() -> Result<Command> {
    need("python3")?;
    if !process::exists("kcat") {
        need("apt-get")?;
        install(Command::new("apt-get").args(["install", "--yes", "--quiet", "kcat"]))?;
    }
    Ok(script("interop/kcat/kcat_suite.py"))
}

fn client() -> Result<Command> {
    need("python3")?;
    Ok(script("interop/client/suite.py"))
}

fn tools() -> Result<Command> {
    need("python3")?;
    apache_kafka::fetch().map_err(|error| Missing(format!("{error:#}")))?;
    let mut command = script("interop/tools/tools_suite.py");
    command.env("KAFKA_HOME", apache_kafka::home());
    Ok(command)
}

fn disk() -> Result<Command> {
    kafka_program("disk", "interop/disk/disk_suite.py", &["interop/disk"])
}

/// Brokers that take over from each other under load.
fn swap() -> Result<Command> {
    let mut command = kafka_program("swap", "interop/swap/swap_suite.py", &["interop/disk", "interop/swap"])?;
    let modules = ["interop/python", "interop/disk"].map(|folder| workspace::root().join(folder));
    command.env("PYTHONPATH", std::env::join_paths(modules)?);
    Ok(command)
}

/// A Python script beside a Java program that is compiled against the jars of Apache Kafka.
fn kafka_program(name: &str, suite: &str, sources: &[&str]) -> Result<Command> {
    need("python3")?;
    need("javac")?;
    apache_kafka::fetch().map_err(|error| Missing(format!("{error:#}")))?;
    let classes = scratch().join(name).join("classes");
    fs::create_dir_all(&classes)?;
    let mut javac = Command::new("javac");
    javac.args(["-nowarn", "-cp"]).arg(apache_kafka::home().join("libs/*")).arg("-d").arg(&classes);
    for folder in sources {
        javac.args(workspace::files(folder, &|path| path.extension().is_some_and(|e| e == "java"))?);
    }
    process::output(&mut javac)?;
    let mut command = script(suite);
    command.env("KAFKA_HOME", apache_kafka::home()).env("CLASSES", classes);
    Ok(command)
}

/// A Python script that needs nothing but the language, and the runner of the cases in `interop/python`.
fn script(path: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(workspace::root().join(path)).env("PYTHONPATH", workspace::root().join("interop/python"));
    command
}

/// True unless `dir` was filled from what `list` says now.
fn is_stale(dir: &Path, list: &Path) -> Result<bool> {
    let wanted = fs::read_to_string(list).with_context(|| format!("reading {}", list.display()))?;
    Ok(fs::read_to_string(marker(dir)).ok() != Some(wanted))
}

fn mark(dir: &Path, list: &Path) -> Result<()> {
    fs::copy(list, marker(dir))?;
    Ok(())
}

fn marker(dir: &Path) -> PathBuf {
    dir.join(".installed")
}
