//! Cells of bytes in and out: broker CPU per GB and throughput under librdkafka and Kafka's perf tools.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Result;

use super::report::Report;
use super::system::{Cpu, Kind, System, mean_batch};
use super::tools::{self, Librdkafka};
use super::{Run, in_turn};

/// Topics go at once when they are deleted, so that each run finds the disk and the page cache as the last did.
const CONFIGS: &str = "file.delete.delay.ms=0";
/// Bytes that a consumer asks for at once: librdkafka's `fetch.message.max.bytes`.
const FETCH_BYTES: u64 = 1 << 20;

/// A shape of the data.
struct Shape {
    name: &'static str,
    size: u64,
    count: u64,
    acks: &'static str,
    partitions: u32,
}

impl Shape {
    fn gigabytes(&self) -> f64 {
        (self.count * self.size) as f64 / 1e9
    }

    fn title(&self, verb: &str) -> String {
        let partitions = if self.partitions == 1 { "1 partition" } else { "64 partitions" };
        match verb {
            "produce" => format!("produce {}, acks {}, {partitions}", self.name, self.acks),
            _ => format!("{verb} {}, {partitions}", self.name),
        }
    }
}

fn shapes(run: &Run) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for (name, size, count) in [("1 KiB", 1024, 1_000_000), ("100 B", 100, 2_000_000)] {
        for acks in ["1", "all"] {
            for partitions in [1, 64] {
                shapes.push(Shape { name, size, count: run.scaled(count), acks, partitions });
            }
        }
    }
    shapes
}

/// Runs `work` and returns its result and the CPU that `system` spent meanwhile.
fn metered<T>(system: &System, work: impl FnOnce() -> Result<T>) -> Result<(T, Cpu)> {
    let before = system.cpu()?;
    let result = work()?;
    Ok((result, system.cpu()?.since(&before)))
}

/// Reports the CPU of a cell: all of it, and the part that is the program's own and not the kernel's.
fn add_cpu(report: &mut Report, cell: &str, kind: Kind, cpu: &Cpu, gigabytes: f64) {
    report.add(cell, "CPU s/GB", kind, cpu.total() / gigabytes);
    report.add(cell, "user CPU s/GB", kind, cpu.user / gigabytes);
}

fn create(system: &System, topic: &str, partitions: u32) -> Result<()> {
    let options =
        [("prefix", topic.to_owned()), ("partitions", partitions.to_string()), ("configs", CONFIGS.to_owned())];
    tools::run_load("topics", &system.address, &options).map(drop)
}

fn delete(system: &System, topic: &str) -> Result<()> {
    tools::run_load("delete", &system.address, &[("topic", topic.to_owned())])?;
    crate::process::wait_for(std::time::Duration::from_secs(10), || {
        system.segments(topic).is_ok_and(|segments| segments.is_empty())
    });
    Ok(())
}

/// Produces each shape with librdkafka, and reads back what acks=1 wrote: from the page cache, then from the disk.
/// One round more than asked for runs first and is not counted: it warms up the JVM, and its batches are what the floor gets.
pub(super) fn produce_and_consume(run: &Run, report: &mut Report) -> Result<()> {
    tools::librdkafka()?;
    let systems = run.systems("data")?;
    for shape in shapes(run) {
        let mut pieces = None;
        for round in 0..=run.runs {
            let mut ignored = Report::default();
            let report = if round == 0 { &mut ignored } else { &mut *report };
            for system in in_turn(&systems, round) {
                tools::touch_memory(shape.count * shape.size)?;
                match (system.kind, pieces) {
                    (Kind::Floor, Some((batch, bytes))) => one_floor(system, &shape, batch, bytes, report)?,
                    (Kind::Floor, None) => {}
                    _ => {
                        let topic = format!("data-{}-{}-{}-{round}", shape.size, shape.acks, shape.partitions);
                        create(system, &topic, shape.partitions)?;
                        one_broker(system, &shape, &topic, report)?;
                        if pieces.is_none() {
                            pieces = Some(batches(&system.segments(&topic)?)?);
                        }
                        delete(system, &topic)?;
                    }
                }
            }
        }
    }
    for broker in systems.iter().filter(|system| system.kind != Kind::Floor) {
        report.add("after these loads", "memory MB", broker.kind, broker.memory_mb()?);
    }
    Ok(())
}

