//! Random numbers by counting: each is a function of a key and its place, so that threads may take them in any order.
//!
//! Philox4x64 of 10 rounds, in the order in which NumPy's `Philox` gives its numbers.
//! Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011).

const ROUNDS: usize = 10;
const MULTIPLIERS: [u64; 2] = [0xD2E7_470E_E14C_6C93, 0xCA5A_8263_9512_1157];
/// What the key grows by in each round: the golden ratio, and the square root of 3 less 1.
const WEYL: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xBB67_AE85_84CA_A73B];

/// The four numbers of a block.
#[inline(always)]
pub(super) fn block(key: [u64; 2], counter: u64) -> [u64; 4] {
    let mut c = [counter, 0, 0, 0];
    let mut k = key;
    for round in 0..ROUNDS {
        if round > 0 {
            k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        }
        let (a, b) = (wide(MULTIPLIERS[0], c[0]), wide(MULTIPLIERS[1], c[2]));
        c = [b.0 ^ c[1] ^ k[0], b.1, a.0 ^ c[3] ^ k[1], a.1];
    }
    c
}

/// The high and the low half of a product.
#[inline(always)]
fn wide(a: u64, b: u64) -> (u64, u64) {
    let product = u128::from(a) * u128::from(b);
    ((product >> 64) as u64, product as u64)
}

/// The numbers of the elements from `start` on, from 0 up to 1: the upper 24 bits of each.
#[inline(always)]
pub(super) fn uniform(key: [u64; 2], start: usize, out: &mut [f32]) {
    let mut at = start;
    let mut out = out.iter_mut();
    while !out.as_slice().is_empty() {
        // The first block is that of counter 1.
        let numbers = block(key, (at / 4) as u64 + 1);
        for (number, out) in numbers[at % 4..].iter().zip(out.by_ref()) {
            *out = (number >> 40) as f32 * (1.0 / 16_777_216.0);
            at += 1;
        }
    }
}
