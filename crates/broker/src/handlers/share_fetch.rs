//! ShareFetch: gives records to a member of a share group, and takes what it says of those that it had (KIP-932).

use std::sync::Arc;

use bytes::Bytes;
use protocol::frame::encode_response;
use protocol::messages::share_fetch_request::ShareFetchRequest;
use protocol::messages::share_fetch_response::{
    AcquiredRecords, NodeEndpoint, PartitionData, ShareFetchResponse, ShareFetchableTopicResponse,
};
use protocol::{ErrorCode, Message, Reader, Records};
use storage::FileSlice;
use tracing::error;

use super::share_acknowledge;
use crate::Broker;
use crate::dispatch::{CloseReason, Handled, RequestContext, Response, mute_ms};
use crate::share_partition::AcquireMode;
use crate::share_partitions::acknowledgements::{self, PartitionOutcome, Said, SayRules};
use crate::share_partitions::fetch::{self, Fetched, Look, ShareFetch};
use crate::share_partitions::sessions::{
    FINAL_EPOCH, INITIAL_EPOCH, News, SessionContext, SessionKey, TopicIdPartition,
};
use crate::share_partitions::settings;

/// A request that is being answered.
struct Answering {
    broker: Arc<Broker>,
    context: RequestContext,
    session: SessionKey,
    epoch: i32,
    incremental: bool,
    /// Partitions that cannot be fetched.
    refused: Vec<(TopicIdPartition, ErrorCode)>,
}

pub(crate) fn handle_frame(broker: &Arc<Broker>, context: RequestContext, mut reader: Reader) -> Handled {
    let request = match ShareFetchRequest::decode(&mut reader, context.version) {
        Ok(request) => request,
        Err(source) => {
            return Handled::Close(CloseReason::Decode { api: context.api, version: context.version, source });
        }
    };
    let session = share_acknowledge::session(broker, request.group_id.as_deref(), request.member_id.as_deref());
    let opened = session.and_then(|session| {
        let mode = check(&context, &request)?;
        Ok((open(broker, &context, &session, &request), session, mode))
    });
    let (opened, session, mode) = match opened {
        Ok(opened) => opened,
        Err(code) => return finish(&context, &failed(code), Vec::new()),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(ErrorCode::ShareSessionLimitReached) => return refuse_later(broker, context, request.max_wait_ms),
        Err(code) => return finish(&context, &failed(code), Vec::new()),
    };
    let acknowledges = has_acknowledgements(&request);
    let stored = if acknowledges { acknowledge(broker, &context, &session, &request) } else { Vec::new() };
    let renews = context.version >= 2 && request.is_renew_ack;
    let (partitions, refused) = if renews { Default::default() } else { fetchable(broker, &opened.partitions) };
    let fetch = ShareFetch {
        group_id: Arc::clone(&session.group_id),
        member: Arc::clone(&session.member),
        mode,
        max_wait_ms: i64::from(request.max_wait_ms),
        min_bytes: u64::try_from(request.min_bytes.min(request.max_bytes)).unwrap_or(0),
        max_bytes: u64::try_from(request.max_bytes.min(broker.config().fetch_max_bytes())).unwrap_or(0),
        max_records: i64::from(request.max_records),
        batch_size: i64::from(request.batch_size),
        partitions,
    };
    let answering = Answering {
        broker: Arc::clone(broker),
        context,
        session,
        epoch: request.share_session_epoch,
        incremental: opened.incremental,
        refused,
    };
    serve(answering, fetch, stored)
}

/// Answers at once if all is there.
fn serve(
    answering: Answering,
    fetch: ShareFetch,
    stored: Vec<(TopicIdPartition, crate::share_partitions::Stored)>,
) -> Handled {
    let wants_none = fetch.partitions.is_empty() || fetch.max_records <= 0 || fetch.max_bytes == 0;
    let seen = if wants_none {
        Some(Look::default())
    } else {
        let last = fetch.max_wait_ms <= 0;
        Some(fetch::look(&answering.broker, &fetch, last)).filter(|seen| last || seen.is_done())
    };
    let (seen, stored) = match (seen, acknowledgements::settled(stored)) {
        (Some(seen), Ok(outcomes)) => return answering.answer(seen, outcomes),
        (seen, Ok(outcomes)) => {
            let stored = outcomes.into_iter();
            (seen, stored.map(|(key, outcome)| (key, crate::share_partitions::Stored::Now(outcome))).collect())
        }
        (seen, Err(stored)) => (seen, stored),
    };
    Handled::Later(Box::pin(async move {
        let seen = match seen {
            Some(seen) => seen,
            None => fetch::fetch(Arc::clone(&answering.broker), fetch).await,
        };
        let outcomes = acknowledgements::wait(stored).await;
        match answering.answer(seen, outcomes) {
            Handled::Now(response) => Some(response),
            _ => None,
        }
    }))
}

