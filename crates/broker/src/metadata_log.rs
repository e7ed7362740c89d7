//! `__cluster_metadata-0` on disk: the log, its snapshots and `quorum-state`, moved by the effects of [`raft::Node`].
//! Owned by the quorum; nobody else writes to its directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use metadata::MetadataLoader;
use metadata::VersionedRecord;
use metadata::checkpoint::{CheckpointWriter, read_checkpoint};
use metadata::config::BrokerConfig;
use metadata::snapshot_records;
use metadata::{ClusterImage, Provenance};
use platform::Disk;
use protocol::messages::KRaftVersionRecord;
use protocol::record::{Batch, BatchBuilder, BatchSettings, ControlRecord, batches};
use protocol::types::{LeaderEpoch, Offset, TimestampMs};
use protocol::{TopicPartition, Uuid};
use raft::{Effect, Event, Node, NodeConfig, QuorumState, SnapshotId, VoterKey, VoterSet};
use storage::{AppendRequest, Log, LogConfig, OpenOptions};
use tracing::info;

use crate::start_error::StartError;

/// Name of the directory.
pub const DIRECTORY: &str = "__cluster_metadata-0";
/// Name of the topic.
pub const TOPIC: &str = "__cluster_metadata";

const QUORUM_STATE: &str = "quorum-state";
/// Bytes read from the log at a time while loading.
const READ_CHUNK: u32 = 8 << 20;

/// Who this node is to the quorum, and how it keeps the log.
#[derive(Debug, Clone)]
pub struct Identity {
    /// This replica.
    pub key: VoterKey,
    /// `controller.quorum.voters`; empty where the voters are in the log.
    pub static_voters: VoterSet,
    /// When segments roll.
    pub log_config: LogConfig,
    /// How much of the past is kept.
    pub retention: Retention,
}

/// What `metadata.max.retention.bytes` and `metadata.max.retention.ms` keep besides the newest snapshot; negative is no limit.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Bytes of the log and of all snapshots together.
    pub bytes: i64,
    /// Age of the newest record in a snapshot.
    pub ms: i64,
}

/// The metadata log and its state machine.
pub struct MetadataLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: Log,
    node: Node,
    replayed_bytes: u64,
    retention: Retention,
}

impl MetadataLog {
    /// Opens the log below `log_dir` and gives what it says to `loader`.
    /// # Errors
    /// [`StartError`] on a disk error, a damaged log, or a quorum that needs other voters.
    pub fn open(
        disk: Arc<dyn Disk>,
        log_dir: &Path,
        identity: &Identity,
        now_ms: TimestampMs,
        loader: &mut MetadataLoader,
    ) -> Result<Self, StartError> {
        let dir = log_dir.join(DIRECTORY);
        let snapshot = newest_snapshot(disk.as_ref(), &dir)?;
        let options = OpenOptions {
            topic_id: Some(Uuid::METADATA_TOPIC_ID),
            config: Arc::new(identity.log_config.clone()),
            now_ms,
            ..OpenOptions::new(dir.clone(), TopicPartition::new(TOPIC, 0))
        };
        let mut log = Log::open(Arc::clone(&disk), options)?;
        let mut voters = SeenVoters::default();
        if let Some(id) = snapshot {
            let file = Bytes::from(disk.read(&dir.join(id.file_name()))?);
            read_checkpoint(&file)?.control.iter().for_each(|record| voters.see(record, id != SnapshotId::BOOTSTRAP));
            loader.load_snapshot(&file, id.end_offset, id.epoch)?;
            if log.log_end_offset() < id.end_offset {
                log.truncate_fully_and_start_at(id.end_offset)?;
            }
        }
        let end = log.log_end_offset();
        log.set_high_watermark(end);
        let mut at = loader.next_offset().max(log.log_start_offset());
        let mut replayed_bytes = 0;
        while at < end {
            let bytes = read_from(&log, at, end)?;
            replayed_bytes += bytes.len() as u64;
            at = voters.read(&bytes)?.unwrap_or(end);
            loader.load_batches(&bytes)?;
        }
        let state = read_quorum_state(disk.as_ref(), &dir)?;
        let epoch = log.latest_epoch().or(snapshot.map(|id| id.epoch)).unwrap_or(0);
        let node = Node::new(voters.node_config(identity), state, end, epoch)?;
        Ok(Self { disk, dir, log, node, replayed_bytes, retention: identity.retention })
    }

