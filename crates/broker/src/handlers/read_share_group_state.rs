//! ReadShareGroupState: what is known of share-partitions.

use std::sync::Arc;

use protocol::messages::{ReadShareGroupStateRequest, ReadShareGroupStateResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::share_state;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: ReadShareGroupStateRequest,
) -> Reply<ReadShareGroupStateResponse> {
    share_state::reply(broker, &request)
}
