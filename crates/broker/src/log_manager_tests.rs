//! Where logs are put, found and moved, over simulated disks.

use metadata::config::TopicConfig;
use platform::{Fault, SimDisk};
use protocol::record::{BatchBuilder, BatchHeader, BatchSettings, ValidBatch};
use storage::{AppendRequest, MetaProperties};

use super::*;

const TOPIC: Uuid = Uuid::from_bytes([9; 16]);

fn id(index: u8) -> Uuid {
    Uuid::from_bytes([index + 100; 16])
}

fn paths() -> Vec<PathBuf> {
    ["/one", "/two"].map(PathBuf::from).to_vec()
}

fn formatted() -> SimDisk {
    let disk = SimDisk::new(1);
    for (index, path) in (0..).zip(paths()) {
        disk.create_dir(&path).unwrap();
        let properties = MetaProperties { cluster_id: "c".to_owned(), node_id: 1, directory_id: id(index) };
        properties.write(&disk, &path).unwrap();
    }
    disk
}

fn manager(disk: &SimDisk) -> LogManager {
    let options = LogDirOptions { node_id: 1 };
    LogManager::open(Arc::new(disk.clone()), &paths(), Path::new("/one"), &options).unwrap()
}

fn settings() -> TopicSettings {
    let text = b"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:9093\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n";
    let (config, _) = BrokerConfig::from_properties(text, &[]).unwrap();
    TopicSettings::new(&TopicConfig::resolve(&config, &Default::default()))
}

fn wanted(settings: &TopicSettings, assigned: Uuid, is_new: bool) -> WantedLog<'_> {
    WantedLog { topic_id: TOPIC, settings, assigned, is_new, cordoned: Vec::new(), unique: Uuid::from_bytes([5; 16]) }
}

fn append(log: &mut Log) {
    let mut builder = BatchBuilder::new(BatchSettings::default());
    builder.append(0, None, Some(b"value"), &[]);
    let bytes = builder.build();
    let batch = ValidBatch { header: BatchHeader::parse(&bytes).unwrap(), bytes };
    log.append_as_leader(&AppendRequest { batch: &batch, leader_epoch: 0, now_ms: 0 }).unwrap();
}

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

#[test]
fn new_logs_go_where_there_are_fewest_and_the_controller_is_told() {
    let disk = formatted();
    let (manager, settings) = (manager(&disk), settings());
    let homes: Vec<_> = (0..4)
        .map(|partition| {
            let wanted = wanted(&settings, directory_id::UNASSIGNED, true);
            let (log, _) = manager.open_log(&name(partition), &wanted, 0).unwrap();
            manager.home(log.dir()).unwrap()
        })
        .collect();
    assert_eq!(homes, [0, 1, 0, 1]);
    let told = manager.take_assignments();
    assert_eq!(told, [(TOPIC, 0, id(0)), (TOPIC, 1, id(1)), (TOPIC, 2, id(0)), (TOPIC, 3, id(1))]);
    let cordoned = WantedLog { cordoned: vec![0], ..wanted(&settings, directory_id::UNASSIGNED, true) };
    let (log, _) = manager.open_log(&name(4), &cordoned, 0).unwrap();
    assert_eq!(manager.home(log.dir()), Some(1));
    manager.prefer(&name(5), 1);
    let (log, _) = manager.open_log(&name(5), &wanted(&settings, directory_id::UNASSIGNED, true), 0).unwrap();
    assert_eq!(manager.home(log.dir()), Some(1));
}

#[test]
fn a_log_that_may_be_in_a_failed_directory_is_not_made_anew() {
    let disk = formatted();
    let (manager, settings) = (manager(&disk), settings());
    assert!(manager.fail_dir(1) && !manager.fail_dir(1));
    let open = |assigned, is_new| manager.open_log(&name(0), &wanted(&settings, assigned, is_new), 0).map(drop);
    assert!(matches!(open(id(1), false), Err(StorageError::Offline)));
    assert!(matches!(open(directory_id::UNASSIGNED, false), Err(StorageError::Offline)));
    assert!(open(directory_id::UNASSIGNED, true).is_ok());
    assert_eq!(manager.offline_ids(), [id(1)]);
}

#[test]
fn a_moved_log_goes_on_and_two_after_a_crash_are_told_apart() {
    let disk = formatted();
    let settings = settings();
    {
        let manager = manager(&disk);
        let (mut log, _) = manager.open_log(&name(0), &wanted(&settings, id(0), true), 0).unwrap();
        append(&mut log);
        log.set_high_watermark(1);
        let view = log.view_cell();
        let partition = Partition::new(name(0), TOPIC, log, 0, Arc::new(settings.clone()));
        let mut target = manager.create_future(&partition, 0, (1, Uuid::from_bytes([7; 16])), 0).unwrap();
        let copied = view.load().read(0, 1 << 20, 1, true).unwrap().unwrap().read_all().unwrap();
        target.append_as_follower(&copied, 0).unwrap();
        target.set_high_watermark(1);
        let mut log = partition.log();
        manager.promote(&mut log, target, Uuid::from_bytes([6; 16]), 0).unwrap();
        assert_eq!(manager.home(log.dir()), Some(1));
        append(&mut log);
        log.set_high_watermark(2);
        assert_eq!((view.load().log_end_offset, partition.view().high_watermark), (2, 2));
        log.close().unwrap();
    }
    // As if it had stopped between the two renames: both directories have one, and a copy was begun.
    disk.create_dir(Path::new("/one/t-0")).unwrap();
    disk.create_dir(Path::new("/one/t-0.aa-future")).unwrap();
    let manager = manager(&disk);
    let (log, future) = manager.open_log(&name(0), &wanted(&settings, id(1), false), 0).unwrap();
    assert_eq!((manager.home(log.dir()), log.log_end_offset()), (Some(1), 2));
    assert_eq!(future.map(|future| future.log_end_offset()), Some(0));
    assert!(!disk.exists(Path::new("/one/t-0")));
}

#[test]
fn a_directory_that_cannot_be_opened_is_offline_from_the_start() {
    let disk = formatted();
    disk.remove_dir_all(Path::new("/two")).unwrap();
    disk.write_atomically(Path::new("/two"), b"no directory").unwrap();
    let manager = manager(&disk);
    assert_eq!(manager.dirs().iter().map(ManagedDir::is_offline).collect::<Vec<_>>(), [false, true]);
    let broken = SimDisk::new(2);
    broken.set_fault(Fault::Broken);
    let options = LogDirOptions { node_id: 1 };
    assert!(LogManager::open(Arc::new(broken), &paths(), Path::new("/one"), &options).is_err());
}
