//! Creating and deleting topics.

use std::collections::{BTreeMap, HashSet};

use metadata::config::ConfigMap;
use metadata::{ConfigResource, PartitionRegistration, VersionedRecord};
use protocol::messages::create_topics_request::CreatableTopic;
use protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use protocol::messages::delete_topics_response::DeletableTopicResult;
use protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, RemoveTopicRecord,
    TopicRecord,
};
use protocol::types::PartitionIndex;
use protocol::{ErrorCode, Uuid};

use crate::ControllerError;
use crate::controller::{Controller, MAX_RECORDS, Outcome, check_size, config_record};
use crate::error::code_and_message;
use crate::mutations::{MutationQuota, Unlimited};
use crate::placement::place;
use crate::topic_name::{CLUSTER_METADATA, collision_name, validate_topic_name};

impl Controller {
    /// Creates topics for the node itself; each one succeeds or fails for itself.
    pub fn create_topics(&mut self, request: &CreateTopicsRequest) -> Outcome<CreateTopicsResponse> {
        self.create_topics_within(request, &mut Unlimited)
    }

    /// Creates topics for a client within its quota; each one succeeds or fails for itself.
    pub fn create_topics_within(
        &mut self,
        request: &CreateTopicsRequest,
        quota: &mut dyn MutationQuota,
    ) -> Outcome<CreateTopicsResponse> {
        if self.requested_partitions(request) > MAX_RECORDS as i64 {
            let error = ControllerError::PolicyViolation("Excessively large number of partitions per request.");
            return self.refuse_topics(request, &error);
        }
        let duplicates = duplicate_names(request.topics.iter().map(|topic| topic.name.as_str()));
        let mut records = Vec::new();
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics.iter().filter(|topic| !duplicates.contains(topic.name.as_str())) {
            topics.push(match self.create_topic(topic, quota, &mut records) {
                Ok(result) => result,
                Err(error) => failed_topic(&topic.name, &error),
            });
        }
        if let Err(error) = check_size(&records) {
            return self.refuse_topics(request, &error);
        }
        let mut told: Vec<&str> = duplicates.into_iter().collect();
        told.sort_unstable();
        let duplicate = ControllerError::InvalidRequest("Duplicate topic name.".to_owned());
        topics.extend(told.into_iter().map(|name| failed_topic(name, &duplicate)));
        let response = CreateTopicsResponse { topics, ..Default::default() };
        if request.validate_only {
            return self.answer(response);
        }
        self.commit(records, response, true)
    }

    fn refuse_topics(&self, request: &CreateTopicsRequest, error: &ControllerError) -> Outcome<CreateTopicsResponse> {
        let topics = request.topics.iter().map(|topic| failed_topic(&topic.name, error)).collect();
        self.answer(CreateTopicsResponse { topics, ..Default::default() })
    }

    fn requested_partitions(&self, request: &CreateTopicsRequest) -> i64 {
        let partitions = request.topics.iter().map(|topic| match (topic.assignments.len(), topic.num_partitions) {
            (0, -1) => i64::from(self.config.num_partitions()),
            (0, partitions) => i64::from(partitions.max(0)),
            (assignments, _) => assignments as i64,
        });
        partitions.sum()
    }

    fn create_topic(
        &mut self,
        topic: &CreatableTopic,
        quota: &mut dyn MutationQuota,
        records: &mut Vec<VersionedRecord>,
    ) -> Result<CreatableTopicResult, ControllerError> {
        if topic.name == CLUSTER_METADATA {
            let reason = format!("Creation of internal topic {CLUSTER_METADATA} is prohibited.");
            return Err(ControllerError::InvalidRequest(reason));
        }
        if self.image.topic(&topic.name).is_some() {
            return Err(ControllerError::TopicAlreadyExists(topic.name.clone()));
        }
        validate_topic_name(&topic.name)?;
        let collision = collision_name(&topic.name).and_then(|name| self.collisions.get(&name));
        if let Some(other) = collision.and_then(|names| names.first()) {
            let reason = format!("Topic '{}' collides with existing topic: {other}", topic.name);
            return Err(ControllerError::InvalidTopic(reason));
        }
        let configs = creation_configs(topic)?;
        let resource = ConfigResource::topic(&topic.name);
        self.check_new_topic_config(&resource, &configs)?;
        let partitions = self.new_partitions(topic)?;
        quota.take(partitions.len())?;
        let topic_id = self.random.uuid();
        let record = TopicRecord { name: topic.name.clone(), topic_id, ..Default::default() };
        records.push(VersionedRecord::new(record, 0));
        records.extend(configs.iter().map(|(name, value)| config_record(&resource, name, Some(value.clone()))));
        records.extend(partitions.iter().map(|(index, partition)| self.partition_record(topic_id, *index, partition)));
        Ok(self.created_topic(topic, topic_id, &configs, &partitions))
    }

