//! What is measured: Ottla, Apache Kafka and the floor, each a process in a folder of its own.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::{apache_kafka, process, workspace};

/// How long a system may take to answer after its start, or to end after SIGTERM.
const LIMIT: Duration = Duration::from_secs(120);
/// Ticks of `/proc/PID/stat` per second: `USER_HZ` is 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// The flags that Kafka's own start script gives the JVM.
const JVM: [&str; 7] = [
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
];

/// Whose process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The release binary of this tree.
    Ottla,
    /// Apache Kafka 4.3.1.
    ApacheKafka,
    /// `xtask/load/src/floor.rs`.
    Floor,
}

impl Kind {
    /// The column's title.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Ottla => "Ottla",
            Self::ApacheKafka => "Apache Kafka",
            Self::Floor => "floor",
        }
    }

    /// The name in paths and options.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Ottla => "ottla",
            Self::ApacheKafka => "apache-kafka",
            Self::Floor => "floor",
        }
    }
}

/// CPU seconds of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    /// In user space.
    pub(crate) user: f64,
    /// In the kernel.
    pub(crate) kernel: f64,
}

impl Cpu {
    /// What was spent after `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self { user: self.user - before.user, kernel: self.kernel - before.kernel }
    }

    /// In user space and in the kernel.
    pub(crate) fn total(&self) -> f64 {
        self.user + self.kernel
    }
}

/// A running system; ended when dropped.
#[derive(Debug)]
pub(crate) struct System {
    /// Whose process it is.
    pub(crate) kind: Kind,
    /// `host:port` that clients connect to.
    pub(crate) address: String,
    dir: PathBuf,
    process: Option<Child>,
}

impl System {
    /// A fresh data directory named `purpose`, formatted; nothing runs yet.
    pub(crate) fn prepare(kind: Kind, purpose: &str, port: u16) -> Result<Self> {
        let system = Self::unformatted(kind, purpose, port)?;
        system.format_seconds()?;
        Ok(system)
    }

    /// A fresh data directory named `purpose`, empty; nothing runs yet.
    pub(crate) fn unformatted(kind: Kind, purpose: &str, port: u16) -> Result<Self> {
        let dir = workspace::target().join("bench").join(kind.folder()).join(purpose);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(dir.join("data"))?;
        let system = Self { kind, address: format!("127.0.0.1:{port}"), dir, process: None };
        let properties: String =
            system.properties(port).iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        fs::write(system.dir.join("server.properties"), properties)?;
        Ok(system)
    }

    /// Formats the data directory and returns how long it took.
    pub(crate) fn format_seconds(&self) -> Result<f64> {
        let mut format = match self.kind {
            Kind::Ottla => Command::new(release_binary("ottla")),
            Kind::ApacheKafka => apache_kafka::java("kafka.tools.StorageTool", "256M")?,
            Kind::Floor => return Ok(0.0),
        };
        if self.kind == Kind::Ottla {
            format.arg("storage");
        }
        format.args(["format", "-t", crate::node::CLUSTER_ID, "-c"]).arg(self.dir.join("server.properties"));
        #[allow(clippy::disallowed_methods, reason = "the time of a real process is measured")]
        let start = Instant::now();
        process::output(&mut format)?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn properties(&self, port: u16) -> Vec<(&'static str, String)> {
        let controller = port + 1;
        vec![
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", "1".to_owned()),
            ("controller.quorum.voters", format!("1@127.0.0.1:{controller}")),
            ("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}")),
            ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("log.dirs", self.data().display().to_string()),
            ("offsets.topic.replication.factor", "1".to_owned()),
            ("transaction.state.log.replication.factor", "1".to_owned()),
            ("transaction.state.log.min.isr", "1".to_owned()),
            ("group.initial.rebalance.delay.ms", "0".to_owned()),
            ("max.connections", "20000".to_owned()),
        ]
    }

