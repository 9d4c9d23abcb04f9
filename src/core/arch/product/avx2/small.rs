//! Pairs of activations that are small, and what is missing of them.

use std::arch::x86_64::*;

use super::{KU, NR};
use crate::arch::product::excess::{GREATEST_PAIR, Missing, Quad};

/// See [`Product::bound`].
///
/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn bound(
    codes: &[u8],
    flip: u8,
    shifts: &[u8],
    first: usize,
    to: &mut [u8],
    quads: &mut Vec<Quad>,
) {
    let ones = _mm256_set1_epi8(1);
    let greatest = _mm256_set1_epi16(GREATEST_PAIR as i16);
    let flips = _mm256_set1_epi8(flip as i8);
    let whole = codes.len() / 32 * 32;
    for i in (0..whole).step_by(32) {
        // SAFETY: there are 32 bytes of all three.
        let mut some = unsafe {
            let x = _mm256_xor_si256(_mm256_loadu_si256(codes.as_ptr().add(i).cast()), flips);
            let shifts = _mm256_loadu_si256(shifts.as_ptr().add(i).cast());
            let below = _mm256_subs_epu8(shifts, x);
            let stored = _mm256_subs_epu8(x, shifts);
            // Each at most 510, so that nothing saturates.
            let pairs = _mm256_maddubs_epi16(stored, ones);
            let any = _mm256_or_si256(below, _mm256_subs_epu16(pairs, greatest));
            _mm256_storeu_si256(to.as_mut_ptr().add(i).cast(), stored);
            // Which quads have any.
            let none = _mm256_cmpeq_epi32(any, _mm256_setzero_si256());
            !_mm256_movemask_ps(_mm256_castsi256_ps(none)) & 0xff
        };
        while some != 0 {
            let at = i + KU * some.trailing_zeros() as usize;
            some &= some - 1;
            one(&codes[at..], flip, &shifts[at..], first + at / KU, &mut to[at..], quads);
        }
    }
    for at in (whole..codes.len()).step_by(KU) {
        one(&codes[at..], flip, &shifts[at..], first + at / KU, &mut to[at..], quads);
    }
}

/// The first quad, and what is missing of it.
fn one(codes: &[u8], flip: u8, shifts: &[u8], at: usize, to: &mut [u8], quads: &mut Vec<Quad>) {
    let (mut more, mut less) = ([0; KU], [0; KU]);
    let (codes, shifts, to) = (&codes[..KU], &shifts[..KU], &mut to[..KU]);
    for i in 0..KU {
        let x = codes[i] ^ flip;
        less[i] = shifts[i].saturating_sub(x);
        to[i] = x.saturating_sub(shifts[i]);
    }
    for i in [0, 2] {
        let sum = u32::from(to[i]) + u32::from(to[i + 1]);
        // The greater one is at least half of the sum, and the sum less than twice what it may be.
        let over = sum.saturating_sub(GREATEST_PAIR) as u8;
        let greater = if to[i] < to[i + 1] { i + 1 } else { i };
        to[greater] -= over;
        more[greater] = over;
    }
    if more != [0; KU] || less != [0; KU] {
        quads.push(Quad { at: at as u32, more, less });
    }
}

/// Adds what is missing to the sums of `P` panels, whose first row starts at `first`: several at a time, since what is added to
/// the same sums waits for each other.
///
/// # Safety
/// The CPU has AVX2; all weights lie within a panel, and there is room for all panels' sums of each row.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn add<const P: usize>(
    missing: &[Missing],
    first: usize,
    panels: [&[i8]; P],
    out: &mut [i32],
) {
    let ones = _mm256_set1_epi16(1);
    for one in missing {
        let quad = _mm256_set1_epi32(i32::from_le_bytes(one.quad));
        // By arithmetic: which sign comes next nobody can guess.
        let sign = _mm256_set1_epi32(one.sign);
        for (i, panel) in panels.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let weights = panel.as_ptr().add(one.weights);
                let out = out.as_mut_ptr().add(one.row - first + i * NR).cast::<__m256i>();
                for j in 0..2 {
                    let w = _mm256_loadu_si256(weights.add(32 * j).cast());
                    let products = _mm256_madd_epi16(_mm256_maddubs_epi16(quad, w), ones);
                    let products = _mm256_sub_epi32(_mm256_xor_si256(products, sign), sign);
                    let sum = _mm256_loadu_si256(out.add(j));
                    _mm256_storeu_si256(out.add(j), _mm256_add_epi32(sum, products));
                }
            }
        }
    }
}
