//! Runs the Java side of the oracle: `interop/java-oracle`, compiled against the jars of Apache Kafka.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the crate is in a workspace")
}

/// The class path of Apache Kafka's jars, where `cargo xtask apache-kafka fetch` has put them.
pub(crate) fn class_path() -> Option<String> {
    let jars: Vec<String> = fs::read_dir(workspace().join("target/apache-kafka/libs"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jar"))
        .map(|path| path.display().to_string())
        .collect();
    let has = |name: &str| jars.iter().any(|jar| jar.contains(name));
    (has("kafka-clients-") && has("jackson-databind-")).then(|| jars.join(":"))
}

/// What Java answered.
pub(crate) struct Answers {
    pub(crate) messages: String,
    pub(crate) batches: String,
    pub(crate) validations: String,
    pub(crate) faults: String,
}

/// What Java is asked.
pub(crate) struct Questions {
    pub(crate) messages: String,
    pub(crate) batches: String,
    pub(crate) validations: String,
    /// Random values that Java makes of each message and version.
    pub(crate) count: u32,
}

/// Lets Java judge messages, batches and what is to be validated, and make some of its own.
pub(crate) fn ask(class_path: &str, questions: &Questions) -> Answers {
    let directory = workspace().join("target/java-oracle");
    let classes = directory.join("classes");
    fs::create_dir_all(&classes).expect("target is writable");
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).expect("target is writable");
    write("asked-messages.tsv", &questions.messages);
    write("asked-batches.tsv", &questions.batches);
    write("asked-validations.tsv", &questions.validations);
    let sources = workspace().join("interop/java-oracle");
    let sources = fs::read_dir(sources).expect("the sources are there").map(|entry| entry.expect("readable").path());
    run(Command::new("javac").arg("-d").arg(&classes).args(["-cp", class_path]).args(sources));
    let class_path = format!("{}:{class_path}", classes.display());
    run(Command::new("java")
        .args(["-cp", &class_path, "Oracle"])
        .arg(&directory)
        .args(["42", &questions.count.to_string()]));
    let read = |name: &str| fs::read_to_string(directory.join(name)).expect("Java has written its answers");
    Answers {
        messages: read("messages.tsv"),
        batches: read("batches.tsv"),
        validations: read("validations.tsv"),
        faults: read("faults.txt"),
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("a JDK is installed");
    let program = command.get_program().display();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
