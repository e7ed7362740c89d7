//! Moving partitions to other brokers (KIP-455): a wish becomes a change of replicas that grows first and shrinks once it may.

use metadata::{PartitionRegistration, VersionedRecord};
use protocol::ErrorCode;
use protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, PartitionChangeRecord,
};
use protocol::types::{BrokerId, PartitionIndex};

use crate::ControllerError;
use crate::controller::{Controller, Outcome, check_size};
use crate::error::code_and_message;
use crate::leaders::{ElectionRules, PartitionChange};

impl Controller {
    /// Starts and cancels reassignments; each partition succeeds or fails for itself.
    /// # Errors
    /// [`ControllerError::PolicyViolation`] for more changes than a request may make.
    pub fn alter_partition_reassignments(
        &mut self,
        request: &AlterPartitionReassignmentsRequest,
    ) -> Result<Outcome<AlterPartitionReassignmentsResponse>, ControllerError> {
        let mut records = Vec::new();
        let mut responses = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for target in &topic.partitions {
                let result = self.reassign(&topic.name, target, request.allow_replication_factor_change);
                let (error_code, error_message) = code_and_message(&result.map(|record| records.extend(record)));
                partitions.push(ReassignablePartitionResponse {
                    partition_index: target.partition_index,
                    error_code,
                    error_message,
                    ..Default::default()
                });
            }
            responses.push(ReassignableTopicResponse { name: topic.name.clone(), partitions, ..Default::default() });
        }
        check_size(&records)?;
        let response = AlterPartitionReassignmentsResponse {
            allow_replication_factor_change: request.allow_replication_factor_change,
            error_code: ErrorCode::None.code(),
            error_message: None,
            responses,
            ..Default::default()
        };
        Ok(self.commit(records, response, true))
    }

    fn reassign(
        &self,
        topic: &str,
        target: &ReassignablePartition,
        may_change_count: bool,
    ) -> Result<Option<VersionedRecord>, ControllerError> {
        let unknown = |what: String| ControllerError::UnknownTopicOrPartition(what);
        let index = target.partition_index;
        let image = self.image.topic(topic).ok_or_else(|| unknown(format!("Unable to find a topic named {topic}.")))?;
        let partition =
            image.partition(index).ok_or_else(|| unknown(format!("Unable to find partition {topic}:{index}.")))?;
        let rules = ElectionRules::of(self, image);
        let change = match &target.replicas {
            None => self.cancelled(partition, (topic, index), rules)?,
            Some(replicas) => self.started(partition, replicas, may_change_count, rules)?,
        };
        Ok(change.map(|record| self.partition_change_record(image.id, index, record)))
    }

    fn started(
        &self,
        partition: &PartitionRegistration,
        target: &[BrokerId],
        may_change_count: bool,
        rules: ElectionRules,
    ) -> Result<Option<PartitionChangeRecord>, ControllerError> {
        self.check_assignment(target, None)?;
        let before = original_replicas(partition);
        if !may_change_count && before.len() != target.len() {
            return Err(ControllerError::InvalidReplicationFactor(format!(
                "The replication factor is changed from {} to {}",
                before.len(),
                target.len()
            )));
        }
        let adding: Vec<BrokerId> = target.iter().copied().filter(|id| !before.contains(id)).collect();
        let removing: Vec<BrokerId> = before.iter().copied().filter(|id| !target.contains(id)).collect();
        let remaining_isr: Vec<BrokerId> = partition.isr.iter().copied().filter(|id| target.contains(id)).collect();
        let is_done = !remaining_isr.is_empty() && adding.iter().all(|id| partition.isr.contains(id));
        if is_done {
            let change = PartitionChange::new(rules, partition).isr(remaining_isr);
            return Ok(self.with_replicas(change, partition, target.to_vec(), (Vec::new(), Vec::new())));
        }
        let merged: Vec<BrokerId> = target.iter().chain(&removing).copied().collect();
        let change = PartitionChange::new(rules, partition);
        Ok(self.with_replicas(change, partition, merged, (adding, removing)))
    }

    fn cancelled(
        &self,
        partition: &PartitionRegistration,
        (topic, index): (&str, PartitionIndex),
        rules: ElectionRules,
    ) -> Result<Option<PartitionChangeRecord>, ControllerError> {
        if !partition.is_reassigning() {
            return Err(ControllerError::NoReassignmentInProgress);
        }
        let replicas = original_replicas(partition);
        let mut isr: Vec<BrokerId> =
            partition.isr.iter().copied().filter(|id| !partition.adding_replicas.contains(id)).collect();
        if isr.is_empty() {
            let first = replicas.first().copied().filter(|_| rules.is_unclean());
            isr.extend(first);
            if isr.is_empty() {
                return Err(ControllerError::InvalidReplicaAssignment(format!(
                    "Unable to revert partition assignment for {topic}:{index} because it would require an unclean leader \
                     election."
                )));
            }
        }
        let change = PartitionChange::new(rules, partition).isr(isr);
        Ok(self.with_replicas(change, partition, replicas, (Vec::new(), Vec::new())))
    }

    /// Adds the new replicas, and what is still to be added and removed, to what is decided about leader and ISR.
    fn with_replicas(
        &self,
        change: PartitionChange<'_>,
        partition: &PartitionRegistration,
        replicas: Vec<BrokerId>,
        (adding, removing): (Vec<BrokerId>, Vec<BrokerId>),
    ) -> Option<PartitionChangeRecord> {
        let may_lead = |id| replicas.contains(&id) && self.may_lead(id, partition);
        let mut record = change.decide(&may_lead).unwrap_or_default();
        if *replicas != *partition.replicas {
            if self.metadata_version().is_directory_assignment_supported() {
                let directory = |id: &BrokerId| partition.directory(*id).unwrap_or_else(|| self.default_directory(*id));
                record.directories = Some(replicas.iter().map(directory).collect());
            }
            record.replicas = Some(replicas);
        }
        if *adding != *partition.adding_replicas {
            record.adding_replicas = Some(adding);
        }
        if *removing != *partition.removing_replicas {
            record.removing_replicas = Some(removing);
        }
        (record != PartitionChangeRecord::default()).then_some(record)
    }
}

/// The replicas that a partition had before its reassignment began.
fn original_replicas(partition: &PartitionRegistration) -> Vec<BrokerId> {
    let kept = partition.replicas.iter().copied().filter(|id| !partition.adding_replicas.contains(id));
    kept.collect()
}
