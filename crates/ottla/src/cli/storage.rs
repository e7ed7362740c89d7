//! `kafka-storage.sh`: formats log directories and tells what is in them.

mod features;
mod format;
mod info;
mod scram;

pub(super) use features::{dependencies, release_version, version_mapping};

use std::collections::BTreeSet;
use std::path::Path;

use metadata::config::{BrokerConfig, properties};

use super::options::argparse::{self, Arguments, Command, Group, Refusal, one, required, switch};
use super::out::Out;
use super::session::Properties;
use super::stop::Stop;
use protocol::Uuid;

const META_PROPERTIES: &str = "meta.properties";

const CONFIG: argparse::Named = required(&["--config", "-c"]);

const TOOL: Command = Command {
    name: "kafka-storage",
    help: include_str!("options/help/storage.txt"),
    arguments: &[],
    groups: &[],
    subcommands: &[
        Command {
            name: "info",
            help: include_str!("options/help/storage-info.txt"),
            arguments: &[CONFIG],
            groups: &[],
            subcommands: &[],
        },
        Command {
            name: "format",
            help: include_str!("options/help/storage-format.txt"),
            arguments: &[
                required(&["--cluster-id", "-t"]),
                CONFIG,
                one(&["--add-scram", "-S"]),
                switch(&["--ignore-formatted", "-g"]),
                one(&["--release-version", "-r"]),
                one(&["--feature", "-f"]),
                switch(&["--standalone", "-s"]),
                switch(&["--no-initial-controllers", "-N"]),
                one(&["--initial-controllers", "-I"]),
            ],
            groups: &[Group {
                names: &["--standalone", "--no-initial-controllers", "--initial-controllers"],
                required: false,
            }],
            subcommands: &[],
        },
        Command {
            name: "version-mapping",
            help: include_str!("options/help/storage-version-mapping.txt"),
            arguments: &[one(&["--release-version", "-r"])],
            groups: &[],
            subcommands: &[],
        },
        Command {
            name: "feature-dependencies",
            help: include_str!("options/help/storage-feature-dependencies.txt"),
            arguments: &[required(&["--feature", "-f"])],
            groups: &[],
            subcommands: &[],
        },
        Command {
            name: "random-uuid",
            help: include_str!("options/help/storage-random-uuid.txt"),
            arguments: &[],
            groups: &[],
            subcommands: &[],
        },
    ],
};

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let arguments = argparse::read(&TOOL, args).map_err(|refusal: Refusal| refusal.stop(0))?;
    match arguments.command {
        "random-uuid" => Ok(out.line(random_uuid()?)?),
        "info" => info::info(&config(&arguments)?, out),
        "format" => format::format(&arguments, &config(&arguments)?, out),
        "version-mapping" => features::version_mapping(&arguments, out),
        _ => features::dependencies(&arguments, out),
    }
}

fn config(arguments: &Arguments) -> Result<BrokerConfig, Stop> {
    let path = arguments.one("--config").unwrap_or_default();
    let file = std::fs::read(path).map_err(|_| Stop::uncaught("java.nio.file.NoSuchFileException", &path))?;
    let class = "org.apache.kafka.common.config.ConfigException";
    let (config, _) = BrokerConfig::from_properties(&file, &[]).map_err(|error| Stop::uncaught(class, &error.error))?;
    Ok(config)
}

/// The log directories and that of the metadata log, sorted.
fn directories(config: &BrokerConfig) -> BTreeSet<String> {
    let dirs = config.log_dirs().iter().cloned();
    dirs.chain([config.metadata_log_dir().to_owned()]).collect()
}

/// What `meta.properties` of a directory says, if there is one.
fn meta_properties(dir: &str) -> Result<Option<Properties>, Stop> {
    let path = Path::new(dir).join(META_PROPERTIES);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(properties::parse(&bytes).into_iter().map(|entry| (entry.name, entry.value)).collect())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Stop::error(&format!("{}: {error}", path.display()))),
    }
}

/// A random salt, as text of 26 characters as Kafka makes it.
pub(super) fn random_salt() -> Result<Vec<u8>, Stop> {
    use std::io::Read as _;
    let mut bytes = [0; 26];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::from(byte % 36)]).collect())
}

/// A random id, never one whose text begins with a dash, which a command line would take for an option.
pub(crate) fn random_uuid() -> Result<Uuid, Stop> {
    use std::io::Read as _;
    let mut source = std::fs::File::open("/dev/urandom")?;
    loop {
        let mut bytes = [0; 16];
        source.read_exact(&mut bytes)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let id = Uuid::from_bytes(bytes);
        if !id.to_string().starts_with('-') {
            return Ok(id);
        }
    }
}
