//! AVX2: four 16-bit numbers of each channel, multiplied in pairs, for four channels at a time.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::{CHANNELS, Channelwise, Line, Positions, cell, check_codes, check_lines, check_positions};
use crate::arch::product::{Narrow, ToBytes};
use crate::arch::vector::{Byte, map};
use crate::arch::window::Window;
use crate::arch::x86_64::{align_frame, avx2::Avx2};

const KU: usize = 4;
/// Weights of a tap.
const CELL: usize = CHANNELS * KU;
/// Channels whose sums fill a vector.
const UNIT: usize = 8;
/// Positions whose sums are made at once, of one line of the output.
const AT_ONCE: usize = 4;

impl Channelwise for Avx2 {
    type A = i16;
    type W = i16;
    type V = Self;
    const KU: usize = KU;
    const UNIT: usize = UNIT;
    const IN_REGISTERS: bool = true;

    fn vector(self) -> Self {
        self
    }

    /// The first pairs of a unit's channels, and then the other ones.
    fn place(channel: usize, element: usize, _: bool) -> usize {
        channel / UNIT * UNIT * KU + element / 2 * 2 * UNIT + channel % UNIT * 2 + element % 2
    }

    #[inline]
    fn interleave<C: Byte>(self, lines: &[Line<'_, C>], channels: usize, count: usize, to: &mut [i16]) {
        check_lines::<Self, C>(lines, channels, count, to);
        // SAFETY: `self` exists, so the CPU has AVX2; the lines and the room have been checked.
        unsafe { interleave(lines, channels, count, to) }
    }

    #[inline]
    fn sums(self, positions: &Positions<'_, i16, i16>, out: &mut [i32]) {
        check_positions::<Self>(positions, out);
        // SAFETY: `self` exists, so the CPU has AVX2; positions and room have been checked.
        unsafe { sums(positions, out) }
    }

    #[inline]
    fn codes(
        self,
        positions: &Positions<'_, i16, i16>,
        finish: &ToBytes<'_>,
        mut to: Window<'_, MaybeUninit<u8>>,
    ) {
        check_codes::<Self>(positions, finish, &to);
        let to = (to.row(0).as_mut_ptr().cast::<u8>(), to.stride());
        let codes = if positions.second.is_some() { codes::<2> } else { codes::<1> };
        // SAFETY: `self` exists, so the CPU has AVX2; cells, weights, tables and room have been checked.
        unsafe { codes(positions, finish, to) };
    }
}

/// # Safety
/// The CPU has AVX2, and `check_lines` has seen the arguments.
#[target_feature(enable = "avx2")]
unsafe fn interleave<C: Byte>(lines: &[Line<'_, C>], channels: usize, count: usize, to: &mut [i16]) {
    let lines: [Line<'_, C>; KU] = [lines[0], lines[1], lines[2], lines[3]];
    let cell = cell::<Avx2>(channels);
    for x in 0..count {
        for channel in (0..channels).step_by(2 * UNIT) {
            let wanted = (channels - channel).min(2 * UNIT);
            // SAFETY: of each line only the channels are read; the room takes `count` cells of whole units.
            unsafe {
                let [a, b, c, d] = map(lines, |(line, next)| {
                    let from = line.as_ptr().add(x * next + channel).cast::<u8>();
                    if wanted == 2 * UNIT {
                        return _mm_loadu_si128(from.cast());
                    }
                    let mut codes = [0u8; 2 * UNIT];
                    std::ptr::copy_nonoverlapping(from, codes.as_mut_ptr(), wanted);
                    _mm_loadu_si128(codes.as_ptr().cast())
                });
                let to = to.as_mut_ptr().add(x * cell + channel * KU).cast::<__m256i>();
                _mm256_storeu_si256(to, widened::<C>(_mm_unpacklo_epi8(a, b)));
                _mm256_storeu_si256(to.add(1), widened::<C>(_mm_unpacklo_epi8(c, d)));
                if wanted > UNIT {
                    _mm256_storeu_si256(to.add(2), widened::<C>(_mm_unpackhi_epi8(a, b)));
                    _mm256_storeu_si256(to.add(3), widened::<C>(_mm_unpackhi_epi8(c, d)));
                }
            }
        }
    }
}

/// Codes as 16-bit numbers.
#[inline]
#[target_feature(enable = "avx2")]
fn widened<C: Byte>(codes: __m128i) -> __m256i {
    if C::SIGNED { _mm256_cvtepi8_epi16(codes) } else { _mm256_cvtepu8_epi16(codes) }
}

/// The pairs of a unit of channels: the first two elements of each, and the other two.
type Pairs = [__m256i; 2];

/// # Safety
/// The CPU has AVX2; there are as many elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pairs(from: *const i16) -> Pairs {
    // SAFETY: the caller's promise.
    unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.cast::<__m256i>().add(1))] }
}

