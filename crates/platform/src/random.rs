//! Randomness that a seed repeats (SplitMix64). Not for secrets.

use protocol::Uuid;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A stream that no other run repeats.
    #[must_use]
    pub fn from_os() -> Self {
        let mut seed = [0; 8];
        // A request this short is never interrupted; before the kernel's pool is ready the address of a local has to do.
        if rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty()).is_err() {
            seed = (std::ptr::from_ref(&seed) as usize as u64).to_ne_bytes();
        }
        Self::new(u64::from_ne_bytes(seed))
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.next_u64()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// True once in `times`, on average.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A random id as Kafka makes them: a version 4 UUID, none of the reserved ones, and with no `-` in front, which
    /// command lines would take for an option.
    pub fn uuid(&mut self) -> Uuid {
        loop {
            let high = self.next_u64() & !0xf000 | 0x4000;
            let low = self.next_u64() & !(0b11 << 62) | 0b10 << 62;
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&high.to_be_bytes());
            bytes[8..].copy_from_slice(&low.to_be_bytes());
            let id = Uuid::from_bytes(bytes);
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_stream() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        assert!((0..100).all(|_| one.next_u64() == two.next_u64()));
        assert!((1..100).all(|bound| one.below(bound) < bound));
    }

    #[test]
    fn two_runs_get_different_ids() {
        let (one, two) = (Random::from_os().uuid(), Random::from_os().uuid());
        assert_ne!(one, two);
        assert_eq!(one.as_bytes()[6] >> 4, 4);
    }
}
