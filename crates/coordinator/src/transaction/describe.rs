//! ListTransactions and DescribeTransactions (KIP-664).

use std::collections::BTreeMap;

use protocol::ErrorCode;
use protocol::messages::ListTransactionsRequest;
use protocol::messages::describe_transactions_response::{TopicData, TransactionState as Described};
use protocol::messages::list_transactions_response::TransactionState as Listed;
use protocol::types::TimestampMs;

use super::shard::TransactionShard;

impl TransactionShard {
    /// The transactional ids that the filters of a request let through, and whose id `matches`.
    #[must_use]
    pub fn list_transactions(
        &self,
        now_ms: TimestampMs,
        request: &ListTransactionsRequest,
        matches: impl Fn(&str) -> bool,
    ) -> Vec<Listed> {
        let wanted = self.entries.iter().filter(|(id, entry)| {
            let current = &entry.current;
            let of_producer =
                request.producer_id_filters.is_empty() || request.producer_id_filters.contains(&current.producer_id);
            let in_state = request.state_filters.is_empty()
                || request.state_filters.iter().any(|state| state == current.state.name());
            let long_enough = request.duration_filter < 0 || now_ms - current.start_ms > request.duration_filter;
            of_producer && in_state && long_enough && matches(id)
        });
        let mut listed: Vec<Listed> = wanted
            .map(|(id, entry)| Listed {
                transactional_id: id.to_string(),
                producer_id: entry.current.producer_id,
                transaction_state: entry.current.state.name().to_owned(),
                ..Default::default()
            })
            .collect();
        listed.sort_unstable_by(|one, other| one.transactional_id.cmp(&other.transactional_id));
        listed
    }

    /// One transactional id in full.
    #[must_use]
    pub fn describe_transaction(&self, transactional_id: &str) -> Described {
        let mut described = Described { transactional_id: transactional_id.to_owned(), ..Default::default() };
        if transactional_id.is_empty() {
            described.error_code = ErrorCode::InvalidRequest.code();
            return described;
        }
        let Some(entry) = self.entries.get(transactional_id) else {
            described.error_code = ErrorCode::TransactionalIdNotFound.code();
            return described;
        };
        let current = &entry.current;
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for partition in &current.partitions {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        let topics = topics.into_iter();
        described.topics = topics
            .map(|(topic, partitions)| TopicData { topic: topic.to_owned(), partitions, ..Default::default() })
            .collect();
        described.producer_id = current.producer_id;
        described.producer_epoch = current.epoch;
        described.transaction_state = current.state.name().to_owned();
        described.transaction_timeout_ms = current.timeout_ms;
        described.transaction_start_time_ms = current.start_ms;
        described
    }
}
