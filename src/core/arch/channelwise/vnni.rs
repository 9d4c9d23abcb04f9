//! AVX-512 VNNI: four bytes of each channel, for 16 channels at a time.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::{CHANNELS, Channelwise, Line, Positions, check_cells, check_lines, check_positions, strips};
use crate::arch::product::{Product, ToBytes, Vnni};
use crate::arch::vector::{Byte, map};
use crate::arch::window::Window;
use crate::arch::x86_64::avx512::Avx512;

const KU: usize = 4;
/// Weights of a tap.
const CELL: usize = CHANNELS * KU;
/// Channels of a vector of sums.
const UNIT: usize = 16;
/// Positions whose codes are made at once, at most.
const AT_ONCE: usize = 8;

impl Channelwise for Vnni {
    type A = u8;
    type W = i8;
    type V = Avx512;
    const KU: usize = KU;
    const UNIT: usize = UNIT;
    const IN_REGISTERS: bool = true;

    fn vector(self) -> Avx512 {
        Product::vector(self)
    }

    #[inline]
    fn interleave<C: Byte>(self, lines: &[Line<'_, C>], channels: usize, count: usize, to: &mut [u8]) {
        check_lines::<Self, C>(lines, channels, count, to);
        // SAFETY: `self` exists, so the CPU has AVX-512 F, BW and VL; the lines and the room have been checked.
        unsafe {
            match channels {
                0..=NARROW => interleave_units(lines, channels, count, to),
                _ => interleave(lines, channels, count, to),
            }
        }
    }

    #[inline]
    fn sums(self, positions: &Positions<'_, u8, i8>, out: &mut [i32]) {
        check_positions::<Self>(positions, out);
        // SAFETY: `self` exists, so the CPU has AVX-512 VNNI; positions and room have been checked.
        unsafe { sums(positions, out) }
    }

    #[inline]
    fn codes(
        self,
        positions: &Positions<'_, u8, i8>,
        finish: &ToBytes<'_>,
        mut to: Window<'_, MaybeUninit<u8>>,
    ) {
        check_cells::<Self>(positions);
        let Positions { count, channels, later, .. } = *positions;
        assert!(to.rows() == count && to.columns() == channels && later < KU);
        assert!(finish.columns() >= channels.next_multiple_of(UNIT));
        if count == 0 {
            return;
        }
        // 14 are 7 and 7 rather than 8 and 6.
        let strip = count.div_ceil(count.div_ceil(AT_ONCE));
        let (out, stride) = (to.row(0).as_mut_ptr().cast::<u8>(), to.stride());
        for channel in (0..channels).step_by(UNIT) {
            let wanted = u16::MAX >> (UNIT - UNIT.min(channels - channel));
            for at in (0..count).step_by(strip) {
                let codes = match strip.min(count - at) {
                    1 => codes::<1>,
                    2 => codes::<2>,
                    3 => codes::<3>,
                    4 => codes::<4>,
                    5 => codes::<5>,
                    6 => codes::<6>,
                    7 => codes::<7>,
                    _ => codes::<AT_ONCE>,
                };
                // SAFETY: `self` exists, so the CPU has AVX-512 F, BW, VL and VNNI; cells, weights, tables and room have
                // been checked.
                unsafe {
                    codes(positions, at, channel, finish, (out.add(at * stride + channel), stride, wanted))
                };
            }
        }
    }
}

/// So few channels are interleaved 16 by 16.
const NARROW: usize = 32;

/// # Safety
/// The CPU has AVX-512 F, BW and VL, and `check_lines` has seen the arguments.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn interleave_units<C: Byte>(lines: &[Line<'_, C>], channels: usize, count: usize, to: &mut [u8]) {
    let flip = _mm_set1_epi8(if C::SIGNED { i8::MIN } else { 0 });
    let lines: [Line<'_, C>; KU] = [lines[0], lines[1], lines[2], lines[3]];
    let units = channels.div_ceil(UNIT);
    for unit in 0..units {
        let channel = unit * UNIT;
        let wanted = u16::MAX >> (UNIT - UNIT.min(channels - channel));
        for x in 0..count {
            // SAFETY: of each line only the channels are read; the room takes `count` cells.
            unsafe {
                let [a, b, c, d] = map(lines, |(line, next)| {
                    let from = line.as_ptr().add(x * next + channel).cast::<i8>();
                    let codes = match wanted {
                        u16::MAX => _mm_loadu_si128(from.cast()),
                        _ => _mm_maskz_loadu_epi8(wanted, from),
                    };
                    _mm_xor_si128(codes, flip)
                });
                let to = to.as_mut_ptr().add((x * units + unit) * UNIT * KU).cast::<__m128i>();
                let (ab, cd) = (_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d));
                _mm_storeu_si128(to, _mm_unpacklo_epi16(ab, cd));
                _mm_storeu_si128(to.add(1), _mm_unpackhi_epi16(ab, cd));
                let (ab, cd) = (_mm_unpackhi_epi8(a, b), _mm_unpackhi_epi8(c, d));
                _mm_storeu_si128(to.add(2), _mm_unpacklo_epi16(ab, cd));
                _mm_storeu_si128(to.add(3), _mm_unpackhi_epi16(ab, cd));
            }
        }
    }
}

