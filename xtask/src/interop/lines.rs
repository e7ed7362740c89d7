//! A million real lines: the sources of the crates that the workspace is built from, which every machine that built it has.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Lines in the file.
const COUNT: usize = 1_000_000;
/// Longer lines are left out.
const LONGEST: usize = 4_000;

/// The file of lines, written once.
pub(super) fn file() -> Result<PathBuf> {
    let file = super::scratch().join("lines.txt");
    if file.exists() {
        return Ok(file);
    }
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let sources = cargo_home.context("neither CARGO_HOME nor HOME is set")?.join("registry/src");
    let mut paths = Vec::new();
    rust_files(&sources, &mut paths)?;
    paths.sort();
    fs::create_dir_all(super::scratch())?;
    let part = file.with_extension("part");
    let mut writer = BufWriter::new(File::create(&part)?);
    let mut written = 0;
    while written < COUNT {
        let before = written;
        for path in &paths {
            written += copy(path, COUNT - written, &mut writer)?;
        }
        if written == before {
            bail!("{} holds no lines", sources.display());
        }
    }
    writer.flush()?;
    fs::rename(part, &file)?;
    Ok(file)
}

/// Writes up to `limit` lines of a file; those that a line-based tool would split or cut are left out.
fn copy(path: &Path, limit: usize, writer: &mut impl Write) -> Result<usize> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(0) };
    let mut written = 0;
    for line in text.split('\n').filter(|line| line.len() <= LONGEST && !line.contains(SPLITTERS)).take(limit) {
        writeln!(writer, "{line}")?;
        written += 1;
    }
    Ok(written)
}

/// Characters that end a line in one of the clients' languages, and the separator of keys.
const SPLITTERS: [char; 9] = ['\r', '\u{0}', '\u{1}', '\u{b}', '\u{c}', '\u{1c}', '\u{85}', '\u{2028}', '\u{2029}'];

fn rust_files(dir: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}
