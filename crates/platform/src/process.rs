//! What a process asks of its machine: its name, and how many files it may open.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The machine's name; `None` if it has none that is text.
#[must_use]
pub fn host_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    Some(name).filter(|name| !name.is_empty())
}

/// Raises the limit of open files as far as it goes: every segment and every connection takes one.
/// # Errors
/// The system's.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}
