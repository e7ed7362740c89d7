//! The options of a load: `--name value` pairs, each with a default in the load that reads it.

use std::collections::HashMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// Options by name.
#[derive(Debug)]
pub(crate) struct Options(HashMap<String, String>);

impl Options {
    /// Reads `--name value` pairs.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut arguments = arguments;
        let mut options = HashMap::new();
        while let Some(name) = arguments.next() {
            let Some(name) = name.strip_prefix("--") else { bail!("{name} is not an option") };
            let value = arguments.next().with_context(|| format!("--{name} has no value"))?;
            options.insert(name.to_owned(), value);
        }
        Ok(Self(options))
    }

    /// The text of option `name`, or `default`.
    pub(crate) fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    /// The number of option `name`, or `default`.
    pub(crate) fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.0.get(name) {
            None => Ok(default),
            Some(text) => text.parse().ok().with_context(|| format!("--{name} {text} is not a number")),
        }
    }
}
