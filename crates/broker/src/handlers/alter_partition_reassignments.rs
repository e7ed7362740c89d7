//! AlterPartitionReassignments: moves partitions between brokers, or stops that (KIP-455).

use std::sync::Arc;

use protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _: &RequestContext,
    request: AlterPartitionReassignmentsRequest,
) -> Reply<AlterPartitionReassignmentsResponse> {
    let done = broker.blocking(move |broker| {
        let done = broker.quorum().submit(broker, |controller, _| controller.alter_partition_reassignments(&request));
        done.unwrap_or_else(|refusal| AlterPartitionReassignmentsResponse {
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            ..Default::default()
        })
    });
    Reply::Later(Box::pin(async move { done.await.unwrap_or_default() }))
}
