//! `cargo xtask dist`: the static binary, for packages and for machines without the libraries of this one.
//! For musl where its target is installed, else with glibc linked in.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, workspace};

const MUSL: &str = "x86_64-unknown-linux-musl";
const GLIBC: &str = "x86_64-unknown-linux-gnu";

/// Builds the static binary and names it.
pub(crate) fn run() -> Result<()> {
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let has_musl = fs::exists(format!("{}/lib/rustlib/{MUSL}/lib", sysroot.trim()))?;
    let target = if has_musl { MUSL } else { GLIBC };
    if !has_musl {
        println!("rustc has no {MUSL} (`rustup target add {MUSL}`, and musl-tools for the C codecs): linking glibc in");
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--profile", "dist", "--package", "ottla", "--target", target]);
    // A target directory of its own: other flags would rebuild the dependencies of every other build.
    cargo
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_TARGET_DIR", workspace::root().join("target/static"));
    process::run(cargo.current_dir(workspace::root()))?;
    let binary = workspace::root().join("target/static").join(target).join("dist/ottla");
    let size = fs::metadata(&binary).with_context(|| format!("no {}", binary.display()))?.len();
    println!("{}: {:.1} MB", binary.display(), size as f64 / 1e6);
    Ok(())
}
