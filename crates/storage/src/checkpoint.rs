//! Kafka's checkpoint files: a version, a count, and as many lines (`CheckpointFile`).

use std::io;
use std::path::Path;

use platform::Disk;

use crate::error::StorageError;

const VERSION: &str = "0";

/// The lines of a checkpoint, split at blanks; nothing if there is no such file.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<Vec<String>>>, StorageError> {
    let bytes = match disk.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let malformed = |reason: &str| StorageError::Malformed { path: path.to_owned(), reason: reason.to_owned() };
    let text = String::from_utf8(bytes).map_err(|_| malformed("no text"))?;
    let mut lines = text.lines();
    if lines.next() != Some(VERSION) {
        return Err(malformed("unknown version"));
    }
    let count: usize = lines.next().and_then(|line| line.parse().ok()).ok_or_else(|| malformed("no count"))?;
    let entries: Vec<Vec<String>> = lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    if entries.len() != count {
        return Err(malformed("the count does not match the lines"));
    }
    Ok(Some(entries))
}

/// The content of a checkpoint with these lines.
pub(crate) fn encode(lines: impl Iterator<Item = String>) -> Vec<u8> {
    let (mut body, mut count) = (String::new(), 0);
    for line in lines {
        body.push_str(&line);
        body.push('\n');
        count += 1;
    }
    format!("{VERSION}\n{count}\n{body}").into_bytes()
}

#[cfg(test)]
mod tests {
    use platform::SimDisk;

    use super::*;

    #[test]
    fn lines_come_back_and_a_wrong_count_does_not() {
        let disk = SimDisk::new(1);
        let path = Path::new("/checkpoint");
        assert!(read(&disk, path).unwrap().is_none());
        let bytes = encode(["a 0 1".to_owned(), "b 1 2".to_owned()].into_iter());
        assert_eq!(bytes, b"0\n2\na 0 1\nb 1 2\n");
        disk.write_atomically(path, &bytes).unwrap();
        assert_eq!(read(&disk, path).unwrap().unwrap()[1], ["b", "1", "2"]);
        disk.write_atomically(path, b"0\n3\na 0 1\n").unwrap();
        assert!(read(&disk, path).is_err());
    }
}
