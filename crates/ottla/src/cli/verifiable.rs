//! What the verifiable tools have in common: events as lines of JSON, and the command line that asks for a cluster.

use serde_json::{Map, Value, json};

use super::java::Exception;
use super::options::argparse::{self, Arguments, Command};
use super::out::Out;
use super::session::{self, Properties};
use super::stop::Stop;
use super::time::now_ms;

/// Reads the arguments of a tool; without any it prints its help and ends well.
/// # Errors
/// The end.
pub(super) fn read(tool: &'static Command, args: &[String]) -> Result<Arguments, Stop> {
    if args.is_empty() {
        return Err(Stop { stdout: tool.help.to_owned(), ..Stop::silent(0) });
    }
    argparse::read(tool, args).map_err(|refusal| refusal.stop(1))
}

/// The number that an argument has, or `default`.
/// # Errors
/// The usage.
pub(super) fn number(tool: &Command, arguments: &Arguments, name: &str, default: i32) -> Result<i32, Stop> {
    let number = argparse::number::<i32>(tool, arguments, name, "Integer").map_err(|refusal| refusal.stop(1))?;
    Ok(number.unwrap_or(default))
}

/// The properties of the file that `--command-config` names, or its older name `old`.
/// # Errors
/// The usage where both are given, or the file cannot be read.
pub(super) fn properties(
    tool: &Command,
    arguments: &Arguments,
    old: Option<&str>,
    out: &mut Out,
) -> Result<Properties, Stop> {
    let wrong = |message: &str| argparse::wrong(tool, message).stop(1);
    let old_file = old.and_then(|old| arguments.one(old).map(|file| (old, file)));
    let file = match (old_file, arguments.one("--command-config")) {
        (Some((old, _)), Some(_)) => {
            return Err(wrong(&format!("Options {old} and --command-config are mutually exclusive.")));
        }
        (Some((old, file)), None) => {
            out.line(format_args!(
                "Option {old} has been deprecated and will be removed in a future version. Use --command-config \
                 instead."
            ))?;
            Some(file)
        }
        (None, file) => file,
    };
    session::optional_properties(file).map_err(|error| wrong(&error.message))
}

/// Prints an event: its time, its name, then what it says.
/// # Errors
/// When nobody reads.
pub(super) fn event(out: &mut Out, name: &str, says: Value) -> Result<(), Stop> {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), json!(now_ms()));
    line.insert("name".to_owned(), json!(name));
    if let Value::Object(says) = says {
        line.extend(says);
    }
    out.line(Value::Object(line))?;
    Ok(out.flush()?)
}

/// A record's key or value as text.
pub(super) fn text(bytes: Option<&bytes::Bytes>) -> Value {
    bytes.map_or(Value::Null, |bytes| json!(String::from_utf8_lossy(bytes)))
}

/// Ends for an exception that the tool does not expect.
pub(super) fn uncaught(error: impl Into<Exception>) -> Stop {
    let error = error.into();
    Stop::uncaught(&error.class, &error.message)
}
