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
    pub(crate) faults: String,
}

/// Lets Java judge the asked messages and batches, and make `count` random values of each message and version.
pub(crate) fn ask(class_path: &str, asked_messages: &str, asked_batches: &str, count: u32) -> Answers {
    let directory = workspace().join("target/java-oracle");
    let classes = directory.join("classes");
    fs::create_dir_all(&classes).expect("target is writable");
    fs::write(directory.join("asked-messages.tsv"), asked_messages).expect("target is writable");
    fs::write(directory.join("asked-batches.tsv"), asked_batches).expect("target is writable");
    let sources = workspace().join("interop/java-oracle");
    let sources = fs::read_dir(sources).expect("the sources are there").map(|entry| entry.expect("readable").path());
    run(Command::new("javac").arg("-d").arg(&classes).args(["-cp", class_path]).args(sources));
    let class_path = format!("{}:{class_path}", classes.display());
    run(Command::new("java").args(["-cp", &class_path, "Oracle"]).arg(&directory).args(["42", &count.to_string()]));
    let read = |name: &str| fs::read_to_string(directory.join(name)).expect("Java has written its answers");
    Answers { messages: read("messages.tsv"), batches: read("batches.tsv"), faults: read("faults.txt") }
}

fn run(command: &mut Command) {
    let output = command.output().expect("a JDK is installed");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}
