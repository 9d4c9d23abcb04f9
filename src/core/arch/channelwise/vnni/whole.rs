//! Cells of [`CHANNELS`], in the order in which bytes are interleaved without more ado: packing sums turns it round again.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{CELL, KU, UNIT};
use crate::arch::channelwise::{CHANNELS, Line, Positions};
use crate::arch::product::ToBytes;
use crate::arch::vector::{Byte, map};

/// Makes cells.
///
/// # Safety
/// The CPU has AVX-512 F and BW, and `check_lines` has seen the arguments.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn interleave<C: Byte>(lines: &[Line<'_, C>], count: usize, to: &mut [u8]) {
    let flip = _mm512_set1_epi8(if C::SIGNED { i8::MIN } else { 0 });
    let lines: [Line<'_, C>; KU] = [lines[0], lines[1], lines[2], lines[3]];
    for x in 0..count {
        // SAFETY: of each line only the channels are read; the room takes `count` cells.
        unsafe {
            let [a, b, c, d] = map(lines, |(line, next)| {
                _mm512_xor_si512(_mm512_loadu_si512(line.as_ptr().add(x * next).cast()), flip)
            });
            let to = to.as_mut_ptr().add(x * CELL).cast::<__m512i>();
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            _mm512_storeu_si512(to, _mm512_unpacklo_epi16(ab, cd));
            _mm512_storeu_si512(to.add(1), _mm512_unpackhi_epi16(ab, cd));
            let (ab, cd) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            _mm512_storeu_si512(to.add(2), _mm512_unpacklo_epi16(ab, cd));
            _mm512_storeu_si512(to.add(3), _mm512_unpackhi_epi16(ab, cd));
        }
    }
}

/// Four vectors of channels in their order, as they lie in a whole cell, and back: the vectors' quarters change places.
#[inline]
#[target_feature(enable = "avx512f")]
fn turned([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab, cd) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0x44>(c, d));
    let (ab_, cd_) = (_mm512_shuffle_i32x4::<0xee>(a, b), _mm512_shuffle_i32x4::<0xee>(c, d));
    [
        _mm512_shuffle_i32x4::<0x88>(ab, cd),
        _mm512_shuffle_i32x4::<0xdd>(ab, cd),
        _mm512_shuffle_i32x4::<0x88>(ab_, cd_),
        _mm512_shuffle_i32x4::<0xdd>(ab_, cd_),
    ]
}

/// The sums of positions.
///
/// # Safety
/// The CPU has AVX-512 F and VNNI, and `check_positions` has seen the arguments.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn sums(p: &Positions<'_, u8, i8>, out: &mut [i32]) {
    for at in 0..p.count {
        let mut sums = [_mm512_setzero_si512(); 4];
        for (t, tap) in p.taps.iter().enumerate() {
            // SAFETY: the caller's promise: that all cells that a position meets are there, and as many weights.
            unsafe {
                let cell = p.cells.as_ptr().add((at * p.step + tap) * CELL);
                let weights = p.weights.as_ptr().add(t * CELL);
                for (j, sum) in sums.iter_mut().enumerate() {
                    let x = _mm512_loadu_si512(cell.add(j * UNIT * KU).cast());
                    let w = _mm512_loadu_si512(weights.add(j * UNIT * KU).cast());
                    *sum = _mm512_dpbusd_epi32(*sum, x, w);
                }
            }
        }
        for (j, sum) in turned(sums).into_iter().enumerate() {
            // SAFETY: the caller's promise: that there is room.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(at * CHANNELS + j * UNIT).cast(), sum) };
        }
    }
}

/// The codes of some positions, a multiple of `M`, in each of `L` lines, to rows so far apart.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VL and VNNI; the cells that the positions meet are there, and as many weights, `CHANNELS` of
/// each table, and room.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn codes<const M: usize, const L: usize>(
    p: &Positions<'_, u8, i8>,
    positions: Range<usize>,
    finish: &ToBytes<'_>,
    out: *mut u8,
    stride: usize,
) {
    let (later, below) = p.second.unwrap_or_default();
    let later = _mm_cvtsi32_si128(8 * later as i32);
    let zero_point = _mm512_set1_epi16(finish.zero_point);
    let (least, flip) = (_mm512_set1_epi8(finish.least as i8), _mm512_set1_epi8(finish.flip as i8));
    let tables =
        [finish.base.as_ptr().cast::<u8>(), finish.bias.as_ptr().cast(), finish.multipliers.as_ptr().cast()];
    let [base, bias, multipliers] = map(tables, |table| {
        // SAFETY: the caller's promise.
        turned([0, 1, 2, 3].map(|j| unsafe { _mm512_loadu_si512(table.add(64 * j).cast()) }))
    });
    let [bias, multipliers] = map([bias, multipliers], |table| map(table, |x| _mm512_castsi512_ps(x)));
    for at in positions.step_by(M) {
        let mut sums = [[base; M]; L];
        for (t, tap) in p.taps.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let cells = p.cells.as_ptr().add((at * p.step + tap) * CELL);
                let weights = p.weights.as_ptr().add(t * CELL);
                let mut j = 0;
                while j < 4 {
                    let w = _mm512_loadu_si512(weights.add(j * UNIT * KU).cast());
                    let v = _mm512_sll_epi32(w, later);
                    let mut m = 0;
                    while m < M {
                        let x = _mm512_loadu_si512(cells.add(m * p.step * CELL + j * UNIT * KU).cast());
                        sums[0][m][j] = _mm512_dpbusd_epi32(sums[0][m][j], x, w);
                        if L > 1 {
                            sums[L - 1][m][j] = _mm512_dpbusd_epi32(sums[L - 1][m][j], x, v);
                        }
                        m += 1;
                    }
                    j += 1;
                }
            }
        }
        for (l, sums) in sums.into_iter().enumerate() {
            for (m, sums) in sums.into_iter().enumerate() {
                let step = |j: usize| {
                    let sum = _mm512_add_ps(_mm512_cvtepi32_ps(sums[j]), bias[j]);
                    _mm512_cvtps_epi32(_mm512_mul_ps(sum, multipliers[j]))
                };
                let half = |j: usize| _mm512_adds_epi16(_mm512_packs_epi32(step(j), step(j + 1)), zero_point);
                let all = _mm512_max_epu8(_mm512_packus_epi16(half(0), half(2)), least);
                // SAFETY: the caller's promise.
                unsafe {
                    let to = out.add((l * below + at + m) * stride);
                    _mm512_storeu_si512(to.cast(), _mm512_xor_si512(all, flip));
                }
            }
        }
    }
}
