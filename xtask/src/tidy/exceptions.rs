//! The ratchet: `xtask/tidy-exceptions.txt` names what was above a limit when the limit came; it may only shrink.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::sizes::Oversized;
use crate::workspace;

/// The exceptions, one a line: `LINES PATH [FUNCTION]`.
pub(crate) fn read() -> Result<Vec<Oversized>> {
    let text = fs::read_to_string(file()).with_context(|| format!("reading {}", file().display()))?;
    let mut exceptions = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (lines, what) = line.split_once(' ').with_context(|| format!("no exception: {line}"))?;
        exceptions.push(Oversized { what: what.to_owned(), lines: lines.parse()? });
    }
    Ok(exceptions)
}

/// Names what is above its limit without an exception, or above it, or has one too large.
pub(crate) fn compare(oversized: &[Oversized], exceptions: &[Oversized], found: &mut Vec<String>) {
    for Oversized { what, lines } in oversized {
        match exceptions.iter().find(|exception| exception.what == *what) {
            None => found.push(format!("{what}: {lines} lines")),
            Some(exception) if exception.lines < *lines => {
                found.push(format!("{what}: {lines} lines, {} were excepted", exception.lines));
            }
            Some(_) => {}
        }
    }
    for exception in exceptions {
        let now = oversized.iter().find(|oversized| oversized.what == exception.what).map_or(0, |now| now.lines);
        if now < exception.lines {
            found.push(format!(
                "{}: its exception of {} lines is too large, `cargo xtask fix`",
                exception.what, exception.lines
            ));
        }
    }
}

/// The exceptions that are still needed, lowered to what is there.
pub(crate) fn shrunk(oversized: &[Oversized], exceptions: &[Oversized]) -> Vec<Oversized> {
    let mut kept = Vec::new();
    for exception in exceptions {
        if let Some(now) = oversized.iter().find(|now| now.what == exception.what) {
            kept.push(Oversized { what: exception.what.clone(), lines: exception.lines.min(now.lines) });
        }
    }
    kept
}

/// Writes the exceptions.
pub(crate) fn write(exceptions: &[Oversized]) -> Result<()> {
    let mut text = String::from(
        "# Files over 800 lines and functions over 70, from before the limit. This list may only shrink.\n",
    );
    for Oversized { what, lines } in exceptions {
        text.push_str(&format!("{lines} {what}\n"));
    }
    fs::write(file(), text)?;
    Ok(())
}

fn file() -> PathBuf {
    workspace::root().join("xtask/tidy-exceptions.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(what: &str, lines: usize) -> Oversized {
        Oversized { what: what.to_owned(), lines }
    }

    #[test]
    fn exceptions_may_only_shrink() {
        let exceptions = [sized("a", 900), sized("b", 900), sized("gone", 900)];
        let oversized = [sized("a", 950), sized("b", 850), sized("new", 801)];
        let mut found = Vec::new();
        compare(&oversized, &exceptions, &mut found);
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(shrunk(&oversized, &exceptions), [sized("a", 900), sized("b", 850)]);
    }
}
