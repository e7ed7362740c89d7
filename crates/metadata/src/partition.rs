//! What the metadata log says of one partition: who has it, who leads it, since when.
//! Immutable: a change makes a new registration with the partition epoch one higher.

use protocol::Uuid;
use protocol::messages::{PartitionChangeRecord, PartitionRecord};
use protocol::types::{BrokerId, LeaderEpoch, PartitionIndex};

use crate::features::MetadataVersion;

/// No broker: the leader of a partition that has none.
pub const NO_LEADER: BrokerId = -1;
/// A [`PartitionChangeRecord`] that keeps the leader.
pub const NO_LEADER_CHANGE: BrokerId = -2;

/// Directory ids with a meaning of their own (`DirectoryId`).
pub mod directory_id {
    use protocol::Uuid;

    /// The replica comes from a time before directories had ids.
    pub const MIGRATING: Uuid = Uuid::from_bytes([0; 16]);
    /// The broker has not chosen a directory yet.
    pub const UNASSIGNED: Uuid = Uuid::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    /// The replica's directory is offline.
    pub const LOST: Uuid = Uuid::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
}

/// The state of one partition (`PartitionRegistration`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// Brokers that have the partition, the preferred leader first.
    pub replicas: Box<[BrokerId]>,
    /// Log directory of each replica.
    pub directories: Box<[Uuid]>,
    /// Replicas that are in sync.
    pub isr: Box<[BrokerId]>,
    /// Replicas that a reassignment removes.
    pub removing_replicas: Box<[BrokerId]>,
    /// Replicas that a reassignment adds.
    pub adding_replicas: Box<[BrokerId]>,
    /// Replicas out of the ISR that still have all that was committed (KIP-966).
    pub elr: Box<[BrokerId]>,
    /// Replicas that were in the ELR before they crashed.
    pub last_known_elr: Box<[BrokerId]>,
    /// The leader, or [`NO_LEADER`].
    pub leader: BrokerId,
    /// Whether the leader was elected uncleanly and recovers.
    pub leader_recovering: bool,
    /// How often the leader changed.
    pub leader_epoch: LeaderEpoch,
    /// How often anything changed.
    pub partition_epoch: i32,
}

impl PartitionRegistration {
    /// The partition of a record.
    #[must_use]
    pub fn from_record(record: &PartitionRecord) -> Self {
        let directories = known_directories(&record.directories, record.replicas.len());
        Self {
            replicas: record.replicas.as_slice().into(),
            directories,
            isr: record.isr.as_slice().into(),
            removing_replicas: record.removing_replicas.as_slice().into(),
            adding_replicas: record.adding_replicas.as_slice().into(),
            elr: record.eligible_leader_replicas.as_deref().unwrap_or_default().into(),
            last_known_elr: record.last_known_elr.as_deref().unwrap_or_default().into(),
            leader: record.leader,
            leader_recovering: record.leader_recovery_state == 1,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
        }
    }

    /// A partition whose record has not come yet.
    pub(crate) fn unknown() -> Self {
        Self::from_record(&PartitionRecord::default())
    }

    /// The partition after a change.
    #[must_use]
    pub fn merge(&self, record: &PartitionChangeRecord) -> Self {
        let or = |change: &Option<Vec<BrokerId>>, now: &[BrokerId]| change.as_deref().unwrap_or(now).into();
        let replicas: Box<[BrokerId]> = or(&record.replicas, &self.replicas);
        let directories = record.directories.as_deref().unwrap_or(&self.directories);
        let leader_changes = record.leader != NO_LEADER_CHANGE;
        Self {
            directories: known_directories(directories, replicas.len()),
            replicas,
            isr: or(&record.isr, &self.isr),
            removing_replicas: or(&record.removing_replicas, &self.removing_replicas),
            adding_replicas: or(&record.adding_replicas, &self.adding_replicas),
            elr: or(&record.eligible_leader_replicas, &self.elr),
            last_known_elr: or(&record.last_known_elr, &self.last_known_elr),
            leader: if leader_changes { record.leader } else { self.leader },
            leader_recovering: match record.leader_recovery_state {
                -1 => self.leader_recovering,
                state => state == 1,
            },
            leader_epoch: self.leader_epoch.wrapping_add(i32::from(leader_changes)),
            partition_epoch: self.partition_epoch.wrapping_add(1),
        }
    }

    /// The record that makes this partition, for a snapshot in a metadata version.
    #[must_use]
    pub fn to_record(&self, topic_id: Uuid, partition_id: PartitionIndex, version: MetadataVersion) -> PartitionRecord {
        let elr = |replicas: &[BrokerId]| {
            (!replicas.is_empty() && version.partition_record_version() >= 2).then(|| replicas.to_vec())
        };
        let directories =
            if version.is_directory_assignment_supported() { self.directories.to_vec() } else { Vec::new() };
        PartitionRecord {
            partition_id,
            topic_id,
            replicas: self.replicas.to_vec(),
            isr: self.isr.to_vec(),
            removing_replicas: self.removing_replicas.to_vec(),
            adding_replicas: self.adding_replicas.to_vec(),
            leader: self.leader,
            leader_recovery_state: i8::from(self.leader_recovering),
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories,
            eligible_leader_replicas: elr(&self.elr),
            last_known_elr: elr(&self.last_known_elr),
            ..Default::default()
        }
    }

    /// Log directory of a broker's replica.
    #[must_use]
    pub fn directory(&self, broker_id: BrokerId) -> Option<Uuid> {
        let at = self.replicas.iter().position(|replica| *replica == broker_id)?;
        self.directories.get(at).copied()
    }

    /// Whether a reassignment is under way.
    #[must_use]
    pub fn is_reassigning(&self) -> bool {
        !self.removing_replicas.is_empty() || !self.adding_replicas.is_empty()
    }
}

fn known_directories(directories: &[Uuid], replicas: usize) -> Box<[Uuid]> {
    if directories.iter().all(|directory| *directory == directory_id::MIGRATING) {
        return vec![directory_id::MIGRATING; replicas].into();
    }
    directories.into()
}