/// Checks what concerns no partition.
fn check(context: &RequestContext, request: &ShareFetchRequest) -> Result<AcquireMode, ErrorCode> {
    // A fetch could outlast the locks that are renewed (KIP-1222).
    let wants = [request.max_bytes, request.min_bytes, request.max_records, request.max_wait_ms];
    if context.version >= 2 && request.is_renew_ack && wants.iter().any(|wanted| *wanted != 0) {
        return Err(ErrorCode::InvalidRequest);
    }
    match request.share_acquire_mode {
        0 => Ok(AcquireMode::BatchOptimized),
        1 => Ok(AcquireMode::RecordLimit),
        _ => Err(ErrorCode::UnknownServerError),
    }
}

fn has_acknowledgements(request: &ShareFetchRequest) -> bool {
    let mut partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.any(|partition| !partition.acknowledgement_batches.is_empty())
}

/// Starts, goes on with, or is about to end a session.
fn open(
    broker: &Broker,
    context: &RequestContext,
    session: &SessionKey,
    request: &ShareFetchRequest,
) -> Result<SessionContext, ErrorCode> {
    let sessions = broker.share_partitions().sessions();
    let topics = request.topics.iter();
    let wanted: Vec<TopicIdPartition> = topics
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, partition.partition_index)))
        .collect();
    match request.share_session_epoch {
        FINAL_EPOCH => {
            sessions.check(session)?;
            Ok(SessionContext { partitions: Vec::new(), incremental: false })
        }
        INITIAL_EPOCH if has_acknowledgements(request) => Err(ErrorCode::InvalidRequest),
        INITIAL_EPOCH => sessions.start(session, context.connection.id, &wanted),
        epoch => {
            let forgotten = request.forgotten_topics_data.iter();
            let forgotten: Vec<TopicIdPartition> = forgotten
                .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, *partition)))
                .collect();
            sessions.resume(session, epoch, &wanted, &forgotten)
        }
    }
}

fn acknowledge(
    broker: &Arc<Broker>,
    context: &RequestContext,
    session: &SessionKey,
    request: &ShareFetchRequest,
) -> Vec<(TopicIdPartition, crate::share_partitions::Stored)> {
    let rules = SayRules { knows_renewals: context.version >= 2, announces_renewals: request.is_renew_ack };
    let said = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let said = partition.acknowledgement_batches.iter().map(|batch| Said {
                first_offset: batch.first_offset,
                last_offset: batch.last_offset,
                types: &batch.acknowledge_types,
            });
            ((topic.topic_id, partition.partition_index), said.collect())
        })
    });
    acknowledgements::acknowledge(broker, session, said, rules)
}

type Refused = Vec<(TopicIdPartition, ErrorCode)>;

/// Those of the partitions that exist, and what is to be said of the others.
fn fetchable(broker: &Broker, wanted: &[TopicIdPartition]) -> (Vec<TopicIdPartition>, Refused) {
    let image = broker.image();
    let (mut found, mut refused) = (Vec::with_capacity(wanted.len()), Vec::new());
    for partition in wanted {
        match image.topic_by_id(partition.0) {
            None => refused.push((*partition, ErrorCode::UnknownTopicId)),
            Some(topic) if topic.partition(partition.1).is_none() => {
                refused.push((*partition, ErrorCode::UnknownTopicOrPartition));
            }
            Some(_) => found.push(*partition),
        }
    }
    (found, refused)
}

/// Members that find no free session come again soon: they are held up meanwhile.
fn refuse_later(broker: &Arc<Broker>, context: RequestContext, max_wait_ms: i32) -> Handled {
    let broker = Arc::clone(broker);
    Handled::Later(Box::pin(async move {
        broker.timers().deadline(broker.monotonic_ms() + i64::from(max_wait_ms)).await;
        match finish(&context, &failed(ErrorCode::ShareSessionLimitReached), Vec::new()) {
            Handled::Now(response) => Some(response),
            _ => None,
        }
    }))
}

fn failed(code: ErrorCode) -> ShareFetchResponse {
    ShareFetchResponse { error_code: code.code(), ..Default::default() }
}

