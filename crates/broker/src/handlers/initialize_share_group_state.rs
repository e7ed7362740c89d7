//! InitializeShareGroupState: sets the state of share-partitions anew.

use std::sync::Arc;

use protocol::messages::{InitializeShareGroupStateRequest, InitializeShareGroupStateResponse};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};
use crate::share_state;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: InitializeShareGroupStateRequest,
) -> Reply<InitializeShareGroupStateResponse> {
    share_state::reply(broker, &request)
}
