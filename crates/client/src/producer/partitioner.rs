//! Chooses the partition of a record that names none: by the hash of its key, or the one that currently collects
//! records without keys (KIP-480, KIP-794).

use parking_lot::Mutex;
use protocol::types::PartitionIndex;

/// The 32-bit MurmurHash 2 that Kafka's clients hash keys with.
#[must_use]
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // Java hashes arrays, whose lengths fit 31 bits.
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ hash >> 15).cast_signed()
}

/// The partition of `partitions` that Kafka's clients put a record with `key` into.
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: usize) -> PartitionIndex {
    let count = i32::try_from(partitions.max(1)).unwrap_or(i32::MAX);
    (murmur2(key) & i32::MAX) % count
}

/// The partition of one topic that takes the records without keys, until it got `batch.size` bytes of them.
#[derive(Debug)]
pub(crate) struct StickyPartition {
    state: Mutex<Sticky>,
}

#[derive(Debug)]
struct Sticky {
    partition: Option<PartitionIndex>,
    bytes: usize,
    random: u64,
}

impl StickyPartition {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: Mutex::new(Sticky { partition: None, bytes: 0, random: seed }) }
    }

    /// The partition to use now. `choose` gives the one at a random number, of those that can be written to.
    pub(crate) fn current(&self, choose: impl FnOnce(u64) -> PartitionIndex) -> PartitionIndex {
        let mut state = self.state.lock();
        if let Some(partition) = state.partition {
            return partition;
        }
        let partition = choose(next_random(&mut state.random));
        state.partition = Some(partition);
        state.bytes = 0;
        partition
    }

    /// Counts `bytes` for `partition` and moves on when it had its share: at the start of a batch, so that no batch is
    /// cut short, or after twice the share.
    pub(crate) fn appended(&self, partition: PartitionIndex, bytes: usize, starts_batch: bool, share: usize) {
        let mut state = self.state.lock();
        if state.partition != Some(partition) {
            return;
        }
        state.bytes += bytes;
        if state.bytes >= share && starts_batch || state.bytes >= share.saturating_mul(2) {
            state.partition = None;
        }
    }
}

/// SplitMix64: equal shares need no better one.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_javas() {
        // From UtilsTest.testMurmur2 of Apache Kafka.
        let golden = [
            (&b"21"[..], -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (data, hash) in golden {
            assert_eq!(murmur2(data), hash, "{data:?}");
        }
    }

    #[test]
    fn a_sticky_partition_changes_after_its_share() {
        let sticky = StickyPartition::new(1);
        let pick = |wanted| sticky.current(|_| wanted);
        assert_eq!(pick(3), 3);
        sticky.appended(3, 60, true, 100);
        assert_eq!(pick(4), 3);
        sticky.appended(3, 60, false, 100);
        assert_eq!(pick(4), 3);
        sticky.appended(3, 60, true, 100);
        assert_eq!(pick(4), 4);
        sticky.appended(4, 200, false, 100);
        assert_eq!(pick(5), 5);
    }

    #[test]
    fn sticky_partitions_are_spread_evenly() {
        let sticky = StickyPartition::new(42);
        let mut counts = [0; 8];
        for _ in 0..8000 {
            let partition = sticky.current(|random| (random % 8) as i32);
            counts[usize::try_from(partition).unwrap()] += 1;
            sticky.appended(partition, 10, true, 10);
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
