//! The tools print what Apache Kafka 4.3.1's tools print: text on both outputs and exit code.
//! `golden/*.txt` hold the commands and what Kafka's own tools answered to them. `UPDATE_GOLDEN=1` asks Kafka's tools
//! again, from the jars in `target/apache-kafka/libs` (`cargo xtask apache-kafka fetch`); commands that need a cluster
//! ask the fresh Apache Kafka node at `GOLDEN_BROKER`. Lines that differ from run to run are made the same first.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use support::{Broker, fresh_dir};

/// Kafka's classes behind the tools.
const CLASSES: [(&str, &str); 27] = [
    ("broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
    ("client-metrics", "org.apache.kafka.tools.ClientMetricsCommand"),
    ("cluster", "org.apache.kafka.tools.ClusterTool"),
    ("configs", "kafka.admin.ConfigCommand"),
    ("console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("console-producer", "org.apache.kafka.tools.ConsoleProducer"),
    ("console-share-consumer", "org.apache.kafka.tools.consumer.ConsoleShareConsumer"),
    ("consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("consumer-perf-test", "org.apache.kafka.tools.ConsumerPerformance"),
    ("delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
    ("dump-log", "org.apache.kafka.tools.DumpLogSegments"),
    ("e2e-latency", "org.apache.kafka.tools.EndToEndLatency"),
    ("features", "org.apache.kafka.tools.FeatureCommand"),
    ("get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("groups", "org.apache.kafka.tools.GroupsCommand"),
    ("leader-election", "org.apache.kafka.tools.LeaderElectionCommand"),
    ("log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    ("metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand"),
    ("producer-perf-test", "org.apache.kafka.tools.ProducerPerformance"),
    ("share-consumer-perf-test", "org.apache.kafka.tools.ShareConsumerPerformance"),
    ("share-groups", "org.apache.kafka.tools.consumer.group.ShareGroupCommand"),
    ("storage", "kafka.tools.StorageTool"),
    ("topics", "org.apache.kafka.tools.TopicCommand"),
    ("transactions", "org.apache.kafka.tools.TransactionsCommand"),
    ("verifiable-consumer", "org.apache.kafka.tools.VerifiableConsumer"),
    ("verifiable-producer", "org.apache.kafka.tools.VerifiableProducer"),
    ("verifiable-share-consumer", "org.apache.kafka.tools.VerifiableShareConsumer"),
];

/// What a command printed, and its exit code.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    stdout: String,
    stderr: String,
    code: i32,
}

/// A command of a golden file and the answer written there.
struct Case {
    line: String,
    text: String,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// A folder with a copy of the files that commands name.
fn work_dir(name: &str) -> PathBuf {
    let dir = fresh_dir(name);
    copy(&golden("files"), &dir);
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        match line.strip_prefix("$ ") {
            Some(command) => cases.push(Case { line: command.to_owned(), text: String::new() }),
            None => {
                let case = cases.last_mut().expect("a golden file begins with a command");
                case.text.push_str(line);
                case.text.push('\n');
            }
        }
    }
    cases
}

/// Words between spaces; single quotes hold spaces. What follows ` <<< ` goes to stdin, with `\n` and `\t` escaped.
fn words(line: &str) -> (Vec<String>, String) {
    let (command, input) = line.split_once(" <<< ").unwrap_or((line, ""));
    let mut words = Vec::new();
    for (at, part) in command.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    (words, input.replace("\\n", "\n").replace("\\t", "\t"))
}

fn run(case: &Case, broker: &str, dir: &Path) -> Answer {
    let (mut words, input) = words(&case.line.replace("BROKER", broker));
    let tool = words.remove(0);
    let mut command = if is_update() {
        let (_, class) = CLASSES.iter().find(|(name, _)| *name == tool).expect("a tool of Kafka's");
        let libs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/apache-kafka/libs/*");
        let mut java = Command::new("java");
        java.args(["-XX:TieredStopAtLevel=1", "-Dslf4j.internal.verbosity=ERROR", "-cp"]).arg(libs).arg(class);
        java
    } else {
        let mut ottla = Command::new(env!("CARGO_BIN_EXE_ottla"));
        ottla.arg(&tool);
        ottla
    };
    command.args(&words).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A tool that refuses its command line reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| normalized(&String::from_utf8_lossy(bytes), broker, dir);
    Answer {
        stdout: text(&output.stdout),
        stderr: without_logs(&text(&output.stderr)),
        code: output.status.code().unwrap_or(-1),
    }
}

/// Replaces what differs from run to run.
fn normalized(text: &str, broker: &str, dir: &Path) -> String {
    let mut text = text.replace(&dir.display().to_string(), "DIR");
    let (host, port) = broker.split_once(':').unwrap_or((broker, ""));
    if !port.is_empty() {
        text = text.replace(broker, "BROKER").replace(&format!("{host} {port}"), "BROKER");
    }
    for (pattern, replacement) in [
        (r#"(TopicId: |Cluster ID: |ClusterId: +|directoryId": "|directory\.id=|\A)[\w-]{22}(\s|"|,|$)"#, "${1}ID$2"),
        (r"\b1[0-9]{12}\b", "TIME"),
        (r"perf-consumer(-\d+)?\) *", "perf-consumer)"),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, replacement).into_owned();
    }
    text
}

/// Leaves out stack traces, and log lines with the exception below them: Kafka's go where log4j sends them.
fn without_logs(text: &str) -> String {
    let mut lines = Vec::new();
    let mut below_log_line = false;
    for line in text.lines() {
        let is_log = line.starts_with("ERROR ") || line.starts_with("WARN ") || line.starts_with("SLF4J");
        let is_trace = ["\tat ", "\t... ", "Caused by: "].iter().any(|start| line.starts_with(start));
        if !is_log && !is_trace && !below_log_line {
            lines.push(line);
        }
        below_log_line = is_log && line.starts_with("ERROR ");
    }
    lines.join("\n")
}

fn shown(answer: &Answer) -> String {
    let mut text = String::new();
    for (mark, output) in [('1', &answer.stdout), ('2', &answer.stderr)] {
        for line in output.lines() {
            text.push_str(&format!("{mark}|{line}\n"));
        }
    }
    text.push_str(&format!("= {}\n", answer.code));
    text
}

fn check(name: &str, broker: &str, dir: &Path) {
    let path = golden(&format!("{name}.txt"));
    let file = fs::read_to_string(&path).unwrap();
    let (mut updated, mut wrong) = (String::new(), String::new());
    for line in file.lines().take_while(|line| line.starts_with('#')) {
        updated.push_str(&format!("{line}\n"));
    }
    for case in cases(&file) {
        let answer = shown(&run(&case, broker, dir));
        updated.push_str(&format!("\n$ {}\n{answer}", case.line));
        if answer != case.text {
            wrong.push_str(&format!("$ {}\n--- Apache Kafka\n{}--- Ottla\n{answer}\n", case.line, case.text));
        }
    }
    if is_update() {
        fs::write(path, updated).unwrap();
    } else {
        assert!(wrong.is_empty(), "{wrong}");
    }
}

/// The commands of a file that need no cluster.
fn check_offline(name: &str) {
    check(name, "BROKER", &work_dir(&format!("golden-{name}")));
}

/// The commands of a file, one after the other against one node.
fn check_online(name: &str) {
    let dir = work_dir(&format!("golden-{name}"));
    if is_update() {
        // Without a node to ask, the files for nodes stay as they are.
        if let Ok(broker) = std::env::var("GOLDEN_BROKER") {
            check(name, &broker, &dir);
        }
        return;
    }
    let settings = [
        ("group.initial.rebalance.delay.ms", "0"),
        ("offsets.topic.num.partitions", "3"),
        ("share.coordinator.state.topic.num.partitions", "3"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
    ];
    let broker = Broker::fresh(&format!("golden-{name}-node"), &settings);
    check(name, &broker.address, &dir);
}

#[test]
fn usage_and_refusals_are_kafkas() {
    check_offline("usage");
}

#[test]
fn usage_of_share_and_verifiable_tools_is_kafkas() {
    check_offline("share_usage");
}

#[test]
fn dumped_logs_are_kafkas() {
    check_offline("dump_log");
}

#[test]
fn storage_is_formatted_as_kafka_does() {
    check_offline("storage");
}

#[test]
fn topics_and_configurations_are_shown_as_kafkas() {
    check_online("topics");
}

#[test]
fn records_go_in_and_out_as_with_kafka() {
    check_online("records");
}

#[test]
fn groups_are_shown_and_moved_as_with_kafka() {
    check_online("groups");
}

#[test]
fn share_groups_are_read_shown_and_moved_as_with_kafka() {
    check_online("share_groups");
}

#[test]
fn quotas_features_and_the_rest_are_shown_as_kafkas() {
    check_online("surface");
}

/// `golden/api_versions.txt` is what `kafka-broker-api-versions.sh` prints of Apache Kafka 4.3.1.
#[test]
fn the_table_of_apis_is_kafkas() {
    let broker = Broker::fresh("golden-api-versions", &[]);
    let case = Case { line: "broker-api-versions --bootstrap-server BROKER".to_owned(), text: String::new() };
    let answer = run(&case, &broker.address, &work_dir("golden-api-versions-files"));
    let apis = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.trim().trim_end_matches(',').to_owned());
        lines.filter(|line| line.contains("): ")).collect()
    };
    let (ours, kafkas) = (apis(&answer.stdout), apis(&fs::read_to_string(golden("api_versions.txt")).unwrap()));
    let wrong: Vec<&String> = kafkas.iter().filter(|line| !ours.contains(line)).collect();
    assert!(wrong.is_empty() && kafkas.len() > 70, "{wrong:?}");
    let extra: Vec<&String> =
        ours.iter().filter(|line| !kafkas.contains(line) && !line.contains("UNSUPPORTED")).collect();
    assert!(extra.is_empty(), "{extra:?}");
}