    fn created_topic(
        &self,
        topic: &CreatableTopic,
        topic_id: Uuid,
        configs: &ConfigMap,
        partitions: &BTreeMap<PartitionIndex, PartitionRegistration>,
    ) -> CreatableTopicResult {
        let effective = self.effective_topic_configs(configs).into_iter().map(|entry| CreatableTopicConfigs {
            name: entry.name,
            value: entry.value,
            read_only: false,
            config_source: entry.source.code(),
            is_sensitive: false,
            ..Default::default()
        });
        let replication_factor = partitions.values().next().map_or(0, |partition| partition.replicas.len());
        CreatableTopicResult {
            name: topic.name.clone(),
            topic_id,
            num_partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
            replication_factor: i16::try_from(replication_factor).unwrap_or(i16::MAX),
            configs: Some(effective.collect()),
            ..Default::default()
        }
    }

    fn new_partitions(
        &mut self,
        topic: &CreatableTopic,
    ) -> Result<BTreeMap<PartitionIndex, PartitionRegistration>, ControllerError> {
        if !topic.assignments.is_empty() {
            return self.assigned_partitions(topic);
        }
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            let reason = "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(ControllerError::InvalidReplicationFactor(reason.to_owned()));
        }
        if topic.num_partitions < -1 || topic.num_partitions == 0 {
            let reason = "Number of partitions was set to an invalid non-positive value.";
            return Err(ControllerError::InvalidPartitions(reason.to_owned()));
        }
        let count = if topic.num_partitions == -1 { self.config.num_partitions() } else { topic.num_partitions };
        let replicas = match topic.replication_factor {
            -1 => i16::try_from(self.config.default_replication_factor()).unwrap_or(i16::MAX),
            replicas => replicas,
        };
        let usable = self.usable_brokers();
        let placed = place(&usable, usize::try_from(count).unwrap_or(0), replicas, &mut self.random);
        let refuse = |reason: &str| {
            let reason = format!("Unable to replicate the partition {replicas} time(s): {reason}");
            ControllerError::InvalidReplicationFactor(reason)
        };
        let mut partitions = BTreeMap::new();
        for (index, replicas) in (0..).zip(placed.map_err(|error| refuse(&error.to_string()))?) {
            let partition = self.new_partition(&replicas);
            let fenced = "All brokers are currently fenced or in controlled shutdown.";
            partitions.insert(index, partition.ok_or_else(|| refuse(fenced))?);
        }
        Ok(partitions)
    }

    fn assigned_partitions(
        &self,
        topic: &CreatableTopic,
    ) -> Result<BTreeMap<PartitionIndex, PartitionRegistration>, ControllerError> {
        if topic.replication_factor != -1 {
            let reason = "A manual partition assignment was specified, but replication factor was not set to -1.";
            return Err(ControllerError::InvalidRequest(reason.to_owned()));
        }
        if topic.num_partitions != -1 {
            let reason = "A manual partition assignment was specified, but numPartitions was not set to -1.";
            return Err(ControllerError::InvalidRequest(reason.to_owned()));
        }
        let mut partitions = BTreeMap::new();
        let mut replication_factor = None;
        for assignment in &topic.assignments {
            let index = assignment.partition_index;
            if partitions.contains_key(&index) {
                let reason = format!("Found multiple manual partition assignments for partition {index}");
                return Err(ControllerError::InvalidReplicaAssignment(reason));
            }
            self.check_assignment(&assignment.broker_ids, replication_factor)?;
            replication_factor = Some(assignment.broker_ids.len());
            let partition = self.assigned_partition(index, &assignment.broker_ids)?;
            partitions.insert(index, partition);
        }
        if !partitions.keys().copied().eq(0..partitions.len() as i32) {
            let reason = "partitions should be a consecutive 0-based integer sequence";
            return Err(ControllerError::InvalidReplicaAssignment(reason.to_owned()));
        }
        Ok(partitions)
    }

    /// Deletes topics by name or id for a client within its quota; each one succeeds or fails for itself.
    /// # Errors
    /// [`ControllerError::TopicDeletionDisabled`] if `delete.topic.enable` is false.
    pub fn delete_topics(
        &mut self,
        request: &DeleteTopicsRequest,
        quota: &mut dyn MutationQuota,
    ) -> Result<Outcome<DeleteTopicsResponse>, ControllerError> {
        if !self.config.delete_topic_enable() {
            return Err(ControllerError::TopicDeletionDisabled);
        }
        let mut deletion = Deletion::default();
        deletion.read(request);
        let ids: Vec<(Option<String>, Uuid)> = self.topics_to_delete(&mut deletion);
        let mut records = Vec::new();
        for (name, topic_id) in ids {
            let partitions = self.image.topic_by_id(topic_id).map_or(0, |topic| topic.partitions.len());
            let result = quota.take(partitions);
            if result.is_ok() {
                let record = RemoveTopicRecord { topic_id, ..Default::default() };
                records.push(VersionedRecord::new(record, 0));
            }
            deletion.respond(name, topic_id, result);
        }
        check_size(&records)?;
        let response = DeleteTopicsResponse { responses: deletion.responses, ..Default::default() };
        Ok(self.commit(records, response, true))
    }

    /// Resolves names and ids; what cannot be deleted is answered at once.
    fn topics_to_delete(&self, deletion: &mut Deletion) -> Vec<(Option<String>, Uuid)> {
        let mut found: Vec<(Option<String>, Uuid)> = Vec::new();
        for id in std::mem::take(&mut deletion.ids) {
            match self.image.topic_by_id(id) {
                Some(topic) => found.push((Some(topic.name.to_string()), id)),
                None => deletion.respond(None, id, Err(ControllerError::UnknownTopicId)),
            }
        }
        for name in std::mem::take(&mut deletion.names) {
            let Some(id) = self.image.topic_id(&name) else {
                deletion.respond(Some(name), Uuid::ZERO, Err(ControllerError::unknown_topic()));
                continue;
            };
            let before = found.len();
            found.retain(|(_, other)| *other != id);
            if found.len() < before || deletion.duplicate_ids.contains(&id) {
                let reason = "The provided topic name maps to an ID that was already supplied.".to_owned();
                deletion.respond(Some(name), id, Err(ControllerError::InvalidRequest(reason)));
            } else {
                found.push((Some(name), id));
            }
        }
        found
    }
}

