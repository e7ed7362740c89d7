//! What members say of the records that they have: done, again, never again, or not yet.
//! An acknowledgement counts as a whole: if a part of it is wrong, nothing of it happens.

use std::ops::Bound;

use coordinator::share::StateBatch;
use protocol::ErrorCode;
use protocol::types::{Offset, TimestampMs};

use super::in_flight::{InFlight, InFlightBatch};
use super::{Persist, RecordState, SharePartition, WriteId, push};

/// What is said of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcknowledgeType {
    /// There is no record at the offset.
    Gap,
    /// It is done.
    Accept,
    /// Somebody else may have it.
    Release,
    /// Nobody shall have it.
    Reject,
    /// It takes longer (KIP-1222).
    Renew,
}

impl AcknowledgeType {
    /// The type of a code.
    pub(crate) fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Gap),
            1 => Some(Self::Accept),
            2 => Some(Self::Release),
            3 => Some(Self::Reject),
            4 => Some(Self::Renew),
            _ => None,
        }
    }

    /// What becomes of the record; nothing new if it is renewed.
    fn state(self) -> Option<RecordState> {
        match self {
            Self::Gap | Self::Reject => Some(RecordState::Archived),
            Self::Accept => Some(RecordState::Acknowledged),
            Self::Release => Some(RecordState::Available),
            Self::Renew => None,
        }
    }
}

/// What is said of some records: one type for all, or one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    /// The first record.
    pub(crate) first_offset: Offset,
    /// The last record.
    pub(crate) last_offset: Offset,
    /// One for all, or as many as there are records.
    pub(crate) types: Vec<AcknowledgeType>,
}

impl Acknowledgement {
    fn type_of(&self, offset: Offset) -> Option<AcknowledgeType> {
        match self.types.as_slice() {
            [all] => Some(*all),
            types => types.get(usize::try_from(offset - self.first_offset).ok()?).copied(),
        }
    }
}

/// Why an acknowledgement is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AcknowledgeError {
    #[error("Batch record not found. The request batch offsets are not found in the cache.")]
    Unknown,
    #[error("Batch record not found. The first offset in request is past acquired records.")]
    FirstTooHigh,
    #[error("Batch record not found. The last offset in request is past acquired records.")]
    LastTooHigh,
    #[error("The batch cannot be acknowledged. The batch is not in the acquired state.")]
    BatchNotAcquired,
    #[error("The batch cannot be acknowledged. The subset batch is not in the acquired state.")]
    SubsetNotAcquired,
    #[error("Member is not the owner of batch record")]
    NotOwnerOfBatch,
    #[error("Member is not the owner of offset")]
    NotOwnerOfOffset,
    #[error("The offset cannot be acknowledged. The offset is not acquired.")]
    OffsetNotAcquired,
    #[error("The record state is invalid. The acknowledgement of delivery could not be completed.")]
    Changing,
    #[error("Renewing acquisition locks is not enabled for the group.")]
    RenewDisabled,
}

impl AcknowledgeError {
    pub(crate) fn code(self) -> ErrorCode {
        match self {
            Self::FirstTooHigh | Self::LastTooHigh => ErrorCode::InvalidRequest,
            Self::Unknown
            | Self::BatchNotAcquired
            | Self::SubsetNotAcquired
            | Self::NotOwnerOfBatch
            | Self::NotOwnerOfOffset
            | Self::OffsetNotAcquired
            | Self::Changing
            | Self::RenewDisabled => ErrorCode::InvalidRecordState,
        }
    }
}

/// An acknowledgement while it is looked through.
struct Step<'a> {
    said: &'a Acknowledgement,
    member: &'a str,
    write: WriteId,
    start_offset: Offset,
    delivery_limit: i16,
    /// Until when renewed locks hold; nothing if locks cannot be renewed.
    renewed_until: Option<TimestampMs>,
}

impl SharePartition {
    /// Takes what a member says of its records, and gives what is to be stored of it.
    /// # Errors
    /// If the member does not have them; then nothing has changed.
    pub(crate) fn acknowledge(
        &mut self,
        member: &str,
        said: &[Acknowledgement],
        now_ms: TimestampMs,
    ) -> Result<Option<Persist>, AcknowledgeError> {
        let write = self.next_write();
        let mut changed = Vec::new();
        let renewed_until = self.settings.renew_enabled.then(|| self.lock_until(now_ms));
        let start_offset = self.start_offset;
        for said in said.iter().filter(|said| said.last_offset >= start_offset) {
            let step =
                Step { said, member, write, start_offset, delivery_limit: self.settings.delivery_limit, renewed_until };
            if let Err(refusal) = self.acknowledge_one(&step, &mut changed) {
                let ranges: Vec<_> = changed.iter().map(|batch| (batch.first_offset, batch.last_offset)).collect();
                self.roll_back(write, &ranges, now_ms);
                return Err(refusal);
            }
        }
        Ok(self.persist(write, changed))
    }

