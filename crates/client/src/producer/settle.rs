//! Carries the outcome of a Produce request to its batches: acknowledged, queued again, or given up.

use std::sync::Arc;

use protocol::ErrorCode;
use protocol::messages::ProduceResponse;
use tokio::time::Instant;

use super::batches::PartitionQueue;
use super::request::{QueuedBatch, Results};
use super::shared::Shared;
use crate::{ClientError, ClusterMetadata};

/// Settles what a response says of each batch.
pub(super) fn settle(
    shared: &Arc<Shared>,
    cluster: &ClusterMetadata,
    batches: Vec<QueuedBatch>,
    response: Result<ProduceResponse, ClientError>,
) {
    match response {
        Err(error) => settle_failure(shared, batches, &error),
        Ok(response) => {
            let mut results = Results::new(response, cluster);
            for (queue, batch) in batches {
                match results.take(&queue) {
                    Ok(written) => {
                        queue.acknowledged(&batch);
                        shared.complete(&batch, Ok(written));
                    }
                    Err(error) => settle_failure(shared, vec![(queue, batch)], &error),
                }
            }
        }
    }
    shared.wake.notify_one();
}

/// Settles batches that all failed alike.
pub(super) fn settle_failure(shared: &Arc<Shared>, batches: Vec<QueuedBatch>, error: &ClientError) {
    if needs_metadata(error.code()) {
        shared.refresh_wanted.store(true, std::sync::atomic::Ordering::Release);
    }
    let config = shared.client.config();
    let now = Instant::now();
    for (queue, batch) in batches {
        let id = batch.id;
        let batch = match error.code() {
            ErrorCode::MessageTooLarge => match queue.split(batch) {
                None => {
                    shared.note_split(id);
                    reschedule(shared, &queue);
                    continue;
                }
                Some(single) => single,
            },
            _ => batch,
        };
        let pause = queue.pause(&batch, config.retry_backoff, config.retry_backoff_max);
        if let Some(given_up) = queue.failed(batch, error.clone(), now, pause) {
            shared.follow_up(given_up);
        }
        reschedule(shared, &queue);
    }
}

fn reschedule(shared: &Shared, queue: &Arc<PartitionQueue>) {
    if queue.schedule() {
        shared.schedule(queue);
    }
}

/// Whether the error says that the metadata is out of date.
fn needs_metadata(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::KafkaStorageError
            | ErrorCode::NetworkException
            | ErrorCode::RequestTimedOut
            | ErrorCode::BrokerNotAvailable
    )
}
