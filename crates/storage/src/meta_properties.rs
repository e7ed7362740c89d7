//! `meta.properties`: which cluster, node and directory a log directory was formatted for (KIP-858).

use std::io;
use std::path::Path;

use platform::Disk;
use protocol::Uuid;

use crate::error::StorageError;

/// Name of the file in a log directory.
pub const META_PROPERTIES: &str = "meta.properties";

const VERSION: &str = "1";

/// What `meta.properties` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`.
    pub cluster_id: String,
    /// `node.id`.
    pub node_id: i32,
    /// `directory.id`.
    pub directory_id: Uuid,
}

impl MetaProperties {
    /// Reads the file of a log directory.
    /// # Errors
    /// The disk's, `NotFound` if the directory is not formatted; [`StorageError::Malformed`].
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, StorageError> {
        let path = dir.join(META_PROPERTIES);
        let bytes = match disk.read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StorageError::Malformed { path, reason: "the directory is not formatted".to_owned() });
            }
            read => read?,
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let malformed = |reason: &str| StorageError::Malformed { path: path.clone(), reason: reason.to_owned() };
        if value(&text, "version").as_deref() != Some(VERSION) {
            return Err(malformed("its version is not 1"));
        }
        let cluster_id = value(&text, "cluster.id").ok_or_else(|| malformed("no cluster.id"))?;
        let node_id = value(&text, "node.id").and_then(|id| id.parse().ok()).ok_or_else(|| malformed("no node.id"))?;
        let directory_id = match value(&text, "directory.id") {
            Some(id) => id.parse().map_err(|_| malformed("directory.id is no id"))?,
            None => Uuid::ZERO,
        };
        Ok(Self { cluster_id, node_id, directory_id })
    }

    /// Writes the file of a log directory.
    /// # Errors
    /// The disk's.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
        let Self { cluster_id, node_id, directory_id } = self;
        let text = format!(
            "#\n#\nversion={VERSION}\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\n"
        );
        Ok(disk.write_atomically(&dir.join(META_PROPERTIES), text.as_bytes())?)
    }
}

/// The value of a property; Java escapes some characters by a backslash.
fn value(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.trim_start().split_once('=')?;
        (key.trim_end() == name).then(|| value.trim().replace('\\', ""))
    })
}

#[cfg(test)]
mod tests {
    use platform::SimDisk;

    use super::*;

    #[test]
    fn kafkas_file_is_read_and_ours_comes_back() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/");
        assert!(MetaProperties::read(&disk, dir).is_err());
        let text = b"#\n#Sat Nov 21 10:58:39 UTC 2026\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\ndirectory.id=4L6g3nShT-eMCtK--X86sw\nnode.id=1\nversion=1\n";
        disk.write_atomically(&dir.join(META_PROPERTIES), text).unwrap();
        let read = MetaProperties::read(&disk, dir).unwrap();
        assert_eq!((read.cluster_id.as_str(), read.node_id), ("MkU3OEVBNTcwNTJENDM2Qg", 1));
        assert_eq!(read.directory_id.to_string(), "4L6g3nShT-eMCtK--X86sw");
        let other = MetaProperties { node_id: 7, ..read };
        other.write(&disk, dir).unwrap();
        assert_eq!(MetaProperties::read(&disk, dir).unwrap(), other);
    }
}