    fn acknowledge_one(&mut self, step: &Step<'_>, changed: &mut Vec<StateBatch>) -> Result<(), AcknowledgeError> {
        let (first, last) = (step.said.first_offset, step.said.last_offset);
        let from = self.holder_of(first, last)?;
        let known_to = self.batches.range(from..=last).next_back().map_or(from, |(_, batch)| batch.last_offset);
        if known_to < first {
            return Err(AcknowledgeError::FirstTooHigh);
        }
        if known_to < last {
            return Err(AcknowledgeError::LastTooHigh);
        }
        let mut complete = 0;
        let range = (Bound::Included(from), Bound::Included(last));
        let mut outcome = Ok(());
        for (_, batch) in self.batches.range_mut(range).filter(|(_, batch)| batch.last_offset >= step.start_offset) {
            outcome = step.take_batch(batch, changed, &mut complete);
            if outcome.is_err() {
                break;
            }
        }
        self.complete_count += complete;
        outcome
    }

    /// The key of the batch in flight from which on an acknowledgement is looked for.
    fn holder_of(&self, first: Offset, last: Offset) -> Result<Offset, AcknowledgeError> {
        let below = |offset: Offset| self.batches.range(..=offset).next_back().map(|(key, _)| *key);
        // The batches below the start offset may be gone already.
        let moved = first < self.start_offset && last >= self.start_offset;
        let holder = below(first).or_else(|| if moved { below(self.start_offset) } else { None });
        holder.ok_or(AcknowledgeError::Unknown)
    }
}

impl Step<'_> {
    fn take_batch(
        &self,
        batch: &mut InFlightBatch,
        changed: &mut Vec<StateBatch>,
        complete: &mut i64,
    ) -> Result<(), AcknowledgeError> {
        let (first, last) = (batch.first_offset, batch.last_offset);
        if let super::in_flight::Records::Same(record) = &mut batch.records {
            match record.member.as_deref() {
                None => return Err(AcknowledgeError::BatchNotAcquired),
                Some(owner) if owner != self.member => return Err(AcknowledgeError::NotOwnerOfBatch),
                Some(_) if record.is_changing() => return Err(AcknowledgeError::Changing),
                Some(_) => {}
            }
            let whole = first >= self.said.first_offset && last <= self.said.last_offset;
            if let [all] = self.said.types.as_slice()
                && whole
                && first >= self.start_offset
            {
                if record.state != RecordState::Acquired {
                    return Err(AcknowledgeError::BatchNotAcquired);
                }
                return self.take(record, (first, last), *all, changed, complete);
            }
            if record.state != RecordState::Acquired {
                return Err(AcknowledgeError::SubsetNotAcquired);
            }
        }
        self.take_each(batch, changed, complete)
    }

    fn take_each(
        &self,
        batch: &mut InFlightBatch,
        changed: &mut Vec<StateBatch>,
        complete: &mut i64,
    ) -> Result<(), AcknowledgeError> {
        let from = self.said.first_offset.max(self.start_offset);
        for (offset, record) in batch.split() {
            if offset < from {
                continue;
            }
            if offset > self.said.last_offset {
                break;
            }
            if record.state != RecordState::Acquired {
                return Err(AcknowledgeError::OffsetNotAcquired);
            }
            if record.is_changing() {
                return Err(AcknowledgeError::Changing);
            }
            if record.member.as_deref() != Some(self.member) {
                return Err(AcknowledgeError::NotOwnerOfOffset);
            }
            let kind = self.said.type_of(offset).ok_or(AcknowledgeError::Unknown)?;
            self.take(record, (offset, offset), kind, changed, complete)?;
        }
        Ok(())
    }

    fn take(
        &self,
        record: &mut InFlight,
        (first, last): (Offset, Offset),
        kind: AcknowledgeType,
        changed: &mut Vec<StateBatch>,
        complete: &mut i64,
    ) -> Result<(), AcknowledgeError> {
        let Some(state) = kind.state() else {
            record.locked_until = Some(self.renewed_until.ok_or(AcknowledgeError::RenewDisabled)?);
            return Ok(());
        };
        record.begin(state, self.delivery_limit, self.write);
        push(changed, (first, last), record);
        if record.state.is_terminal() {
            *complete += last - first + 1;
        }
        Ok(())
    }
}
