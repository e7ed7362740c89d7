//! XXH3 with 64 bits, seed 0 and the default secret: what Kafka hashes the metadata of a group's topics with.
//! See <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>.

const PRIME32_1: u64 = 0x9E37_79B1;
const PRIME32_2: u64 = 0x85EB_CA77;
const PRIME32_3: u64 = 0xC2B2_AE3D;
const PRIME64_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME64_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME64_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME64_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME64_5: u64 = 0x27D4_EB2F_1656_67C5;
const PRIME_MX1: u64 = 0x1656_6791_9E37_79F9;
const PRIME_MX2: u64 = 0x9FB2_1C65_1E98_DF25;

const SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4, 0x6d,
    0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0,
    0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0,
    0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b,
    0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac,
    0xd8, 0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51,
    0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34,
    0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb, 0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49,
    0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8,
    0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b,
    0x40, 0x7e,
];

const STRIPE: usize = 64;
const STRIPES_PER_BLOCK: usize = (SECRET.len() - STRIPE) / 8;

/// The hash of `input`.
pub(crate) fn xxh3_64(input: &[u8]) -> u64 {
    match input.len() {
        0 => avalanche64(secret(56) ^ secret(64)),
        1..=3 => up_to_3(input),
        4..=8 => up_to_8(input),
        9..=16 => up_to_16(input),
        17..=128 => up_to_128(input),
        129..=240 => up_to_240(input),
        _ => long(input),
    }
}

fn read64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn read32(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u64::from(u32::from_le_bytes(word))
}

fn secret(at: usize) -> u64 {
    read64(&SECRET, at)
}

fn avalanche64(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(PRIME64_2);
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(PRIME64_3);
    hash ^ hash >> 32
}

fn avalanche(mut hash: u64) -> u64 {
    hash ^= hash >> 37;
    hash = hash.wrapping_mul(PRIME_MX1);
    hash ^ hash >> 32
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

fn mix16(input: &[u8], at: usize, secret_at: usize) -> u64 {
    fold(read64(input, at) ^ secret(secret_at), read64(input, at + 8) ^ secret(secret_at + 8))
}

fn up_to_3(input: &[u8]) -> u64 {
    let byte = |at: usize| u64::from(input[at]);
    let len = input.len();
    let combined = byte(0) << 16 | byte(len >> 1) << 24 | byte(len - 1) | (len as u64) << 8;
    avalanche64(combined ^ read32(&SECRET, 0) ^ read32(&SECRET, 4))
}

fn up_to_8(input: &[u8]) -> u64 {
    let len = input.len();
    let word = read32(input, len - 4).wrapping_add(read32(input, 0) << 32);
    let mut hash = word ^ secret(8) ^ secret(16);
    hash ^= hash.rotate_left(49) ^ hash.rotate_left(24);
    hash = hash.wrapping_mul(PRIME_MX2);
    hash ^= (hash >> 35).wrapping_add(len as u64);
    hash = hash.wrapping_mul(PRIME_MX2);
    hash ^ hash >> 28
}

fn up_to_16(input: &[u8]) -> u64 {
    let len = input.len();
    let low = read64(input, 0) ^ secret(24) ^ secret(32);
    let high = read64(input, len - 8) ^ secret(40) ^ secret(48);
    avalanche((len as u64).wrapping_add(low.swap_bytes()).wrapping_add(high).wrapping_add(fold(low, high)))
}

fn up_to_128(input: &[u8]) -> u64 {
    let len = input.len();
    let mut sum = (len as u64).wrapping_mul(PRIME64_1);
    for pair in 0..len.div_ceil(32) {
        sum = sum.wrapping_add(mix16(input, 16 * pair, 32 * pair));
        sum = sum.wrapping_add(mix16(input, len - 16 * (pair + 1), 32 * pair + 16));
    }
    avalanche(sum)
}

fn up_to_240(input: &[u8]) -> u64 {
    let len = input.len();
    let mut sum = (len as u64).wrapping_mul(PRIME64_1);
    for round in 0..8 {
        sum = sum.wrapping_add(mix16(input, 16 * round, 16 * round));
    }
    sum = avalanche(sum);
    for round in 8..len / 16 {
        sum = sum.wrapping_add(mix16(input, 16 * round, 16 * (round - 8) + 3));
    }
    avalanche(sum.wrapping_add(mix16(input, len - 16, 136 - 17)))
}

fn accumulate(sums: &mut [u64; 8], input: &[u8], at: usize, secret_at: usize) {
    for lane in 0..8 {
        let data = read64(input, at + 8 * lane);
        let key = data ^ secret(secret_at + 8 * lane);
        sums[lane ^ 1] = sums[lane ^ 1].wrapping_add(data);
        sums[lane] = sums[lane].wrapping_add((key & 0xffff_ffff).wrapping_mul(key >> 32));
    }
}

fn long(input: &[u8]) -> u64 {
    let len = input.len();
    let mut sums = [PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1];
    // The last stripe is hashed apart, even if it is a whole one.
    for stripe in 0..(len - 1) / STRIPE {
        let in_block = stripe % STRIPES_PER_BLOCK;
        accumulate(&mut sums, input, stripe * STRIPE, 8 * in_block);
        if in_block == STRIPES_PER_BLOCK - 1 {
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum = (*sum ^ *sum >> 47 ^ secret(SECRET.len() - STRIPE + 8 * lane)).wrapping_mul(PRIME32_1);
            }
        }
    }
    accumulate(&mut sums, input, len - STRIPE, SECRET.len() - STRIPE - 7);
    let mut hash = (len as u64).wrapping_mul(PRIME64_1);
    for pair in 0..4 {
        let at = 11 + 16 * pair;
        hash = hash.wrapping_add(fold(sums[2 * pair] ^ secret(at), sums[2 * pair + 1] ^ secret(at + 8)));
    }
    avalanche(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From xxHash itself.
    const HASHES: [(usize, u64); 21] = [
        (0, 0x2d06_8005_38d3_94c2),
        (1, 0x4c5c_ca45_d0f4_811f),
        (3, 0x15f7_093b_173d_005c),
        (4, 0xdca0_12f9_5811_b6b9),
        (8, 0xdec6_a9a4_3575_982e),
        (9, 0xcbe3_9339_9f17_ffbd),
        (16, 0x7e48_4c18_d748_95d0),
        (17, 0x208b_de5e_e2be_d407),
        (32, 0x03df_0ac5_255d_1446),
        (33, 0x199a_3621_22d7_1f46),
        (96, 0xd245_cd25_4158_2982),
        (97, 0x60e3_e1d0_d437_85b3),
        (128, 0xf92b_70ea_a21a_6288),
        (129, 0xf8f7_6713_f2bb_60fa),
        (240, 0xccc7_3751_72c4_1f03),
        (241, 0x0b3b_6309_48ce_4a00),
        (1024, 0x23bc_880e_bf0d_29c6),
        (1025, 0xc09f_dfbc_398c_7d82),
        (1088, 0xa16b_ad67_843c_5a45),
        (2999, 0x833c_13ad_f8a4_4870),
        (3000, 0x6eb4_b5bf_e14d_9786),
    ];

    #[test]
    fn hashes_are_those_of_xxhash() {
        let bytes: Vec<u8> = (0..3000_usize).map(|at| (at * 31 + 7) as u8).collect();
        for (len, hash) in HASHES {
            assert_eq!(xxh3_64(&bytes[..len]), hash, "of {len} bytes");
        }
    }
}
