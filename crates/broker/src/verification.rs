//! Before the first write of a transaction to a partition, its coordinator is asked whether it knows of it (KIP-890): so no
//! record is appended that no marker will end. Producers of level 2 of `transaction.version` have their partitions added that way.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::{Producer, TransactionResponse};
use protocol::{ErrorCode, TopicPartition};

use crate::Broker;
use crate::coordinators::Answer;

/// Whose write is to be verified.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) transactional_id: String,
    pub(crate) producer: Producer,
    /// The partitions are added to the transaction if it does not have them.
    pub(crate) adds: bool,
}

/// What the coordinator says.
pub(crate) enum Verified {
    /// This, for each partition that it was asked about.
    Now(Vec<(TopicPartition, ErrorCode)>),
    /// The same for all of them, once it is stored.
    Later(BTreeSet<TopicPartition>, Answer<TransactionResponse>),
}

impl Verified {
    /// The answer, when it is there.
    pub(crate) async fn wait(self) -> Vec<(TopicPartition, ErrorCode)> {
        match self {
            Self::Now(codes) => codes,
            Self::Later(partitions, answer) => {
                let code = code_of(answer.wait().await);
                partitions.into_iter().map(|partition| (partition, code)).collect()
            }
        }
    }
}

/// Asks the coordinator of the writer's transactional id about `partitions`.
pub(crate) fn verify(broker: &Arc<Broker>, writer: &Writer, partitions: BTreeSet<TopicPartition>) -> Verified {
    let id = &writer.transactional_id;
    let same = |partitions: BTreeSet<TopicPartition>, code: ErrorCode| {
        Verified::Now(partitions.into_iter().map(|partition| (partition, code)).collect())
    };
    if !writer.adds {
        let verified = broker.transactions().look(broker, id, |transactions| {
            let codes = transactions.verify_partitions(id, writer.producer, &partitions)?;
            Ok(codes.into_iter().map(|(partition, code)| (partition.clone(), code)).collect())
        });
        return match verified.and_then(|verified| verified) {
            Ok(codes) => Verified::Now(codes),
            Err(code) => same(partitions, code),
        };
    }
    let now_ms = broker.coordinators().now_ms(broker);
    let answer = broker.transactions().ask(broker, id, |transactions, token, out| {
        transactions.add_partitions(now_ms, (id, writer.producer), (&partitions, 2), token, out);
    });
    match answer {
        Answer::Now(response) => same(partitions, code_of(Ok(response))),
        Answer::Refused(code) => same(partitions, code),
        later @ Answer::Later(_) => Verified::Later(partitions, later),
    }
}

fn code_of(answer: Result<TransactionResponse, ErrorCode>) -> ErrorCode {
    match answer {
        Ok(TransactionResponse::Refused(code)) | Err(code) => code,
        Ok(_) => ErrorCode::None,
    }
}
