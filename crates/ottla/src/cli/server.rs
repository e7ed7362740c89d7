//! `ottla server`: the broker and controller in this process. The wiring is `crates/server`'s.

use super::out::Out;
use super::stop::Stop;

/// `ottla server [--config FILE] [--override NAME=VALUE]...`.
pub(super) fn run(_args: &[String], _out: &mut Out) -> Result<(), Stop> {
    Err(Stop::error("ottla: the server is not part of this build"))
}

/// `kafka-server-start.sh FILE [--override NAME=VALUE]...`.
pub(super) fn run_with_file(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let words = match args.split_first() {
        Some((file, rest)) if !file.starts_with('-') => [&["--config".to_owned(), file.clone()][..], rest].concat(),
        _ => args.to_vec(),
    };
    run(&words, out)
}
