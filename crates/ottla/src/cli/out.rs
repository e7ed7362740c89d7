//! Where a tool writes: stdout, buffered, with a closed pipe as an error instead of a panic.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};

/// The output of a tool.
pub(crate) struct Out {
    to: BufWriter<Box<dyn Write + Send>>,
}

impl Out {
    /// The process's stdout.
    pub(crate) fn stdout() -> Self {
        let stdout: Stdout = io::stdout();
        Self { to: BufWriter::with_capacity(64 * 1024, Box::new(stdout)) }
    }

    /// Writes `line` and a line break.
    /// # Errors
    /// When nobody reads.
    pub(crate) fn line(&mut self, line: impl Display) -> io::Result<()> {
        writeln!(self.to, "{line}")
    }

    /// Writes `text` as it is.
    /// # Errors
    /// When nobody reads.
    pub(crate) fn text(&mut self, text: impl Display) -> io::Result<()> {
        write!(self.to, "{text}")
    }

    /// Writes bytes as they are.
    /// # Errors
    /// When nobody reads.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)
    }

    /// Lets the reader see what was written so far.
    /// # Errors
    /// When nobody reads.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Writes to stderr; there is nobody to tell if that fails.
pub(crate) fn error_text(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
