//! What the command line asks of the test.

use std::path::Path;

use super::payload;
use crate::cli::java::{Exception, Failure};
use crate::cli::options::argparse::{self, Arguments, Command, Refusal};
use crate::cli::out::Out;
use crate::cli::session::{self, Properties};

/// Where the values come from.
#[derive(Debug)]
pub(super) enum Source {
    /// So many random bytes.
    Size(usize),
    /// One of these.
    Lines(Vec<Vec<u8>>),
    /// The number of the record.
    Monotonic,
}

/// The test.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) topic: String,
    pub(super) num_records: u64,
    pub(super) warmup_records: u64,
    pub(super) source: Source,
    pub(super) throughput: f64,
    pub(super) reporting_interval: i64,
    pub(super) properties: Properties,
}

impl Settings {
    /// Reads the arguments, says what is deprecated, and reads the files that they name.
    /// # Errors
    /// As Kafka's tool.
    pub(super) fn new(tool: &Command, arguments: &Arguments, out: &mut Out) -> Result<Self, Failure> {
        let refuse = |refusal: Refusal| Failure::Stop(refusal.stop(1));
        let wrong = |message: &str| refuse(argparse::wrong(tool, message));
        let long = |name: &str| argparse::number::<i64>(tool, arguments, name, "Long").map_err(refuse);
        let num_records = long("--num-records")?.unwrap_or(0);
        let warmup_records = long("--warmup-records")?.unwrap_or(0).max(0);
        let reporting_interval = long("--reporting-interval")?.unwrap_or(5000);
        let transaction_ms = long("--transaction-duration-ms")?;
        let size = argparse::number::<i32>(tool, arguments, "--record-size", "Integer").map_err(refuse)?;
        let throughput = argparse::number::<f64>(tool, arguments, "--throughput", "Double").map_err(refuse)?;
        if num_records <= 0 {
            return Err(wrong("--num-records should be greater than zero."));
        }
        if warmup_records >= num_records {
            return Err(wrong(
                "The value for --warmup-records must be strictly fewer than the number of records in the test, \
                 --num-records.",
            ));
        }
        if size.is_some_and(|size| size <= 0) {
            return Err(wrong("--record-size should be greater than zero."));
        }
        check_sources(arguments).map_err(wrong)?;
        if transaction_ms.is_some_and(|ms| ms <= 0) {
            return Err(wrong("--transaction-duration-ms should be greater than zero."));
        }
        if reporting_interval <= 0 {
            return Err(wrong("--reporting-interval should be greater than zero."));
        }
        let source = source(arguments, size, out)?;
        let properties = properties(arguments, out)?;
        let is_transactional = properties.contains_key("transactional.id") || arguments.has("--transactional-id");
        if is_transactional || transaction_ms.is_some() {
            let message = "transactions are not part of this build";
            return Err(Exception::of_code(protocol::ErrorCode::UnsupportedVersion, Some(message)).into());
        }
        Ok(Self {
            topic: arguments.one("--topic").unwrap_or_default().to_owned(),
            num_records: num_records.cast_unsigned(),
            warmup_records: warmup_records.cast_unsigned(),
            source,
            throughput: throughput.unwrap_or(-1.0),
            reporting_interval,
            properties,
        })
    }
}

fn check_sources(arguments: &Arguments) -> Result<(), &'static str> {
    let sources =
        ["--bootstrap-server", "--command-property", "--producer-props", "--producer.config", "--command-config"];
    if !sources.iter().any(|name| arguments.has(name)) {
        return Err("At least one of --bootstrap-server, --command-property, --producer-props, --producer.config or \
                    --command-config must be specified.");
    }
    if arguments.has("--command-property") && arguments.has("--producer-props") {
        return Err("--command-property and --producer-props cannot be specified together.");
    }
    if arguments.has("--command-config") && arguments.has("--producer.config") {
        return Err("--command-config and --producer.config cannot be specified together.");
    }
    Ok(())
}

fn source(arguments: &Arguments, size: Option<i32>, out: &mut Out) -> Result<Source, Failure> {
    if let Some(size) = size.and_then(|size| usize::try_from(size).ok()) {
        return Ok(Source::Size(size));
    }
    let Some(path) = arguments.one("--payload-file") else { return Ok(Source::Monotonic) };
    let absolute = std::path::absolute(Path::new(path))?;
    out.line(format_args!("Reading payloads from: {}", absolute.display()))?;
    let delimiter = arguments.one("--payload-delimiter").unwrap_or("\\n");
    let lines = payload::read_lines(&absolute, if delimiter == "\\n" { "\n" } else { delimiter })?;
    out.line(format_args!("Number of records read: {}", lines.len()))?;
    Ok(Source::Lines(lines))
}

fn properties(arguments: &Arguments, out: &mut Out) -> Result<Properties, Failure> {
    let deprecated = |old: &str, new: &str, out: &mut Out| {
        out.line(format_args!(
            "Option {old} has been deprecated and will be removed in a future version. Use {new} instead."
        ))
    };
    let mut pairs = arguments.all("--command-property");
    if arguments.has("--producer-props") {
        deprecated("--producer-props", "--command-property", out)?;
        pairs = arguments.all("--producer-props");
    }
    let mut file = arguments.one("--command-config");
    if arguments.has("--producer.config") {
        deprecated("--producer.config", "--command-config", out)?;
        file = arguments.one("--producer.config");
    }
    let mut properties = session::optional_properties(file)?;
    session::add_pairs(&mut properties, &pairs)?;
    properties.entry("client.id".to_owned()).or_insert_with(|| "perf-producer-client".to_owned());
    if let Some(servers) = arguments.one("--bootstrap-server") {
        properties.insert("bootstrap.servers".to_owned(), servers.to_owned());
    }
    Ok(properties)
}
