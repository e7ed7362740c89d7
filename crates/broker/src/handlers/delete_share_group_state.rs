//! DeleteShareGroupState: forgets share-partitions.

use std::sync::Arc;

use protocol::messages::{DeleteShareGroupStateRequest, DeleteShareGroupStateResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::share_state;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: DeleteShareGroupStateRequest,
) -> Reply<DeleteShareGroupStateResponse> {
    share_state::reply(broker, &request)
}
