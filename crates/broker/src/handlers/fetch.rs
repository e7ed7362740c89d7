//! Fetch: bounds each partition's range by its published view and answers with file ranges; waits below `min.bytes`.

use std::sync::Arc;

use bytes::Bytes;
use protocol::frame::encode_response;
use protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchResponse, FetchableTopicResponse, PartitionData,
};
use protocol::{DecodeError, ErrorCode, Message, Reader, Records};
use storage::{FileSlice, LogView, ReadError};

use crate::Broker;
use crate::dispatch::{CloseReason, Handled, RequestContext, Response, mute_ms};
use crate::fetch_session::{FetchContext, FetchEntry, FetchKey, MAX_PARTITIONS, SessionRequest};
use crate::partition::Partition;
use crate::purgatory::Waiter;
use crate::quotas::QuotaKind;

/// What a decoded request may occupy: enough for those that are not refused.
const DECODE_BUDGET: usize = 2 * MAX_PARTITIONS * size_of::<FetchPartition>();

/// The bounds of a request.
#[derive(Debug, Clone, Copy)]
struct Limits {
    max_wait_ms: i64,
    min_bytes: u64,
    max_bytes: u64,
    committed: bool,
    by_id: bool,
}

/// What one look at a partition gave. Whoever asks for many partitions that do not exist gets small answers.
type Answer = Result<Box<(PartitionData, Option<FileSlice>)>, ErrorCode>;

/// What one look at the partitions gave.
#[derive(Default)]
struct Look {
    answers: Vec<(FetchKey, Answer)>,
    bytes: u64,
    /// An error or a diverging epoch: the client must hear of it at once.
    urgent: bool,
}

pub(crate) fn handle_frame(broker: &Arc<Broker>, context: RequestContext, reader: Reader) -> Handled {
    let mut reader = reader.with_budget(DECODE_BUDGET);
    let request = match FetchRequest::decode(&mut reader, context.version) {
        Ok(request) => request,
        Err(DecodeError::TooManyElements(_)) => return refuse(&context, ErrorCode::InvalidRequest),
        Err(source) => {
            return Handled::Close(CloseReason::Decode { api: context.api, version: context.version, source });
        }
    };
    drop(reader);
    let by_id = context.version >= 13;
    let session = broker.fetch_sessions().resolve(
        &SessionRequest {
            id: request.session_id,
            epoch: request.session_epoch,
            topics: &request.topics,
            forgotten: &request.forgotten_topics_data,
            uses_topic_ids: by_id,
        },
        broker.monotonic_ms(),
        || broker.random_i32(),
    );
    let session = match session {
        Ok(session) => session,
        Err(code) => return refuse(&context, code),
    };
    let limits = Limits {
        max_wait_ms: i64::from(request.max_wait_ms),
        min_bytes: u64::try_from(request.min_bytes).unwrap_or(0),
        max_bytes: u64::try_from(request.max_bytes.min(broker.config().fetch_max_bytes()))
            .unwrap_or(0)
            .min(broker.quotas().max_fetch_bytes(&context.client_id)),
        committed: request.isolation_level == 1,
        by_id,
    };
    // The session holds what was asked for; a request of many partitions is not held twice.
    drop(request);
    let seen = look(broker, &session, &limits);
    if limits.max_wait_ms <= 0 || seen.urgent || seen.bytes >= limits.min_bytes || seen.answers.is_empty() {
        return answer(broker, &context, &session, seen);
    }
    let broker = Arc::clone(broker);
    Handled::Later(Box::pin(async move {
        let seen = wait(&broker, &session, &limits).await;
        match answer(&broker, &context, &session, seen) {
            Handled::Now(response) => Some(response),
            _ => None,
        }
    }))
}

/// Refuses the request as a whole. Before version 7 there is no place for an error that concerns no single partition.
fn refuse(context: &RequestContext, code: ErrorCode) -> Handled {
    if context.version < 7 {
        return Handled::Close(CloseReason::Handler);
    }
    let response = FetchResponse { error_code: code.code(), ..Default::default() };
    finish(context, &response, Vec::new())
}

