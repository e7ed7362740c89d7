//! Elections that a user asks for, and the list of reassignments under way.

use metadata::VersionedRecord;
use protocol::ErrorCode;
use protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use protocol::messages::{
    ElectLeadersRequest, ElectLeadersResponse, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use protocol::types::PartitionIndex;

use crate::ControllerError;
use crate::controller::{Controller, Outcome};
use crate::error::code_and_message;
use crate::leaders::{Election, ElectionRules, PartitionChange};

impl Controller {
    /// Elects preferred leaders, or leaders out of sync, for the named partitions or for all that need it.
    /// # Errors
    /// [`ControllerError::InvalidRequest`] for an unknown kind of election.
    pub fn elect_leaders(
        &mut self,
        request: &ElectLeadersRequest,
    ) -> Result<Outcome<ElectLeadersResponse>, ControllerError> {
        let election = match request.election_type {
            0 => Election::Preferred,
            1 => Election::Unclean,
            other => return Err(ControllerError::InvalidRequest(format!("Unknown election type {other}"))),
        };
        let mut records = Vec::new();
        let mut results = Vec::new();
        for (topic, partitions) in self.partitions_to_elect(request) {
            let mut partition_result = Vec::new();
            for partition_id in partitions {
                let result = self.elect_leader(&topic, partition_id, election, &mut records);
                // Who asks for all partitions is not told of those that need no election.
                if request.topic_partitions.is_none() && result == Err(ControllerError::ElectionNotNeeded) {
                    continue;
                }
                let (error_code, error_message) = code_and_message(&result);
                let result = PartitionResult { partition_id, error_code, error_message, ..Default::default() };
                partition_result.push(result);
            }
            if !partition_result.is_empty() {
                results.push(ReplicaElectionResult { topic, partition_result, ..Default::default() });
            }
        }
        let response = ElectLeadersResponse {
            error_code: ErrorCode::None.code(),
            replica_election_results: results,
            ..Default::default()
        };
        Ok(self.commit(records, response, false))
    }

    fn partitions_to_elect(&self, request: &ElectLeadersRequest) -> Vec<(String, Vec<PartitionIndex>)> {
        match &request.topic_partitions {
            Some(topics) => topics.iter().map(|topic| (topic.topic.clone(), topic.partitions.clone())).collect(),
            None => {
                let all = self
                    .image
                    .topics()
                    .map(|topic| (topic.name.to_string(), topic.partitions().map(|(index, _)| index).collect()));
                all.collect()
            }
        }
    }

    fn elect_leader(
        &self,
        topic: &str,
        index: PartitionIndex,
        election: Election,
        records: &mut Vec<VersionedRecord>,
    ) -> Result<(), ControllerError> {
        let unknown = |what: String| ControllerError::UnknownTopicOrPartition(what);
        let image = self.image.topic(topic).ok_or_else(|| unknown(format!("No such topic as {topic}")))?;
        let partition =
            image.partition(index).ok_or_else(|| unknown(format!("No such partition as {topic}-{index}")))?;
        let is_fine = match election {
            Election::Preferred => partition.replicas.first() == Some(&partition.leader),
            Election::Online | Election::Unclean => partition.leader >= 0,
        };
        if is_fine {
            return Err(ControllerError::ElectionNotNeeded);
        }
        let may_lead = |id| self.may_lead(id, partition);
        let Some(record) =
            PartitionChange::new(ElectionRules::of(self, image), partition).election(election).decide(&may_lead)
        else {
            return Err(match election {
                Election::Preferred => ControllerError::PreferredLeaderNotAvailable,
                Election::Online | Election::Unclean => ControllerError::EligibleLeadersNotAvailable,
            });
        };
        records.push(self.partition_change_record(image.id, index, record));
        Ok(())
    }

    /// Partitions that are being moved.
    #[must_use]
    pub fn list_partition_reassignments(
        &self,
        request: &ListPartitionReassignmentsRequest,
    ) -> Outcome<ListPartitionReassignmentsResponse> {
        let asked = |name: &str, index: PartitionIndex| match &request.topics {
            None => true,
            Some(topics) => topics.iter().any(|topic| topic.name == name && topic.partition_indexes.contains(&index)),
        };
        let mut topics = Vec::new();
        for topic in self.image.topics() {
            let moving = topic
                .partitions()
                .filter(|(index, partition)| partition.is_reassigning() && asked(&topic.name, *index));
            let partitions: Vec<_> = moving
                .map(|(partition_index, partition)| OngoingPartitionReassignment {
                    partition_index,
                    replicas: partition.replicas.to_vec(),
                    adding_replicas: partition.adding_replicas.to_vec(),
                    removing_replicas: partition.removing_replicas.to_vec(),
                    ..Default::default()
                })
                .collect();
            if !partitions.is_empty() {
                topics.push(OngoingTopicReassignment {
                    name: topic.name.to_string(),
                    partitions,
                    ..Default::default()
                });
            }
        }
        self.answer(ListPartitionReassignmentsResponse { topics, ..Default::default() })
    }
}