/// Weights of the line of the output below: as much later among the elements of a cell.
#[inline]
#[target_feature(enable = "avx2")]
fn below([a, b]: Pairs, later: usize) -> Pairs {
    match later {
        0 => [a, b],
        1 => [
            _mm256_slli_epi32::<16>(a),
            _mm256_or_si256(_mm256_srli_epi32::<16>(a), _mm256_slli_epi32::<16>(b)),
        ],
        2 => [_mm256_setzero_si256(), a],
        _ => [_mm256_setzero_si256(), _mm256_slli_epi32::<16>(a)],
    }
}

/// The sums of a unit of channels at `M` positions, in `L` lines.
type Sums<const M: usize, const L: usize> = [[__m256i; M]; L];

/// Says that sums are in registers, and are no better known after: compilers change the order of additions, and would have to
/// keep products in memory then.
///
/// # Safety
/// The CPU has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn in_registers<const M: usize>(sums: &mut [__m256i; M]) {
    for sum in sums {
        // SAFETY: no instruction at all.
        unsafe { asm!("/* {0} */", inout(ymm_reg) * sum, options(pure, nomem, nostack, preserves_flags)) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(sum: &mut __m256i, x: __m256i, w: __m256i) {
    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, w));
}

/// The sums, whatever cells the positions meet.
///
/// # Safety
/// The CPU has AVX2; the cells that the positions meet are there, and as many weights.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn any<const M: usize, const L: usize>(
    p: &Positions<'_, i16, i16>,
    at: usize,
    channel: usize,
) -> Sums<M, L> {
    let cell = cell::<Avx2>(p.channels);
    let later = p.second.map_or(0, |(later, _)| later);
    let mut sums = [[_mm256_setzero_si256(); M]; L];
    // SAFETY: the caller's promise.
    unsafe {
        let cells = p.cells.as_ptr().add(at * p.step * cell + channel * KU);
        let weights = p.weights.as_ptr().add(channel * KU);
        for (t, tap) in p.taps.iter().enumerate() {
            let w = pairs(weights.add(t * CELL));
            let second = if L > 1 { below(w, later) } else { w };
            let mut m = 0;
            while m < M {
                let x = pairs(cells.add((tap + m * p.step) * cell));
                let mut half = 0;
                while half < 2 {
                    add(&mut sums[0][m], x[half], w[half]);
                    if L > 1 {
                        add(&mut sums[L - 1][m], x[half], second[half]);
                    }
                    half += 1;
                }
                m += 1;
            }
        }
    }
    sums
}

/// Elements of a line of the kernel that most have.
const LENGTH: usize = 3;

/// The weights of three taps, for each line of the output.
type Three<const L: usize> = [[Pairs; LENGTH]; L];

/// The same for positions that meet the cells of their neighbours: each is read once.
///
/// # Safety
/// As for [`any`]; taps are [`LENGTH`] cells next to each other, and so are positions.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn neighbours<const M: usize, const L: usize>(
    p: &Positions<'_, i16, i16>,
    at: usize,
    channel: usize,
    weights: &Three<L>,
) -> Sums<M, L> {
    let cell = cell::<Avx2>(p.channels);
    let mut sums = [[_mm256_setzero_si256(); M]; L];
    // SAFETY: the caller's promise.
    unsafe {
        let cells = p.cells.as_ptr().add((at + p.taps[0]) * cell + channel * KU);
        let mut i = 0;
        while i < M + LENGTH - 1 {
            let x = pairs(cells.add(i * cell));
            let mut t = 0;
            while t < LENGTH {
                if i >= t && i - t < M {
                    let mut l = 0;
                    while l < L {
                        add(&mut sums[l][i - t], x[0], weights[l][t][0]);
                        add(&mut sums[l][i - t], x[1], weights[l][t][1]);
                        l += 1;
                    }
                }
                t += 1;
            }
            for sums in &mut sums {
                in_registers(sums);
            }
            i += 1;
        }
    }
    sums
}

/// # Safety
/// The CPU has AVX2, and `check_positions` has seen the arguments.
#[target_feature(enable = "avx2")]
unsafe fn sums(p: &Positions<'_, i16, i16>, out: &mut [i32]) {
    for channel in (0..p.channels).step_by(UNIT) {
        let mut at = 0;
        while at < p.count {
            // SAFETY: the caller's promise.
            unsafe {
                let to = out.as_mut_ptr().add(at * CHANNELS + channel);
                if at + AT_ONCE <= p.count {
                    let [sums] = any::<AT_ONCE, 1>(p, at, channel);
                    for (m, sum) in sums.into_iter().enumerate() {
                        _mm256_storeu_si256(to.add(m * CHANNELS).cast(), sum);
                    }
                    at += AT_ONCE;
                } else {
                    let [[sum]] = any::<1, 1>(p, at, channel);
                    _mm256_storeu_si256(to.cast(), sum);
                    at += 1;
                }
            }
        }
    }
}

