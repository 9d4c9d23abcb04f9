//! AVX-512 without VNNI: pairs of 16-bit numbers of each channel, for 16 channels at a time.

use std::arch::x86_64::*;

use super::{CHANNELS, Channelwise, Line, Positions, check_lines, check_positions, strips};
use crate::arch::product::Stored;
use crate::arch::vector::Byte;
use crate::arch::x86_64::avx512::Avx512;

const KU: usize = 2;
const CELL: usize = CHANNELS * KU;

impl Channelwise for Avx512 {
    type A = i16;
    type W = i16;
    type V = Self;
    const KU: usize = KU;

    fn vector(self) -> Self {
        self
    }

    #[inline]
    fn interleave<C: Byte>(self, lines: &[Line<'_, C>], channels: usize, count: usize, to: &mut [i16]) {
        check_lines::<Self, C>(lines, channels, count, to);
        // SAFETY: `self` exists, so the CPU has AVX-512 F and BW.
        unsafe { interleave(lines, channels, count, to) }
    }

    #[inline]
    fn sums(self, positions: &Positions<'_, i16, i16>, out: &mut [i32]) {
        check_positions::<Self>(positions, out);
        // SAFETY: `self` exists, so the CPU has AVX-512 F and BW; positions and room have been checked.
        unsafe { sums(positions, out) }
    }
}

/// Without intrinsics: compilers know how to widen and interleave.
///
/// # Safety
/// The CPU has AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn interleave<C: Byte>(lines: &[Line<'_, C>], channels: usize, count: usize, to: &mut [i16]) {
    let [(a, after_a), (b, after_b)] = [lines[0], lines[1]];
    for (x, to) in to.chunks_exact_mut(CELL).take(count).enumerate() {
        let (a, b) = (&a[x * after_a..][..channels], &b[x * after_b..][..channels]);
        for ((to, &a), &b) in to.as_chunks_mut::<KU>().0.iter_mut().zip(a).zip(b) {
            *to = [i16::of(a), i16::of(b)];
        }
    }
}

/// # Safety
/// The CPU has AVX-512 F and BW, and `check_positions` has seen the arguments.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sums(positions: &Positions<'_, i16, i16>, out: &mut [i32]) {
    // SAFETY: the caller's promise.
    unsafe { strips!(strip, positions, out, 16) }
}

/// # Safety
/// As for [`sums`]; there are `M` positions from `at` on, and 16 channels of a cell from `channel` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn strip<const M: usize>(p: &Positions<'_, i16, i16>, at: usize, channel: usize, out: &mut [i32]) {
    let mut sums = [_mm512_setzero_si512(); M];
    // SAFETY: the caller's promise: that all cells that a position meets are there, and as many weights, and room.
    unsafe {
        let cells = p.cells.as_ptr().add(at * p.step * CELL + channel * KU);
        let weights = p.weights.as_ptr().add(channel * KU);
        for (t, tap) in p.taps.iter().enumerate() {
            let w = _mm512_loadu_si512(weights.add(t * CELL).cast());
            let cell = cells.add(tap * CELL);
            for (m, sum) in sums.iter_mut().enumerate() {
                let x = _mm512_loadu_si512(cell.add(m * p.step * CELL).cast());
                *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(x, w));
            }
        }
        let out = out.as_mut_ptr().add(at * CHANNELS + channel);
        for (m, sum) in sums.into_iter().enumerate() {
            _mm512_storeu_si512(out.add(m * CHANNELS).cast(), sum);
        }
    }
}
