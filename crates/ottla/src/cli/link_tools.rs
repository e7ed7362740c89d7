//! `ottla link-tools DIR`: links with the names of Kafka's scripts, each of which is this binary.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::out::Out;
use super::stop::Stop;

/// Makes `kafka-topics.sh` and the others in a directory; links that are there already are replaced.
pub(super) fn run(args: &[String], out: &mut Out) -> Result<(), Stop> {
    let [dir] = args else { return Err(Stop::error("usage: ottla link-tools DIR")) };
    let failed = |what: &Path, error: std::io::Error| Stop::error(&format!("ottla: {}: {error}", what.display()));
    let dir = Path::new(dir);
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    let binary = std::env::current_exe().map_err(|error| failed(dir, error))?;
    for name in super::TOOLS.iter().map(|(name, _)| *name).chain(["server-start"]) {
        let link = dir.join(format!("kafka-{name}.sh"));
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&link, error)),
            _ => {}
        }
        symlink(&binary, &link).map_err(|error| failed(&link, error))?;
        out.line(link.display())?;
    }
    Ok(())
}
