//! DescribeTransactions: transactional ids in full (KIP-664).

use std::sync::Arc;

use protocol::messages::DescribeTransactionsRequest;
use protocol::messages::describe_transactions_response::{DescribeTransactionsResponse, TransactionState};

use crate::Broker;
use crate::dispatch::{Reply, RequestContext};

pub(crate) fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext,
    request: DescribeTransactionsRequest,
) -> Reply<DescribeTransactionsResponse> {
    let described = request.transactional_ids.iter().map(|id| {
        let described = broker.transactions().look(broker, id, |shard| shard.describe_transaction(id));
        described.unwrap_or_else(|code| TransactionState {
            transactional_id: id.clone(),
            error_code: code.code(),
            ..Default::default()
        })
    });
    Reply::Now(DescribeTransactionsResponse { transaction_states: described.collect(), ..Default::default() })
}
