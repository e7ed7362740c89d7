//! Real clients and tools against a broker: Ottla, or with `--against` Apache Kafka or whatever listens at an address.
//! A suite is a program: it finds the broker in `BOOTSTRAP`, restarts it with the command in `RESTART`, reads lines from
//! `LINES_FILE`, and prints `PASS name`, `FAIL name: reason` or `SKIP name: reason` for each case.

mod apache_suite;
mod lines;
mod prepare;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::node::{self, Kind, Node};
use crate::tally::Tally;
use crate::{process, workspace};

/// Seconds that one suite may take.
const SUITE_LIMIT: &str = "1200";
/// Lines of the long case of every suite.
const LINES: usize = 1_000_000;
/// Ports of the brokers that the suites start.
const PORTS: std::ops::Range<u16> = 22100..22900;

/// What a suite runs against.
#[derive(Debug, Clone)]
enum Against {
    /// A fresh broker a suite.
    Kind(Kind),
    /// A broker that runs already and is not restarted.
    Address(String),
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    suites: Vec<String>,
    against: Against,
    release: bool,
    lines: usize,
}

impl Options {
    /// Reads `[SUITE..] [--against apache-kafka|HOST:PORT] [--release] [--lines N]`.
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let (mut suites, mut against, mut release, mut lines) = (Vec::new(), Against::Kind(Kind::Ottla), false, LINES);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--release" => release = true,
                "--lines" => lines = args.next().context("--lines N")?.parse()?,
                "--against" => {
                    against = match args.next().context("--against ottla|apache-kafka|HOST:PORT")?.as_str() {
                        "ottla" => Against::Kind(Kind::Ottla),
                        "apache-kafka" => Against::Kind(Kind::ApacheKafka),
                        address if address.contains(':') => Against::Address(address.to_owned()),
                        other => bail!("--against ottla|apache-kafka|HOST:PORT, not {other}"),
                    }
                }
                flag if flag.starts_with('-') => bail!("no option {flag}"),
                suite if is_suite(suite) => suites.push(suite.to_owned()),
                suite => {
                    bail!("no suite {suite}: {}, apache-kafka", prepare::SUITES.map(|suite| suite.name).join(", "))
                }
            }
        }
        Ok(Self { suites, against, release, lines })
    }

    /// A suite is asked for by its name, by the part before its first hyphen, or by naming none.
    fn wants(&self, name: &str) -> bool {
        let is_family =
            |asked: &str| name.strip_prefix(asked).is_some_and(|rest| rest.starts_with('-')) && asked != "apache";
        self.suites.is_empty() || self.suites.iter().any(|asked| asked == name || is_family(asked))
    }
}

fn is_suite(name: &str) -> bool {
    name == apache_suite::NAME
        || prepare::SUITES.iter().any(|suite| suite.name == name || suite.name.split('-').next() == Some(name))
}

/// `cargo xtask interop ..`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    let mut tally = Tally::default();
    suites(&options, &mut tally)?;
    tally.finish()
}

/// Runs the suites that `options` name and counts their cases.
pub(crate) fn suites(options: &Options, tally: &mut Tally) -> Result<()> {
    if let Against::Kind(Kind::Ottla) = options.against {
        build_ottla(options.release)?;
        if !node::ottla_binary().exists() {
            bail!("there is no {}", node::ottla_binary().display());
        }
    }
    let lines = lines::file()?;
    for suite in prepare::SUITES.iter().filter(|suite| options.wants(suite.name)) {
        println!("-- {} against {}", suite.name, options.against.name());
        let command = match (suite.prepare)() {
            Ok(command) => command,
            Err(error) if error.is::<prepare::Missing>() => {
                tally.skip(suite.name, &format!("{error:#}"));
                continue;
            }
            Err(error) => {
                eprintln!("{}: {error:#}", suite.name);
                tally.fail(suite.name);
                continue;
            }
        };
        if let Err(error) = run_suite(suite.name, command, options, &lines, tally) {
            eprintln!("{}: {error:#}", suite.name);
            tally.fail(suite.name);
        }
    }
    if options.wants(apache_suite::NAME)
        && let Against::Kind(kind) = options.against
    {
        println!("-- {} against {}", apache_suite::NAME, kind.name());
        apache_suite::run(kind, tally)?;
    }
    Ok(())
}

fn run_suite(name: &str, command: Command, options: &Options, lines: &Path, tally: &mut Tally) -> Result<()> {
    let broker = match &options.against {
        Against::Kind(kind) => Some(fresh_broker(*kind, name)?),
        Against::Address(_) => None,
    };
    let mut limited = Command::new("timeout");
    limited.arg(SUITE_LIMIT).arg(command.get_program()).args(command.get_args());
    limited.current_dir(command.get_current_dir().unwrap_or(&workspace::root()));
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited.env("LINES", options.lines.to_string()).env("LINES_FILE", lines).env("PYTHONDONTWRITEBYTECODE", "1");
    match (&broker, &options.against) {
        (Some((node, port)), _) => {
            let restart = format!("'{}' node {} restart '{}'", this_program()?, node.kind.name(), node.dir.display());
            limited.env("BOOTSTRAP", format!("localhost:{port}")).env("RESTART", restart);
        }
        (None, Against::Address(address)) => {
            limited.env("BOOTSTRAP", address);
        }
        (None, Against::Kind(_)) => {}
    }
    let mut counted = 0_usize;
    let ended_well = process::lines(&mut limited, |line| {
        counted += usize::from(line.starts_with("FAIL ") || line.ends_with(" skipped"));
        tally.suite_line(name, line);
    });
    if let Some((node, _)) = broker {
        node.kill()?;
    }
    if counted == 0 || (!ended_well? && counted == 1) {
        bail!("ended without its counts, or with failures it did not name");
    }
    Ok(())
}

/// Starts a broker with an empty data directory under `target/interop/`.
fn fresh_broker(kind: Kind, name: &str) -> Result<(Node, u16)> {
    let port = free_ports()?;
    let dir = scratch().join("brokers").join(format!("{name}-{}", kind.name()));
    let node = Node { kind, dir };
    if node.dir.exists() {
        node.kill()?;
        fs::remove_dir_all(&node.dir)?;
    }
    node.configure(port, &[])?;
    node.format()?;
    node.start()?;
    Ok((node, port))
}

/// A port that is free together with the next one.
fn free_ports() -> Result<u16> {
    let is_free = |port: u16| TcpListener::bind(("localhost", port)).is_ok();
    PORTS.step_by(2).find(|port| is_free(*port) && is_free(port + 1)).context("no free port")
}

/// Where what the suites need is installed.
fn scratch() -> PathBuf {
    workspace::target().join("interop")
}

fn this_program() -> Result<String> {
    Ok(std::env::current_exe()?.display().to_string())
}

fn build_ottla(release: bool) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--package", "ottla"]).current_dir(workspace::root());
    if release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)
}

impl Against {
    fn name(&self) -> &str {
        match self {
            Self::Kind(kind) => kind.name(),
            Self::Address(address) => address,
        }
    }
}
