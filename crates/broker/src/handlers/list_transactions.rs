//! ListTransactions: the transactional ids of all coordinators of this broker (KIP-664).

use std::sync::Arc;

use coordinator::TransactionState;
use protocol::ErrorCode;
use protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use regex::Regex;

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: ListTransactionsRequest,
) -> Reply<ListTransactionsResponse> {
    let refused =
        |code: ErrorCode| Reply::Now(ListTransactionsResponse { error_code: code.code(), ..Default::default() });
    let pattern = request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
    let pattern = match pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})$"))).transpose() {
        Ok(pattern) => pattern,
        Err(_) => return refused(ErrorCode::InvalidRegularExpression),
    };
    let now_ms = broker.coordinators().now_ms(broker);
    let matches = |id: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(id));
    let listed = broker.transactions().look_at_all(broker, |shard| shard.list_transactions(now_ms, &request, matches));
    match listed {
        Err(code) => refused(code),
        Ok(listed) => {
            let unknown = request.state_filters.iter().filter(|name| !TransactionState::is_name(name));
            Reply::Now(ListTransactionsResponse {
                unknown_state_filters: unknown.cloned().collect(),
                transaction_states: listed.into_iter().flatten().collect(),
                ..Default::default()
            })
        }
    }
}
