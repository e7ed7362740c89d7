//! What ran: counted, with the names of what failed and of what was skipped and why.

use anyhow::Result;

/// The error of a run whose failures are printed and counted already.
#[derive(Debug)]
pub(crate) struct Counted;

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not everything passed")
    }
}

impl std::error::Error for Counted {}

/// Results of checks and suites.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Tally {
    /// Counts one check.
    pub(crate) fn check(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                eprintln!("{name}: {error:#}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Counts what could not run.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        println!("SKIP {name}: {why}");
        self.skipped.push(format!("{name}: {why}"));
    }

    /// Counts what failed.
    pub(crate) fn fail(&mut self, name: impl Into<String>) {
        self.failed.push(name.into());
    }

    /// Counts `n` tests that passed.
    pub(crate) fn pass(&mut self, n: usize) {
        self.passed += n;
    }

    /// Counts one line of a suite (`PASS name`, `FAIL name: reason`, `SKIP name: reason`); other lines are passed over.
    pub(crate) fn suite_line(&mut self, suite: &str, line: &str) {
        if line.starts_with("PASS ") {
            self.passed += 1;
        } else if let Some(what) = line.strip_prefix("FAIL ") {
            self.failed.push(format!("{suite}: {what}"));
        } else if let Some(what) = line.strip_prefix("SKIP ") {
            self.skipped.push(format!("{suite}: {what}"));
        }
    }

    /// Counts one line of `cargo test` (`test result: ok. 3 passed; 0 failed; ..`, `test name ... FAILED`).
    pub(crate) fn cargo_line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            let mut words = counts.split_whitespace();
            let passed = words.nth(1).and_then(|count| count.parse::<usize>().ok());
            self.passed += passed.unwrap_or(0);
        } else if let Some(name) = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED")) {
            self.failed.push(name.to_owned());
        } else if let Some(what) = line.strip_prefix("SKIP ") {
            self.skipped.push(what.to_owned());
        }
    }

    /// True if nothing failed so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.failed.is_empty()
    }

    /// Prints the names and, as the last line, the counts.
    /// # Errors
    /// When something failed, when nothing ran, or with `CI=true` when something was skipped.
    pub(crate) fn finish(self) -> Result<()> {
        for name in &self.skipped {
            println!("skipped: {name}");
        }
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped.len());
        let skip_fails = std::env::var("CI").is_ok_and(|ci| ci == "true") && !self.skipped.is_empty();
        if !self.failed.is_empty() || skip_fails || self.passed == 0 { Err(Counted.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_and_suite_lines_are_counted() {
        let mut tally = Tally::default();
        tally.cargo_line(
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        tally.cargo_line("test log::tests::rolls ... FAILED");
        tally.suite_line("java", "PASS headers 0.3");
        tally.suite_line("java", "SKIP restart: the broker is not ours");
        assert_eq!((tally.passed, tally.failed.len(), tally.skipped.len()), (4, 1, 1));
        assert_eq!(tally.skipped, ["java: restart: the broker is not ours"]);
    }
}
