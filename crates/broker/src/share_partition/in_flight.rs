//! Records that were fetched and are not done with: in batches as they were acquired, or one by one where their ways part.

use std::sync::Arc;

use protocol::types::{Offset, TimestampMs};

/// A member of the share group.
pub(crate) type Member = Arc<str>;

/// Names a write of the share coordinator until it is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct WriteId(pub(super) u64);

/// What became of a record (KIP-932).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordState {
    /// It may be delivered.
    Available,
    /// A member has it.
    Acquired,
    /// A member is done with it.
    Acknowledged,
    /// Nobody gets it any more.
    Archived,
}

impl RecordState {
    /// Its code in the records of `__share_group_state`.
    pub(crate) fn code(self) -> i8 {
        match self {
            Self::Available => 0,
            Self::Acquired => 1,
            Self::Acknowledged => 2,
            Self::Archived => 4,
        }
    }

    /// The state of a code. A record that was on its way to the archive (KIP-1191) is there.
    pub(crate) fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Available),
            1 => Some(Self::Acquired),
            2 => Some(Self::Acknowledged),
            3 | 4 => Some(Self::Archived),
            _ => None,
        }
    }

    /// Nothing comes after it.
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Archived)
    }
}

/// What a record was before a change that is being written.
#[derive(Debug, Clone)]
struct Before {
    write: WriteId,
    state: RecordState,
    member: Option<Member>,
    delivery_limit: i16,
}

/// One record, or the records of a batch that share their fate.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    pub(crate) state: RecordState,
    pub(crate) delivery_count: i16,
    /// Who has it, while it is acquired.
    pub(crate) member: Option<Member>,
    /// When the lock of the acquisition ends.
    pub(crate) locked_until: Option<TimestampMs>,
    before: Option<Box<Before>>,
    /// The log does not hold it any more: no failed write brings it back.
    lost: bool,
}

impl InFlight {
    pub(crate) fn new(state: RecordState, delivery_count: i16) -> Self {
        Self { state, delivery_count, member: None, locked_until: None, before: None, lost: false }
    }

    /// A record on its first delivery.
    pub(crate) fn acquired(member: &Member, locked_until: TimestampMs) -> Self {
        Self {
            member: Some(Arc::clone(member)),
            locked_until: Some(locked_until),
            ..Self::new(RecordState::Acquired, 1)
        }
    }

    /// A change of it is being written.
    pub(crate) fn is_changing(&self) -> bool {
        self.before.is_some()
    }

    pub(crate) fn is_available(&self) -> bool {
        self.state == RecordState::Available && !self.is_changing()
    }

    /// Whether nothing comes after what it is, and that is stored.
    pub(crate) fn is_settled(&self) -> bool {
        self.state.is_terminal() && !self.is_changing()
    }

    pub(crate) fn is_acquired_by(&self, member: &str) -> bool {
        self.state == RecordState::Acquired && self.member.as_deref() == Some(member)
    }

    /// Delivers it. It has to be available.
    pub(crate) fn acquire(&mut self, member: &Member, locked_until: TimestampMs) {
        debug_assert!(self.is_available());
        self.state = RecordState::Acquired;
        self.delivery_count = self.delivery_count.saturating_add(1);
        self.member = Some(Arc::clone(member));
        self.locked_until = Some(locked_until);
    }

    /// Takes it from whoever has it. What was delivered as often as it may be is archived.
    pub(crate) fn release(&mut self, to: RecordState, delivery_limit: i16) {
        debug_assert!(self.state == RecordState::Acquired);
        self.state = self.after(to, delivery_limit);
        self.member = None;
        self.locked_until = None;
    }

    /// Takes it from whoever has it, as soon as `write` is completed.
    pub(crate) fn begin(&mut self, to: RecordState, delivery_limit: i16, write: WriteId) {
        debug_assert!(self.state == RecordState::Acquired && !self.is_changing());
        let member = self.member.take();
        self.before = Some(Box::new(Before { write, state: self.state, member, delivery_limit }));
        self.state = self.after(to, delivery_limit);
    }

    fn after(&self, to: RecordState, delivery_limit: i16) -> RecordState {
        if to == RecordState::Available && self.delivery_count >= delivery_limit { RecordState::Archived } else { to }
    }

