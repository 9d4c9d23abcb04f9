//! AVX-512 VNNI: four bytes of each channel, for 16 channels at a time.

use std::arch::x86_64::*;

use super::{CHANNELS, Channelwise, Line, Positions, check_lines, check_positions, strips};
use crate::arch::product::{Product, Vnni};
use crate::arch::vector::{Byte, map};
use crate::arch::x86_64::avx512::Avx512;

const KU: usize = 4;
const CELL: usize = CHANNELS * KU;

impl Channelwise for Vnni {
    type A = u8;
    type W = i8;
    type V = Avx512;
    const KU: usize = KU;

    fn vector(self) -> Avx512 {
        Product::vector(self)
    }

    #[inline]
    fn interleave<C: Byte>(self, lines: &[Line<'_, C>], channels: usize, count: usize, to: &mut [u8]) {
        check_lines::<Self, C>(lines, channels, count, to);
        // SAFETY: `self` exists, so the CPU has AVX-512 F and BW; the lines and the room have been checked.
        unsafe { interleave(lines, channels, count, to) }
    }

    #[inline]
    fn sums(self, positions: &Positions<'_, u8, i8>, out: &mut [i32]) {
        check_positions::<Self>(positions, out);
        // SAFETY: `self` exists, so the CPU has AVX-512 VNNI; positions and room have been checked.
        unsafe { sums(positions, out) }
    }
}

/// # Safety
/// The CPU has AVX-512 F and BW, and `check_lines` has seen the arguments.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn interleave<C: Byte>(lines: &[Line<'_, C>], channels: usize, count: usize, to: &mut [u8]) {
    let wanted = u64::MAX.checked_shr(64 - channels as u32).unwrap_or(0);
    // Unpacking twice takes four bytes from each lane in turn.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let flip = _mm512_set1_epi8(if C::SIGNED { i8::MIN } else { 0 });
    let lines: [Line<'_, C>; KU] = [lines[0], lines[1], lines[2], lines[3]];
    for x in 0..count {
        // SAFETY: of each line only the channels are read; the room takes `count` cells.
        unsafe {
            let [a, b, c, d] = map(lines, |(line, next)| {
                let codes = _mm512_maskz_loadu_epi8(wanted, line.as_ptr().add(x * next).cast());
                _mm512_permutexvar_epi32(order, _mm512_xor_si512(codes, flip))
            });
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let to = to.as_mut_ptr().add(x * CELL).cast::<__m512i>();
            _mm512_storeu_si512(to, _mm512_unpacklo_epi16(ab, cd));
            _mm512_storeu_si512(to.add(1), _mm512_unpackhi_epi16(ab, cd));
            let (ab, cd) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            _mm512_storeu_si512(to.add(2), _mm512_unpacklo_epi16(ab, cd));
            _mm512_storeu_si512(to.add(3), _mm512_unpackhi_epi16(ab, cd));
        }
    }
}

/// # Safety
/// The CPU has AVX-512 F and VNNI, and `check_positions` has seen the arguments.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn sums(positions: &Positions<'_, u8, i8>, out: &mut [i32]) {
    // SAFETY: the caller's promise.
    unsafe { strips!(strip, positions, out, 16) }
}

/// # Safety
/// As for [`sums`]; there are `M` positions from `at` on, and 16 channels of a cell from `channel` on.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn strip<const M: usize>(p: &Positions<'_, u8, i8>, at: usize, channel: usize, out: &mut [i32]) {
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
                *sum = _mm512_dpbusd_epi32(*sum, x, w);
            }
        }
        let out = out.as_mut_ptr().add(at * CHANNELS + channel);
        for (m, sum) in sums.into_iter().enumerate() {
            _mm512_storeu_si512(out.add(m * CHANNELS).cast(), sum);
        }
    }
}
