//! From the messages of the share coordinator's APIs to what is asked of each share-partition, and back.

use std::sync::Arc;

use coordinator::share::{ShareAnswer, ShareKey, ShareResponse, ShareState, ShareSummary, ShareWrite, StateBatch};
use protocol::messages::{
    DeleteShareGroupStateRequest, DeleteShareGroupStateResponse, InitializeShareGroupStateRequest,
    InitializeShareGroupStateResponse, ReadShareGroupStateRequest, ReadShareGroupStateResponse,
    ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse, WriteShareGroupStateRequest,
    WriteShareGroupStateResponse, delete_share_group_state_response as delete,
    initialize_share_group_state_response as initialize, read_share_group_state_response as read,
    read_share_group_state_summary_response as summary, write_share_group_state_response as write,
};
use protocol::{Request, Uuid};

use super::ShareRequest;

/// A request of the share coordinator's APIs.
pub(crate) trait ShareStateRequest: Request {
    /// What is asked of which share-partition. A request that names no group, no topic, or a topic without partitions asks
    /// nothing.
    fn asked(&self) -> Vec<(ShareKey, ShareRequest)>;

    /// The response that the answers make.
    fn respond(answers: &[(ShareKey, ShareResponse)]) -> Self::Response;
}

/// What a request asks: nothing if it is incomplete.
macro_rules! asked {
    ($request:expr, |$partition:ident| $ask:expr) => {{
        let request = $request;
        if request.group_id.is_empty() || request.topics.iter().any(|topic| topic.partitions.is_empty()) {
            return Vec::new();
        }
        let group_id: Arc<str> = request.group_id.as_str().into();
        let topics = request.topics.iter();
        let asked = topics.flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, partition)));
        asked
            .map(|(topic_id, $partition)| {
                let group_id = Arc::clone(&group_id);
                (ShareKey { group_id, topic_id, partition: $partition.partition }, $ask)
            })
            .collect()
    }};
}

/// A response without results, whose results are one for each topic with one for each of its partitions.
macro_rules! results {
    ($answers:expr, $result:path, |$partition:ident, $answer:ident| $one:expr) => {{
        let mut results: Vec<$result> = Vec::new();
        for (key, $answer) in $answers {
            let $partition = key.partition;
            let one = $one;
            let topic_id: Uuid = key.topic_id;
            match results.iter_mut().find(|result| result.topic_id == topic_id) {
                Some(result) => result.partitions.push(one),
                None => results.push({
                    let mut result = <$result>::default();
                    result.topic_id = topic_id;
                    result.partitions.push(one);
                    result
                }),
            }
        }
        results
    }};
}

fn code_of(answer: &ShareResponse) -> (i16, Option<String>) {
    match answer {
        Ok(_) => (0, None),
        Err(error) => (error.code().code(), Some(error.to_string())),
    }
}

impl ShareStateRequest for InitializeShareGroupStateRequest {
    fn asked(&self) -> Vec<(ShareKey, ShareRequest)> {
        asked!(self, |partition| ShareRequest::Initialize {
            state_epoch: partition.state_epoch,
            start_offset: partition.start_offset,
        })
    }

    fn respond(answers: &[(ShareKey, ShareResponse)]) -> InitializeShareGroupStateResponse {
        let results = results!(answers, initialize::InitializeStateResult, |partition, answer| {
            let (error_code, error_message) = code_of(answer);
            initialize::PartitionResult { partition, error_code, error_message, ..Default::default() }
        });
        InitializeShareGroupStateResponse { results, ..Default::default() }
    }
}

impl ShareStateRequest for ReadShareGroupStateRequest {
    fn asked(&self) -> Vec<(ShareKey, ShareRequest)> {
        asked!(self, |partition| ShareRequest::Read { leader_epoch: partition.leader_epoch })
    }

    fn respond(answers: &[(ShareKey, ShareResponse)]) -> ReadShareGroupStateResponse {
        let results = results!(answers, read::ReadStateResult, |partition, answer| {
            let (error_code, error_message) = code_of(answer);
            let nothing = ShareState::default();
            let state = if let Ok(ShareAnswer::State(state)) = answer { state } else { &nothing };
            let state_batches = state.state_batches.iter().map(|batch| read::StateBatch {
                first_offset: batch.first_offset,
                last_offset: batch.last_offset,
                delivery_state: batch.delivery_state,
                delivery_count: batch.delivery_count,
                ..Default::default()
            });
            read::PartitionResult {
                partition,
                error_code,
                error_message,
                state_epoch: state.state_epoch,
                start_offset: state.start_offset,
                state_batches: state_batches.collect(),
                ..Default::default()
            }
        });
        ReadShareGroupStateResponse { results, ..Default::default() }
    }
}

impl ShareStateRequest for WriteShareGroupStateRequest {
    fn asked(&self) -> Vec<(ShareKey, ShareRequest)> {
        asked!(self, |partition| ShareRequest::Write(ShareWrite {
            state_epoch: partition.state_epoch,
            leader_epoch: partition.leader_epoch,
            start_offset: partition.start_offset,
            delivery_complete_count: partition.delivery_complete_count,
            state_batches: partition
                .state_batches
                .iter()
                .map(|batch| StateBatch {
                    first_offset: batch.first_offset,
                    last_offset: batch.last_offset,
                    delivery_state: batch.delivery_state,
                    delivery_count: batch.delivery_count,
                })
                .collect(),
        }))
    }

    fn respond(answers: &[(ShareKey, ShareResponse)]) -> WriteShareGroupStateResponse {
        let results = results!(answers, write::WriteStateResult, |partition, answer| {
            let (error_code, error_message) = code_of(answer);
            write::PartitionResult { partition, error_code, error_message, ..Default::default() }
        });
        WriteShareGroupStateResponse { results, ..Default::default() }
    }
}

impl ShareStateRequest for DeleteShareGroupStateRequest {
    fn asked(&self) -> Vec<(ShareKey, ShareRequest)> {
        asked!(self, |partition| ShareRequest::Delete)
    }

    fn respond(answers: &[(ShareKey, ShareResponse)]) -> DeleteShareGroupStateResponse {
        let results = results!(answers, delete::DeleteStateResult, |partition, answer| {
            let (error_code, error_message) = code_of(answer);
            delete::PartitionResult { partition, error_code, error_message, ..Default::default() }
        });
        DeleteShareGroupStateResponse { results, ..Default::default() }
    }
}

impl ShareStateRequest for ReadShareGroupStateSummaryRequest {
    fn asked(&self) -> Vec<(ShareKey, ShareRequest)> {
        asked!(self, |partition| ShareRequest::Summarize)
    }

    fn respond(answers: &[(ShareKey, ShareResponse)]) -> ReadShareGroupStateSummaryResponse {
        let results = results!(answers, summary::ReadStateSummaryResult, |partition, answer| {
            let (error_code, error_message) = code_of(answer);
            let nothing =
                ShareSummary { state_epoch: 0, leader_epoch: 0, start_offset: 0, delivery_complete_count: -1 };
            let told = if let Ok(ShareAnswer::Summary(summary)) = answer { *summary } else { nothing };
            summary::PartitionResult {
                partition,
                error_code,
                error_message,
                state_epoch: told.state_epoch,
                leader_epoch: told.leader_epoch,
                start_offset: told.start_offset,
                delivery_complete_count: told.delivery_complete_count,
                ..Default::default()
            }
        });
        ReadShareGroupStateSummaryResponse { results, ..Default::default() }
    }
}
