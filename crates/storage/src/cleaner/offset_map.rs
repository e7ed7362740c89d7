//! Key to last offset, in bounded memory (`SkimpyOffsetMap`): not the keys but hashes of them. A slot takes twelve bytes, half
//! of Kafka's, so that ten million keys fit into 128 MiB. Where a slot is found and the 64 bits in it together are about
//! 80 bits of a keyed 128-bit hash: that two of ten million keys are taken for one happens once in 10^11 cleanings.

use protocol::types::Offset;

/// Size of a slot, in bytes.
const SLOT_SIZE: u64 = 12;

/// Two halves of a hash, and the offset, counted from the first one of the map plus one: zero is an empty slot.
type Slot = [u32; 3];

/// The last offsets of keys.
#[derive(Debug)]
pub(crate) struct OffsetMap {
    slots: Vec<Slot>,
    len: usize,
    most: usize,
    first: Offset,
    latest: Offset,
    hash_key: [u64; 2],
}

impl OffsetMap {
    /// A map for the offsets from `first` to before `end`, in at most `bytes`.
    pub(crate) fn new(bytes: u64, load_factor: f64, first: Offset, end: Offset, hash_key: [u64; 2]) -> Self {
        let load_factor = load_factor.clamp(0.01, 0.95);
        let keys = u64::try_from(end - first).unwrap_or(0);
        // There are no more keys than offsets.
        let wanted = (keys as f64 / load_factor) as u64 + 8;
        let slots = wanted.min(bytes / SLOT_SIZE).max(8);
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        let most = ((slots as f64 * load_factor) as usize).max(1);
        Self { slots: vec![[0; 3]; slots], len: 0, most, first, latest: -1, hash_key }
    }

    /// Notes the offset of a key; false if there is no room for one more.
    #[inline]
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let Ok(relative) = u32::try_from(offset - self.first + 1) else { return false };
        let (at, stored) = self.find(key);
        if self.slots[at][2] == 0 {
            if self.len == self.most {
                return false;
            }
            self.len += 1;
        }
        self.slots[at] = [stored[0], stored[1], relative];
        self.latest = offset;
        true
    }

    /// The last offset of a key.
    #[inline]
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        let (at, _) = self.find(key);
        let relative = self.slots[at][2];
        (relative > 0).then(|| self.first + i64::from(relative) - 1)
    }

    /// All offsets up to this one are in the map.
    pub(crate) fn latest(&self) -> Offset {
        self.latest
    }

    /// Says that there are no keys after the last one up to `offset`.
    pub(crate) fn advance(&mut self, offset: Offset) {
        self.latest = self.latest.max(offset);
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The slot of a key, or the empty one where it belongs. There always is one: the map is never full.
    #[inline]
    fn find(&self, key: &[u8]) -> (usize, [u32; 2]) {
        let (low, high) = hash(self.hash_key, key);
        let stored = [low as u32, (low >> 32) as u32];
        let mut at = ((u128::from(high) * self.slots.len() as u128) >> 64) as usize;
        loop {
            let slot = &self.slots[at];
            if slot[2] == 0 || slot[0] == stored[0] && slot[1] == stored[1] {
                return (at, stored);
            }
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
    }
}

/// SipHash-1-3 with 128 bits of output.
#[inline]
fn hash(key: [u64; 2], bytes: &[u8]) -> (u64, u64) {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        absorb(&mut state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = bytes.len() as u8;
    absorb(&mut state, u64::from_le_bytes(last));
    state[2] ^= 0xee;
    (0..3).for_each(|_| round(&mut state));
    let low = state[0] ^ state[1] ^ state[2] ^ state[3];
    state[1] ^= 0xdd;
    (0..3).for_each(|_| round(&mut state));
    (low, state[0] ^ state[1] ^ state[2] ^ state[3])
}

#[inline(always)]
fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    state[0] ^= word;
}

#[inline(always)]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_a_key_is_found() {
        let mut map = OffsetMap::new(1 << 20, 0.9, 100, 20_000, [1, 2]);
        for offset in 100..20_000 {
            assert!(map.put(format!("key-{}", offset % 7_001).as_bytes(), offset));
        }
        assert_eq!((map.len(), map.latest()), (7_001, 19_999));
        for key in 0..7_001 {
            let found = map.get(format!("key-{key}").as_bytes()).unwrap();
            assert!(found % 7_001 == key && found > 20_000 - 7_002);
        }
        assert_eq!(map.get(b"other"), None);
    }

    #[test]
    fn a_full_map_takes_known_keys_only() {
        let mut map = OffsetMap::new(120, 0.5, 0, 1000, [0, 0]);
        let taken = (0..100i64).filter(|offset| map.put(&offset.to_be_bytes(), *offset)).count();
        assert_eq!(taken, 5);
        assert!(map.put(&0i64.to_be_bytes(), 500) && map.get(&0i64.to_be_bytes()) == Some(500));
        assert!(!map.put(b"new", 501));
    }

    #[test]
    fn ten_million_keys_fit_into_the_default_buffer() {
        let mut map = OffsetMap::new(128 << 20, 0.9, 0, i64::MAX / 2, [3, 4]);
        assert!(map.slots.len() * size_of::<Slot>() <= 128 << 20);
        assert!((0..10_000_000i64).all(|offset| map.put(&offset.to_be_bytes(), offset)));
        assert_eq!(map.len(), 10_000_000);
        assert!((0..10_000_000i64).step_by(9_973).all(|offset| map.get(&offset.to_be_bytes()) == Some(offset)));
    }
}
