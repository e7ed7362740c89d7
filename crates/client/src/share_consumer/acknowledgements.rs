//! What became of records, on its way to the broker: offsets with a type each, sent as ranges.

use std::collections::BTreeMap;

use protocol::types::Offset;

/// What is to become of a record that was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledgement {
    /// It was processed.
    Accept,
    /// It is to be delivered again, to anybody.
    Release,
    /// It is not to be delivered again.
    Reject,
    /// It takes longer: its lock is to be held on.
    Renew,
}

/// There is no record at that offset.
const GAP: i8 = 0;
const RENEW: i8 = 4;

impl Acknowledgement {
    fn code(self) -> i8 {
        match self {
            Self::Accept => 1,
            Self::Release => 2,
            Self::Reject => 3,
            Self::Renew => RENEW,
        }
    }
}

/// A range of offsets as requests carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: Offset,
    pub(super) last: Offset,
    /// One for each offset, or one for all.
    pub(super) types: Vec<i8>,
}

/// The acknowledgements of one partition that were not sent yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Acknowledgements {
    types: BTreeMap<Offset, i8>,
}

impl Acknowledgements {
    pub(super) fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    pub(super) fn add(&mut self, offset: Offset, acknowledgement: Acknowledgement) {
        self.types.insert(offset, acknowledgement.code());
    }

    /// There is nothing to acknowledge at `offset`, which was acquired all the same.
    pub(super) fn add_gap(&mut self, offset: Offset) {
        self.types.insert(offset, GAP);
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.types.extend(other.types);
    }

    /// Offsets that had records.
    pub(super) fn offsets(&self) -> impl Iterator<Item = Offset> {
        self.types.iter().filter(|(_, kind)| **kind != GAP).map(|(offset, _)| *offset)
    }

    pub(super) fn has_renewals(&self) -> bool {
        self.types.values().any(|kind| *kind == RENEW)
    }

    /// Ranges without holes, in order.
    pub(super) fn ranges(&self) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::new();
        for (offset, kind) in &self.types {
            match ranges.last_mut() {
                Some(range) if range.last + 1 == *offset => {
                    range.last = *offset;
                    range.types.push(*kind);
                }
                _ => ranges.push(Range { first: *offset, last: *offset, types: vec![*kind] }),
            }
        }
        for range in &mut ranges {
            if range.types.iter().all(|kind| *kind == range.types[0]) {
                range.types.truncate(1);
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_sent_as_one_range() {
        let mut acknowledgements = Acknowledgements::default();
        for offset in [3, 4, 5, 9] {
            acknowledgements.add(offset, Acknowledgement::Accept);
        }
        acknowledgements.add(10, Acknowledgement::Reject);
        acknowledgements.add_gap(11);
        let range = |first, last, types: &[i8]| Range { first, last, types: types.to_vec() };
        assert_eq!(acknowledgements.ranges(), [range(3, 5, &[1]), range(9, 11, &[1, 3, 0])]);
        assert_eq!(acknowledgements.offsets().collect::<Vec<_>>(), [3, 4, 5, 9, 10]);
        assert!(!acknowledgements.has_renewals());
    }
}
