//! `__cluster_metadata-0` on disk: the log, its snapshots and `quorum-state`, moved by the effects of [`raft::Node`].
//! Owned by the quorum; nobody else writes to its directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use metadata::record::MetadataRecord;
use platform::Disk;
use protocol::record::{Batch, BatchBuilder, BatchSettings, ControlRecord, batches};
use protocol::types::{LeaderEpoch, Offset, TimestampMs};
use protocol::{TopicPartition, Uuid};
use raft::{Effect, Event, Node, NodeConfig, QuorumState, SnapshotId, Voter, VoterKey, VoterSet};
use storage::{AppendRequest, Log, LogConfig, OpenOptions};
use tracing::info;

use crate::start_error::StartError;

/// Name of the directory.
pub const DIRECTORY: &str = "__cluster_metadata-0";
/// Name of the topic.
pub const TOPIC: &str = "__cluster_metadata";
/// What a format step leaves for the first leader.
pub const BOOTSTRAP: &str = "bootstrap.checkpoint";

const QUORUM_STATE: &str = "quorum-state";
/// Bytes read from the log at a time while loading.
const READ_CHUNK: u32 = 8 << 20;

/// What the metadata log says when a node starts.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The snapshot that loading started from.
    pub snapshot: Option<SnapshotId>,
    /// Records of the snapshot, then of the log, each batch with the offset and epoch of its last record.
    pub batches: Vec<LoadedBatch>,
}

/// A batch of metadata records.
#[derive(Debug)]
pub struct LoadedBatch {
    /// Offset of the last record.
    pub last_offset: Offset,
    /// Epoch of the batch.
    pub epoch: LeaderEpoch,
    /// When it was appended.
    pub timestamp_ms: TimestampMs,
    /// The records.
    pub records: Vec<MetadataRecord>,
}

/// Who this node is to the quorum.
#[derive(Debug, Clone)]
pub struct Identity {
    /// This replica.
    pub key: VoterKey,
    /// `controller.quorum.voters`; empty where the voters are in the log.
    pub static_voters: VoterSet,
}

/// The metadata log and its state machine.
pub struct MetadataLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: Log,
    node: Node,
}