    /// Takes one event and carries out what comes of it. Returns the new high watermark if it moved.
    /// # Errors
    /// The disk's: the node must stop then, since its log is behind its promises.
    pub fn step(&mut self, now_ms: TimestampMs, event: Event) -> Result<Option<Offset>, StartError> {
        let mut committed = None;
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.node.step(now_ms, event, &mut effects);
            for effect in effects {
                match effect {
                    Effect::WriteQuorumState(state) => self.write_quorum_state(&state)?,
                    Effect::AppendBatch { base_offset, epoch, batch } => {
                        self.append(base_offset, epoch, &batch, now_ms)?
                    }
                    Effect::Flush => {
                        let end = self.log.log_end_offset();
                        for file in self.log.flush_files()? {
                            file.sync_data()?;
                        }
                        self.log.flushed(end);
                        events.push(Event::Flushed(end));
                    }
                    Effect::BecameLeader { epoch, start_offset } => info!(epoch, start_offset, "became quorum leader"),
                    Effect::HighWatermark(offset) => {
                        self.log.set_high_watermark(offset);
                        committed = Some(offset);
                    }
                    Effect::LostLeadership => info!(epoch = self.node.epoch(), "resigned as quorum leader"),
                }
            }
        }
        Ok(committed)
    }

    /// Appends records as one batch and commits them. Returns where the batch ended up.
    /// # Errors
    /// As [`MetadataLog::step`].
    pub fn commit(&mut self, now_ms: TimestampMs, records: &[VersionedRecord]) -> Result<Provenance, StartError> {
        let mut builder = BatchBuilder::new(BatchSettings::default());
        for record in records {
            builder.append(now_ms, None, Some(&record.encode()?), &[]);
        }
        let count = builder.records_count();
        let epoch = self.node.epoch();
        self.step(now_ms, Event::Append { epoch, batch: builder.build(), records: count })?;
        Ok(Provenance { last_offset: self.node.log_end() - 1, last_epoch: epoch, last_timestamp: now_ms })
    }

    /// The state machine, to look at.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The log, to look at.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Bytes of the log that no snapshot covered when it was opened.
    #[must_use]
    pub fn replayed_bytes(&self) -> u64 {
        self.replayed_bytes
    }

    /// Writes a snapshot of `image` and drops what is past its retention.
    /// # Errors
    /// The disk's.
    pub fn write_snapshot(&mut self, image: &ClusterImage, now_ms: TimestampMs) -> Result<(), StartError> {
        let provenance = image.provenance;
        let id = SnapshotId { end_offset: provenance.last_offset + 1, epoch: provenance.last_epoch };
        let bytes = self.snapshot_bytes(image, now_ms)?;
        self.disk.write_atomically(&self.dir.join(id.file_name()), &bytes)?;
        self.clean(now_ms)
    }

    /// Drops the oldest snapshots, and the log before the next one, while they are too much or too old. The newest snapshot stays.
    fn clean(&mut self, now_ms: TimestampMs) -> Result<(), StartError> {
        let names = self.disk.list(&self.dir)?;
        let mut snapshots: Vec<SnapshotId> =
            names.iter().filter_map(|entry| SnapshotId::from_file_name(&entry.name)).collect();
        snapshots.sort_unstable();
        let mut sizes = Vec::with_capacity(snapshots.len());
        for id in &snapshots {
            sizes.push(self.disk.stat(&self.dir.join(id.file_name()))?.len);
        }
        for (at, pair) in snapshots.windows(2).enumerate() {
            let kept = self.log.size() + sizes[at..].iter().sum::<u64>();
            let too_much = u64::try_from(self.retention.bytes).is_ok_and(|limit| kept > limit);
            if !too_much && !self.is_too_old(pair[0], now_ms)? {
                break;
            }
            self.log.delete_records(pair[1].end_offset)?;
            for path in self.log.delete_retention(now_ms)? {
                self.disk.remove_file(&path)?;
            }
            self.disk.remove_file(&self.dir.join(pair[0].file_name()))?;
        }
        Ok(())
    }

    fn is_too_old(&self, id: SnapshotId, now_ms: TimestampMs) -> Result<bool, StartError> {
        if self.retention.ms < 0 {
            return Ok(false);
        }
        let file = Bytes::from(self.disk.read(&self.dir.join(id.file_name()))?);
        for batch in batches(&file).take(1) {
            let batch = batch?;
            for record in batch.records()?.take(1) {
                if let ControlRecord::SnapshotHeader(header) = ControlRecord::decode(&record?)? {
                    return Ok(now_ms - header.last_contained_log_timestamp > self.retention.ms);
                }
            }
        }
        Ok(false)
    }

    fn snapshot_bytes(&self, image: &ClusterImage, now_ms: TimestampMs) -> Result<Bytes, StartError> {
        let config = self.node.config();
        let mut control = Vec::new();
        if config.kraft_version > 0 {
            let version = KRaftVersionRecord { k_raft_version: config.kraft_version, ..Default::default() };
            control.push(ControlRecord::KRaftVersion(version));
            control.push(ControlRecord::KRaftVoters(config.voters.to_record()));
        }
        let provenance = image.provenance;
        let mut writer = CheckpointWriter::new(now_ms, provenance.last_epoch, provenance.last_timestamp, &control)?;
        for record in snapshot_records(image) {
            writer.append(&record)?;
        }
        Ok(writer.finish()?)
    }

    /// Closes the log cleanly.
    /// # Errors
    /// The disk's.
    pub fn close(&mut self, now_ms: TimestampMs) -> Result<(), StartError> {
        self.step(now_ms, Event::Resign)?;
        self.log.close()?;
        Ok(())
    }

    fn append(
        &mut self,
        base_offset: Offset,
        epoch: LeaderEpoch,
        batch: &Bytes,
        now_ms: TimestampMs,
    ) -> Result<(), StartError> {
        let parsed = Batch::parse(batch)?;
        let valid = protocol::record::ValidBatch { bytes: batch.clone(), header: parsed.header };
        let request = AppendRequest { batch: &valid, leader_epoch: epoch, now_ms };
        let result = self.log.append_as_leader(&request)?;
        assert_eq!(result.first_offset, base_offset, "the node and its log agree on where the log ends");
        Ok(())
    }

    fn write_quorum_state(&self, state: &QuorumState) -> Result<(), StartError> {
        let config = self.node.config();
        let text = state.to_json(config.kraft_version, &config.voters);
        self.disk.write_atomically(&self.dir.join(QUORUM_STATE), text.as_bytes())?;
        Ok(())
    }
}

