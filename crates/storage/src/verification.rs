//! Which producers are being asked about at the transaction coordinator before the first batch of a transaction may be
//! appended (KIP-890): a batch must come with the guard that was given out when the question was asked, and the end of a
//! transaction voids it. So no answer of before an end lets a batch in after it.

use std::collections::HashMap;
use std::num::NonZeroU64;

use protocol::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Names one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationGuard(NonZeroU64);

impl VerificationGuard {
    /// The guard as a number, for those who do not know of logs.
    #[must_use]
    pub fn number(self) -> NonZeroU64 {
        self.0
    }

    /// The guard of a number.
    #[must_use]
    pub fn from_number(number: NonZeroU64) -> Self {
        Self(number)
    }
}

#[derive(Debug)]
pub(crate) struct Verification {
    pub(crate) guard: VerificationGuard,
    epoch: ProducerEpoch,
    /// A later batch must not overtake the one that is asked about.
    pub(crate) lowest_sequence: Sequence,
    /// The producer's epoch rises with every transaction, so it starts at sequence 0.
    pub(crate) bumps_epoch: bool,
    started_ms: TimestampMs,
}

/// All questions of one log.
#[derive(Debug, Default)]
pub(crate) struct Verifications {
    last_guard: u64,
    by_producer: HashMap<ProducerId, Verification>,
}

impl Verifications {
    /// Takes note of a question. One that is open already keeps its guard.
    pub(crate) fn start(
        &mut self,
        now_ms: TimestampMs,
        (producer_id, epoch): (ProducerId, ProducerEpoch),
        sequence: Sequence,
        bumps_epoch: bool,
    ) -> VerificationGuard {
        let last_guard = &mut self.last_guard;
        let open = self.by_producer.entry(producer_id).or_insert_with(|| {
            *last_guard += 1;
            let guard = VerificationGuard(NonZeroU64::MIN.saturating_add(*last_guard));
            Verification { guard, epoch, lowest_sequence: sequence, bumps_epoch, started_ms: now_ms }
        });
        if epoch > open.epoch {
            (open.epoch, open.lowest_sequence) = (epoch, sequence);
        } else if epoch == open.epoch {
            open.lowest_sequence = open.lowest_sequence.min(sequence);
        }
        open.guard
    }

    pub(crate) fn get(&self, producer_id: ProducerId) -> Option<&Verification> {
        self.by_producer.get(&producer_id)
    }

    /// A transactional batch of the producer was appended.
    pub(crate) fn appended(&mut self, producer_id: ProducerId, epoch: ProducerEpoch, is_control: bool) {
        // The end of one transaction does not void the question that the next one has asked under the epoch that it raised.
        let is_next = |open: &Verification| is_control && open.bumps_epoch && open.epoch == epoch;
        if self.by_producer.get(&producer_id).is_some_and(|open| !is_next(open)) {
            self.by_producer.remove(&producer_id);
        }
    }

    /// Forgets questions that were never answered.
    pub(crate) fn expire(&mut self, before_ms: TimestampMs) {
        self.by_producer.retain(|_, open| open.started_ms >= before_ms);
    }

    pub(crate) fn clear(&mut self) {
        self.by_producer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_transaction_voids_questions_of_before_it() {
        let mut open = Verifications::default();
        let first = open.start(0, (1, 4), 7, true);
        assert_eq!(open.start(0, (1, 4), 5, true), first);
        assert_eq!(open.get(1).map(|open| open.lowest_sequence), Some(5));
        open.appended(1, 5, true);
        assert!(open.get(1).is_none());
        let second = open.start(0, (1, 5), 0, true);
        assert_ne!(second, first);
        open.appended(1, 5, true);
        assert_eq!(open.get(1).map(|open| open.guard), Some(second));
    }
}