/// The codes of `M` positions from `at` on, of 16 channels from `channel` on, to rows so far apart, as far as they are
/// wanted.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VL and VNNI; the cells that the positions meet are there, and as many weights, 16 columns
/// of the tables, and room.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn codes<const M: usize>(
    p: &Positions<'_, u8, i8>,
    at: usize,
    channel: usize,
    finish: &ToBytes<'_>,
    (out, stride, wanted): (*mut u8, usize, u16),
) {
    let cell = p.channels.next_multiple_of(UNIT) * KU;
    let later = _mm_cvtsi32_si128(8 * p.later as i32);
    // SAFETY: the caller's promise.
    let (sums, bias, multipliers) = unsafe {
        let mut sums = [_mm512_loadu_si512(finish.base.as_ptr().add(channel).cast()); M];
        let cells = p.cells.as_ptr().add(at * p.step * cell + channel * KU);
        let weights = p.weights.as_ptr().add(channel * KU);
        for (t, tap) in p.taps.iter().enumerate() {
            let w = _mm512_sll_epi32(_mm512_loadu_si512(weights.add(t * CELL).cast()), later);
            let cells = cells.add(tap * cell);
            for (m, sum) in sums.iter_mut().enumerate() {
                let x = _mm512_loadu_si512(cells.add(m * p.step * cell).cast());
                *sum = _mm512_dpbusd_epi32(*sum, x, w);
            }
        }
        let [bias, multipliers] =
            map([finish.bias, finish.multipliers], |all| _mm512_loadu_ps(all.as_ptr().add(channel)));
        (sums, bias, multipliers)
    };
    let zero_point = _mm512_set1_epi16(finish.zero_point);
    let (least, flip) = (_mm512_set1_epi8(finish.least as i8), _mm512_set1_epi8(finish.flip as i8));
    // Packing twice leaves four bytes from each vector in turn.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for m in (0..M).step_by(4) {
        let step = |i: usize| {
            let sum = _mm512_add_ps(_mm512_cvtepi32_ps(sums[(m + i).min(M - 1)]), bias);
            _mm512_cvtps_epi32(_mm512_mul_ps(sum, multipliers))
        };
        let half = |i: usize| _mm512_adds_epi16(_mm512_packs_epi32(step(i), step(i + 1)), zero_point);
        let all = _mm512_max_epu8(_mm512_packus_epi16(half(0), half(2)), least);
        let all = _mm512_permutexvar_epi32(order, _mm512_xor_si512(all, flip));
        let lanes = [
            _mm512_castsi512_si128(all),
            _mm512_extracti32x4_epi32::<1>(all),
            _mm512_extracti32x4_epi32::<2>(all),
            _mm512_extracti32x4_epi32::<3>(all),
        ];
        for (i, lane) in lanes.into_iter().enumerate() {
            if m + i < M {
                // SAFETY: the caller's promise.
                unsafe {
                    let to = out.add((m + i) * stride).cast::<i8>();
                    match wanted {
                        u16::MAX => _mm_storeu_si128(to.cast(), lane),
                        _ => _mm_mask_storeu_epi8(to, wanted, lane),
                    }
                }
            }
        }
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
    let fourth = channels > 3 * UNIT;
    let cell = channels.next_multiple_of(UNIT) * KU;
    for x in 0..count {
        // SAFETY: of each line only the channels are read; the room takes `count` cells.
        unsafe {
            let [a, b, c, d] = map(lines, |(line, next)| {
                let codes = _mm512_maskz_loadu_epi8(wanted, line.as_ptr().add(x * next).cast());
                _mm512_permutexvar_epi32(order, _mm512_xor_si512(codes, flip))
            });
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let to = to.as_mut_ptr().add(x * cell).cast::<__m512i>();
            _mm512_storeu_si512(to, _mm512_unpacklo_epi16(ab, cd));
            _mm512_storeu_si512(to.add(1), _mm512_unpackhi_epi16(ab, cd));
            let (ab, cd) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            _mm512_storeu_si512(to.add(2), _mm512_unpacklo_epi16(ab, cd));
            if fourth {
                _mm512_storeu_si512(to.add(3), _mm512_unpackhi_epi16(ab, cd));
            }
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
    let cell_size = p.channels.next_multiple_of(UNIT) * KU;
    // SAFETY: the caller's promise: that all cells that a position meets are there, and as many weights, and room.
    unsafe {
        let cells = p.cells.as_ptr().add(at * p.step * cell_size + channel * KU);
        let weights = p.weights.as_ptr().add(channel * KU);
        for (t, tap) in p.taps.iter().enumerate() {
            let w = _mm512_loadu_si512(weights.add(t * CELL).cast());
            let cell = cells.add(tap * cell_size);
            for (m, sum) in sums.iter_mut().enumerate() {
                let x = _mm512_loadu_si512(cell.add(m * p.step * cell_size).cast());
                *sum = _mm512_dpbusd_epi32(*sum, x, w);
            }
        }
        let out = out.as_mut_ptr().add(at * CHANNELS + channel);
        for (m, sum) in sums.into_iter().enumerate() {
            _mm512_storeu_si512(out.add(m * CHANNELS).cast(), sum);
        }
    }
}
