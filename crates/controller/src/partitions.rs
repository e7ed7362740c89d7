//! New partitions of topics, and the records that make them.

use metadata::{PartitionRegistration, VersionedRecord, directory_id};
use protocol::Uuid;
use protocol::messages::create_partitions_request::CreatePartitionsTopic;
use protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use protocol::types::{BrokerId, PartitionIndex};

use crate::ControllerError;
use crate::controller::{Controller, Outcome, check_size};
use crate::error::code_and_message;
use crate::mutations::MutationQuota;
use crate::placement::{UsableBroker, place};
use crate::topics::duplicate_names;

impl Controller {
    /// Adds partitions to topics for a client within its quota; each one succeeds or fails for itself.
    pub fn create_partitions(
        &mut self,
        request: &CreatePartitionsRequest,
        quota: &mut dyn MutationQuota,
    ) -> Outcome<CreatePartitionsResponse> {
        let duplicates = duplicate_names(request.topics.iter().map(|topic| topic.name.as_str()));
        let result = |name: &str, result: Result<(), ControllerError>| {
            let (error_code, error_message) = code_and_message(&result);
            CreatePartitionsTopicResult { name: name.to_owned(), error_code, error_message, ..Default::default() }
        };
        let mut told: Vec<&str> = duplicates.iter().copied().collect();
        told.sort_unstable();
        let duplicate = || ControllerError::InvalidRequest("Duplicate topic name.".to_owned());
        let mut results: Vec<_> = told.into_iter().map(|name| result(name, Err(duplicate()))).collect();
        let mut records = Vec::new();
        for topic in request.topics.iter().filter(|topic| !duplicates.contains(topic.name.as_str())) {
            let outcome = self.add_partitions(topic, quota, &mut records);
            results.push(result(&topic.name, outcome));
        }
        if let Err(error) = check_size(&records) {
            results = request.topics.iter().map(|topic| result(&topic.name, Err(error.clone()))).collect();
            return self.answer(CreatePartitionsResponse { results, ..Default::default() });
        }
        let response = CreatePartitionsResponse { results, ..Default::default() };
        if request.validate_only {
            return self.answer(response);
        }
        self.commit(records, response, true)
    }

