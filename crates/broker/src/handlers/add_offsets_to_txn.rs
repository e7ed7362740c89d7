//! AddOffsetsToTxn: a transaction is about to commit offsets of a group.

use std::collections::BTreeSet;
use std::sync::Arc;

use coordinator::{Producer, TransactionResponse};
use protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use protocol::{ErrorCode, TopicPartition};

use crate::Broker;
use crate::auto_create::CONSUMER_OFFSETS;
use crate::dispatch::{Reply, RequestContext};

/// From this version on a client knows that it is fenced.
const FIRST_VERSION_WITH_FENCING: i16 = 2;

pub(crate) fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: AddOffsetsToTxnRequest,
) -> Reply<AddOffsetsToTxnResponse> {
    let version = context.version;
    let partition = broker.groups().partition_of(&request.group_id);
    let partitions = BTreeSet::from([TopicPartition::new(CONSUMER_OFFSETS, partition)]);
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let now_ms = broker.coordinators().now_ms(broker);
    let answer = broker.transactions().ask(broker, &request.transactional_id, |transactions, token, out| {
        // Clients that speak level 2 of `transaction.version` do not send this.
        transactions.add_partitions(now_ms, (&request.transactional_id, producer), (&partitions, 0), token, out);
    });
    answer.reply(move |answer| {
        let code = match answer {
            Ok(TransactionResponse::Refused(ErrorCode::ProducerFenced)) if version < FIRST_VERSION_WITH_FENCING => {
                ErrorCode::InvalidProducerEpoch
            }
            Ok(TransactionResponse::Refused(code)) | Err(code) => code,
            Ok(_) => ErrorCode::None,
        };
        AddOffsetsToTxnResponse { error_code: code.code(), ..Default::default() }
    })
}
