//! The two runs that decide: `test` (everything) and `ci` (formatting, clippy, tidy, then everything).

use std::process::Command;

use anyhow::{Result, bail};

use crate::tally::Tally;
use crate::{apache_kafka, interop, process, tidy, workspace};

/// `cargo xtask test [--release]`: unit tests of every crate, then every real client.
pub(crate) fn test(args: &[String]) -> Result<()> {
    let mut tally = Tally::default();
    tests(args, &mut tally)?;
    tally.finish()
}

/// `cargo xtask ci [--release]`.
pub(crate) fn ci(args: &[String]) -> Result<()> {
    let mut tally = Tally::default();
    let before = tree_state();
    tally.check("fmt", cargo(&["fmt", "--all", "--check"]));
    tally.check("clippy", cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]));
    tally.check("tidy", tidy::run());
    tests(args, &mut tally)?;
    tally.check("the tree is as it was", if tree_state() == before { Ok(()) } else { changed() });
    tally.finish()
}

/// `cargo xtask fix`.
pub(crate) fn fix() -> Result<()> {
    cargo(&["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"])?;
    cargo(&["fmt", "--all"])?;
    tidy::shrink()?;
    tidy::run()
}

fn tests(args: &[String], tally: &mut Tally) -> Result<()> {
    let options = interop::Options::parse(args)?;
    if let Err(error) = apache_kafka::fetch() {
        tally.skip("tests that ask Apache Kafka 4.3.1", &format!("{error:#}"));
    }
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--no-fail-fast"]).current_dir(workspace::root());
    let ended_well = process::lines(&mut command, |line| tally.cargo_line(line))?;
    if !ended_well && tally.is_clean() {
        tally.fail("cargo test");
    }
    interop::suites(&options, tally)
}

fn cargo(args: &[&str]) -> Result<()> {
    process::run(Command::new("cargo").args(args).current_dir(workspace::root()))
}

/// What git sees of the tree; nothing outside a git checkout.
fn tree_state() -> String {
    let mut git = Command::new("git");
    process::output(git.args(["status", "--porcelain"]).current_dir(workspace::root())).unwrap_or_default()
}

fn changed() -> Result<()> {
    bail!("the run wrote into the tree:\n{}", tree_state())
}
