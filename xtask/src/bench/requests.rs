//! Cells of requests: what one small request costs, how long a record takes from end to end, and what fsync costs.

use anyhow::Result;

use super::report::Report;
use super::system::System;
use super::{Run, in_turn, tools};

fn topic(broker: &System, name: &str, partitions: u32, configs: &str) -> Result<()> {
    let options =
        [("prefix", name.to_owned()), ("partitions", partitions.to_string()), ("configs", configs.to_owned())];
    tools::run_load("topics", &broker.address, &options).map(drop)
}

/// One record of 100 bytes in each request, the next one after its ack: 1, 64 and 1,000 connections.
pub(super) fn small(run: &Run, report: &mut Report) -> Result<()> {
    let brokers = run.brokers("small")?;
    for broker in &brokers {
        topic(broker, "small", 8, "retention.bytes=100000000")?;
    }
    for connections in [1, 64, 1000] {
        let cell = format!("small requests, {connections} connection{}", if connections == 1 { "" } else { "s" });
        for round in 0..=run.runs {
            for broker in in_turn(&brokers, round) {
                let options = [
                    ("topic", "small".to_owned()),
                    ("partitions", "8".to_owned()),
                    ("connections", connections.to_string()),
                    ("seconds", (3.0 * run.scale).to_string()),
                ];
                let before = broker.cpu()?;
                let values = tools::run_load("small", &broker.address, &options)?;
                let cpu = broker.cpu()?.since(&before).total();
                if round > 0 {
                    report.add(&cell, "requests per CPU s", broker.kind, values["requests"] / cpu.max(0.01));
                    report.add(&cell, "requests/s", broker.kind, values["requests_per_second"]);
                    report.add(&cell, "p99 ms", broker.kind, values["p99_ms"]);
                }
            }
        }
    }
    Ok(())
}

/// Latency from end to end at 1,000 and 20,000 records per second, in a request per millisecond.
pub(super) fn latency(run: &Run, report: &mut Report) -> Result<()> {
    let brokers = run.brokers("latency")?;
    for rate in [1_000, 20_000] {
        let cell = format!("end to end at {rate} records/s");
        for round in 0..=run.runs {
            for broker in in_turn(&brokers, round) {
                let name = format!("latency-{rate}-{round}");
                topic(broker, &name, 1, "")?;
                let options = [
                    ("topic", name),
                    ("rate", rate.to_string()),
                    ("seconds", (5.0 * run.scale).max(1.0).to_string()),
                    ("acks", "-1".to_owned()),
                ];
                let values = tools::run_load("latency", &broker.address, &options)?;
                if round > 0 {
                    report.add(&cell, "p50 ms", broker.kind, values["p50_ms"]);
                    report.add(&cell, "p99 ms", broker.kind, values["p99_ms"]);
                    report.add(&cell, "p99.9 ms", broker.kind, values["p999_ms"]);
                }
            }
        }
    }
    Ok(())
}

/// 64 producers of requests of one record of 1 KiB, without and with an fsync before each ack: with as many requests on
/// their way as Kafka's producer has, and with the next one sent after the ack.
pub(super) fn fsync(run: &Run, report: &mut Report) -> Result<()> {
    let brokers = run.brokers("fsync")?;
    for broker in &brokers {
        topic(broker, "unsynced", 1, "")?;
        topic(broker, "synced", 1, "flush.messages=1")?;
    }
    let cells = [(5, "fsync before ack, 64 producers"), (1, "fsync before ack, 64 producers, one request at a time")];
    for (in_flight, cell) in cells {
        for round in 0..=run.runs {
            for broker in in_turn(&brokers, round) {
                let mut reached = Vec::new();
                for name in ["unsynced", "synced"] {
                    let options = [
                        ("topic", name.to_owned()),
                        ("connections", "64".to_owned()),
                        ("size", "1024".to_owned()),
                        ("in-flight", in_flight.to_string()),
                        ("seconds", (3.0 * run.scale).to_string()),
                    ];
                    reached.push(tools::run_load("small", &broker.address, &options)?["requests_per_second"]);
                }
                if round > 0 {
                    report.add(cell, "requests/s", broker.kind, reached[1]);
                    report.add(cell, "unsynced / synced", broker.kind, reached[0] / reached[1]);
                }
            }
        }
    }
    Ok(())
}