impl MetadataLog {
    /// Opens the log below `log_dir` and reads what it says.
    /// # Errors
    /// [`StartError`] on a disk error, a damaged log, or a quorum that needs other voters.
    pub fn open(disk: Arc<dyn Disk>, log_dir: &Path, identity: &Identity, now_ms: TimestampMs) -> Result<(Self, Loaded), StartError> {
        let dir = log_dir.join(DIRECTORY);
        let snapshot = newest_snapshot(disk.as_ref(), &dir)?;
        let options = OpenOptions {
            topic_id: Some(Uuid::METADATA_TOPIC_ID),
            config: Arc::new(log_config()),
            now_ms,
            ..OpenOptions::new(dir.clone(), TopicPartition::new(TOPIC, 0))
        };
        let mut log = Log::open(Arc::clone(&disk), options)?;
        let mut seen = Seen::default();
        let mut loaded = Loaded { snapshot, batches: Vec::new() };
        if let Some(id) = snapshot {
            seen.in_log = id != SnapshotId::BOOTSTRAP;
            let bytes = disk.read_file(&dir.join(id.file_name()))?;
            seen.read(&Bytes::from(bytes), Some(id), &mut loaded)?;
            if log.log_end_offset() < id.end_offset {
                log.truncate_fully_and_start_at(id.end_offset)?;
            }
        }
        seen.in_log = true;
        let end = log.log_end_offset();
        log.set_high_watermark(end);
        let mut at = snapshot.map_or(log.log_start_offset(), |id| id.end_offset.max(log.log_start_offset()));
        while at < end {
            let bytes = read_from(&log, at, end)?;
            at = seen.read(&bytes, None, &mut loaded)?.unwrap_or(end);
        }
        let config = seen.node_config(identity);
        let state = read_quorum_state(disk.as_ref(), &dir)?;
        let node = Node::new(config, state, end, log.latest_epoch().unwrap_or(0))?;
        Ok((Self { disk, dir, log, node }, loaded))
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
                    Effect::AppendBatch { base_offset, epoch, batch } => self.append(base_offset, epoch, &batch, now_ms)?,
                    Effect::Flush => {
                        let end = self.log.log_end_offset();
                        for file in self.log.flush_files() {
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

    /// Appends records as one batch and commits them. The offset of the last one.
    /// # Errors
    /// As [`MetadataLog::step`].
    pub fn commit(&mut self, now_ms: TimestampMs, records: &[MetadataRecord]) -> Result<Offset, StartError> {
        let mut builder = BatchBuilder::new(BatchSettings::default());
        for record in records {
            builder.append(now_ms, None, Some(&record.encode()), &[]);
        }
        let count = builder.records_count();
        let epoch = self.node.epoch();
        self.step(now_ms, Event::Append { epoch, batch: builder.build(), records: count })?;
        Ok(self.node.log_end() - 1)
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

    /// Writes a snapshot and drops what it replaces: older snapshots, and segments that it covers wholly.
    /// # Errors
    /// The disk's.
    pub fn write_snapshot(&mut self, id: SnapshotId, timestamp_ms: TimestampMs, records: &[MetadataRecord]) -> Result<(), StartError> {
        let bytes = snapshot_bytes(timestamp_ms, self.node.config(), records);
        self.disk.write_file_atomically(&self.dir.join(id.file_name()), &bytes)?;
        let config = LogConfig { retention_bytes: 0, ..log_config() };
        self.log.delete_records(id.end_offset)?;
        let removed = self.log.delete_retention(timestamp_ms, &config)?;
        removed.remove_now()?;
        for name in self.disk.list(&self.dir)? {
            if SnapshotId::from_file_name(&name).is_some_and(|other| other < id) {
                self.disk.remove_file(&self.dir.join(&name))?;
            }
        }
        Ok(())
    }

    /// Closes the log cleanly.
    /// # Errors
    /// The disk's.
    pub fn close(&mut self, now_ms: TimestampMs) -> Result<(), StartError> {
        self.step(now_ms, Event::Resign)?;
        self.log.close()?;
        Ok(())
    }

    fn append(&mut self, base_offset: Offset, epoch: LeaderEpoch, batch: &Bytes, now_ms: TimestampMs) -> Result<(), StartError> {
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
        self.disk.write_file_atomically(&self.dir.join(QUORUM_STATE), text.as_bytes())?;
        Ok(())
    }
}

/// A snapshot's content: header, voters, records, footer (KIP-630, KIP-853).
#[must_use]
pub fn snapshot_bytes(timestamp_ms: TimestampMs, config: &NodeConfig, records: &[MetadataRecord]) -> Vec<u8> {
    let mut control = vec![ControlRecord::SnapshotHeader(protocol::messages::SnapshotHeaderRecord {
        last_contained_log_timestamp: timestamp_ms,
        ..Default::default()
    })];
    if config.kraft_version > 0 {
        control.push(ControlRecord::KRaftVersion(protocol::messages::KRaftVersionRecord {
            k_raft_version: config.kraft_version,
            ..Default::default()
        }));
        control.push(ControlRecord::KRaftVoters(config.voters.to_record()));
    }
    let mut bytes = Vec::new();
    let (head, count) = raft::node::control_batch(0, 0, timestamp_ms, &control);
    bytes.extend_from_slice(&head);
    let mut offset = i64::from(count);
    for chunk in records.chunks(1000) {
        let settings = BatchSettings { base_offset: offset, leader_epoch: 0, ..BatchSettings::default() };
        let mut builder = BatchBuilder::new(settings);
        for record in chunk {
            builder.append(timestamp_ms, None, Some(&record.encode()), &[]);
        }
        offset += i64::from(builder.records_count());
        bytes.extend_from_slice(&builder.build());
    }
    let footer = [ControlRecord::SnapshotFooter(protocol::messages::SnapshotFooterRecord::default())];
    bytes.extend_from_slice(&raft::node::control_batch(offset, 0, timestamp_ms, &footer).0);
    bytes
}

/// What the control records say on the way.
#[derive(Default)]
struct Seen {
    voters: Option<VoterSet>,
    kraft_version: i16,
    voters_in_log: bool,
    in_log: bool,
}

impl Seen {
    /// Reads batches into `loaded`; returns the offset after the last one.
    fn read(&mut self, bytes: &Bytes, snapshot: Option<SnapshotId>, loaded: &mut Loaded) -> Result<Option<Offset>, StartError> {
        let mut next = None;
        for batch in batches(bytes) {
            let batch = batch?;
            batch.verify_crc()?;
            next = Some(batch.header.next_offset());
            let mut records = Vec::new();
            for record in batch.records()? {
                let record = record?;
                if batch.header.is_control() {
                    self.control(&ControlRecord::decode(&record)?);
                } else if let Some(value) = &record.value {
                    records.push(MetadataRecord::decode(value)?);
                }
            }
            if records.is_empty() {
                continue;
            }
            let (last_offset, epoch) = match snapshot {
                Some(id) => (id.end_offset - 1, id.epoch),
                None => (batch.header.last_offset(), batch.header.partition_leader_epoch),
            };
            loaded.batches.push(LoadedBatch { last_offset, epoch, timestamp_ms: batch.header.max_timestamp, records });
        }
        Ok(next)
    }

    fn control(&mut self, record: &ControlRecord) {
        match record {
            ControlRecord::KRaftVersion(version) => self.kraft_version = version.k_raft_version,
            ControlRecord::KRaftVoters(voters) => {
                self.voters = Some(VoterSet::from_record(voters));
                self.voters_in_log = self.in_log;
            }
            _ => {}
        }
    }

    fn node_config(self, identity: &Identity) -> NodeConfig {
        let voters = self.voters.unwrap_or_else(|| identity.static_voters.clone());
        NodeConfig {
            key: identity.key,
            voters,
            kraft_version: self.kraft_version,
            voters_from_bootstrap: !self.voters_in_log,
        }
    }
}

/// The voter set of a quorum of one with dynamic voters.
#[must_use]
pub fn standalone_voters(key: VoterKey, listeners: &[(String, String, u16)]) -> VoterSet {
    let endpoints = listeners.iter().map(|(name, host, port)| (name.clone(), (host.clone(), *port))).collect();
    VoterSet::new([Voter { key, endpoints, kraft_version: (0, 1) }])
}

/// Kafka's settings of the metadata log (`MetadataLogConfig`).
fn log_config() -> LogConfig {
    LogConfig { max_message_bytes: 8 << 20, retention_bytes: -1, retention_ms: -1, ..LogConfig::default() }
}

fn newest_snapshot(disk: &dyn Disk, dir: &Path) -> Result<Option<SnapshotId>, StartError> {
    if !disk.exists(dir) {
        return Ok(None);
    }
    Ok(disk.list(dir)?.iter().filter_map(|name| SnapshotId::from_file_name(name)).max())
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
    let bytes = disk.read_file(&path)?;
    Ok(QuorumState::from_json(&String::from_utf8_lossy(&bytes))?)
}