async fn wait(broker: &Arc<Broker>, session: &FetchContext, limits: &Limits) -> Look {
    let mut deadline = broker.timers().deadline(broker.monotonic_ms() + limits.max_wait_ms);
    let waiter = Waiter::default();
    loop {
        for partition in watched(broker, session, limits) {
            waiter.watch(partition.watchers());
        }
        let seen = look(broker, session, limits);
        if seen.urgent || seen.bytes >= limits.min_bytes {
            return seen;
        }
        let timed_out = waiter.wait(&mut deadline).await;
        if timed_out {
            return look(broker, session, limits);
        }
    }
}

fn watched(broker: &Broker, session: &FetchContext, limits: &Limits) -> Vec<Arc<Partition>> {
    session.session.lock().partitions.iter().filter_map(|(key, _)| find(broker, key, limits).ok()).collect()
}

fn find(broker: &Broker, key: &FetchKey, limits: &Limits) -> Result<Arc<Partition>, ErrorCode> {
    if !limits.by_id {
        return broker.partitions().get(&key.topic, key.partition).ok_or(ErrorCode::UnknownTopicOrPartition);
    }
    broker.partitions().get_by_id(key.topic_id, key.partition).ok_or_else(|| {
        let known = broker.partitions().name(key.topic_id).is_some();
        if known { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::UnknownTopicId }
    })
}

fn look(broker: &Broker, session: &FetchContext, limits: &Limits) -> Look {
    let mut seen = Look::default();
    let session = session.session.lock();
    for (key, entry) in session.partitions.iter() {
        let left = limits.max_bytes.saturating_sub(seen.bytes);
        let read =
            find(broker, key, limits).and_then(|partition| read(&partition, entry, limits, left, seen.bytes == 0));
        seen.urgent |= read.as_ref().map_or(true, |(data, _)| data.diverging_epoch != EpochEndOffset::default());
        if let Ok((_, Some(slice))) = &read {
            seen.bytes += u64::from(slice.len);
        }
        seen.answers.push((key.clone(), read.map(Box::new)));
    }
    seen
}

fn refused(code: ErrorCode) -> PartitionData {
    PartitionData {
        error_code: code.code(),
        high_watermark: -1,
        records: Records::Bytes(Bytes::new()),
        ..Default::default()
    }
}

fn read(
    partition: &Partition,
    entry: &FetchEntry,
    limits: &Limits,
    left: u64,
    first: bool,
) -> Result<(PartitionData, Option<FileSlice>), ErrorCode> {
    if partition.is_gone() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    partition.check_leader_epoch(entry.current_leader_epoch)?;
    let view = partition.view();
    let mut data = PartitionData {
        high_watermark: view.high_watermark,
        last_stable_offset: view.last_stable_offset,
        log_start_offset: view.log_start_offset,
        records: Records::Bytes(Bytes::new()),
        ..Default::default()
    };
    if let Some(diverging) = diverging_epoch(partition, entry) {
        data.diverging_epoch = diverging;
        return Ok((data, None));
    }
    let bound = if limits.committed { view.last_stable_offset } else { view.high_watermark };
    let max_bytes = left.min(u64::try_from(entry.max_bytes).unwrap_or(0));
    let max_bytes = u32::try_from(max_bytes).unwrap_or(u32::MAX);
    let slice = match view.read(entry.fetch_offset, max_bytes, bound, first) {
        Ok(slice) => slice.filter(|slice| slice.len > 0),
        Err(ReadError::OffsetOutOfRange { .. }) => return Err(ErrorCode::OffsetOutOfRange),
        Err(error) => return Err(error.code()),
    };
    if limits.committed {
        data.aborted_transactions = Some(aborted(&view, entry.fetch_offset, slice.as_ref(), bound)?);
    }
    Ok((data, slice))
}

/// The aborted transactions that the client may meet in `slice`.
fn aborted(
    view: &LogView,
    from: i64,
    slice: Option<&FileSlice>,
    bound: i64,
) -> Result<Vec<AbortedTransaction>, ErrorCode> {
    let Some(slice) = slice else { return Ok(Vec::new()) };
    let bound = bound.min(view.offset_above(slice));
    let aborted = view.aborted_transactions(from, bound).map_err(|error| error.code())?;
    let entry = |txn: &storage::AbortedTxn| AbortedTransaction {
        producer_id: txn.producer_id,
        first_offset: txn.first_offset,
        ..Default::default()
    };
    Ok(aborted.iter().map(entry).collect())
}

