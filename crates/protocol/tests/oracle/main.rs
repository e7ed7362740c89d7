//! Every message in every version, and record batches, compared with Apache Kafka's Java implementation: with a sample
//! of its bytes in `tests/golden`, and with its jars where they are. `UPDATE_GOLDEN=1` takes a new sample.

mod batches;
mod java;
mod random;
mod validations;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

use bytes::Bytes;
use protocol::json;
use protocol::messages::{ALL, MessageEntry};
use protocol::schema::{FieldSpec, MessageSpec, Type};
use random::{Random, Values};
use serde_json::Value;

/// Random values of each message and version in each direction.
const COUNT: u32 = 20;
/// Size that a line of the sample should have, in bytes.
const SAMPLE_SIZE: usize = 120;
/// The only message that Java has no JSON form of; its jar is not among the broker's.
const WITHOUT_JSON: &str = "SubscriptionInfoData";

#[test]
fn java_s_messages_of_the_sample_are_read_and_written_again() {
    check_messages(&read_golden("messages.tsv"));
}

#[test]
fn java_s_batches_of_the_sample_are_read() {
    batches::check(&read_golden("batches.tsv"));
}

#[test]
fn both_implementations_agree_on_random_messages() {
    for_random_messages(|entry, version, bytes, value| {
        let again = (entry.recode)(bytes, version).unwrap_or_else(|error| panic!("{} {version}: {error}", entry.name));
        assert_eq!(hex(&again), hex(bytes), "{} {version} {value}", entry.name);
    });
}

#[test]
fn java_agrees_on_every_message_and_version() {
    let Some(class_path) = java::class_path() else {
        assert!(env::var("CI").is_err(), "`cargo xtask apache-kafka fetch` has to come first");
        eprintln!("skipped: no jars of Apache Kafka in target/apache-kafka/libs");
        return;
    };
    let mut asked = String::new();
    let has_streams = class_path.contains("kafka-streams-");
    for_random_messages(|entry, version, bytes, value| {
        if entry.name == WITHOUT_JSON && !has_streams {
            return;
        }
        let value = without_records(json::schema(entry.name).expect("it has a schema"), value.clone());
        writeln!(asked, "{}\t{version}\t{}\t{value}", entry.name, hex(bytes)).expect("strings take everything");
    });
    let cases = validations::cases();
    let validations = validations::ask(&cases);
    let questions = java::Questions { messages: asked, batches: batches::ask(), validations, count: COUNT };
    let answers = java::ask(&class_path, &questions);
    validations::check(&cases, &answers.validations);
    assert!(answers.faults.is_empty(), "{}", answers.faults.lines().take(5).collect::<Vec<_>>().join("\n"));
    check_messages(&answers.messages);
    batches::check(&answers.batches);
    let answered: BTreeSet<&str> = answers.messages.lines().filter_map(|line| line.split('\t').next()).collect();
    let known: BTreeSet<&str> = ALL.iter().map(|entry| entry.name).collect();
    assert!(known.difference(&answered).all(|name| *name == WITHOUT_JSON), "Java lacks a message");
    assert_eq!(answered.difference(&known).next(), None, "a message of Java has no schema");
    if env::var("UPDATE_GOLDEN").is_ok() {
        fs::write(golden("messages.tsv"), sample(&answers.messages)).expect("the sources are writable");
        fs::write(golden("batches.tsv"), &answers.batches).expect("the sources are writable");
    }
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read_golden(name: &str) -> String {
    fs::read_to_string(golden(name)).expect("the sample is part of the sources")
}

fn for_random_messages(mut visit: impl FnMut(&MessageEntry, i16, &Bytes, &Value)) {
    let mut random = Random::new(42);
    for entry in &ALL {
        let message = json::schema(entry.name).expect("every message has a schema");
        for version in entry.versions.clone() {
            for _ in 0..COUNT {
                let value = Values { message, version, random: &mut random }.message();
                let bytes = json::encode(entry.name, version, &value).expect("the value fits the schema");
                let read = json::decode(entry.name, version, &bytes).expect("what was written can be read");
                visit(entry, version, &bytes, &read);
            }
        }
    }
}

/// Lines of name, version, bytes, and JSON that may be missing.
fn check_messages(lines: &str) {
    for line in lines.lines() {
        let mut parts = line.splitn(4, '\t');
        let mut part = || parts.next().expect("four columns");
        let (name, version, bytes, expected) = (part(), part().parse().expect("a version"), part(), part());
        let bytes = unhex(bytes);
        let entry = ALL.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("no message {name}"));
        let again = (entry.recode)(&bytes, version).unwrap_or_else(|error| panic!("{name} {version}: {error}\n{line}"));
        assert_eq!(hex(&again), hex(&bytes), "{line}");
        let read = json::decode(name, version, &bytes).unwrap_or_else(|error| panic!("{error}\n{line}"));
        if expected.is_empty() || name == WITHOUT_JSON {
            continue;
        }
        let expected: Value = serde_json::from_str(expected).expect("Java writes JSON");
        assert_eq!(without_records(json::schema(name).expect("it was decoded"), read), expected, "{line}");
    }
}

/// One line of each message and version; JSON only of the newest.
fn sample(lines: &str) -> String {
    let mut out = String::new();
    let lines: Vec<(&str, &str)> =
        lines.lines().map(|line| (line, line.match_indices('\t').nth(1).map_or(line, |(at, _)| &line[..at]))).collect();
    for same in lines.chunk_by(|a, b| a.1 == b.1) {
        let (line, key) = same.iter().min_by_key(|(line, _)| line.len().abs_diff(SAMPLE_SIZE)).expect("not empty");
        let (name, version) = key.split_once('\t').expect("name and version");
        let newest = json::schema(name).is_some_and(|message| message.versions.end().to_string() == version);
        let end =
            if newest { line.len() } else { line.match_indices('\t').nth(2).map_or(line.len(), |(at, _)| at + 1) };
        writeln!(out, "{}", &line[..end]).expect("strings take everything");
    }
    out
}

/// `value` as Java writes it: with empty records.
fn without_records(message: &MessageSpec, mut value: Value) -> Value {
    blank_records(message, &message.fields, &mut value);
    value
}

fn blank_records(message: &MessageSpec, fields: &[FieldSpec], value: &mut Value) {
    if let Value::Array(elements) = value {
        elements.iter_mut().for_each(|element| blank_records(message, fields, element));
    }
    let Value::Object(object) = value else {
        return;
    };
    for field in fields {
        let name = field.name[..1].to_ascii_lowercase() + &field.name[1..];
        let Some(value) = object.get_mut(&name) else {
            continue;
        };
        if field.ty == Type::Primitive("records".to_owned()) && !value.is_null() {
            *value = Value::from("");
        }
        let shared = message.structs.iter().find(|known| Some(known.name.as_str()) == field.ty.struct_name());
        let inner = shared.map_or(&field.fields, |shared| &shared.fields);
        blank_records(message, inner, value);
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}