/// What a DeleteTopics request asks for, without what it asks for twice.
#[derive(Default)]
struct Deletion {
    names: Vec<String>,
    ids: Vec<Uuid>,
    duplicate_ids: HashSet<Uuid>,
    responses: Vec<DeletableTopicResult>,
}

impl Deletion {
    fn read(&mut self, request: &DeleteTopicsRequest) {
        let mut names: Vec<&str> = request.topic_names.iter().map(String::as_str).collect();
        let mut ids = Vec::new();
        for topic in &request.topics {
            match (&topic.name, topic.topic_id.is_zero()) {
                (Some(name), true) => names.push(name),
                (None, false) => ids.push(topic.topic_id),
                (name, no_id) => {
                    let reason = match no_id {
                        true => "Neither topic name nor id were specified.",
                        false => "You may not specify both topic name and topic id.",
                    };
                    let error = ControllerError::InvalidRequest(reason.to_owned());
                    self.respond(name.clone(), topic.topic_id, Err(error));
                }
            }
        }
        let duplicate_names = duplicate_names(names.iter().copied());
        let mut seen = HashSet::new();
        self.duplicate_ids = ids.iter().copied().filter(|id| !seen.insert(*id)).collect();
        for name in &duplicate_names {
            let error = ControllerError::InvalidRequest("Duplicate topic name.".to_owned());
            self.respond(Some((*name).to_owned()), Uuid::ZERO, Err(error));
        }
        for id in self.duplicate_ids.clone() {
            self.respond(None, id, Err(ControllerError::InvalidRequest("Duplicate topic id.".to_owned())));
        }
        self.names = names.into_iter().filter(|name| !duplicate_names.contains(name)).map(str::to_owned).collect();
        self.ids = ids.into_iter().filter(|id| !self.duplicate_ids.contains(id)).collect();
    }

    fn respond(&mut self, name: Option<String>, topic_id: Uuid, result: Result<(), ControllerError>) {
        let (error_code, error_message) = code_and_message(&result);
        self.responses.push(DeletableTopicResult { name, topic_id, error_code, error_message, ..Default::default() });
    }
}

pub(crate) fn duplicate_names<'a>(names: impl Iterator<Item = &'a str>) -> HashSet<&'a str> {
    let mut seen = HashSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}

fn failed_topic(name: &str, error: &ControllerError) -> CreatableTopicResult {
    let (error_code, error_message) = code_and_message(&Err(error.clone()));
    CreatableTopicResult {
        name: name.to_owned(),
        error_code,
        error_message,
        topic_config_error_code: ErrorCode::None.code(),
        num_partitions: -1,
        replication_factor: -1,
        ..Default::default()
    }
}

fn creation_configs(topic: &CreatableTopic) -> Result<ConfigMap, ControllerError> {
    let nulls: Vec<&str> =
        topic.configs.iter().filter(|config| config.value.is_none()).map(|config| config.name.as_str()).collect();
    if !nulls.is_empty() {
        let reason = format!("Null value not supported for topic configs: {}", nulls.join(","));
        return Err(ControllerError::InvalidConfig(reason));
    }
    let configs = topic.configs.iter().filter_map(|config| Some((config.name.clone(), config.value.clone()?)));
    Ok(configs.collect())
}
