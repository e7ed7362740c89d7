//! What the command line asks for.

use std::time::Duration;

use crate::cli::options::Parsed;
use crate::cli::out::Out;
use crate::cli::session::{self, Properties};
use crate::cli::stop::Stop;

const FORMATTERS: [&str; 6] = [
    "DefaultMessageFormatter",
    "LoggingMessageFormatter",
    "NoOpMessageFormatter",
    "OffsetsMessageFormatter",
    "GroupMetadataMessageFormatter",
    "TransactionLogMessageFormatter",
];

/// Which topics to read.
#[derive(Debug)]
pub(super) enum Topics {
    One(String),
    Matching(String),
}

/// Where to start in a partition.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    Earliest,
    Latest,
    At(i64),
}

/// The settings.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) topics: Topics,
    pub(super) partition: Option<i32>,
    pub(super) start: Start,
    pub(super) max_messages: Option<u64>,
    pub(super) timeout: Option<Duration>,
    pub(super) skips_errors: bool,
    pub(super) reports_events: bool,
    pub(super) properties: Properties,
    /// Name of the formatter's class without its package.
    pub(super) formatter: &'static str,
    pub(super) formatting: Properties,
}

impl Settings {
    /// Reads and checks the options.
    /// # Errors
    /// The usage, mostly.
    pub(super) fn new(parsed: &Parsed, out: &mut Out) -> Result<Self, Stop> {
        parsed.help_or_version("This tool helps to read data from Kafka topics and outputs it to standard output.")?;
        let partition: Option<i32> = parsed.number("partition")?;
        check(parsed, partition)?;
        for (old, new) in [("consumer-property", "command-property"), ("consumer.config", "command-config")] {
            if parsed.has(old) {
                let advice = format!("Use --{new} instead.");
                out.line(format_args!(
                    "Option --{old} is deprecated and will be removed in a future version. {advice}"
                ))?;
            }
        }
        let properties = properties(parsed, partition)?;
        let topics = match parsed.one("topic")? {
            Some(topic) => Topics::One(topic.to_owned()),
            None => Topics::Matching(parsed.text("include")?.to_owned()),
        };
        let max_messages: Option<i32> = parsed.number("max-messages")?;
        let timeout: Option<i64> = parsed.number("timeout-ms")?;
        let start = start(parsed)?;
        let (formatter, formatting) = formatting(parsed, out)?;
        Ok(Self {
            topics,
            partition,
            start,
            max_messages: max_messages.filter(|max| *max != -1).map(|max| u64::try_from(max).unwrap_or(0)),
            timeout: timeout.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
            skips_errors: parsed.has("skip-message-on-error"),
            reports_events: parsed.has("enable-systest-events"),
            properties,
            formatter,
            formatting,
        })
    }
}

fn check(parsed: &Parsed, partition: Option<i32>) -> Result<(), Stop> {
    parsed.exactly_one(&["topic", "include"])?;
    if partition.is_some() {
        if !parsed.has("topic") {
            return Err(parsed.usage("The topic is required when partition is specified."));
        }
        if parsed.has("from-beginning") && parsed.has("offset") {
            return Err(parsed.usage("Options from-beginning and offset cannot be specified together."));
        }
    } else if parsed.has("offset") {
        return Err(parsed.usage("The partition is required when offset is specified."));
    }
    parsed.require(&["bootstrap-server"])?;
    for (old, new) in [("consumer-property", "command-property"), ("consumer.config", "command-config")] {
        if parsed.has(old) && parsed.has(new) {
            return Err(parsed.usage(&format!("Options --{old} and --{new} cannot be specified together.")));
        }
    }
    Ok(())
}

/// The properties of the file that an option names.
/// # Errors
/// Java's words for a file that cannot be read.
pub(in crate::cli) fn file_properties(parsed: &Parsed, option: &str) -> Result<Properties, Stop> {
    session::optional_properties(parsed.one(option)?).map_err(|error| Stop::uncaught(&error.class, &error.message))
}

