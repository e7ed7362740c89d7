//! What the metadata log says of one broker: its registration and whether it serves.

use protocol::Uuid;
use protocol::messages::register_broker_record::{BrokerEndpoint, BrokerFeature};
use protocol::messages::{BrokerRegistrationChangeRecord, RegisterBrokerRecord};
use protocol::types::BrokerId;

use crate::features::MetadataVersion;
use crate::partition::directory_id;

/// The registration of a broker (`BrokerRegistration`).
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerRegistration {
    /// Its `node.id`.
    pub id: BrokerId,
    /// Offset of its registration: a new process has a greater one.
    pub epoch: i64,
    /// Which process it is.
    pub incarnation_id: Uuid,
    /// Where it listens.
    pub endpoints: Vec<BrokerEndpoint>,
    /// Features that it supports.
    pub features: Vec<BrokerFeature>,
    /// Its `broker.rack`.
    pub rack: Option<String>,
    /// Whether it may not serve: it has not caught up or has not sent heartbeats.
    pub fenced: bool,
    /// Whether it is about to stop.
    pub in_controlled_shutdown: bool,
    /// Ids of its log directories.
    pub log_dirs: Vec<Uuid>,
    /// Log directories that get no new replicas.
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
}

impl BrokerRegistration {
    /// Whether a replica in `directory` can be served, as far as that is known.
    #[must_use]
    pub fn has_online_dir(&self, directory: Uuid) -> bool {
        match directory {
            directory_id::UNASSIGNED | directory_id::MIGRATING => true,
            directory_id::LOST => false,
            other => self.log_dirs.contains(&other),
        }
    }

    /// The broker of a record.
    #[must_use]
    pub fn from_record(record: &RegisterBrokerRecord) -> Self {
        Self {
            id: record.broker_id,
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            endpoints: record.end_points.clone(),
            features: record.features.clone(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_dirs: record.log_dirs.clone(),
            cordoned_log_dirs: record.cordoned_log_dirs.clone(),
        }
    }

    pub(crate) fn change(&mut self, record: &BrokerRegistrationChangeRecord) {
        match record.fenced {
            1 => self.fenced = true,
            -1 => self.fenced = false,
            _ => {}
        }
        self.in_controlled_shutdown |= record.in_controlled_shutdown == 1;
        if !record.log_dirs.is_empty() {
            self.log_dirs.clone_from(&record.log_dirs);
        }
        if record.cordoned_log_dirs.is_some() {
            self.cordoned_log_dirs.clone_from(&record.cordoned_log_dirs);
        }
    }

    /// The record that makes this registration, for a snapshot in a metadata version.
    #[must_use]
    pub fn to_record(&self, version: MetadataVersion) -> RegisterBrokerRecord {
        let directories = version.is_directory_assignment_supported();
        RegisterBrokerRecord {
            broker_id: self.id,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: self.endpoints.clone(),
            features: self.features.clone(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: if directories { self.log_dirs.clone() } else { Vec::new() },
            cordoned_log_dirs: self.cordoned_log_dirs.clone().filter(|_| version.is_cordoned_log_dirs_supported()),
            ..Default::default()
        }
    }

    /// Where it listens under a listener's name.
    #[must_use]
    pub fn endpoint(&self, listener: &str) -> Option<&BrokerEndpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == listener)
    }

    /// Whether replicas may be placed on it and led by it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }
}
