//! `ARCHITECTURE.md` against the tree: the paths it names exist, and crates depend on each other as its `edges` block says.

use std::fs;

use anyhow::{Context, Result};

use crate::workspace;

/// Crates in which tokio, and with it any waiting, may be named.
const ASYNC: [&str; 3] = ["server", "client", "ottla"];
/// `ARCHITECTURE.md` is to be read in one sitting.
const LINES: usize = 200;

/// Names what differs.
pub(crate) fn check(found: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(workspace::root().join("ARCHITECTURE.md")).context("reading ARCHITECTURE.md")?;
    if text.lines().count() > LINES {
        found.push(format!("ARCHITECTURE.md: {} lines, {LINES} is the limit", text.lines().count()));
    }
    for path in paths(&text) {
        if !workspace::root().join(path).exists() {
            found.push(format!("ARCHITECTURE.md: there is no {path}"));
        }
    }
    let allowed = edges(&text);
    for entry in fs::read_dir(workspace::root().join("crates"))? {
        let dir = entry?.path();
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(manifest) = fs::read_to_string(dir.join("Cargo.toml")) else { continue };
        compare(&name, &dependencies(&manifest), &allowed, found);
    }
    Ok(())
}

/// Words in backquotes that are paths of this tree: with a slash, without spaces and wildcards.
fn paths(text: &str) -> Vec<&str> {
    let mut paths = Vec::new();
    for line in text.lines() {
        for word in line.split('`').skip(1).step_by(2) {
            let starts = ["crates/", "xtask/", "interop/", "fuzz/", ".ci/"].iter().any(|start| word.starts_with(start));
            if starts && !word.contains([' ', '*', '<']) {
                paths.push(word);
            }
        }
    }
    paths
}

/// The lines `crate: dependency dependency` of the block that begins with three backquotes and `edges`.
fn edges(text: &str) -> Vec<(&str, Vec<&str>)> {
    let block = text.lines().skip_while(|line| *line != "```edges").skip(1).take_while(|line| *line != "```");
    block
        .filter_map(|line| line.split_once(':'))
        .map(|(name, to)| (name.trim(), to.split_whitespace().collect()))
        .collect()
}

fn compare(name: &str, dependencies: &[&str], edges: &[(&str, Vec<&str>)], found: &mut Vec<String>) {
    let Some((_, allowed)) = edges.iter().find(|(from, _)| *from == name) else {
        found.push(format!("ARCHITECTURE.md: its edges do not name the crate {name}"));
        return;
    };
    let ours = |dependency: &&&str| edges.iter().any(|(from, _)| from == *dependency);
    for dependency in dependencies.iter().filter(ours).filter(|dependency| !allowed.contains(dependency)) {
        found.push(format!("crates/{name}: depends on {dependency}, which is no edge of ARCHITECTURE.md"));
    }
    if dependencies.contains(&"tokio") && !ASYNC.contains(&name) {
        found.push(format!("crates/{name}: depends on tokio, which lives in {} alone", ASYNC.join(", ")));
    }
}

/// Names under `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let section = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let section = section.take_while(|line| !line.starts_with('['));
    section.filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_that_are_not_named_are_found() {
        let edges = edges("text\n```edges\nprotocol:\nstorage: protocol\nbroker: storage\n```\n");
        let mut found = Vec::new();
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nprotocol.workspace = true\ntokio = { workspace = true }\nbytes.workspace = true\n";
        compare("broker", &dependencies(manifest), &edges, &mut found);
        compare("unnamed", &[], &edges, &mut found);
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn paths_are_words_in_backquotes_with_a_slash() {
        assert_eq!(paths("see `crates/a/b.rs` and `a/b` and `crates/*.rs`"), ["crates/a/b.rs"]);
    }
}
