//! WriteShareGroupState: stores what the leader of a partition says of its share-partitions.

use std::sync::Arc;

use protocol::messages::{WriteShareGroupStateRequest, WriteShareGroupStateResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::share_state;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: WriteShareGroupStateRequest,
) -> Reply<WriteShareGroupStateResponse> {
    share_state::reply(broker, &request)
}
