//! What comes out of a coordinator: replies to send, records to append, and what else is to be done.

use std::convert::Infallible;
use std::num::NonZeroU64;

use bytes::Bytes;
use protocol::types::{ProducerEpoch, ProducerId};

/// Names one request that waits for its answer. Every token given to a coordinator is answered exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyToken(pub u64);

/// One record of an internal topic. No value means a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorRecord {
    /// Record type and key.
    pub key: Bytes,
    /// Version and value.
    pub value: Option<Bytes>,
}

/// Names a [`Write`] until it is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId(pub(crate) u64);

/// The transactional producer in whose name records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionalProducer {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// What the log gave out when the transaction coordinator was asked whether it knows of the transaction (KIP-890).
    pub guard: Option<NonZeroU64>,
}

/// Records to append to the coordinator's partition as one batch. Once they are committed, or could not be, the shell calls
/// [`StateMachine::complete_write`](crate::StateMachine::complete_write).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What to name when it is completed.
    pub id: WriteId,
    /// Never empty.
    pub records: Vec<CoordinatorRecord>,
    /// The records are part of this producer's transaction.
    pub producer: Option<TransactionalProducer>,
}

/// What a call wants done.
#[derive(Debug)]
pub struct Effects<R, A = Infallible> {
    /// To send now, in any order.
    pub replies: Vec<(ReplyToken, R)>,
    /// To append, in this order.
    pub writes: Vec<Write>,
    /// To do once the replies are sent, in this order.
    pub actions: Vec<A>,
    /// The state is ahead of its log, because a write was refused: unload the coordinator and read its log again.
    pub reload: bool,
}

impl<R, A> Default for Effects<R, A> {
    fn default() -> Self {
        Self { replies: Vec::new(), writes: Vec::new(), actions: Vec::new(), reload: false }
    }
}

impl<R, A> Effects<R, A> {
    pub(crate) fn reply(&mut self, token: ReplyToken, response: R) {
        self.replies.push((token, response));
    }
}
