//! House style held by a tool: `cargo xtask tidy`. Reads the tree, writes nothing; `cargo xtask fix` shrinks the exceptions.

mod architecture;
mod exceptions;
mod sizes;
mod source;

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::workspace;
use source::Source;

/// Folders whose Rust sources obey the rules.
const RUST: [&str; 3] = ["crates", "xtask", "fuzz"];

/// Checks everything and prints what is against the rules.
/// # Errors
/// When something is.
pub(crate) fn run() -> Result<()> {
    let (sources, found) = (rust_sources()?, &mut Vec::new());
    let oversized = sizes::oversized(&sources, &other_sources()?);
    exceptions::compare(&oversized, &exceptions::read()?, found);
    for source in &sources {
        module_doc(source, found);
        forbidden(source, found);
    }
    architecture::check(found)?;
    for line in &*found {
        println!("tidy: {line}");
    }
    if !found.is_empty() {
        bail!("{} against the house style", found.len());
    }
    Ok(())
}

/// Lowers the exceptions to what is there now; never raises one.
pub(crate) fn shrink() -> Result<()> {
    let oversized = sizes::oversized(&rust_sources()?, &other_sources()?);
    exceptions::write(&exceptions::shrunk(&oversized, &exceptions::read()?))
}

fn rust_sources() -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for dir in RUST {
        for path in workspace::files(dir, &|path| has_extension(path, &["rs"]))? {
            sources.push(Source::new(workspace::relative(&path), &fs::read_to_string(&path)?));
        }
    }
    Ok(sources)
}

/// Sources in other languages, of which only the length is looked at: path and lines.
fn other_sources() -> Result<Vec<(String, usize)>> {
    let mut sources = Vec::new();
    for path in workspace::files("interop", &|path| has_extension(path, &["java", "py", "js", "go", "sh"]))? {
        sources.push((workspace::relative(&path), fs::read_to_string(&path)?.lines().count()));
    }
    Ok(sources)
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known))
}

fn module_doc(source: &Source, found: &mut Vec<String>) {
    if !source.text.lines().next().is_some_and(|line| line.starts_with("//! ")) {
        found.push(format!("{}: does not begin with `//!` and what the module is for", source.path));
    }
}

fn forbidden(source: &Source, found: &mut Vec<String>) {
    // The words are split so that this file passes its own rule.
    let words = [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("#[ig", "nore")];
    for (number, line) in source.code.lines().enumerate() {
        for word in words {
            if line.contains(word) {
                found.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
}
