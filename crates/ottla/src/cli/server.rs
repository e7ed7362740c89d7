//! `ottla server`: the broker and controller in this process. The wiring is `crates/server`'s.

use std::path::PathBuf;

use server::{Server, ServerOptions};
use tracing_subscriber::EnvFilter;

use super::out::Out;
use super::stop::Stop;

const USAGE: &str = "\
usage: ottla server [--config FILE] [--override NAME=VALUE]...

Starts a node and runs it until SIGTERM. Without --config it is a broker and controller in one on localhost:9092,
with its data in ./ottla-data. FILE is Kafka's server.properties.
OTTLA_LOG sets what is logged on stderr, such as `debug` or `info,broker=debug`; `warn` if not set.";

/// `ottla server [--config FILE] [--override NAME=VALUE]...`.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let options = options(args)?;
    let filter = EnvFilter::try_from_env("OTTLA_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let ready = |line: &str| {
        // Nobody may be reading; the node serves all the same.
        let _ = out.line(line).and_then(|()| out.flush());
    };
    Server::run(&options, ready).map_err(|error| Stop::error(&format!("ottla: {error}")))
}

fn options(args: &[String]) -> Result<ServerOptions, Stop> {
    let mut options = ServerOptions::default();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let mut value = || inline.clone().or_else(|| words.next().cloned());
        match name {
            "--config" => {
                let file = value().ok_or_else(|| Stop::error("ottla: --config needs a file"))?;
                options.config = Some(PathBuf::from(file));
            }
            "--override" => {
                let text = value().unwrap_or_default();
                let (name, value) = text
                    .split_once('=')
                    .ok_or_else(|| Stop::error(&format!("ottla: --override needs NAME=VALUE, not `{text}`")))?;
                options.overrides.push((name.trim().to_owned(), value.to_owned()));
            }
            "--help" | "-h" => return Err(Stop { stdout: format!("{USAGE}\n"), ..Stop::silent(0) }),
            _ => return Err(Stop::error(&format!("ottla: unknown option {word}\n{USAGE}"))),
        }
    }
    Ok(options)
}

/// `kafka-server-start.sh FILE [--override NAME=VALUE]...`.
pub(super) fn run_with_file(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let words = match args.split_first() {
        Some((file, rest)) if !file.starts_with('-') => [&["--config".to_owned(), file.clone()][..], rest].concat(),
        _ => args.to_vec(),
    };
    run(&words, out)
}
