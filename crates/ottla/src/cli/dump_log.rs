//! `kafka-dump-log.sh`: what is in the files of a log, and whether they are sound.

mod batches;
mod decoder;
mod index;
mod snapshot;

use std::collections::BTreeMap;
use std::path::Path;

use super::java::{Exception, Failure};
use super::options::{self, Parsed, tables::dump_log::OPTIONS};
use super::out::{self, Out};
use super::stop::Stop;
pub(crate) use decoder::Coordinator;
use decoder::Decoder;

const DECODERS: [&str; 7] = [
    "offsets-decoder",
    "transaction-log-decoder",
    "cluster-metadata-decoder",
    "remote-log-metadata-decoder",
    "value-decoder-class",
    "key-decoder-class",
    "share-group-state-decoder",
];

/// How to dump the records of a log.
struct LogStyle {
    deep: bool,
    contents: bool,
    metadata: bool,
    max_bytes: u64,
    decoder: Decoder,
}

/// How to dump an index.
#[derive(Debug, Clone, Copy)]
struct IndexStyle {
    sanity_only: bool,
    verify_only: bool,
}

/// What does not fit together, told at the end.
#[derive(Debug, Default)]
struct Complaints {
    /// By log: an offset and the one that follows it.
    gaps: BTreeMap<String, BTreeMap<i64, i64>>,
    /// By offset index: indexed offset and the one in the log.
    offsets: BTreeMap<String, BTreeMap<i64, i64>>,
    /// By time index: indexed and found.
    timestamps: BTreeMap<String, Vec<(i64, i64)>>,
    unordered: BTreeMap<String, Vec<(i64, i64)>>,
    not_found: BTreeMap<String, Vec<(i64, i64)>>,
}

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let parsed = options::parse(OPTIONS, args)?;
    parsed.help_or_version(
        "This tool helps to parse a log file and dump its contents to the console, useful for debugging a seemingly \
         corrupt log segment.",
    )?;
    parsed.require(&["files"])?;
    dump(&parsed, out).map_err(|failure| match failure {
        Failure::Stop(stop) => stop,
        Failure::Exception(error) => Stop::uncaught(&error.class, &error.message),
    })
}

fn dump(parsed: &Parsed, out: &mut Out) -> Result<(), Failure> {
    let contents = parsed.has("print-data-log") || parsed.has_any(&DECODERS);
    let style = LogStyle {
        deep: contents || parsed.has("deep-iteration"),
        contents,
        metadata: !parsed.has("skip-record-metadata"),
        max_bytes: parsed.number::<i32>("max-bytes")?.map_or(0, |bytes| u64::try_from(bytes).unwrap_or(0)),
        decoder: Decoder::new(parsed)?,
    };
    let index =
        IndexStyle { sanity_only: parsed.has("index-sanity-check"), verify_only: parsed.has("verify-index-only") };
    let mut complaints = Complaints::default();
    for name in parsed.text("files")?.split(',') {
        out.line(format_args!("Dumping {name}"))?;
        let path = Path::new(name);
        match path.extension().and_then(|suffix| suffix.to_str()) {
            Some("log" | "checkpoint") => batches::dump(path, &style, &mut complaints, out)?,
            Some("index") => index::dump_offsets(path, index, &mut complaints, out)?,
            Some("timeindex") => index::dump_times(path, index, &mut complaints, out)?,
            Some("snapshot") => snapshot::dump(path, out)?,
            Some("txnindex") => index::dump_transactions(path, out)?,
            _ => {
                out.flush()?;
                out::error_text(&format!("Ignoring unknown file {name}\n"));
            }
        }
    }
    out.flush()?;
    complaints.print();
    Ok(())
}

impl Complaints {
    fn print(&self) {
        let mut text = String::new();
        for (file, offsets) in &self.offsets {
            text.push_str(&format!("Mismatches in :{file}\n"));
            for (index, log) in offsets.iter().rev() {
                text.push_str(&format!("  Index offset: {index}, log offset: {log}\n"));
            }
        }
        let mut list = |of: &BTreeMap<String, Vec<(i64, i64)>>, title: &str, first: &str, second: &str| {
            for (file, pairs) in of {
                text.push_str(&format!("{title} :{file}\n"));
                for (indexed, found) in pairs {
                    text.push_str(&format!("{first}: {indexed}, {second}: {found}\n"));
                }
            }
        };
        list(&self.timestamps, "Found timestamp mismatch in", "  Index timestamp", "log timestamp");
        let previous = "Previously indexed timestamp";
        list(&self.unordered, "Found out of order timestamp in", "  Index timestamp", previous);
        let title = "The following indexed offsets are not found in";
        list(&self.not_found, title, "Indexed offset", "found log offset");
        for (file, gaps) in &self.gaps {
            text.push_str(&format!("Non-consecutive offsets in {file}\n"));
            for (offset, next) in gaps {
                text.push_str(&format!("  {offset} is followed by {next}\n"));
            }
        }
        out::error_text(&text);
    }
}

/// The offset that the name of a file begins with.
fn base_offset(path: &Path) -> Result<i64, Exception> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    super::java::parse_number(name.split('.').next().unwrap_or_default())
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Exception {
    match error.kind() {
        std::io::ErrorKind::NotFound => Exception::new("java.nio.file.NoSuchFileException", path.display().to_string()),
        _ => Exception::new("java.io.IOException", format!("{}: {error}", path.display())),
    }
}
