//! Loads for the benchmark that need no client library: cheap enough not to be the bottleneck beside a broker on two cores.
//! `load NAME --option value ..` prints what it measured as `name=value` lines.

#![allow(clippy::disallowed_methods, reason = "a load measures and waits in real time")]
#![allow(clippy::print_stdout, reason = "the lines are the result")]

mod connection;
mod consume;
mod first;
mod floor_load;
mod latency;
mod many;
mod options;
mod produce;

use anyhow::{Result, bail};

use crate::options::Options;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let options = Options::parse(arguments)?;
    match name.as_str() {
        "topics" => first::topics(&options),
        "delete" => first::delete(&options),
        "first" => first::first(&options),
        "produce" => produce::run(&options),
        "consume" => consume::run(&options),
        "small" => many::small(&options),
        "touch" => touch(&options),
        "idle" => many::idle(&options),
        "latency" => latency::run(&options),
        "floor-empty" => floor_load::empty(&options),
        "floor-produce" => floor_load::produce(&options),
        "floor-consume" => floor_load::consume(&options),
        _ => bail!("no load is called {name:?}"),
    }
}

/// Writes to `--bytes` of memory once, and ends.
fn touch(options: &Options) -> Result<()> {
    std::hint::black_box(vec![1u8; options.number("bytes", 0)?]);
    Ok(())
}

/// Prints one measured value.
fn report(name: &str, value: impl std::fmt::Display) {
    println!("{name}={value}");
}

/// Prints bytes, seconds and their quotient.
fn report_throughput(bytes: u64, seconds: f64) {
    report("bytes", bytes);
    report("seconds", seconds);
    report("mb_per_second", bytes as f64 / 1e6 / seconds);
}

/// Prints three percentiles of nanoseconds as milliseconds.
fn report_latencies(latencies: &hdrhistogram::Histogram<u64>) {
    for (name, percentile) in [("p50_ms", 50.0), ("p99_ms", 99.0), ("p999_ms", 99.9)] {
        report(name, latencies.value_at_percentile(percentile) as f64 / 1e6);
    }
}