/// The mean size of the batches in `segments`, and the size of all.
fn batches(segments: &[PathBuf]) -> Result<(u64, u64)> {
    let bytes = segments.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum();
    Ok((mean_batch(segments)?, bytes))
}

fn one_broker(broker: &System, shape: &Shape, topic: &str, report: &mut Report) -> Result<()> {
    let load = Librdkafka { address: &broker.address, topic, count: shape.count, size: shape.size };
    let mut produce = load.producer(shape.acks, 0)?;
    let (throughput, cpu) = metered(broker, || tools::run_librdkafka(&mut produce))?;
    add_cpu(report, &shape.title("produce"), broker.kind, &cpu, shape.gigabytes());
    report.add(&shape.title("produce"), "MB/s", broker.kind, throughput.0);
    if shape.acks != "1" {
        return Ok(());
    }
    for verb in ["consume cached", "consume cold"] {
        if verb == "consume cold" {
            tools::drop_caches(&broker.segments(topic)?)?;
        }
        let mut consume = load.consumer(shape.partitions)?;
        let (throughput, cpu) = metered(broker, || tools::run_librdkafka(&mut consume))?;
        add_cpu(report, &shape.title(verb), broker.kind, &cpu, shape.gigabytes());
        report.add(&shape.title(verb), "MB/s", broker.kind, throughput.0);
    }
    Ok(())
}

fn one_floor(floor: &System, shape: &Shape, batch: u64, bytes: u64, report: &mut Report) -> Result<()> {
    let options = |bytes: u64, batch: u64| {
        [
            ("bytes", bytes.to_string()),
            ("batch", batch.to_string()),
            ("partitions", shape.partitions.to_string()),
            ("in-flight", "5".to_owned()),
        ]
    };
    floor_empty(floor)?;
    let (values, cpu) = metered(floor, || tools::run_load("floor-produce", &floor.address, &options(bytes, batch)))?;
    add_cpu(report, &shape.title("produce"), Kind::Floor, &cpu, shape.gigabytes());
    report.add(&shape.title("produce"), "MB/s", Kind::Floor, values["mb_per_second"]);
    if shape.acks != "1" {
        return Ok(());
    }
    for verb in ["consume cached", "consume cold"] {
        if verb == "consume cold" {
            let files = std::fs::read_dir(floor.data())?.filter_map(|file| Some(file.ok()?.path()));
            tools::drop_caches(&files.collect::<Vec<_>>())?;
        }
        // The last pieces are left unread: the partitions are not equally long.
        let bytes = bytes - bytes / 10;
        let (values, cpu) = metered(floor, || {
            tools::run_load("floor-consume", &floor.address, &options(bytes, FETCH_BYTES.min(bytes / 100)))
        })?;
        add_cpu(report, &shape.title(verb), Kind::Floor, &cpu, shape.gigabytes() * 0.9);
        report.add(&shape.title(verb), "MB/s", Kind::Floor, values["mb_per_second"]);
    }
    Ok(())
}

/// Empties the floor's files; a read waits for bytes that a partition lacks.
fn floor_empty(floor: &System) -> Result<()> {
    tools::run_load("floor-empty", &floor.address, &[]).map(drop)
}

