//! Everything below the shell reaches the operating system through these traits, so that simulation can replace it.

mod clock;
mod disk;
mod os_disk;
mod process;
mod random;
pub mod sendfile;
mod sim_disk;

pub use clock::{Clock, ManualClock, OsClock};
pub use disk::{DirEntry, DirLock, Disk, File, FileStat, OpenMode, Space};
pub use os_disk::OsDisk;
pub use process::{host_name, raise_descriptor_limit};
pub use random::Random;
pub use sim_disk::{Fault, SimDisk};
