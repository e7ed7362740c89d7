//! The command-line tools: one file a tool, each with Kafka's flags, output text and exit codes.
//! A tool is a function from its words to an end; it writes to [`Out`] and never exits the process itself.

mod broker_api_versions;
mod client_metrics;
mod cluster;
mod configs;
mod console_consumer;
mod console_producer;
mod console_share_consumer;
mod consumer_groups;
mod consumer_perf_test;
mod delete_records;
mod dump_log;
mod e2e_latency;
mod features;
mod get_offsets;
mod groups;
mod java;
mod leader_election;
mod link_tools;
mod log_dirs;
mod metadata_quorum;
mod options;
mod out;
mod producer_perf_test;
mod progress;
mod server;
mod session;
mod share_consumer_perf_test;
mod share_groups;
mod stop;
mod storage;
mod time;
mod topic_filter;
mod topics;
mod transactions;
mod verifiable;
mod verifiable_consumer;
mod verifiable_producer;
mod verifiable_share_consumer;

use out::Out;
use stop::Stop;

type Tool = fn(&[String], &mut Out) -> Result<(), Stop>;

/// The tools by the name after `kafka-`.
const TOOLS: &[(&str, Tool)] = &[
    ("broker-api-versions", broker_api_versions::run),
    ("client-metrics", client_metrics::run),
    ("cluster", cluster::run),
    ("configs", configs::run),
    ("console-consumer", console_consumer::run),
    ("console-producer", console_producer::run),
    ("console-share-consumer", console_share_consumer::run),
    ("consumer-groups", consumer_groups::run),
    ("consumer-perf-test", consumer_perf_test::run),
    ("delete-records", delete_records::run),
    ("dump-log", dump_log::run),
    ("e2e-latency", e2e_latency::run),
    ("features", features::run),
    ("get-offsets", get_offsets::run),
    ("groups", groups::run),
    ("leader-election", leader_election::run),
    ("log-dirs", log_dirs::run),
    ("metadata-quorum", metadata_quorum::run),
    ("producer-perf-test", producer_perf_test::run),
    ("share-consumer-perf-test", share_consumer_perf_test::run),
    ("share-groups", share_groups::run),
    ("storage", storage::run),
    ("topics", topics::run),
    ("transactions", transactions::run),
    ("verifiable-consumer", verifiable_consumer::run),
    ("verifiable-producer", verifiable_producer::run),
    ("verifiable-share-consumer", verifiable_share_consumer::run),
];

/// Commands that are Ottla's own.
const COMMANDS: &[(&str, Tool)] = &[("server", server::run), ("link-tools", link_tools::run)];

/// Runs what the words ask for, `argv[0]` among them, and returns the exit code.
pub(crate) fn main(words: &[String]) -> u8 {
    let mut out = Out::stdout();
    let end = dispatch(words, &mut out).err().unwrap_or_else(|| Stop::silent(0));
    let end = match out.text(&end.stdout).and_then(|()| out.flush()) {
        Ok(()) => end,
        Err(_) if end.code == 0 => Stop::silent(1),
        Err(_) => end,
    };
    out::error_text(&end.stderr);
    end.code
}

fn dispatch(words: &[String], out: &mut Out) -> Result<(), Stop> {
    let called = words.first().map(String::as_str).unwrap_or_default();
    if let Some(tool) = tool_called(called) {
        return tool(&words[1..], out);
    }
    let name = words.get(1).map(String::as_str).unwrap_or_default();
    let rest = words.get(2..).unwrap_or_default();
    match name {
        "--version" | "version" => Err(Stop::version()),
        "" => Err(Stop::error(&usage())),
        "--help" | "-h" | "help" => Err(Stop { stdout: format!("{}\n", usage()), ..Stop::silent(0) }),
        name => match TOOLS.iter().chain(COMMANDS).find(|(candidate, _)| *candidate == name) {
            Some((_, tool)) => tool(rest, out),
            None => Err(Stop::error(&format!("ottla: no command {name}\n{}", usage()))),
        },
    }
}

/// The tool of a link: `kafka-topics.sh` and `kafka-topics` are `topics`; `kafka-server-start.sh` is `server`.
fn tool_called(path: &str) -> Option<Tool> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.strip_suffix(".sh").unwrap_or(file).strip_prefix("kafka-")?;
    if name == "server-start" {
        return Some(server::run_with_file);
    }
    TOOLS.iter().find(|(candidate, _)| *candidate == name).map(|(_, tool)| *tool)
}

fn usage() -> String {
    let mut text = "usage: ottla COMMAND [ARGUMENT]...\n\nApache Kafka 4.3.1 in one binary. Commands:\n".to_owned();
    for (name, _) in COMMANDS.iter().chain(TOOLS) {
        text.push_str("  ");
        text.push_str(name);
        text.push('\n');
    }
    text.push_str(
        "\nEvery tool has the flags of its Kafka script: `ottla topics --help`. A link named kafka-topics.sh\n",
    );
    text.push_str("is `ottla topics`; `ottla link-tools DIR` makes the links.");
    text
}