/// What the control records say of the voters.
#[derive(Default)]
struct SeenVoters {
    voters: Option<VoterSet>,
    kraft_version: i16,
    in_log: bool,
}

impl SeenVoters {
    /// Reads the control batches among `bytes`; returns the offset after the last batch.
    fn read(&mut self, bytes: &Bytes) -> Result<Option<Offset>, StartError> {
        let mut next = None;
        for batch in batches(bytes) {
            let batch = batch?;
            batch.verify_crc()?;
            next = Some(batch.header.next_offset());
            if batch.header.is_control() {
                for record in batch.records()? {
                    self.see(&ControlRecord::decode(&record?)?, true);
                }
            }
        }
        Ok(next)
    }

    fn see(&mut self, record: &ControlRecord, in_log: bool) {
        match record {
            ControlRecord::KRaftVersion(version) => self.kraft_version = version.k_raft_version,
            ControlRecord::KRaftVoters(voters) => {
                self.voters = Some(VoterSet::from_record(voters));
                self.in_log = in_log;
            }
            _ => {}
        }
    }

    fn node_config(self, identity: &Identity) -> NodeConfig {
        NodeConfig {
            key: identity.key,
            voters: self.voters.unwrap_or_else(|| identity.static_voters.clone()),
            kraft_version: self.kraft_version,
            voters_from_bootstrap: !self.in_log,
        }
    }
}

/// The settings of the metadata log (`MetadataLogConfig`). What is dropped is decided by snapshots alone.
pub(crate) fn log_config(config: &BrokerConfig) -> LogConfig {
    LogConfig {
        segment_bytes: u32::try_from(config.metadata_log_segment_bytes()).unwrap_or(u32::MAX),
        segment_ms: config.metadata_log_segment_ms(),
        max_message_bytes: 8 << 20,
        retention_bytes: -1,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

fn newest_snapshot(disk: &dyn Disk, dir: &Path) -> Result<Option<SnapshotId>, StartError> {
    if !disk.exists(dir) {
        return Ok(None);
    }
    Ok(disk.list(dir)?.iter().filter_map(|entry| SnapshotId::from_file_name(&entry.name)).max())
}

fn read_from(log: &Log, at: Offset, end: Offset) -> Result<Bytes, StartError> {
    let slice = log.view().read(at, READ_CHUNK, end, true)?;
    match slice {
        Some(slice) => Ok(slice.read_all()?),
        None => Ok(Bytes::new()),
    }
}

fn read_quorum_state(disk: &dyn Disk, dir: &Path) -> Result<QuorumState, StartError> {
    let path = dir.join(QUORUM_STATE);
    if !disk.exists(&path) {
        return Ok(QuorumState::default());
    }
    let bytes = disk.read(&path)?;
    Ok(QuorumState::from_json(&String::from_utf8_lossy(&bytes))?)
}
