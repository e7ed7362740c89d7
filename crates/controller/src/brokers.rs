//! Brokers and controllers of the cluster: registration, heartbeats, fencing.
//! A broker has its partitions only as long as its heartbeats come; a new process with its id is a new broker.

use std::collections::{BTreeMap, HashSet};

use metadata::features::METADATA_VERSION;
use metadata::{BrokerRegistration, VersionedRecord, directory_id};
use protocol::Uuid;
use protocol::messages::register_broker_record::{BrokerEndpoint, BrokerFeature};
use protocol::messages::register_controller_record::{ControllerEndpoint, ControllerFeature};
use protocol::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationChangeRecord, BrokerRegistrationRequest,
    BrokerRegistrationResponse, ControllerRegistrationRequest, ControllerRegistrationResponse, RegisterBrokerRecord,
    RegisterControllerRecord, UnregisterBrokerRecord, UnregisterBrokerRequest, UnregisterBrokerResponse,
};
use protocol::types::{BrokerId, Offset, TimestampMs};

use crate::ControllerError;
use crate::controller::{Controller, Outcome};
use crate::leaders::BrokerChange;

/// What the controller remembers of a broker besides the log.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    last_contact: TimestampMs,
    /// Offset of its registration's record: it may serve when it has read that far.
    registered_at: Offset,
    metadata_offset: Offset,
}

