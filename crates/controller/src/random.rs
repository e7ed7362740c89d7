//! Random numbers and ids from a seed that the shell gives (xoshiro256**, Blackman and Vigna).

use protocol::Uuid;

#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: [u64; 4],
}

impl Random {
    pub(crate) fn new(seed: [u64; 2]) -> Self {
        let mut mix = seed[0];
        let mut next = |salt: u64| {
            mix = mix.wrapping_add(0x9e37_79b9_7f4a_7c15 ^ salt);
            let mut z = mix;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self { state: [next(0), next(seed[1]), next(seed[1].rotate_left(32)), next(1)] }
    }

    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }

    /// A random id whose text does not start with `-`, which tools would take for an option (`Uuid.randomUuid`).
    pub(crate) fn uuid(&mut self) -> Uuid {
        loop {
            let high = self.next() & !0xf000 | 0x4000;
            let low = self.next() & !(0b11 << 62) | 1 << 63;
            let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
            let uuid = Uuid::from_bytes(bytes);
            // `-` is the digit 62: the upper six bits of the id.
            if bytes[0] >> 2 != 62 {
                return uuid;
            }
        }
    }
}
