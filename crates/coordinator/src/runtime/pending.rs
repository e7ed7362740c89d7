//! Writes in flight: records that were given to the shell, and what is to happen once they are committed or refused.
//! Nothing that they say is visible before that, so a client never sees what a crash could undo.

use std::collections::VecDeque;

use protocol::EncodeError;
use tracing::warn;

use super::effects::{CoordinatorRecord, Effects, ReplyToken, TransactionalProducer, Write, WriteId};

/// A write in flight. `C` is what is to happen once it is complete, `R` answers whoever waits for it.
#[derive(Debug)]
pub(crate) struct PendingWrite<C, R> {
    id: WriteId,
    pub(crate) completion: C,
    /// Who waits for it.
    pub(crate) replies: Vec<(ReplyToken, R)>,
}

/// All writes in flight, oldest first.
#[derive(Debug)]
pub(crate) struct PendingWrites<C, R> {
    last_id: u64,
    queue: VecDeque<PendingWrite<C, R>>,
    /// Writes whose records could not be encoded, and so were never given out.
    unwritable: Vec<WriteId>,
}

impl<C, R> Default for PendingWrites<C, R> {
    fn default() -> Self {
        Self { last_id: 0, queue: VecDeque::new(), unwritable: Vec::new() }
    }
}

impl<C, R> PendingWrites<C, R> {
    /// Gives records to the shell.
    pub(crate) fn start<A>(
        &mut self,
        records: Result<Vec<CoordinatorRecord>, EncodeError>,
        completion: C,
        out: &mut Effects<R, A>,
    ) -> WriteId {
        self.start_as(None, records, completion, out)
    }

    /// Gives records to the shell that are part of a producer's transaction.
    pub(crate) fn start_as<A>(
        &mut self,
        producer: Option<TransactionalProducer>,
        records: Result<Vec<CoordinatorRecord>, EncodeError>,
        completion: C,
        out: &mut Effects<R, A>,
    ) -> WriteId {
        self.last_id += 1;
        let id = WriteId(self.last_id);
        match records {
            Ok(records) => out.writes.push(Write { id, records, producer }),
            Err(error) => {
                warn!(%error, "could not encode a coordinator record");
                self.unwritable.push(id);
            }
        }
        self.queue.push_back(PendingWrite { id, completion, replies: Vec::new() });
        id
    }

    /// Lets an answer wait for a write.
    pub(crate) fn reply_after(&mut self, id: WriteId, token: ReplyToken, response: R) {
        if let Some(write) = self.queue.iter_mut().rev().find(|write| write.id == id) {
            write.replies.push((token, response));
        }
    }

    /// Lets an answer wait for all writes in flight. Gives it back if there are none.
    pub(crate) fn reply_after_last(&mut self, token: ReplyToken, response: R) -> Result<(), R> {
        match self.queue.back_mut() {
            Some(write) => write.replies.push((token, response)),
            None => return Err(response),
        }
        Ok(())
    }

    /// Takes a write out.
    pub(crate) fn take(&mut self, id: WriteId) -> Option<PendingWrite<C, R>> {
        let at = self.queue.iter().position(|write| write.id == id)?;
        self.queue.remove(at)
    }

    /// Takes the oldest write out.
    pub(crate) fn take_any(&mut self) -> Option<PendingWrite<C, R>> {
        self.queue.pop_front()
    }

    /// What the writes in flight are for, oldest first.
    pub(crate) fn completions(&self) -> impl Iterator<Item = &C> {
        self.queue.iter().map(|write| &write.completion)
    }

    /// The next write that failed before it was given out.
    pub(crate) fn next_unwritable(&mut self) -> Option<WriteId> {
        self.unwritable.pop()
    }
}
