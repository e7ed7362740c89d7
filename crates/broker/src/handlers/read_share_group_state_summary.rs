//! ReadShareGroupStateSummary: what is known of share-partitions, in short.

use std::sync::Arc;

use protocol::messages::{ReadShareGroupStateSummaryRequest, ReadShareGroupStateSummaryResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::share_state;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: ReadShareGroupStateSummaryRequest,
) -> Reply<ReadShareGroupStateSummaryResponse> {
    share_state::reply(broker, &request)
}