    /// The change of `write` is stored.
    pub(crate) fn commit(&mut self, write: WriteId) {
        if self.before.take_if(|before| before.write == write).is_some() {
            self.locked_until = None;
        }
    }

    /// The change of `write` could not be stored: it is what it was, unless its lock has ended meanwhile.
    pub(crate) fn roll_back(&mut self, write: WriteId, now_ms: TimestampMs) {
        let Some(before) = self.before.take_if(|before| before.write == write) else { return };
        if self.lost {
            self.locked_until = None;
        } else if self.locked_until.is_some_and(|until| until <= now_ms) {
            let spent = self.delivery_count >= before.delivery_limit;
            self.state = if spent { RecordState::Archived } else { RecordState::Available };
            self.locked_until = None;
        } else {
            self.state = before.state;
            self.member = before.member;
        }
    }

    /// Its lock has ended, whatever it is.
    pub(crate) fn is_overdue(&self, now_ms: TimestampMs) -> bool {
        self.state == RecordState::Acquired && self.locked_until.is_some_and(|until| until <= now_ms)
    }

    /// Nobody gets it any more, because the log does not hold it or because it must not be seen.
    pub(crate) fn archive(&mut self) {
        self.lost = true;
        self.state = RecordState::Archived;
        self.member = None;
        self.locked_until = None;
    }
}

/// The records of an acquisition.
#[derive(Debug)]
pub(crate) struct InFlightBatch {
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) records: Records,
}

/// How the records of a batch are kept.
#[derive(Debug)]
pub(crate) enum Records {
    /// All are the same.
    Same(InFlight),
    /// One for each offset.
    Each(Vec<InFlight>),
}

impl InFlightBatch {
    pub(crate) fn new(first_offset: Offset, last_offset: Offset, record: InFlight) -> Self {
        Self { first_offset, last_offset, records: Records::Same(record) }
    }

    pub(crate) fn count(&self) -> i64 {
        self.last_offset - self.first_offset + 1
    }

    /// Whether all records are the same, and available.
    pub(crate) fn is_available(&self) -> bool {
        matches!(&self.records, Records::Same(record) if record.is_available())
    }

    /// Whether its records are kept one by one.
    pub(crate) fn is_split(&self) -> bool {
        matches!(self.records, Records::Each(_))
    }

    /// The records, one by one from now on, with their offsets.
    pub(crate) fn split(&mut self) -> impl Iterator<Item = (Offset, &mut InFlight)> {
        if let Records::Same(record) = &self.records {
            let count = usize::try_from(self.count()).unwrap_or(0);
            self.records = Records::Each(vec![record.clone(); count]);
        }
        let records = match &mut self.records {
            Records::Each(records) => records.as_mut_slice(),
            Records::Same(record) => std::slice::from_mut(record),
        };
        (self.first_offset..).zip(records)
    }

    /// The parts that it consists of: one, or one for each offset.
    pub(crate) fn parts(&self) -> impl Iterator<Item = ((Offset, Offset), &InFlight)> {
        let (records, last) = match &self.records {
            Records::Same(record) => (std::slice::from_ref(record), Some(self.last_offset)),
            Records::Each(records) => (records.as_slice(), None),
        };
        (self.first_offset..).zip(records).map(move |(offset, record)| ((offset, last.unwrap_or(offset)), record))
    }

    /// As [`InFlightBatch::parts`], to change them.
    pub(crate) fn parts_mut(&mut self) -> impl Iterator<Item = ((Offset, Offset), &mut InFlight)> {
        let (records, last) = match &mut self.records {
            Records::Same(record) => (std::slice::from_mut(record), Some(self.last_offset)),
            Records::Each(records) => (records.as_mut_slice(), None),
        };
        (self.first_offset..).zip(records).map(move |(offset, record)| ((offset, last.unwrap_or(offset)), record))
    }

    /// What there is to say of one offset. An offset behind the batch is like its last.
    pub(crate) fn at(&self, offset: Offset) -> Option<&InFlight> {
        match &self.records {
            Records::Same(record) => Some(record),
            Records::Each(records) => {
                let at = usize::try_from(offset - self.first_offset).unwrap_or(0);
                records.get(at).or(records.last())
            }
        }
    }
}
