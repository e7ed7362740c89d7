//! Other programs: run to their end, or left running and found again by their process id.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a condition of another process, which tells nobody when it changes, is looked at.
const POLL: Duration = Duration::from_millis(25);

/// Runs `command` with this program's own output.
/// # Errors
/// When it cannot be started, or ends with another code than 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

/// Runs `command` and returns what it printed.
/// # Errors
/// As [`run`]; the error carries what it wrote to its standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command`, shows each line it prints and passes it to `each`; true if it ended with 0.
pub(crate) fn lines(command: &mut Command, mut each: impl FnMut(&str)) -> Result<bool> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting {command:?}"))?;
    let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        each(&line);
    }
    Ok(child.wait()?.success())
}

/// True if a program of that name can be started.
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// Starts `command` so that it outlives this program; its output goes to `log`, its id to `pid_file`.
pub(crate) fn detach(command: &mut Command, log: &Path, pid_file: &Path) -> Result<u32> {
    use std::os::unix::process::CommandExt;
    let log_file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(log_file.try_clone()?).stderr(log_file).process_group(0);
    let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    fs::write(pid_file, child.id().to_string())?;
    Ok(child.id())
}

/// Sends `signal` (`TERM`, `KILL`) to a process; a process that is gone is no error.
pub(crate) fn signal(pid: u32, signal: &str) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).stderr(Stdio::null()).status();
    if let Err(error) = sent {
        eprintln!("kill: {error}");
    }
}

/// True while the process runs; a zombie does not, unless threads are left that hold its sockets and locks.
pub(crate) fn is_alive(pid: u32) -> bool {
    if Path::new("/proc/self").exists() {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
        let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        return !matches!(state, Some('Z' | 'X') | None) || threads() > 1;
    }
    let probe = Command::new("kill").arg("-0").arg(pid.to_string()).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

/// Looks at `condition` until it holds; false when `limit` is over first.
pub(crate) fn wait_for(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    #[allow(clippy::disallowed_methods, reason = "the tasks run in real time and other processes send no events")]
    let (start, pause) = (Instant::now(), || std::thread::sleep(POLL));
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        pause();
    }
}

/// True if a Kafka broker at `address` answers an ApiVersions request (version 0), which it does once it serves.
pub(crate) fn answers_api_versions(address: &str) -> bool {
    try_api_versions(address).unwrap_or(false)
}

fn try_api_versions(address: &str) -> std::io::Result<bool> {
    use std::io::{Read, Write};
    const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0, 0];
    let limit = Duration::from_secs(2);
    for address in address.to_socket_addrs()? {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, limit) else { continue };
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(&REQUEST)?;
        let mut head = [0; 8];
        stream.read_exact(&mut head)?;
        return Ok(head[4..] == [0, 0, 0, 7]);
    }
    Ok(false)
}
