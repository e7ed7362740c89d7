//! The loads: `rdkafka_performance` of librdkafka, Kafka's perf tools, and the programs of `xtask/load`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::system::release_binary;
use crate::{apache_kafka, process, workspace};

const RDKAFKA_PERFORMANCE: &str = "/usr/share/doc/librdkafka-dev/examples/rdkafka_performance.c";

/// What `rdkafka_performance.c` takes from librdkafka's private headers.
const PRIVATE_HEADERS: [(&str, &str); 3] = [
    (
        "src/rd.h",
        "#include <stdio.h>\n#include <stdlib.h>\n#include <stdint.h>\n#include <inttypes.h>\n#include <unistd.h>\n\
         #include <sys/time.h>\n#include <time.h>\n#define rd_snprintf(...) snprintf(__VA_ARGS__)\n\
         #define RD_MIN(a, b) ((a) < (b) ? (a) : (b))\n#define RD_MAX(a, b) ((a) > (b) ? (a) : (b))\n",
    ),
    ("example/rd.h", "#include \"../src/rd.h\"\n"),
    (
        "example/rdtime.h",
        "typedef int64_t rd_ts_t;\nstatic inline rd_ts_t rd_clock(void) {\n  struct timespec ts;\n\
         clock_gettime(CLOCK_MONOTONIC, &ts);\n  return (rd_ts_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;\n}\n",
    ),
];

/// Builds the release binaries of the broker, the loads and the floor.
pub(crate) fn build() -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace::root()).args(["build", "--release", "-p", "ottla", "-p", "ottla-load"]);
    process::run(&mut cargo)
}

/// Compiles librdkafka's own load from Debian's `librdkafka-dev`, which is installed if it is missing.
pub(crate) fn librdkafka() -> Result<PathBuf> {
    let dir = workspace::target().join("bench/librdkafka");
    let program = dir.join("rdkafka_performance");
    if program.exists() {
        return Ok(program);
    }
    if !Path::new(RDKAFKA_PERFORMANCE).exists() {
        process::output(Command::new("apt-get").args(["install", "-y", "--no-install-recommends", "librdkafka-dev"]))
            .context("installing librdkafka-dev")?;
    }
    for (name, text) in PRIVATE_HEADERS {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&dir))?;
        fs::write(path, text)?;
    }
    let source = dir.join("example/rdkafka_performance.c");
    fs::copy(RDKAFKA_PERFORMANCE, &source)?;
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-w", "-I/usr/include/librdkafka"]).arg(format!("-I{}", dir.join("example").display()));
    compile.arg("-o").arg(&program).arg(source).args(["-lrdkafka", "-lpthread", "-lm"]);
    process::output(&mut compile)?;
    Ok(program)
}

/// A load of `xtask/load`, not started yet.
pub(crate) fn load(name: &str, address: &str, options: &[(&str, String)]) -> Command {
    let mut command = Command::new(release_binary("load"));
    command.args([name, "--bootstrap", address]);
    for (name, value) in options {
        command.arg(format!("--{name}")).arg(value);
    }
    command
}

/// Takes and gives back somewhat more than `bytes` of memory. What a virtual machine has not touched since its host last took
/// it back costs a fault in the host at the first touch, many times the copy itself: without this, whoever fills the page
/// cache first would pay for the next one.
pub(crate) fn touch_memory(bytes: u64) -> Result<()> {
    run_load("touch", "", &[("bytes", (bytes + bytes / 4).to_string())]).map(drop)
}

/// Runs a load of `xtask/load` and returns the values it printed.
pub(crate) fn run_load(name: &str, address: &str, options: &[(&str, String)]) -> Result<HashMap<String, f64>> {
    let output = process::output(&mut load(name, address, options))?;
    let values = output.lines().filter_map(|line| line.split_once('='));
    Ok(values.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
}

/// What librdkafka or Kafka's tool reached, in MB per second of values.
pub(crate) struct Throughput(pub(crate) f64);

/// Arguments of `rdkafka_performance` for `count` records of `size` bytes.
pub(crate) struct Librdkafka<'a> {
    pub(crate) address: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) count: u64,
    pub(crate) size: u64,
}

impl Librdkafka<'_> {
    fn command(&self, mode: &str) -> Result<Command> {
        let mut command = Command::new(librdkafka()?);
        command.args([mode, "-q", "-t", self.topic, "-b", self.address, "-c", &self.count.to_string()]);
        Ok(command)
    }

    /// A producer with librdkafka's defaults; at most `rate` records per second unless it is 0.
    pub(crate) fn producer(&self, acks: &str, rate: u64) -> Result<Command> {
        let mut command = self.command("-P")?;
        let acks = if acks == "all" { "-1" } else { acks };
        command.args(["-a", acks, "-s", &self.size.to_string()]);
        if rate > 0 {
            command.args(["-r", &rate.to_string()]);
        }
        Ok(command)
    }

    /// A consumer from the beginning of each of `partitions`.
    pub(crate) fn consumer(&self, partitions: u32) -> Result<Command> {
        let mut command = self.command("-C")?;
        command.args(["-o", "beginning"]);
        for partition in 0..partitions {
            command.args(["-p", &partition.to_string()]);
        }
        Ok(command)
    }
}

/// Runs `rdkafka_performance` to its end.
pub(crate) fn run_librdkafka(command: &mut Command) -> Result<Throughput> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    // "% 1000 messages produced (..) .. and 145.81 MB/s, .." or "% 1000 messages (..) consumed in ..: .. (1035.62 MB/s)".
    let summary = text.lines().rfind(|line| line.starts_with("% ") && line.contains("MB/s"));
    let throughput = summary.and_then(|line| line.split("MB/s").next()?.trim().rsplit([' ', '(']).next()?.parse().ok());
    match throughput {
        Some(throughput) if output.status.success() => Ok(Throughput(throughput)),
        _ => bail!("{command:?} failed: {text}"),
    }
}

/// A class of Apache Kafka's tools with the heap that its scripts give it.
pub(crate) fn kafka_tool(class: &str, arguments: &[&str]) -> Result<String> {
    process::output(apache_kafka::java(class, "512M")?.args(arguments))
}

/// Drops what the kernel has cached of files that are already on the disk.
pub(crate) fn drop_caches(files: &[PathBuf]) -> Result<()> {
    for file in files {
        let of = format!("of={}", file.display());
        process::output(Command::new("dd").args([&of, "oflag=nocache", "conv=notrunc,fdatasync", "count=0"]))?;
    }
    Ok(())
}