/// The codes of all channels at all positions, in `L` lines.
///
/// # Safety
/// The CPU has AVX2; the cells that the positions meet are there, and as many weights, whole units of the tables, and room.
#[target_feature(enable = "avx2")]
unsafe fn codes<const L: usize>(p: &Positions<'_, i16, i16>, finish: &ToBytes<'_>, to: (*mut u8, usize)) {
    align_frame!();
    let later = p.second.map_or(0, |(later, _)| later);
    let are_neighbours = p.step == 1 && matches!(*p.taps, [a, b, c] if b == a + 1 && c == b + 1);
    for channel in (0..p.channels).step_by(UNIT) {
        // SAFETY: the caller's promise.
        unsafe {
            let finish = Unit::new(finish, channel, UNIT.min(p.channels - channel));
            let mut weights = [[[_mm256_setzero_si256(); 2]; LENGTH]; L];
            if !are_neighbours {
                unit::<L, false>(p, channel, &weights, &finish, to);
                continue;
            }
            for t in 0..LENGTH {
                let own = pairs(p.weights.as_ptr().add(t * CELL + channel * KU));
                for (l, weights) in weights.iter_mut().enumerate() {
                    weights[t] = below(own, l * later);
                }
            }
            unit::<L, true>(p, channel, &weights, &finish, to);
        }
    }
}

/// The codes of a unit of channels.
///
/// # Safety
/// As for [`codes`], and for [`neighbours`] if that is what they are.
#[target_feature(enable = "avx2")]
unsafe fn unit<const L: usize, const NEIGHBOURS: bool>(
    p: &Positions<'_, i16, i16>,
    channel: usize,
    weights: &Three<L>,
    finish: &Unit,
    (out, stride): (*mut u8, usize),
) {
    let rows = p.second.map_or(0, |(_, rows)| rows);
    let mut at = 0;
    while at < p.count {
        // SAFETY: the caller's promise; the second line's rows lie as much further as it says.
        unsafe {
            let to = out.add(at * stride + channel);
            if p.count < AT_ONCE {
                let sums = match NEIGHBOURS {
                    true => neighbours::<1, L>(p, at, channel, weights),
                    false => any::<1, L>(p, at, channel),
                };
                for (l, [sum]) in sums.into_iter().enumerate() {
                    finish.write([sum; 4], [to.add(l * rows * stride); 4]);
                }
                at += 1;
                continue;
            }
            let sums = match NEIGHBOURS {
                true => neighbours::<AT_ONCE, L>(p, at, channel, weights),
                false => any::<AT_ONCE, L>(p, at, channel),
            };
            for (l, sums) in sums.into_iter().enumerate() {
                finish.write(sums, [0, 1, 2, 3].map(|m| to.add((l * rows + m) * stride)));
            }
            at += AT_ONCE;
            // Where fewer are left, some are made once more.
            if at < p.count {
                at = at.min(p.count - AT_ONCE);
            }
        }
    }
}

/// How the sums of a unit of channels become codes.
struct Unit {
    base: __m256i,
    bias: __m256,
    multipliers: __m256,
    narrow: Narrow,
    wanted: usize,
}

impl Unit {
    /// # Safety
    /// The CPU has AVX2; from the channel on the tables have a unit.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn new(finish: &ToBytes<'_>, channel: usize, wanted: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                base: _mm256_loadu_si256(finish.base.as_ptr().add(channel).cast()),
                bias: _mm256_loadu_ps(finish.bias.as_ptr().add(channel)),
                multipliers: _mm256_loadu_ps(finish.multipliers.as_ptr().add(channel)),
                narrow: Narrow::new(finish),
                wanted,
            }
        }
    }

    /// Writes the codes of four positions, each to its own place.
    ///
    /// # Safety
    /// The CPU has AVX2, and there is room.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn write(&self, sums: [__m256i; 4], to: [*mut u8; 4]) {
        let steps = map(sums, |sum| {
            let sum = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_add_epi32(sum, self.base)), self.bias);
            _mm256_cvtps_epi32(_mm256_mul_ps(sum, self.multipliers))
        });
        let [a, b, c, d] = to;
        // SAFETY: the caller's promise.
        unsafe {
            let codes = self.narrow.packed(steps);
            // Four channels of a position lie in each half.
            let (low, high) = (_mm256_castsi256_si128(codes), _mm256_extracti128_si256::<1>(codes));
            for (pair, to) in
                [(_mm_unpacklo_epi32(low, high), [a, b]), (_mm_unpackhi_epi32(low, high), [c, d])]
            {
                if self.wanted == UNIT {
                    _mm_storel_epi64(to[0].cast(), pair);
                    _mm_storeh_pd(to[1].cast(), _mm_castsi128_pd(pair));
                } else {
                    let mut bytes = [0u8; 2 * UNIT];
                    _mm_storeu_si128(bytes.as_mut_ptr().cast(), pair);
                    std::ptr::copy_nonoverlapping(bytes.as_ptr(), to[0], self.wanted);
                    std::ptr::copy_nonoverlapping(bytes.as_ptr().add(UNIT), to[1], self.wanted);
                }
            }
        }
    }
}
