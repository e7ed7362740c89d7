//! State batches: ranges of offsets with how far their delivery is. A list of them is in the order of its offsets, without
//! overlaps, and neighbours that say the same are one.

use protocol::types::Offset;

/// No start offset: nothing is below it.
const NO_OFFSET: Offset = -1;

/// How far the delivery of some records is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateBatch {
    /// The first record.
    pub first_offset: Offset,
    /// The last record.
    pub last_offset: Offset,
    /// 0 available, 2 acknowledged, 4 archived (KIP-932).
    pub delivery_state: i8,
    /// How often they were delivered.
    pub delivery_count: i16,
}

impl StateBatch {
    /// Of two that speak of the same record, the one with the higher progress is the later.
    fn progress(&self) -> (i16, i8) {
        (self.delivery_count, self.delivery_state)
    }

    fn part(&self, first_offset: Offset, last_offset: Offset) -> Self {
        Self { first_offset, last_offset, ..*self }
    }
}

/// Merges `new` into `batches`, then forgets what is below `start_offset`.
pub(crate) fn merge(batches: &mut Vec<StateBatch>, new: impl Iterator<Item = StateBatch>, start_offset: Offset) {
    if start_offset != NO_OFFSET {
        let gone = batches.partition_point(|batch| batch.last_offset < start_offset);
        batches.drain(..gone);
        if let Some(first) = batches.first_mut() {
            first.first_offset = first.first_offset.max(start_offset);
        }
    }
    for mut batch in new {
        if start_offset != NO_OFFSET {
            batch.first_offset = batch.first_offset.max(start_offset);
        }
        if batch.first_offset <= batch.last_offset {
            put(batches, batch);
        }
    }
}

/// Puts one batch among others.
fn put(batches: &mut Vec<StateBatch>, batch: StateBatch) {
    let from = batches.partition_point(|other| other.last_offset.saturating_add(1) < batch.first_offset);
    let to = batches.partition_point(|other| other.first_offset <= batch.last_offset.saturating_add(1));
    let mut pieces = Vec::with_capacity(to - from + 2);
    // What of the batch is not placed yet; nothing once it is above the last offset.
    let mut at = batch.first_offset;
    for old in &batches[from..to] {
        if old.first_offset > batch.last_offset {
            push(&mut pieces, batch.part(at, batch.last_offset));
            at = old.first_offset;
            push(&mut pieces, *old);
            continue;
        }
        push(&mut pieces, old.part(old.first_offset, old.last_offset.min(batch.first_offset - 1)));
        push(&mut pieces, batch.part(at, old.first_offset - 1));
        let (first, last) = (old.first_offset.max(batch.first_offset), old.last_offset.min(batch.last_offset));
        let winner = if old.progress() > batch.progress() { old } else { &batch };
        push(&mut pieces, winner.part(first, last));
        at = at.max(last + 1);
        push(&mut pieces, old.part(at.max(old.first_offset), old.last_offset));
    }
    push(&mut pieces, batch.part(at, batch.last_offset));
    batches.splice(from..to, pieces);
}

/// Appends a batch, unless it is empty, to those before it.
fn push(pieces: &mut Vec<StateBatch>, batch: StateBatch) {
    if batch.first_offset > batch.last_offset {
        return;
    }
    match pieces.last_mut() {
        Some(last) if last.last_offset + 1 == batch.first_offset && last.progress() == batch.progress() => {
            last.last_offset = batch.last_offset;
        }
        _ => pieces.push(batch),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn batch((first_offset, last_offset): (i64, i64), delivery_state: i8, delivery_count: i16) -> StateBatch {
        StateBatch { first_offset, last_offset, delivery_state, delivery_count }
    }

    fn merged(batches: &[StateBatch], new: &[StateBatch], start_offset: i64) -> Vec<StateBatch> {
        let mut merged = batches.to_vec();
        merge(&mut merged, new.iter().copied(), start_offset);
        merged
    }

    #[test]
    fn neighbours_that_say_the_same_become_one() {
        let list = merged(&[batch((1, 4), 0, 1), batch((10, 12), 2, 1)], &[batch((5, 9), 0, 1)], -1);
        assert_eq!(list, [batch((1, 9), 0, 1), batch((10, 12), 2, 1)]);
        let list = merged(&list, &[batch((13, 14), 2, 1)], -1);
        assert_eq!(list, [batch((1, 9), 0, 1), batch((10, 14), 2, 1)]);
    }

    #[test]
    fn the_higher_delivery_wins_where_batches_overlap() {
        let list = merged(&[batch((0, 9), 0, 1)], &[batch((3, 5), 2, 1)], -1);
        assert_eq!(list, [batch((0, 2), 0, 1), batch((3, 5), 2, 1), batch((6, 9), 0, 1)]);
        assert_eq!(merged(&[batch((0, 9), 0, 2)], &[batch((3, 5), 2, 1)], -1), [batch((0, 9), 0, 2)]);
        let list = merged(&[batch((0, 9), 0, 2)], &[batch((5, 14), 4, 1)], -1);
        assert_eq!(list, [batch((0, 9), 0, 2), batch((10, 14), 4, 1)]);
    }

    #[test]
    fn what_is_below_the_start_offset_goes() {
        let list = merged(&[batch((0, 9), 0, 1), batch((10, 19), 2, 1)], &[batch((0, 5), 2, 1)], 4);
        assert_eq!(list, [batch((4, 5), 2, 1), batch((6, 9), 0, 1), batch((10, 19), 2, 1)]);
        assert_eq!(merged(&list, &[], 20), []);
    }

    /// A generator of small numbers that needs no seed from outside.
    fn numbers() -> impl FnMut(i64) -> i64 {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from(state >> 33).unwrap_or(0) % below
        }
    }

    #[test]
    fn a_list_says_of_every_record_what_one_record_at_a_time_would() {
        let mut number = numbers();
        for _ in 0..500 {
            let mut list = Vec::new();
            let mut model: BTreeMap<i64, (i16, i8)> = BTreeMap::new();
            for _ in 0..20 {
                let first = number(60);
                let new =
                    batch((first, first + number(15)), i8::try_from(number(3) * 2).unwrap_or(0), 1 + number(3) as i16);
                let start = number(20) - 1;
                merge(&mut list, std::iter::once(new), start);
                for offset in new.first_offset..=new.last_offset {
                    let entry = model.entry(offset).or_insert((0, 0));
                    *entry = (*entry).max(new.progress());
                }
                model.retain(|offset, _| *offset >= start);
                let told = list.iter().flat_map(|batch| {
                    (batch.first_offset..=batch.last_offset).map(|offset| (offset, batch.progress()))
                });
                assert!(told.eq(model.iter().map(|(offset, progress)| (*offset, *progress))));
                assert!(list.windows(2).all(|pair| {
                    pair[0].last_offset + 1 < pair[1].first_offset || pair[0].progress() != pair[1].progress()
                }));
            }
        }
    }
}