impl Answering {
    fn answer(self, seen: Look, outcomes: Vec<PartitionOutcome>) -> Handled {
        let shares = self.broker.share_partitions();
        if self.epoch == FINAL_EPOCH {
            shares.release_session(&self.broker, &self.session);
        }
        if self.incremental && !shares.sessions().is_at(&self.session, self.epoch) {
            return finish(&self.context, &failed(ErrorCode::InvalidShareSessionEpoch), Vec::new());
        }
        let mut responses = Responses::default();
        for ((topic_id, partition_index), code) in &self.refused {
            self.put(&mut responses, (*topic_id, *partition_index), Err(*code));
        }
        for Fetched { partition, outcome } in seen.fetched {
            self.put(&mut responses, partition, outcome.map_err(|refusal| refusal.code));
        }
        for (partition, outcome) in outcomes {
            let data = responses.partition(partition);
            if let Err(refusal) = outcome {
                data.acknowledge_error_code = refusal.code.code();
                data.acknowledge_error_message = Some(refusal.message);
            }
        }
        let lock_duration_ms = settings::of(&self.broker, &self.session.group_id).partition.lock_duration_ms;
        let response = ShareFetchResponse {
            acquisition_lock_timeout_ms: i32::try_from(lock_duration_ms).unwrap_or(i32::MAX),
            responses: responses.topics,
            node_endpoints: self.endpoints(responses.names_leader),
            ..Default::default()
        };
        finish(&self.context, &response, responses.files)
    }

    /// Names a partition in the response, if it has news.
    fn put(
        &self,
        responses: &mut Responses,
        partition: TopicIdPartition,
        outcome: Result<Option<fetch::Records>, ErrorCode>,
    ) {
        let news = News { has_records: matches!(outcome, Ok(Some(_))), has_error: outcome.is_err() };
        let tells = self.broker.share_partitions().sessions().tells(&self.session, partition, news);
        if self.incremental && !tells {
            return;
        }
        match outcome {
            Ok(None) => drop(responses.partition(partition)),
            Ok(Some(records)) => {
                let id = u32::try_from(responses.files.len()).unwrap_or(u32::MAX);
                let data = responses.partition(partition);
                data.records = Records::External { id, len: records.slice.len };
                data.acquired_records = records.ranges.iter().map(acquired).collect();
                responses.files.push(records.slice);
            }
            Err(code) => {
                let data = responses.partition(partition);
                data.error_code = code.code();
                if code == ErrorCode::NotLeaderOrFollower {
                    let image = self.broker.image();
                    let topic = image.topic_by_id(partition.0);
                    let registration = topic.and_then(|topic| topic.partition(partition.1));
                    let leader = registration.map_or((-1, -1), |found| (found.leader, found.leader_epoch));
                    (data.current_leader.leader_id, data.current_leader.leader_epoch) = leader;
                    responses.names_leader = true;
                }
            }
        }
    }

    fn endpoints(&self, wanted: bool) -> Vec<NodeEndpoint> {
        let image = self.broker.image();
        let nodes = image.brokers().filter(|broker| wanted && !broker.fenced);
        let endpoints = nodes.filter_map(|broker| {
            let endpoint = broker.endpoint(&self.context.connection.listener)?;
            let (host, port) = (endpoint.host.clone(), i32::from(endpoint.port));
            Some(NodeEndpoint { node_id: broker.id, host, port, rack: broker.rack.clone(), ..Default::default() })
        });
        endpoints.collect()
    }
}

fn acquired(range: &crate::share_partition::AcquiredRange) -> AcquiredRecords {
    AcquiredRecords {
        first_offset: range.first_offset,
        last_offset: range.last_offset,
        delivery_count: range.delivery_count,
        ..Default::default()
    }
}

/// What a response says of its partitions, by topic.
#[derive(Default)]
struct Responses {
    topics: Vec<ShareFetchableTopicResponse>,
    files: Vec<FileSlice>,
    names_leader: bool,
}

impl Responses {
    fn partition(&mut self, (topic_id, partition_index): TopicIdPartition) -> &mut PartitionData {
        let at = match self.topics.iter().position(|topic| topic.topic_id == topic_id) {
            Some(at) => at,
            None => {
                self.topics.push(ShareFetchableTopicResponse { topic_id, ..Default::default() });
                self.topics.len() - 1
            }
        };
        let partitions = &mut self.topics[at].partitions;
        let at = match partitions.iter().position(|data| data.partition_index == partition_index) {
            Some(at) => at,
            None => {
                partitions.push(PartitionData {
                    partition_index,
                    records: Records::Bytes(Bytes::new()),
                    ..Default::default()
                });
                partitions.len() - 1
            }
        };
        &mut partitions[at]
    }
}

fn finish(context: &RequestContext, response: &ShareFetchResponse, files: Vec<FileSlice>) -> Handled {
    match encode_response(context.api, context.version, context.correlation_id, response) {
        Ok(frame) => Handled::Now(Response { frame, files, mute_ms: mute_ms(response) }),
        Err(source) => {
            error!(%source, "could not write a share fetch response");
            Handled::Close(CloseReason::Encode { api: context.api, version: context.version, source })
        }
    }
}
