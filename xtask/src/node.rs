//! One broker as a process of its own, Ottla or Apache Kafka: `DIR/server.properties` says all, `DIR/pid` names the process,
//! `DIR/broker.log` holds what it says. Test suites reach it through `cargo xtask node`, to restart a broker in mid-flight.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{apache_kafka, process, workspace};

/// How long a broker may take to answer after its start, or to end after SIGTERM.
const LIMIT: Duration = Duration::from_secs(120);

/// The cluster id of every cluster that the tasks format.
pub(crate) const CLUSTER_ID: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

/// Whose broker it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `target/<profile>/ottla`.
    Ottla,
    /// Apache Kafka 4.3.1 from its jars.
    ApacheKafka,
}

impl Kind {
    /// The kind's name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ottla => "ottla",
            Self::ApacheKafka => "apache-kafka",
        }
    }

    fn parse(name: &str) -> Result<Self> {
        match name {
            "ottla" => Ok(Self::Ottla),
            "apache-kafka" => Ok(Self::ApacheKafka),
            other => bail!("no broker of kind {other}: ottla or apache-kafka"),
        }
    }
}

/// A broker's folder and whose broker runs there.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Whose broker it is.
    pub(crate) kind: Kind,
    /// The folder with `server.properties`, `pid`, `broker.log`.
    pub(crate) dir: PathBuf,
}

impl Node {
    /// Writes the `server.properties` of a combined broker and controller on `localhost:port` (controller: `port + 1`).
    pub(crate) fn configure(&self, port: u16, more: &[&str]) -> Result<()> {
        fs::create_dir_all(&self.dir)?;
        let data = self.dir.join("data");
        let controller = port + 1;
        let mut text = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:{controller}\n\
             listeners=PLAINTEXT://localhost:{port},CONTROLLER://localhost:{controller}\n\
             advertised.listeners=PLAINTEXT://localhost:{port}\ncontroller.listener.names=CONTROLLER\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=5\ngroup.initial.rebalance.delay.ms=0\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n",
            data.display()
        );
        for line in more {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(self.properties(), text)?;
        Ok(())
    }

    /// Formats the log directories that `server.properties` names, unless they are.
    pub(crate) fn format(&self) -> Result<()> {
        if self.log_dir()?.join("meta.properties").exists() {
            return Ok(());
        }
        let mut command = match self.kind {
            Kind::Ottla => {
                let mut command = Command::new(ottla_binary());
                command.arg("storage");
                command
            }
            Kind::ApacheKafka => apache_kafka::java("kafka.tools.StorageTool", "256M")?,
        };
        process::output(command.args(["format", "-t", CLUSTER_ID, "-c"]).arg(self.properties()))?;
        Ok(())
    }

    /// Starts the broker and returns once it answers.
    /// # Errors
    /// When it ends or does not answer in time; the error carries the end of its log.
    pub(crate) fn start(&self) -> Result<()> {
        let mut command = match self.kind {
            Kind::Ottla => {
                let mut command = Command::new(ottla_binary());
                command.args(["server", "--config"]).arg(self.properties());
                command
            }
            Kind::ApacheKafka => {
                let mut command = apache_kafka::java("kafka.Kafka", "512M")?;
                command.arg(self.properties());
                command
            }
        };
        let log = self.dir.join("broker.log");
        let pid = process::detach(command.current_dir(&self.dir), &log, &self.dir.join("pid"))?;
        let addresses = self.probes()?;
        let up = process::wait_for(LIMIT, || {
            !process::is_alive(pid) || addresses.iter().all(|address| process::answers_api_versions(address))
        });
        if !up || !process::is_alive(pid) {
            process::signal(pid, "KILL");
            let said = fs::read(&log).unwrap_or_default();
            let end = &said[said.len().saturating_sub(4000)..];
            bail!("{} in {} did not come up:\n{}", self.kind.name(), self.dir.display(), String::from_utf8_lossy(end));
        }
        Ok(())
    }

    /// Asks the broker to end (SIGTERM) and waits until it has.
    pub(crate) fn stop(&self) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        process::signal(pid, "TERM");
        let ended = process::wait_for(LIMIT, || !process::is_alive(pid));
        if !ended {
            process::signal(pid, "KILL");
        }
        fs::remove_file(self.dir.join("pid"))?;
        if !ended {
            bail!("{} in {} did not end on SIGTERM", self.kind.name(), self.dir.display());
        }
        Ok(())
    }

    /// Ends the broker at once (SIGKILL).
    pub(crate) fn kill(&self) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        process::signal(pid, "KILL");
        process::wait_for(LIMIT, || !process::is_alive(pid));
        fs::remove_file(self.dir.join("pid"))?;
        Ok(())
    }

    fn pid(&self) -> Option<u32> {
        fs::read_to_string(self.dir.join("pid")).ok()?.trim().parse().ok()
    }

    fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn property(&self, name: &str) -> Result<Option<String>> {
        let path = self.properties();
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let value = text.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim() == name);
        Ok(value.map(|(_, value)| value.trim().replace('\\', "")))
    }

    fn log_dir(&self) -> Result<PathBuf> {
        let dirs = self.property("log.dirs")?.context("server.properties has no log.dirs")?;
        Ok(Path::new(dirs.split(',').next().unwrap_or_default()).to_path_buf())
    }

    /// Addresses that must answer before the broker counts as started: its listeners, without those of the controller and of TLS.
    fn probes(&self) -> Result<Vec<String>> {
        let listeners = self.property("listeners")?.unwrap_or_else(|| "PLAINTEXT://localhost:9092".to_owned());
        let controller = self.property("controller.listener.names")?.unwrap_or_default();
        let map = self.property("listener.security.protocol.map")?.unwrap_or_default();
        let is_plain = |name: &str| {
            let protocol = map.split(',').filter_map(|entry| entry.split_once(':')).find(|(key, _)| key.trim() == name);
            let protocol = protocol.map_or(name, |(_, protocol)| protocol.trim());
            !protocol.ends_with("SSL")
        };
        let mut probes = Vec::new();
        for listener in listeners.split(',') {
            let (name, address) = listener.trim().split_once("://").context("a listener is NAME://HOST:PORT")?;
            if is_plain(name) && !controller.split(',').any(|controller| controller.trim() == name) {
                let address = if address.starts_with(':') { format!("localhost{address}") } else { address.to_owned() };
                probes.push(address);
            }
        }
        Ok(probes)
    }
}

/// Where the server's binary is: `OTTLA`, or in `target/` by the profile `OTTLA_PROFILE`, `debug` if that is not set.
pub(crate) fn ottla_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("OTTLA") {
        return PathBuf::from(path);
    }
    let profile = std::env::var("OTTLA_PROFILE").unwrap_or_else(|_| "debug".to_owned());
    workspace::target().join(profile).join("ottla")
}

/// `cargo xtask node KIND start|stop|kill|restart DIR`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let [kind, verb, dir] = args else { bail!("node KIND start|stop|kill|restart DIR") };
    let dir = fs::canonicalize(dir).with_context(|| format!("the folder {dir}"))?;
    let node = Node { kind: Kind::parse(kind)?, dir };
    match verb.as_str() {
        "start" => node.start(),
        "stop" => node.stop(),
        "kill" => node.kill(),
        "restart" => {
            node.stop()?;
            node.start()
        }
        other => bail!("a node can start, stop, kill, restart, not {other}"),
    }
}
