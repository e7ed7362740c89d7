//! Which directory of its broker a replica lies in (KIP-858): the broker tells once it knows, and again when it moved one.

use std::collections::BTreeMap;

use metadata::{PartitionRegistration, VersionedRecord};
use protocol::messages::PartitionChangeRecord;
use protocol::messages::assign_replicas_to_dirs_request::{AssignReplicasToDirsRequest, PartitionData};
use protocol::messages::assign_replicas_to_dirs_response::{
    AssignReplicasToDirsResponse, DirectoryData, PartitionData as PartitionResult, TopicData,
};
use protocol::types::{BrokerId, PartitionIndex};
use protocol::{ErrorCode, Uuid};

use crate::ControllerError;
use crate::controller::{Controller, Outcome};
use crate::leaders::{ElectionRules, PartitionChange};

impl Controller {
    /// Notes the directories of a broker's replicas. A replica in a directory that is offline loses its leadership.
    /// # Errors
    /// [`ControllerError::StaleBrokerEpoch`]; [`ControllerError::UnsupportedVersion`] if the metadata version is too old.
    pub fn assign_replicas_to_dirs(
        &mut self,
        request: &AssignReplicasToDirsRequest,
    ) -> Result<Outcome<AssignReplicasToDirsResponse>, ControllerError> {
        if !self.metadata_version().is_directory_assignment_supported() {
            return Err(ControllerError::UnsupportedVersion("Directory assignment is not supported yet.".to_owned()));
        }
        self.check_broker_epoch(request.broker_id, request.broker_epoch)?;
        // The last word on a partition counts, and makes one record.
        let mut changes: BTreeMap<(Uuid, PartitionIndex), PartitionChangeRecord> = BTreeMap::new();
        let mut directories = Vec::with_capacity(request.directories.len());
        for directory in &request.directories {
            let mut topics = Vec::with_capacity(directory.topics.len());
            for topic in &directory.topics {
                let assign = |partition: &PartitionData| {
                    let index = partition.partition_index;
                    let assigned = self.assign(request.broker_id, directory.id, topic.topic_id, index);
                    let error_code = match assigned {
                        Ok(Some(record)) => {
                            changes.insert((topic.topic_id, index), record);
                            ErrorCode::None
                        }
                        Ok(None) => ErrorCode::None,
                        Err(code) => code,
                    };
                    PartitionResult { partition_index: index, error_code: error_code.code(), ..Default::default() }
                };
                let partitions = topic.partitions.iter().map(assign).collect();
                topics.push(TopicData { topic_id: topic.topic_id, partitions, ..Default::default() });
            }
            directories.push(DirectoryData { id: directory.id, topics, ..Default::default() });
        }
        let records: Vec<VersionedRecord> = changes
            .into_iter()
            .map(|((topic_id, index), record)| self.partition_change_record(topic_id, index, record))
            .collect();
        Ok(self.commit(records, AssignReplicasToDirsResponse { directories, ..Default::default() }, false))
    }

    fn assign(
        &self,
        broker_id: BrokerId,
        directory: Uuid,
        topic_id: Uuid,
        index: PartitionIndex,
    ) -> Result<Option<PartitionChangeRecord>, ErrorCode> {
        let topic = self.image.topic_by_id(topic_id).ok_or(ErrorCode::UnknownTopicId)?;
        let partition = topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let at = partition.replicas.iter().position(|id| *id == broker_id).ok_or(ErrorCode::NotLeaderOrFollower)?;
        let online = self.image.broker(broker_id).is_some_and(|broker| broker.log_dirs.contains(&directory));
        let mut directories = partition.directories.to_vec();
        directories[at] = directory;
        let moved = PartitionRegistration { directories: directories.clone().into(), ..(**partition).clone() };
        let rules = ElectionRules::of(self, topic);
        let isr = partition.isr.iter().copied().filter(|id| online || *id != broker_id).collect();
        let may_lead = |id| (online || id != broker_id) && self.may_lead(id, &moved);
        let elected = PartitionChange::new(rules, &moved).isr(isr).decide(&may_lead);
        if partition.directory(broker_id) == Some(directory) {
            return Ok(elected);
        }
        Ok(Some(PartitionChangeRecord { directories: Some(directories), ..elected.unwrap_or_default() }))
    }
}
