//! The project's own tasks: `cargo xtask ci`, `fix`, `tidy`, `test`, `interop`, `bench`, `apache-kafka`.
//! Light on purpose: the standard library and `anyhow`, so that it builds in seconds on a fresh clone.
#![allow(clippy::print_stdout, reason = "a command line program talks through its standard output")]

mod apache_kafka;
mod bench;
mod ci;
mod dist;
mod interop;
mod node;
mod process;
mod tally;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask TASK

  test          everything: unit tests, then every real client against Ottla; installs what they need
  ci            formatting, clippy, tidy, then `test`; writes nothing in the tree
  fix           formats, applies clippy's suggestions, shrinks tidy's exceptions
  tidy          sizes of files and functions, module docs, crate edges, paths named in ARCHITECTURE.md
  interop [SUITE..] [--against apache-kafka|HOST:PORT] [--release] [--lines N]
                real clients and tools (suites: java python node go kcat tools apache-kafka)
  dist          the static binary, for packages
  bench         speed and size beside Apache Kafka 4.3.1
  apache-kafka fetch | format DIR PORT | start DIR [PORT] | stop DIR | run-tool CLASS [ARG..]
                Apache Kafka 4.3.1 itself: the oracle of the tests
  node KIND start|stop|kill|restart DIR
                one broker as a process (KIND: ottla or apache-kafka); DIR/server.properties says all, DIR/pid names it";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<tally::Counted>() {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let Some((task, rest)) = args.split_first() else { bail!("no task\n\n{USAGE}") };
    match task.as_str() {
        "test" => ci::test(rest),
        "ci" => ci::ci(rest),
        "fix" => ci::fix(),
        "tidy" => tidy::run(),
        "interop" => interop::run(rest),
        "bench" => bench::run(rest),
        "apache-kafka" => apache_kafka::run(rest),
        "dist" => dist::run(),
        "node" => node::run(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("no task named {other}\n\n{USAGE}"),
    }
}
