//! AVX-512 VNNI: four bytes of each channel, for 16 channels at a time.

mod whole;

use std::arch::x86_64::*;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::{CHANNELS, Channelwise, Line, Positions, check_codes, check_lines, check_positions};
use crate::arch::product::{Product, ToBytes, Vnni};
use crate::arch::vector::{Byte, map};
use crate::arch::window::Window;
use crate::arch::x86_64::avx512::Avx512;

const KU: usize = 4;
/// Weights of a tap.
const CELL: usize = CHANNELS * KU;
/// Channels of a vector of sums.
const UNIT: usize = 16;
/// Positions whose codes are made at once, at most: four bytes of each fill a vector.
const AT_ONCE: usize = 4;
/// The same of whole cells, whose channels fill four vectors.
const PAIR: usize = 2;

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

    /// Bytes of four lines, interleaved twice in each quarter of a vector, make four channels of each quarter; packing sums
    /// twice turns that round. In smaller cells channels lie in their order.
    fn place(channel: usize, element: usize, is_whole: bool) -> usize {
        let (quarter, of_quarter) = (channel / UNIT, channel % UNIT);
        let turned = of_quarter / 4 * UNIT + quarter * 4 + of_quarter % 4;
        (if is_whole { turned } else { channel }) * KU + element
    }

    #[inline]
    fn interleave<C: Byte>(self, lines: &[Line<'_, C>], channels: usize, count: usize, to: &mut [u8]) {
        check_lines::<Self, C>(lines, channels, count, to);
        // SAFETY: `self` exists, so the CPU has AVX-512 F, BW and VL; the lines and the room have been checked.
        unsafe {
            match channels {
                CHANNELS => whole::interleave(lines, count, to),
                0..=NARROW => interleave_units(lines, channels, count, to),
                _ => interleave(lines, channels, count, to),
            }
        }
    }

    #[inline]
    fn sums(self, positions: &Positions<'_, u8, i8>, out: &mut [i32]) {
        check_positions::<Self>(positions, out);
        // SAFETY: `self` exists, so the CPU has AVX-512 VNNI; positions and room have been checked.
        unsafe {
            match positions.channels {
                CHANNELS => whole::sums(positions, out),
                _ => sums(positions, out),
            }
        }
    }

    #[inline]
    fn codes(
        self,
        positions: &Positions<'_, u8, i8>,
        finish: &ToBytes<'_>,
        mut to: Window<'_, MaybeUninit<u8>>,
    ) {
        check_codes::<Self>(positions, finish, &to);
        let Positions { count, channels, second, .. } = *positions;
        let (out, stride) = (to.row(0).as_mut_ptr().cast::<u8>(), to.stride());
        let together = if channels == CHANNELS { PAIR } else { AT_ONCE };
        let whole = count / together * together;
        for (at, end) in [(0, whole), (whole, count)] {
            let codes = match (end - at, second) {
                (0, _) => continue,
                (1, None) if channels == CHANNELS => whole::codes::<1, 1>,
                (1, Some(_)) if channels == CHANNELS => whole::codes::<1, 2>,
                (_, None) if channels == CHANNELS => whole::codes::<PAIR, 1>,
                (_, Some(_)) if channels == CHANNELS => whole::codes::<PAIR, 2>,
                (1, None) => codes::<1, 1>,
                (2, None) => codes::<2, 1>,
                (3, None) => codes::<3, 1>,
                (_, None) => codes::<AT_ONCE, 1>,
                (1, Some(_)) => codes::<1, 2>,
                (2, Some(_)) => codes::<2, 2>,
                (3, Some(_)) => codes::<3, 2>,
                (_, Some(_)) => codes::<AT_ONCE, 2>,
            };
            // SAFETY: `self` exists, so the CPU has AVX-512 F, BW, VL and VNNI; cells, weights, tables and room have been
            // checked.
            unsafe { codes(positions, at..end, finish, out, stride) };
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

/// The codes of some positions, a multiple of `M`, in each of `L` lines, to rows so far apart.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VL and VNNI; the cells that the positions meet are there, and as many weights, whole units
/// of the tables, and room.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn codes<const M: usize, const L: usize>(
    p: &Positions<'_, u8, i8>,
    positions: Range<usize>,
    finish: &ToBytes<'_>,
    out: *mut u8,
    stride: usize,
) {
    let cell = p.channels.next_multiple_of(UNIT) * KU;
    let (later, below) = p.second.unwrap_or_default();
    let later = _mm_cvtsi32_si128(8 * later as i32);
    let zero_point = _mm512_set1_epi16(finish.zero_point);
    let (least, flip) = (_mm512_set1_epi8(finish.least as i8), _mm512_set1_epi8(finish.flip as i8));
    // Packing twice leaves four bytes from each vector in turn.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for channel in (0..p.channels).step_by(UNIT) {
        let wanted = u16::MAX >> (UNIT - UNIT.min(p.channels - channel));
        // SAFETY: the caller's promise.
        let (base, bias, multipliers, cells, weights) = unsafe {
            (
                _mm512_loadu_si512(finish.base.as_ptr().add(channel).cast()),
                _mm512_loadu_ps(finish.bias.as_ptr().add(channel)),
                _mm512_loadu_ps(finish.multipliers.as_ptr().add(channel)),
                p.cells.as_ptr().add(channel * KU),
                p.weights.as_ptr().add(channel * KU),
            )
        };
        for at in positions.clone().step_by(M) {
            let mut sums = [[base; M]; L];
            for (t, tap) in p.taps.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe {
                    let cells = cells.add((at * p.step + tap) * cell);
                    let w = _mm512_loadu_si512(weights.add(t * CELL).cast());
                    let v = _mm512_sll_epi32(w, later);
                    let mut m = 0;
                    while m < M {
                        let x = _mm512_loadu_si512(cells.add(m * p.step * cell).cast());
                        sums[0][m] = _mm512_dpbusd_epi32(sums[0][m], x, w);
                        if L > 1 {
                            sums[L - 1][m] = _mm512_dpbusd_epi32(sums[L - 1][m], x, v);
                        }
                        m += 1;
                    }
                }
            }
            for (l, sums) in sums.into_iter().enumerate() {
                let step = |m: usize| {
                    let sum = _mm512_add_ps(_mm512_cvtepi32_ps(sums[m.min(M - 1)]), bias);
                    _mm512_cvtps_epi32(_mm512_mul_ps(sum, multipliers))
                };
                let half = |m: usize| _mm512_adds_epi16(_mm512_packs_epi32(step(m), step(m + 1)), zero_point);
                let all = _mm512_max_epu8(_mm512_packus_epi16(half(0), half(2)), least);
                let all = _mm512_permutexvar_epi32(order, _mm512_xor_si512(all, flip));
                let lanes = [
                    _mm512_castsi512_si128(all),
                    _mm512_extracti32x4_epi32::<1>(all),
                    _mm512_extracti32x4_epi32::<2>(all),
                    _mm512_extracti32x4_epi32::<3>(all),
                ];
                for (m, lane) in lanes.into_iter().enumerate().take(M) {
                    // SAFETY: the caller's promise.
                    unsafe {
                        let to = out.add((l * below + at + m) * stride + channel).cast::<i8>();
                        match wanted {
                            u16::MAX => _mm_storeu_si128(to.cast(), lane),
                            _ => _mm_mask_storeu_epi8(to, wanted, lane),
                        }
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
    let count = positions.count;
    for channel in (0..positions.channels).step_by(UNIT) {
        let mut at = 0;
        // SAFETY: the caller's promise.
        unsafe {
            while at + 8 <= count {
                strip::<8>(positions, at, channel, out);
                at += 8;
            }
            if at + 4 <= count {
                strip::<4>(positions, at, channel, out);
                at += 4;
            }
            while at < count {
                strip::<1>(positions, at, channel, out);
                at += 1;
            }
        }
    }
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
