//! AddPartitionsToTxn and AddOffsetsToTxn: a transaction is about to write to partitions; and the question whether it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::types::TimestampMs;
use protocol::{ErrorCode, TopicPartition};

use super::shard::TransactionShard;
use super::state::TransactionState;
use super::{Producer, TransactionEffects, TransactionResponse};
use crate::runtime::effects::ReplyToken;

impl TransactionShard {
    /// Adds partitions to a producer's transaction, which begins with the first.
    pub fn add_partitions(
        &mut self,
        now_ms: TimestampMs,
        (transactional_id, producer): (&str, Producer),
        (partitions, client_version): (&BTreeSet<TopicPartition>, i16),
        token: ReplyToken,
        out: &mut TransactionEffects,
    ) {
        let next = self.member(transactional_id).and_then(|(id, entry)| {
            let current = &entry.current;
            if entry.is_changing {
                return Err(ErrorCode::ConcurrentTransactions);
            }
            check_producer(current.producer(), producer)?;
            if current.state.prepared().is_some() {
                return Err(ErrorCode::ConcurrentTransactions);
            }
            let known = current.state == TransactionState::Ongoing && current.partitions.is_superset(partitions);
            Ok((Arc::clone(id), (!known).then(|| current.add(partitions, client_version, now_ms))))
        });
        match next {
            Err(code) => out.reply(token, TransactionResponse::Refused(code)),
            Ok((_, None)) => out.reply(token, TransactionResponse::Done(None)),
            Ok((id, Some(next))) => self.write(&id, next, Some((token, TransactionResponse::Done(None))), out),
        }
        self.settle(now_ms, out);
    }

    /// Whether a producer's transaction has these partitions, for each of them.
    /// # Errors
    /// If it is not the producer's, or ending.
    pub fn verify_partitions<'a>(
        &self,
        transactional_id: &str,
        producer: Producer,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> Result<Vec<(&'a TopicPartition, ErrorCode)>, ErrorCode> {
        let (_, entry) = self.member(transactional_id)?;
        check_producer(entry.current.producer(), producer)?;
        if entry.current.state.prepared().is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let code = |partition| match entry.current.partitions.contains(partition) {
            true => ErrorCode::None,
            false => ErrorCode::TransactionAbortable,
        };
        Ok(partitions.iter().map(|partition| (partition, code(partition))).collect())
    }

    fn member(&self, transactional_id: &str) -> Result<(&Arc<str>, &super::shard::Entry), ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        self.entries.get_key_value(transactional_id).ok_or(ErrorCode::InvalidProducerIdMapping)
    }
}

fn check_producer(current: Producer, claimed: Producer) -> Result<(), ErrorCode> {
    if current.id != claimed.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if current.epoch != claimed.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    Ok(())
}
