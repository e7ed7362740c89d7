//! ListPartitionReassignments: which partitions are being moved between brokers.

use std::sync::Arc;

use protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _: &RequestContext,
    request: ListPartitionReassignmentsRequest,
) -> Reply<ListPartitionReassignmentsResponse> {
    let listed = broker.blocking(move |broker| {
        let listed =
            broker.quorum().submit(broker, |controller, _| Ok(controller.list_partition_reassignments(&request)));
        listed.unwrap_or_else(|refusal| ListPartitionReassignmentsResponse {
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            ..Default::default()
        })
    });
    Reply::Later(Box::pin(async move { listed.await.unwrap_or_default() }))
}
