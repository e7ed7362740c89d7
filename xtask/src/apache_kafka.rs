//! Apache Kafka 4.3.1, fetched by Maven into `target/apache-kafka/`: the oracle of the tests and the peer of the benchmarks.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::node::{Kind, Node};
use crate::{process, workspace};

/// `cargo xtask apache-kafka fetch | format DIR PORT | start DIR [PORT] | stop DIR | run-tool CLASS [ARG..]`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["fetch"] => {
            fetch()?;
            println!("{}", home().display());
            Ok(())
        }
        ["format", dir, port] => {
            let node = node(dir)?;
            node.configure(port.parse().context("PORT is a number")?, &[])?;
            node.format()
        }
        ["start", dir] => node(dir)?.start(),
        ["start", dir, port] => {
            let node = node(dir)?;
            node.configure(port.parse().context("PORT is a number")?, &[])?;
            node.format()?;
            node.start()?;
            println!("Apache Kafka 4.3.1 answers on localhost:{port}, its data is in {}", node.dir.display());
            Ok(())
        }
        ["stop", dir] => node(dir)?.stop(),
        ["run-tool", class, rest @ ..] => {
            fetch()?;
            process::run(java(class, "512M")?.args(rest))
        }
        _ => bail!("apache-kafka fetch | format DIR PORT | start DIR [PORT] | stop DIR | run-tool CLASS [ARG..]"),
    }
}

/// The folder with `libs/` and `conf/`.
pub(crate) fn home() -> PathBuf {
    workspace::target().join("apache-kafka")
}

/// Brings the jars of Apache Kafka into `target/apache-kafka/libs`, unless they are there.
/// # Errors
/// When Java or Maven is missing, or the registry cannot be reached.
pub(crate) fn fetch() -> Result<()> {
    let (libs, conf) = (home().join("libs"), home().join("conf"));
    if libs.exists() {
        return Ok(());
    }
    fetch_jars("interop/apache-kafka/pom.xml", &[], &libs)?;
    fs::create_dir_all(&conf)?;
    fs::copy(workspace::root().join("interop/apache-kafka/log4j2.properties"), conf.join("log4j2.properties"))?;
    Ok(())
}

/// Copies the jars that the Maven project `pom` depends on into `dir`, all or none.
pub(crate) fn fetch_jars(pom: &str, properties: &[String], dir: &PathBuf) -> Result<()> {
    for program in ["java", "mvn"] {
        if !process::exists(program) {
            bail!("{program} is not installed");
        }
    }
    let part = dir.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(workspace::root().join(pom)).args(properties);
    maven.arg("dependency:copy-dependencies").arg(format!("-DoutputDirectory={}", part.display()));
    process::output(&mut maven)?;
    fs::rename(&part, dir).with_context(|| format!("moving the jars to {}", dir.display()))
}

/// A Java command that runs `class` out of Apache Kafka's jars.
pub(crate) fn java(class: &str, heap: &str) -> Result<Command> {
    fetch()?;
    let mut command = Command::new("java");
    command.arg(format!("-Xmx{heap}")).args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.arg(format!("-Dlog4j2.configurationFile={}", home().join("conf/log4j2.properties").display()));
    command.arg("-cp").arg(format!("{}/*", home().join("libs").display())).arg(class);
    Ok(command)
}

fn node(dir: &str) -> Result<Node> {
    fs::create_dir_all(dir)?;
    Ok(Node { kind: Kind::ApacheKafka, dir: fs::canonicalize(dir)? })
}