impl Session {
    /// The session of a broker that another controller knew. It gets a full session timeout to report here.
    pub(crate) fn restored(now: TimestampMs, epoch: i64) -> Self {
        Self { last_contact: now, registered_at: epoch, metadata_offset: -1 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BrokerState {
    Fenced,
    Unfenced,
    ControlledShutdown,
    ShutdownNow,
}

impl Controller {
    /// Registers a broker's process. Its epoch is the offset of the first record of the registration.
    /// # Errors
    /// Another cluster's broker, another live process with the same id, features or directories that do not fit.
    pub fn register_broker(
        &mut self,
        now: TimestampMs,
        request: &BrokerRegistrationRequest,
    ) -> Result<Outcome<BrokerRegistrationResponse>, ControllerError> {
        let id = request.broker_id;
        let existing = self.image.broker(id).map(|broker| (**broker).clone());
        self.check_registration(now, request, existing.as_ref())?;
        let features = self.registered_features(request)?;
        let mut record = RegisterBrokerRecord {
            broker_id: id,
            incarnation_id: request.incarnation_id,
            end_points: request
                .listeners
                .iter()
                .map(|listener| BrokerEndpoint {
                    name: listener.name.clone(),
                    host: listener.host.clone(),
                    port: listener.port,
                    security_protocol: listener.security_protocol,
                    ..Default::default()
                })
                .collect(),
            features,
            rack: request.rack.clone(),
            ..Default::default()
        };
        if self.metadata_version().is_directory_assignment_supported() {
            record.log_dirs.clone_from(&request.log_dirs);
        }
        let mut records = Vec::new();
        match existing.as_ref().filter(|broker| broker.incarnation_id == request.incarnation_id) {
            Some(same) => {
                record.broker_epoch = same.epoch;
                record.fenced = same.fenced;
                record.in_controlled_shutdown = same.in_controlled_shutdown;
            }
            None => {
                let is_clean = existing.is_some_and(|broker| broker.epoch == request.previous_broker_epoch);
                records = self.shutdown_records(id, is_clean);
                record.broker_epoch = self.next_offset;
                self.sessions.remove(&id);
            }
        }
        let broker_epoch = record.broker_epoch;
        let version = self.metadata_version().register_broker_record_version();
        records.push(VersionedRecord::new(record, version));
        let registered_at = self.next_offset + records.len() as i64 - 1;
        let session =
            self.sessions.entry(id).or_insert(Session { last_contact: now, registered_at, metadata_offset: -1 });
        session.registered_at = registered_at;
        Ok(self.commit(records, BrokerRegistrationResponse { broker_epoch, ..Default::default() }, false))
    }

    fn check_registration(
        &self,
        now: TimestampMs,
        request: &BrokerRegistrationRequest,
        existing: Option<&BrokerRegistration>,
    ) -> Result<(), ControllerError> {
        if request.cluster_id != self.cluster_id {
            let (expected, got) = (self.cluster_id.clone(), request.cluster_id.clone());
            return Err(ControllerError::InconsistentClusterId { expected, got });
        }
        let has_session = existing.is_some_and(|broker| !broker.fenced && !self.is_expired(now, broker.id));
        if has_session && existing.is_some_and(|broker| broker.incarnation_id != request.incarnation_id) {
            return Err(ControllerError::DuplicateBrokerRegistration(
                "Another broker is registered with that broker id. If the broker was recently restarted this should \
                 self-resolve once the heartbeat manager expires the broker's session.",
            ));
        }
        if request.is_migrating_zk_broker {
            let reason = "Controller does not support registering ZK brokers.";
            return Err(ControllerError::BrokerIdNotRegistered(reason.to_owned()));
        }
        let invalid = |reason: String| Err(ControllerError::InvalidRegistration(reason));
        if !self.metadata_version().is_directory_assignment_supported() {
            return Ok(());
        }
        if request.log_dirs.is_empty() {
            return invalid("No directories specified in request".to_owned());
        }
        let reserved = [directory_id::MIGRATING, directory_id::UNASSIGNED, directory_id::LOST];
        if request.log_dirs.iter().any(|directory| reserved.contains(directory)) {
            return invalid("Reserved directory ID in request".to_owned());
        }
        let distinct: HashSet<&Uuid> = request.log_dirs.iter().collect();
        if distinct.len() != request.log_dirs.len() {
            return invalid("Duplicate directory ID in request".to_owned());
        }
        let others = self.image.brokers().filter(|broker| broker.id != request.broker_id);
        for other in others {
            if let Some(directory) = request.log_dirs.iter().find(|directory| other.log_dirs.contains(directory)) {
                return invalid(format!("Broker {} is already registered with directory {directory}", other.id));
            }
        }
        Ok(())
    }

    fn registered_features(&self, request: &BrokerRegistrationRequest) -> Result<Vec<BrokerFeature>, ControllerError> {
        let ranges: BTreeMap<&str, (i16, i16)> = request
            .features
            .iter()
            .map(|feature| (feature.name.as_str(), (feature.min_supported_version, feature.max_supported_version)))
            .collect();
        if !ranges.contains_key(METADATA_VERSION) {
            let reason = format!("Request features do not contain '{METADATA_VERSION}'");
            return Err(ControllerError::InvalidRegistration(reason));
        }
        for (name, level) in self.image.features() {
            let (least, most) = ranges.get(name).copied().unwrap_or((0, 0));
            if !(least..=most).contains(&level) {
                return Err(ControllerError::UnsupportedVersion(format!(
                    "Unable to register because the broker does not support finalized version {level} of {name}. The broker \
                     wants a version between {least} and {most}, inclusive."
                )));
            }
        }
        let features = ranges.into_iter().map(|(name, (min_supported_version, max_supported_version))| BrokerFeature {
            name: name.to_owned(),
            min_supported_version,
            max_supported_version,
            ..Default::default()
        });
        Ok(features.collect())
    }

    /// What becomes of the partitions of a process that is gone.
    fn shutdown_records(&self, id: BrokerId, is_clean: bool) -> Vec<VersionedRecord> {
        if !self.image.is_elr_enabled() || is_clean {
            return self.leader_and_isr_records(BrokerChange::Removed(id), |partition| partition.isr.contains(&id));
        }
        self.leader_and_isr_records(BrokerChange::UncleanShutdown(id), |partition| {
            partition.isr.contains(&id) || partition.elr.contains(&id)
        })
    }

    /// Takes a heartbeat and answers what the broker is to do.
    /// # Errors
    /// [`ControllerError::StaleBrokerEpoch`] if the broker is not registered with this epoch.
    pub fn broker_heartbeat(
        &mut self,
        now: TimestampMs,
        request: &BrokerHeartbeatRequest,
    ) -> Result<Outcome<BrokerHeartbeatResponse>, ControllerError> {
        let id = request.broker_id;
        self.check_broker_epoch(id, request.broker_epoch)?;
        let registered_at = self.sessions.get(&id).map_or(request.broker_epoch, |session| session.registered_at);
        let is_caught_up = request.current_metadata_offset >= registered_at;
        let (current, next) = self.next_state(request, is_caught_up);
        let mut records = Vec::new();
        if current != next {
            records = match next {
                BrokerState::Fenced | BrokerState::ShutdownNow => self.fence_records(id),
                BrokerState::Unfenced => self.unfence_records(id),
                BrokerState::ControlledShutdown => self.controlled_shutdown_records(id),
            };
        }
        let session = self.sessions.entry(id).or_insert_with(|| Session::restored(now, request.broker_epoch));
        session.last_contact = now;
        session.metadata_offset = request.current_metadata_offset;
        records.extend(self.directory_records(request));
        let response = BrokerHeartbeatResponse {
            is_caught_up,
            is_fenced: matches!(next, BrokerState::Fenced | BrokerState::ShutdownNow),
            should_shut_down: next == BrokerState::ShutdownNow,
            ..Default::default()
        };
        Ok(self.commit(records, response, false))
    }

    fn next_state(&self, request: &BrokerHeartbeatRequest, is_caught_up: bool) -> (BrokerState, BrokerState) {
        let broker = self.image.broker(request.broker_id);
        let current = match broker {
            Some(broker) if broker.fenced => BrokerState::Fenced,
            Some(broker) if broker.in_controlled_shutdown => BrokerState::ControlledShutdown,
            _ => BrokerState::Unfenced,
        };
        let next = match current {
            BrokerState::Fenced if request.want_shut_down => BrokerState::ShutdownNow,
            BrokerState::Fenced if !request.want_fence && is_caught_up => BrokerState::Unfenced,
            BrokerState::Unfenced if request.want_fence && request.want_shut_down => BrokerState::ShutdownNow,
            BrokerState::Unfenced if request.want_fence => BrokerState::Fenced,
            BrokerState::Unfenced | BrokerState::ControlledShutdown
                if request.want_shut_down || current == BrokerState::ControlledShutdown =>
            {
                let leads = self.has_leaderships(request.broker_id);
                if leads { BrokerState::ControlledShutdown } else { BrokerState::ShutdownNow }
            }
            other => other,
        };
        (current, next)
    }

    /// Fences every broker whose session has ended; none if all of them are alive.
    pub fn fence_stale_brokers(&mut self, now: TimestampMs) -> Option<Outcome<()>> {
        let stale: Vec<BrokerId> = self
            .image
            .brokers()
            .filter(|broker| !broker.fenced && self.is_expired(now, broker.id))
            .map(|broker| broker.id)
            .collect();
        let records: Vec<VersionedRecord> = stale.into_iter().flat_map(|id| self.fence_records(id)).collect();
        if records.is_empty() {
            return None;
        }
        Some(self.commit(records, (), false))
    }

    fn is_expired(&self, now: TimestampMs, id: BrokerId) -> bool {
        let timeout = i64::from(self.config.broker_session_timeout_ms());
        self.sessions.get(&id).is_none_or(|session| now - session.last_contact > timeout)
    }

    /// # Errors
    /// [`ControllerError::StaleBrokerEpoch`].
    pub(crate) fn check_broker_epoch(&self, id: BrokerId, epoch: i64) -> Result<(), ControllerError> {
        let Some(broker) = self.image.broker(id) else {
            return Err(ControllerError::StaleBrokerEpoch(format!("No broker registration found for broker id {id}")));
        };
        if broker.epoch != epoch {
            return Err(ControllerError::StaleBrokerEpoch(format!(
                "Expected broker epoch {}, but got broker epoch {epoch}",
                broker.epoch
            )));
        }
        Ok(())
    }

    fn fence_records(&self, id: BrokerId) -> Vec<VersionedRecord> {
        let mut records =
            self.leader_and_isr_records(BrokerChange::Removed(id), |partition| partition.isr.contains(&id));
        records.push(self.registration_change(
            id,
            BrokerRegistrationChangeRecord { fenced: 1, ..Default::default() },
            0,
        ));
        records
    }

    fn unfence_records(&self, id: BrokerId) -> Vec<VersionedRecord> {
        let change = BrokerRegistrationChangeRecord { fenced: -1, ..Default::default() };
        let mut records = vec![self.registration_change(id, change, 0)];
        records.extend(self.leader_and_isr_records(BrokerChange::Added(id), |partition| partition.leader < 0));
        records
    }

    fn controlled_shutdown_records(&self, id: BrokerId) -> Vec<VersionedRecord> {
        let change = BrokerRegistrationChangeRecord { in_controlled_shutdown: 1, ..Default::default() };
        let mut records = vec![self.registration_change(id, change, 1)];
        records.extend(self.leader_and_isr_records(BrokerChange::Removed(id), |partition| partition.isr.contains(&id)));
        records
    }

    /// Directories that went offline take their partitions' leaders along.
    fn directory_records(&self, request: &BrokerHeartbeatRequest) -> Vec<VersionedRecord> {
        let id = request.broker_id;
        let Some(broker) = self.image.broker(id) else { return Vec::new() };
        let mut records = Vec::new();
        let offline: Vec<Uuid> =
            request.offline_log_dirs.iter().copied().filter(|directory| broker.log_dirs.contains(directory)).collect();
        if !offline.is_empty() && self.metadata_version().is_directory_assignment_supported() {
            records.extend(self.leader_and_isr_records(BrokerChange::Removed(id), |partition| {
                partition.isr.contains(&id)
                    && partition.directory(id).is_some_and(|directory| offline.contains(&directory))
            }));
            let log_dirs = broker.log_dirs.iter().copied().filter(|directory| !offline.contains(directory)).collect();
            let change = BrokerRegistrationChangeRecord { log_dirs, ..Default::default() };
            records.push(self.registration_change(id, change, 2));
        }
        let cordoned = request.cordoned_log_dirs.as_ref();
        let cordoned = cordoned.filter(|directories| broker.cordoned_log_dirs.as_ref() != Some(*directories));
        let is_news = |directories: &Vec<Uuid>| !directories.is_empty() || broker.cordoned_log_dirs.is_some();
        if let Some(directories) = cordoned.filter(|directories| is_news(directories))
            && self.metadata_version().is_cordoned_log_dirs_supported()
        {
            let cordoned_log_dirs = Some(directories.clone());
            let change = BrokerRegistrationChangeRecord { cordoned_log_dirs, ..Default::default() };
            records.push(self.registration_change(id, change, 3));
        }
        records
    }

    fn registration_change(
        &self,
        id: BrokerId,
        change: BrokerRegistrationChangeRecord,
        version: i16,
    ) -> VersionedRecord {
        let broker_epoch = self.image.broker(id).map_or(-1, |broker| broker.epoch);
        VersionedRecord::new(BrokerRegistrationChangeRecord { broker_id: id, broker_epoch, ..change }, version)
    }

    /// Forgets a broker.
    /// # Errors
    /// [`ControllerError::BrokerIdNotRegistered`].
    pub fn unregister_broker(
        &mut self,
        request: &UnregisterBrokerRequest,
    ) -> Result<Outcome<UnregisterBrokerResponse>, ControllerError> {
        let id = request.broker_id;
        let broker = self.image.broker(id).ok_or_else(|| {
            ControllerError::BrokerIdNotRegistered(format!("Broker ID {id} is not currently registered"))
        })?;
        let record = UnregisterBrokerRecord { broker_id: id, broker_epoch: broker.epoch, ..Default::default() };
        let mut records = self.leader_and_isr_records(BrokerChange::Removed(id), |partition| {
            partition.isr.contains(&id) || partition.elr.contains(&id)
        });
        records.push(VersionedRecord::new(record, 0));
        self.sessions.remove(&id);
        Ok(self.commit(records, UnregisterBrokerResponse::default(), false))
    }

    /// Registers a controller's process (KIP-919).
    /// # Errors
    /// [`ControllerError::UnsupportedVersion`] if the metadata version is too old for it.
    pub fn register_controller(
        &mut self,
        request: &ControllerRegistrationRequest,
    ) -> Result<Outcome<ControllerRegistrationResponse>, ControllerError> {
        if !self.metadata_version().is_controller_registration_supported() {
            let name = self.metadata_version().name();
            let reason = format!("The current MetadataVersion is too old to support controller registrations: {name}");
            return Err(ControllerError::UnsupportedVersion(reason));
        }
        let end_points = request.listeners.iter().map(|listener| ControllerEndpoint {
            name: listener.name.clone(),
            host: listener.host.clone(),
            port: listener.port,
            security_protocol: listener.security_protocol,
            ..Default::default()
        });
        let features = request.features.iter().map(|feature| ControllerFeature {
            name: feature.name.clone(),
            min_supported_version: feature.min_supported_version,
            max_supported_version: feature.max_supported_version,
            ..Default::default()
        });
        let record = RegisterControllerRecord {
            controller_id: request.controller_id,
            incarnation_id: request.incarnation_id,
            zk_migration_ready: request.zk_migration_ready,
            end_points: end_points.collect(),
            features: features.collect(),
            ..Default::default()
        };
        Ok(self.commit(vec![VersionedRecord::new(record, 0)], ControllerRegistrationResponse::default(), true))
    }
}