/// Where the fetcher's log and ours part, if they do (KIP-595).
fn diverging_epoch(partition: &Partition, entry: &FetchEntry) -> Option<EpochEndOffset> {
    if entry.last_fetched_epoch < 0 || entry.last_fetched_epoch == partition.leader_epoch() {
        return None;
    }
    let (epoch, end_offset) = partition.log().end_offset_for_epoch(entry.last_fetched_epoch)?;
    let diverges = epoch < entry.last_fetched_epoch || end_offset < entry.fetch_offset;
    diverges.then(|| EpochEndOffset { epoch, end_offset, ..Default::default() })
}

/// About what a response takes besides its records: for itself, and for each partition.
const RESPONSE_BYTES: u64 = 24;
const PARTITION_BYTES: u64 = 48;

/// Counts what a client is about to get; for how many milliseconds it is to be throttled. Then it gets nothing yet.
fn throttle_ms(broker: &Broker, context: &RequestContext, seen: &Look) -> i32 {
    let time_ms = broker.time_throttle_ms(context);
    if !broker.quotas().is_enabled(QuotaKind::Fetch) {
        return time_ms;
    }
    let bytes = (RESPONSE_BYTES + PARTITION_BYTES * seen.answers.len() as u64 + seen.bytes) as f64;
    let now_ms = broker.monotonic_ms();
    let over = broker.quotas().record(QuotaKind::Fetch, &context.client_id, bytes, now_ms);
    let throttle_ms = time_ms.max(i32::try_from(over).unwrap_or(i32::MAX));
    if throttle_ms > 0 {
        broker.quotas().unrecord(QuotaKind::Fetch, &context.client_id, bytes, now_ms);
    }
    throttle_ms
}

/// The answer to a client that fetches too fast: nothing, and in a new session not even that.
fn throttled(broker: &Broker, context: &RequestContext, session: &FetchContext, throttle_time_ms: i32) -> Handled {
    let session_id = if session.incremental { session.session_id } else { 0 };
    if session_id != session.session_id {
        broker.fetch_sessions().forget(session.session_id);
    }
    finish(context, &FetchResponse { session_id, throttle_time_ms, ..Default::default() }, Vec::new())
}

fn answer(broker: &Broker, context: &RequestContext, session: &FetchContext, seen: Look) -> Handled {
    let throttle_ms = throttle_ms(broker, context, &seen);
    if throttle_ms > 0 {
        return throttled(broker, context, session, throttle_ms);
    }
    let mut files = Vec::new();
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let mut told = session.session.lock();
    for (key, answer) in seen.answers {
        let (mut data, slice) = answer.map_or_else(|code| (refused(code), None), |read| *read);
        data.partition_index = key.partition;
        let news = slice.is_some() || data.error_code != 0 || data.diverging_epoch != EpochEndOffset::default();
        let changed = told.partitions.entry(&key).is_none_or(|entry| {
            entry.high_watermark != data.high_watermark || entry.log_start_offset != data.log_start_offset
        });
        if session.incremental && !news && !changed {
            continue;
        }
        if session.session_id != 0 {
            told.partitions.told(&key, data.high_watermark, data.log_start_offset, slice.is_some());
        }
        if let Some(slice) = slice {
            let id = u32::try_from(files.len()).unwrap_or(u32::MAX);
            data.records = Records::External { id, len: slice.len };
            files.push(slice);
        }
        match responses.last_mut() {
            Some(last) if *last.topic == *key.topic && last.topic_id == key.topic_id => last.partitions.push(data),
            _ => responses.push(FetchableTopicResponse {
                topic: key.topic.to_string(),
                topic_id: key.topic_id,
                partitions: vec![data],
                ..Default::default()
            }),
        }
    }
    drop(told);
    let response = FetchResponse { session_id: session.session_id, responses, ..Default::default() };
    finish(context, &response, files)
}

fn finish(context: &RequestContext, response: &FetchResponse, files: Vec<FileSlice>) -> Handled {
    match encode_response(context.api, context.version, context.correlation_id, response) {
        Ok(frame) => Handled::Now(Response { frame, files, mute_ms: mute_ms(response) }),
        Err(source) => Handled::Close(CloseReason::Encode { api: context.api, version: context.version, source }),
    }
}