    fn add_partitions(
        &mut self,
        topic: &CreatePartitionsTopic,
        quota: &mut dyn MutationQuota,
        records: &mut Vec<VersionedRecord>,
    ) -> Result<(), ControllerError> {
        let existing = self.image.topic(&topic.name).ok_or_else(ControllerError::unknown_topic)?;
        let (topic_id, start) = (existing.id, existing.partitions.len());
        let replica_count = existing.partitions.first().map_or(0, |partition| partition.replicas.len());
        let wanted = usize::try_from(topic.count).unwrap_or(0);
        if wanted == start {
            return Err(ControllerError::InvalidPartitions(format!("Topic already has {start} partition(s).")));
        }
        if wanted < start {
            return Err(ControllerError::InvalidPartitions(format!(
                "The topic {} currently has {start} partition(s); {} would not be an increase.",
                topic.name, topic.count
            )));
        }
        let additional = wanted - start;
        if let Some(assignments) = topic.assignments.as_ref().filter(|assignments| assignments.len() != additional) {
            return Err(ControllerError::InvalidReplicaAssignment(format!(
                "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            )));
        }
        quota.take(additional)?;
        let first = PartitionIndex::try_from(start).unwrap_or(PartitionIndex::MAX);
        let Some(assignments) = &topic.assignments else {
            if additional > crate::controller::MAX_RECORDS {
                let reason = "Unable to perform excessively large batch operation.";
                return Err(ControllerError::PolicyViolation(reason));
            }
            let replicas = i16::try_from(replica_count).unwrap_or(i16::MAX);
            let usable = self.usable_brokers();
            for (index, replicas) in (first..).zip(place(&usable, additional, replicas, &mut self.random)?) {
                let partition = self.new_partition(&replicas).ok_or_else(|| all_fenced(replicas.len()))?;
                records.push(self.partition_record(topic_id, index, &partition));
            }
            return Ok(());
        };
        let mut added = Vec::with_capacity(additional);
        for (index, assignment) in (first..).zip(assignments) {
            self.check_assignment(&assignment.broker_ids, Some(replica_count))?;
            let partition = self.assigned_partition(index, &assignment.broker_ids)?;
            added.push(self.partition_record(topic_id, index, &partition));
        }
        records.extend(added);
        Ok(())
    }

    /// Checks replicas that a user chose.
    pub(crate) fn check_assignment(
        &self,
        replicas: &[BrokerId],
        expected: Option<usize>,
    ) -> Result<(), ControllerError> {
        let refuse = |reason: String| Err(ControllerError::InvalidReplicaAssignment(reason));
        if replicas.is_empty() {
            return refuse("The manual partition assignment includes an empty replica list.".to_owned());
        }
        let mut sorted = replicas.to_vec();
        sorted.sort_unstable();
        let mut previous = None;
        for id in sorted {
            if self.image.broker(id).is_none() {
                return refuse(format!(
                    "The manual partition assignment includes broker {id}, but no such broker is registered."
                ));
            }
            if previous == Some(id) {
                return refuse(format!("The manual partition assignment includes the broker {id} more than once."));
            }
            previous = Some(id);
        }
        match expected {
            Some(expected) if expected != replicas.len() => refuse(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not consistent with \
                 previous partitions, which have {expected} replica(s).",
                replicas.len()
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn assigned_partition(
        &self,
        index: PartitionIndex,
        replicas: &[BrokerId],
    ) -> Result<PartitionRegistration, ControllerError> {
        self.new_partition(replicas).ok_or_else(|| {
            ControllerError::InvalidReplicaAssignment(format!(
                "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
                 controlled shutdown."
            ))
        })
    }

    /// A partition on these replicas, led by the first active one; none if none is active.
    pub(crate) fn new_partition(&self, replicas: &[BrokerId]) -> Option<PartitionRegistration> {
        let isr: Box<[BrokerId]> = replicas.iter().copied().filter(|id| self.is_active(*id)).collect();
        Some(PartitionRegistration {
            leader: *isr.first()?,
            replicas: replicas.into(),
            directories: replicas.iter().map(|id| self.default_directory(*id)).collect(),
            isr,
            removing_replicas: Box::default(),
            adding_replicas: Box::default(),
            elr: Box::default(),
            last_known_elr: Box::default(),
            leader_recovering: false,
            leader_epoch: 0,
            partition_epoch: 0,
        })
    }

    pub(crate) fn partition_record(
        &self,
        topic_id: Uuid,
        index: PartitionIndex,
        partition: &PartitionRegistration,
    ) -> VersionedRecord {
        let version = self.metadata_version();
        VersionedRecord::new(partition.to_record(topic_id, index, version), version.partition_record_version())
    }

    /// Brokers that may get new replicas.
    pub(crate) fn usable_brokers(&self) -> Vec<UsableBroker> {
        let uncordoned = |broker: &&std::sync::Arc<metadata::BrokerRegistration>| match &broker.cordoned_log_dirs {
            Some(cordoned) if !cordoned.is_empty() => broker.log_dirs.iter().any(|dir| !cordoned.contains(dir)),
            _ => true,
        };
        let usable = self.image.brokers().filter(uncordoned).map(|broker| UsableBroker {
            id: broker.id,
            rack: broker.rack.clone(),
            fenced: !broker.is_active(),
        });
        usable.collect()
    }

    pub(crate) fn is_active(&self, id: BrokerId) -> bool {
        self.image.broker(id).is_some_and(|broker| broker.is_active())
    }

    /// Where a broker puts a replica: known beforehand only if it has one directory.
    pub(crate) fn default_directory(&self, id: BrokerId) -> Uuid {
        match self.image.broker(id).map(|broker| broker.log_dirs.as_slice()) {
            Some([]) | None => directory_id::MIGRATING,
            Some([only]) => *only,
            Some(_) => directory_id::UNASSIGNED,
        }
    }
}

fn all_fenced(replicas: usize) -> ControllerError {
    ControllerError::InvalidReplicationFactor(format!(
        "Unable to replicate the partition {replicas} time(s): All brokers are currently fenced or in controlled shutdown."
    ))
}