    /// The folder of partitions.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn command(&self) -> Result<Command> {
        let properties = self.dir.join("server.properties");
        let mut command = match self.kind {
            Kind::Ottla => {
                let mut command = Command::new(release_binary("ottla"));
                command.args(["server", "--config"]).arg(properties);
                command
            }
            Kind::ApacheKafka => {
                apache_kafka::fetch()?;
                let home = apache_kafka::home();
                let mut command = Command::new("java");
                command.args(JVM);
                command.arg(format!("-Dlog4j2.configurationFile={}", home.join("conf/log4j2.properties").display()));
                command.arg("-cp").arg(format!("{}/libs/*", home.display())).arg("kafka.Kafka").arg(properties);
                command
            }
            Kind::Floor => {
                let mut command = Command::new(release_binary("floor"));
                command.arg(&self.address).arg(self.data());
                command
            }
        };
        let log = File::create(self.dir.join("broker.log"))?;
        command.current_dir(&self.dir).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        Ok(command)
    }

    /// Starts the process and returns the nanoseconds of the epoch at which it was executed; it may not answer yet.
    pub(crate) fn execute(&mut self) -> Result<u128> {
        let mut command = self.command()?;
        #[allow(clippy::disallowed_methods, reason = "the time of a real process is measured")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        self.process = Some(command.spawn().with_context(|| format!("starting {command:?}"))?);
        Ok(now)
    }

    /// Starts the process and waits until it answers.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.execute()?;
        let pid = self.pid()?;
        let answers = || match self.kind {
            Kind::Floor => std::net::TcpStream::connect(&self.address).is_ok(),
            _ => process::answers_api_versions(&self.address),
        };
        if !process::wait_for(LIMIT, || !process::is_alive(pid) || answers()) || !process::is_alive(pid) {
            let log = fs::read_to_string(self.dir.join("broker.log")).unwrap_or_default();
            bail!("{} did not come up:\n{log}", self.kind.title());
        }
        Ok(())
    }

    /// Ends the process by SIGTERM, or by SIGKILL when it does not.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.process.take() else { return Ok(()) };
        process::signal(child.id(), "TERM");
        if !process::wait_for(LIMIT, || !process::is_alive(child.id())) {
            child.kill()?;
        }
        child.wait()?;
        Ok(())
    }

    fn pid(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("the system does not run")?.id())
    }

    /// CPU that the process has spent so far.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let mut seconds = fields.skip(11).map(|ticks| ticks.parse::<f64>().map(|ticks| ticks / TICKS_PER_SECOND));
        let mut next = || seconds.next().context("/proc/PID/stat is cut off");
        Ok(Cpu { user: next()??, kernel: next()?? })
    }

    /// Resident memory in MB (PSS: pages that are shared count in part).
    pub(crate) fn memory_mb(&self) -> Result<f64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid()?))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("smaps_rollup has no Pss")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// The segments of a topic.
    pub(crate) fn segments(&self, topic: &str) -> Result<Vec<PathBuf>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(self.data())? {
            let dir = entry?.path();
            let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.rsplit_once('-').is_some_and(|(of, _)| of == topic) {
                let files = fs::read_dir(&dir)?.filter_map(|file| Some(file.ok()?.path()));
                segments.extend(files.filter(|file| file.extension().is_some_and(|extension| extension == "log")));
            }
        }
        Ok(segments)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            // The process may be gone already, and there is nothing to do about it here.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Where `cargo build --release` puts a program.
pub(crate) fn release_binary(name: &str) -> PathBuf {
    workspace::target().join("release").join(name)
}

/// Mean size of the batches in `segments`, in bytes.
pub(crate) fn mean_batch(segments: &[PathBuf]) -> Result<u64> {
    let (mut batches, mut bytes) = (0, 0);
    for path in segments {
        let end = fs::metadata(path)?.len();
        let mut position = 0;
        while let Some(size) = batch_size(path, position, end)? {
            batches += 1;
            bytes += size;
            position += size;
        }
    }
    if batches == 0 {
        bail!("there are no batches to take the mean of");
    }
    Ok(bytes / batches)
}

/// Size of the batch at `position`; none at the end, or where the file is preallocated and still empty.
fn batch_size(path: &Path, position: u64, end: u64) -> Result<Option<u64>> {
    use std::os::unix::fs::FileExt;
    if position + 12 > end {
        return Ok(None);
    }
    let mut length = [0; 4];
    File::open(path)?.read_exact_at(&mut length, position + 8)?;
    let length = u64::from(u32::from_be_bytes(length));
    Ok(if length == 0 { None } else { Some(length + 12) })
}