/// A consumer that follows a producer of 100 MB/s; CPU of both ways together.
pub(super) fn tail(run: &Run, report: &mut Report) -> Result<()> {
    const RATE: u64 = 100_000;
    tools::librdkafka()?;
    let systems = run.systems("tail")?;
    let count = run.scaled(500_000);
    let gigabytes = (count * 1024) as f64 / 1e9;
    let cell = "produce and consume at the tail, 1 KiB, 100 MB/s";
    let mut pieces = None;
    for round in 0..=run.runs {
        let mut ignored = Report::default();
        let report = if round == 0 { &mut ignored } else { &mut *report };
        for system in in_turn(&systems, round) {
            tools::touch_memory(count * 1024)?;
            let cpu = match (system.kind, pieces) {
                (Kind::Floor, Some((batch, _))) => floor_tail(system, count * 1024, batch, RATE * 1024)?,
                (Kind::Floor, None) => continue,
                _ => {
                    let topic = format!("tail-{round}");
                    create(system, &topic, 1)?;
                    let cpu = broker_tail(system, &topic, count, RATE)?;
                    if pieces.is_none() {
                        pieces = Some(batches(&system.segments(&topic)?)?);
                    }
                    delete(system, &topic)?;
                    cpu
                }
            };
            add_cpu(report, cell, system.kind, &cpu, gigabytes);
        }
    }
    Ok(())
}

fn broker_tail(broker: &System, topic: &str, count: u64, rate: u64) -> Result<Cpu> {
    let load = Librdkafka { address: &broker.address, topic, count, size: 1024 };
    let work = || {
        let mut consumer = load.consumer(1)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let produced = tools::run_librdkafka(&mut load.producer("1", rate)?);
        consumer.wait()?;
        produced
    };
    Ok(metered(broker, work)?.1)
}

fn floor_tail(floor: &System, bytes: u64, batch: u64, rate: u64) -> Result<Cpu> {
    floor_empty(floor)?;
    let options = [("bytes", bytes.to_string()), ("batch", batch.to_string()), ("rate", rate.to_string())];
    let work = || {
        let mut consumer = tools::load("floor-consume", &floor.address, &options[..1]).stdout(Stdio::null()).spawn()?;
        let produced = tools::run_load("floor-produce", &floor.address, &options);
        consumer.wait()?;
        produced
    };
    Ok(metered(floor, work)?.1)
}

/// Kafka's own perf tools with their defaults, 1 KiB records, acks all, one partition.
pub(super) fn java_tools(run: &Run, report: &mut Report) -> Result<()> {
    let brokers = run.brokers("java")?;
    let count = run.scaled(500_000);
    let gigabytes = (count * 1024) as f64 / 1e9;
    let records = count.to_string();
    for round in 0..=run.runs {
        let mut ignored = Report::default();
        let report = if round == 0 { &mut ignored } else { &mut *report };
        for broker in in_turn(&brokers, round) {
            tools::touch_memory(count * 1024)?;
            let topic = format!("java-{round}");
            create(broker, &topic, 1)?;
            let bootstrap = format!("bootstrap.servers={}", broker.address);
            let arguments =
                ["--topic", &topic, "--num-records", &records, "--record-size", "1024", "--throughput", "-1"];
            let arguments: Vec<&str> = arguments.into_iter().chain(["--command-property", &bootstrap]).collect();
            let produce = || tools::kafka_tool("org.apache.kafka.tools.ProducerPerformance", &arguments);
            let (_, cpu) = metered(broker, produce)?;
            add_cpu(report, "kafka-producer-perf-test 1 KiB, acks all", broker.kind, &cpu, gigabytes);
            let arguments = ["--bootstrap-server", &broker.address, "--topic", &topic, "--num-records", &records];
            let consume = || tools::kafka_tool("org.apache.kafka.tools.ConsumerPerformance", &arguments);
            let (_, cpu) = metered(broker, consume)?;
            add_cpu(report, "kafka-consumer-perf-test 1 KiB", broker.kind, &cpu, gigabytes);
            delete(broker, &topic)?;
        }
    }
    Ok(())
}