fn properties(parsed: &Parsed, partition: Option<i32>) -> Result<Properties, Stop> {
    let file = if parsed.has("consumer.config") { "consumer.config" } else { "command-config" };
    let mut properties = file_properties(parsed, file)?;
    let mut extra = Properties::new();
    let pairs = if parsed.has("consumer-property") { "consumer-property" } else { "command-property" };
    session::add_lenient_pairs(&mut extra, &parsed.all(pairs));

    let mut groups: Vec<String> = Vec::new();
    let given = [
        parsed.one("group")?,
        properties.get("group.id").map(String::as_str),
        extra.get("group.id").map(String::as_str),
    ];
    for group in given.into_iter().flatten() {
        if !groups.iter().any(|known| known == group) {
            groups.push(group.to_owned());
        }
    }
    if groups.len() > 1 {
        let found: Vec<String> = groups.iter().map(|group| format!("'{group}'")).collect();
        return Err(parsed.usage(&format!(
            "The group ids provided in different places (directly using '--group', via '--consumer-property', or via \
             '--consumer.config') do not match. Detected group ids: {}",
            found.join(", ")
        )));
    }
    if !groups.is_empty() && partition.is_some() {
        return Err(parsed.usage("Options group and partition cannot be specified together."));
    }
    properties.extend(extra);
    let from_beginning = parsed.has("from-beginning");
    match properties.get("auto.offset.reset") {
        Some(reset) if from_beginning && reset != "earliest" => {
            return Err(Stop::error(&format!(
                "Can't simultaneously specify --from-beginning and 'auto.offset.reset={reset}', please remove one option"
            )));
        }
        Some(_) => {}
        None => {
            let reset = if from_beginning { "earliest" } else { "latest" };
            properties.insert("auto.offset.reset".to_owned(), reset.to_owned());
        }
    }
    properties.insert("bootstrap.servers".to_owned(), parsed.text("bootstrap-server")?.to_owned());
    properties.entry("client.id".to_owned()).or_insert_with(|| "console-consumer".to_owned());
    if parsed.has("isolation-level") || !properties.contains_key("isolation.level") {
        properties.insert("isolation.level".to_owned(), parsed.text("isolation-level")?.to_owned());
    }
    let group = match groups.pop() {
        Some(group) => group,
        None => {
            properties.entry("enable.auto.commit".to_owned()).or_insert_with(|| "false".to_owned());
            format!("console-consumer-{}", crate::cli::time::now_ms() % 100_000)
        }
    };
    properties.insert("group.id".to_owned(), group);
    Ok(properties)
}

fn start(parsed: &Parsed) -> Result<Start, Stop> {
    if !parsed.has("offset") {
        return Ok(if parsed.has("from-beginning") { Start::Earliest } else { Start::Latest });
    }
    let text = parsed.text("offset")?;
    match text.to_lowercase().as_str() {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        number => match number.parse::<i64>() {
            Ok(offset) if offset >= 0 => Ok(Start::At(offset)),
            _ => Err(parsed.usage(&format!(
                "The provided offset value '{text}' is incorrect. Valid values are 'earliest', 'latest', or a \
                 non-negative long."
            ))),
        },
    }
}

/// The formatter's class without its package, and its properties.
/// # Errors
/// The usage.
pub(in crate::cli) fn formatting(parsed: &Parsed, out: &mut Out) -> Result<(&'static str, Properties), Stop> {
    let class = parsed.text("formatter")?;
    let simple = class.strip_prefix("org.apache.kafka.tools.consumer.");
    let known = FORMATTERS.into_iter().find(|known| Some(*known) == simple);
    let formatter = known.ok_or_else(|| parsed.usage(class))?;
    if parsed.has("formatter-property") && parsed.has("property") {
        return Err(parsed.usage("Options --property and --formatter-property cannot be specified together."));
    }
    let mut pairs = "formatter-property";
    if parsed.has("property") {
        let advice = "Use --formatter-property instead.";
        out.line(format_args!("Option --property is deprecated and will be removed in a future version. {advice}"))?;
        pairs = "property";
    }
    let mut properties = file_properties(parsed, "formatter-config")?;
    for (setting, option) in [("key.deserializer", "key-deserializer"), ("value.deserializer", "value-deserializer")] {
        if let Some(class) = parsed.one(option)?.filter(|class| !class.is_empty()) {
            properties.insert(setting.to_owned(), class.to_owned());
        }
    }
    session::add_lenient_pairs(&mut properties, &parsed.all(pairs));
    Ok((formatter, properties))
}
