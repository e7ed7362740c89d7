//! `kafka-producer-perf-test.sh`: sends records as fast as asked for and reports throughput and latency.

mod payload;
mod settings;
mod stats;
pub(super) mod throttle;

use std::sync::Arc;

use client::{Client, ClientConfig, Delivery, Producer, ProducerConfig, Record};
use parking_lot::Mutex;

use super::java::{Exception, Failure};
use super::options::argparse::{self, Command, Group, many, one, required, switch};
use super::out::{self, Out};
use super::stop::Stop;
use super::time::now_ms;
use super::{progress, session};
use payload::Payload;
use settings::Settings;
use stats::Stats;
use throttle::Throttle;

const TOOL: Command = Command {
    name: "kafka-producer-perf-test",
    help: include_str!("options/help/producer-perf-test.txt"),
    arguments: &[
        required(&["--throughput"]),
        required(&["--num-records"]),
        required(&["--topic"]),
        one(&["--bootstrap-server"]),
        one(&["--payload-delimiter"]),
        many(&["--producer-props"]),
        many(&["--command-property"]),
        one(&["--producer.config"]),
        one(&["--command-config"]),
        switch(&["--print-metrics"]),
        one(&["--transactional-id"]),
        one(&["--transaction-duration-ms"]),
        one(&["--warmup-records"]),
        one(&["--reporting-interval"]),
        one(&["--record-size"]),
        one(&["--payload-file"]),
        switch(&["--payload-monotonic"]),
    ],
    groups: &[Group { names: &["--record-size", "--payload-file", "--payload-monotonic"], required: true }],
    subcommands: &[],
};

/// Runs the tool.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    if args.is_empty() {
        return Err(Stop { stdout: TOOL.help.to_owned(), ..Stop::silent(0) });
    }
    let arguments = argparse::read(&TOOL, args).map_err(|refusal| refusal.stop(1))?;
    session::refuse_metrics(arguments.has("--print-metrics"))?;
    let settings = Settings::new(&TOOL, &arguments, out).map_err(uncaught)?;
    out.flush()?;
    session::run_on_threads(async { execute(&settings, out).await.map_err(uncaught) })
}

fn uncaught(failure: Failure) -> Stop {
    match failure {
        Failure::Stop(stop) => stop,
        Failure::Exception(error) => Stop::uncaught(&error.class, &error.message),
    }
}

async fn execute(settings: &Settings, out: &mut Out) -> Result<(), Failure> {
    let properties = session::client_properties(&settings.properties);
    let config = ProducerConfig::from_properties(&properties)?;
    let client = Client::connect(ClientConfig::from_properties(&properties)?).await?;
    let producer = Producer::new(client, config)?;
    if settings.warmup_records > 0 {
        let records = settings.warmup_records;
        out.line(format_args!(
            "Warmup first {records} records. Steady state results will print after the complete test summary."
        ))?;
        out.flush()?;
    }
    let mut payload = Payload::new(settings)?;
    let mut run = Run::new(settings);
    let bar = progress::bar(settings.num_records);
    let mut throttle = Throttle::new(settings.throughput, now_ms());
    for number in 0..settings.num_records {
        let value = payload.next(number);
        let started = now_ms();
        if settings.warmup_records > 0 && number == settings.warmup_records {
            run.begin_steady_state(settings);
        }
        let record = Record { topic: &settings.topic, value: Some(value), ..Record::default() };
        match producer.send(record).await {
            Ok(delivery) => run.sent(delivery, started, value.len()),
            Err(error) => out::error_text(&format!("{}\n", Exception::from(error))),
        }
        if number % 1024 == 0 {
            bar.set_position(number);
        }
        if throttle.is_ahead(number, started) {
            throttle.pause().await;
        }
    }
    producer.close().await;
    run.all_settled().await;
    bar.finish_and_clear();
    run.print_totals(out)
}

/// What is measured, shared with the tasks that wait for batches.
#[derive(Debug)]
struct Measured {
    all: Stats,
    steady: Option<Stats>,
}

impl Measured {
    fn record(&mut self, started: i64, count: u64, size: usize, now: i64) {
        self.all.record(now - started, count, size, now);
        if let Some(steady) = &mut self.steady {
            steady.record(now - started, count, size, now);
        }
    }
}

/// The records of one batch, as runs of those handed over in the same millisecond with the same size.
#[derive(Debug, Default)]
struct BatchRuns {
    runs: Vec<(i64, u64, usize)>,
    /// When the batch was acknowledged, or that it failed.
    settled: Option<Option<i64>>,
}

impl BatchGroup {
    fn add(&self, measured: &Mutex<Measured>, started: i64, size: usize) {
        let mut group = self.0.lock();
        match group.settled {
            Some(Some(now)) => measured.lock().record(started, 1, size, now),
            Some(None) => {}
            None => match group.runs.last_mut() {
                Some((time, count, of_size)) if *time == started && *of_size == size => *count += 1,
                _ => group.runs.push((started, 1, size)),
            },
        }
    }
}

#[derive(Debug, Clone, Default)]
struct BatchGroup(Arc<Mutex<BatchRuns>>);

struct Run {
    measured: Arc<Mutex<Measured>>,
    /// The batch that the last record went into.
    open: Option<(Delivery, BatchGroup)>,
    waiting: tokio::task::JoinSet<()>,
}

impl Run {
    fn new(settings: &Settings) -> Self {
        let all = Stats::new(settings.num_records, settings.reporting_interval, false);
        Self {
            measured: Arc::new(Mutex::new(Measured { all, steady: None })),
            open: None,
            waiting: tokio::task::JoinSet::new(),
        }
    }

    fn begin_steady_state(&mut self, settings: &Settings) {
        let mut measured = self.measured.lock();
        measured.all.suppress();
        let records = settings.num_records - settings.warmup_records;
        measured.steady = Some(Stats::new(records, settings.reporting_interval, true));
    }

    fn sent(&mut self, delivery: Delivery, started: i64, size: usize) {
        if let Some((batch, group)) = &self.open
            && batch.shares_batch(&delivery)
        {
            group.add(&self.measured, started, size);
            return;
        }
        let group = BatchGroup::default();
        group.add(&self.measured, started, size);
        self.open = Some((delivery.clone(), group.clone()));
        let measured = self.measured.clone();
        while self.waiting.try_join_next().is_some() {}
        self.waiting.spawn(async move {
            let outcome = delivery.delivered().await;
            let now = now_ms();
            let mut group = group.0.lock();
            let runs = std::mem::take(&mut group.runs);
            group.settled = Some(outcome.is_ok().then_some(now));
            match outcome {
                Ok(_) => {
                    let mut measured = measured.lock();
                    runs.into_iter().for_each(|(started, count, size)| measured.record(started, count, size, now));
                }
                Err(error) => {
                    let line = format!("{}\n", Exception::from(error));
                    let count: u64 = runs.iter().map(|(_, count, _)| count).sum();
                    (0..count).for_each(|_| out::error_text(&line));
                }
            }
        });
    }

    async fn all_settled(&mut self) {
        while self.waiting.join_next().await.is_some() {}
    }

    fn print_totals(&self, out: &mut Out) -> Result<(), Failure> {
        let mut measured = self.measured.lock();
        out.line(measured.all.total())?;
        if let Some(steady) = &mut measured.steady {
            out.line(steady.total())?;
        }
        Ok(())
    }
}
