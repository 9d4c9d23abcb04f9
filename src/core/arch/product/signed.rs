//! AVX-512 VNNI with the operands the other way round: activations are signed and weights unsigned, so that neither
//! needs an offset.

use std::arch::x86_64::*;

use super::halves::HALF_RUN;
use super::vnni::Vnni;
use super::wide::{CHUNK, Chunk, Inputs, UNIT, Wide};
use super::{Panels, Product, Rows, Tile, by_rows, each_panel};
use crate::arch::x86_64::avx512::Avx512;

/// Exists only where the CPU has AVX-512 VNNI.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed(Vnni);

impl Signed {
    /// The only door.
    #[inline]
    pub(crate) fn new() -> Option<Self> {
        Vnni::new().map(Self)
    }
}

/// Columns of a strip: two vectors of sums.
const STRIP: usize = 32;
/// Four steps of a strip are one run of codes of 4 bits.
const _: () = assert!(STRIP * <Vnni as Product>::KU == 2 * HALF_RUN);

impl Product for Signed {
    type A = i8;
    type V = Avx512;
    type Channelwise = Vnni;
    type Bounded = Self;
    const MR: usize = Vnni::MR;
    const PER_BYTE: usize = Vnni::PER_BYTE;
    /// A whole chunk, so that few rows read memory from its start to its end.
    const NR: usize = CHUNK;
    const KU: usize = Vnni::KU;
    const RUNS: bool = false;
    const IN_ORDER: bool = false;

    fn vector(self) -> Avx512 {
        self.0.vector()
    }

    fn channelwise(self) -> Vnni {
        self.0
    }

    /// The sums alone; [`Wide::add_block`] does not write them down.
    #[inline]
    fn block(self, rows: Rows<'_, i8>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
        let tile = by_rows!(12, rows.count, sums);
        // SAFETY: `self` exists, so the CPU has AVX-512 VNNI; the function is the one for so many rows.
        unsafe { each_panel::<Self>(tile, rows, panels, out, stride) }
    }
}

/// What few rows leave of the registers takes more columns: strips of a chunk that `n` rows of digits meet at once.
const fn strips(n: usize) -> usize {
    if n <= 6 { CHUNK / STRIP } else { 1 }
}

/// Sums for each output and digit, over every so manieth step, where one for each would wait for itself: an instruction
/// takes four cycles, and two start in each.
const fn ways(n: usize) -> usize {
    if n * strips(n) < 4 { 2 } else { 1 }
}

/// The function for so many rows, at least 1, of so many digits, and for codes two to a byte.
macro_rules! function {
    ($rows:expr, $digits:literal, $codes:literal, $($more:literal)*) => {
        match $rows {
            $($more => {
                groups::<$more, $digits, { strips($more * $digits) }, { ways($more * $digits) }, $codes>
            })*
            _ => panic!("{} rows of {} digits are more than fit", $rows, $digits),
        }
    };
}

impl Wide for Signed {
    const OFFSET: i32 = 0;
    const FEW: usize = 4;
    const HALVES: usize = 8;
    const UNPACKED: usize = 16 << 10;
    const FLOATS_FROM: usize = usize::MAX;

    #[inline]
    fn add_block(self, inputs: Inputs<'_, i8>, chunk: Chunk<'_>, _: &mut Vec<i32>, to: &mut [[f32; CHUNK]]) {
        let groups = match (chunk.halves, inputs.count) {
            (true, 1) => function!(to.len(), 1, 2, 1 2 3 4 5 6 7 8),
            (true, 2) => function!(to.len(), 2, 2, 1 2 3 4),
            (true, _) => function!(to.len(), 3, 2, 1 2 3 4),
            (false, 1) => function!(to.len(), 1, 1, 1 2 3 4 5 6 7 8),
            (false, 2) => function!(to.len(), 2, 1, 1 2 3 4 5 6),
            (false, _) => function!(to.len(), 3, 1, 1 2 3 4),
        };
        // SAFETY: `self` exists, so the CPU has AVX-512 F, BW, VL and VNNI; the function is the one for what it gets.
        unsafe { groups(&inputs, &chunk, to) }
    }
}

/// Groups of `M` rows of `D` digits, with `CODES` in each byte, for `P` strips at a time and with `U` sums for each output.
///
/// Two codes in a byte are not taken apart: the one below is, by a mask; for the one above the whole byte is multiplied, and
/// what the one below adds to that is taken away at the end of the group.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VL and VNNI; there are `M` results, and inputs and chunk have `D` digits and `CODES`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[expect(
    clippy::needless_range_loop,
    reason = "sums leave the registers where an iterator over them is not unrolled"
)]
unsafe fn groups<const M: usize, const D: usize, const P: usize, const U: usize, const CODES: usize>(
    inputs: &Inputs<'_, i8>,
    chunk: &Chunk<'_>,
    to: &mut [[f32; CHUNK]],
) {
    let below = _mm512_set1_epi8(15);
    // Results of few rows stay in registers; those of more are read and written for each group.
    let stay = P == CHUNK / STRIP;
    let mut results = [[_mm512_setzero_ps(); CHUNK / 16]; M];
    for r in 0..if stay { M } else { 0 } {
        for j in 0..CHUNK / 16 {
            // SAFETY: the slice holds 16 floats.
            results[r][j] = unsafe { _mm512_loadu_ps(to[r][16 * j..][..16].as_ptr()) };
        }
    }
    let of_groups = chunk.codes.chunks(CHUNK / CODES * chunk.group).zip(inputs.groups());
    for (g, (scales, (codes, (digits, units, of_rows)))) in chunk.scales.iter().zip(of_groups).enumerate() {
        let steps = codes.len() / (CHUNK / CODES);
        let digits = &digits[inputs.first_row * D * steps..];
        let (units, of_rows) = (&units[..M], &of_rows[..M]);
        assert!(digits.len() >= M * D * steps && steps.is_multiple_of(UNIT));
        for strip in (0..CHUNK / STRIP).step_by(P) {
            let codes = codes.as_ptr();
            // For each row and strip the two vectors of each digit's sums.
            let mut sums = [[[[[_mm512_setzero_si512(); 2]; D]; P]; M]; U];
            for k in (0..steps).step_by(UNIT) {
                for u in 0..UNIT / 4 {
                    let k = k + 4 * u;
                    // SAFETY: for each step there are 64 codes of the chunk, and a digit of each row, as was asked above.
                    // A prefetch is a hint, which no address makes wrong.
                    unsafe {
                        let w: [[__m512i; 2]; P] = std::array::from_fn(|p| {
                            let at = codes.add(CHUNK / CODES * k + 4 * STRIP / CODES * (strip + p));
                            if chunk.ahead {
                                for line in 0..2 / CODES {
                                    _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD + 64 * line));
                                }
                            }
                            let first = _mm512_loadu_si512(at.cast());
                            match CODES {
                                1 => [first, _mm512_loadu_si512(at.add(64).cast())],
                                _ => [_mm512_and_si512(first, below), first],
                            }
                        });
                        for r in 0..M {
                            for digit in 0..D {
                                let x = digits.as_ptr().add((r * D + digit) * steps + k);
                                let x = _mm512_set1_epi32(x.cast::<i32>().read_unaligned());
                                for p in 0..P {
                                    for j in 0..2 {
                                        let sum = &mut sums[u % U][r][p][digit][j];
                                        *sum = _mm512_dpbusd_epi32(*sum, w[p][j], x);
                                    }
                                }
                            }
                        }
                    }
                }
            }
            for r in 0..M {
                let unit = _mm512_set1_ps(units[r]);
                for p in 0..P {
                    // Of `high` and of `low`, for both vectors.
                    let mut parts = [[_mm512_setzero_si512(); 2]; 2];
                    for j in 0..2 {
                        let digit = |d: usize| match U {
                            1 => sums[0][r][p][d][j],
                            _ => _mm512_add_epi32(sums[0][r][p][d][j], sums[1 % U][r][p][d][j]),
                        };
                        let pair = |d| _mm512_add_epi32(_mm512_slli_epi32::<8>(digit(d)), digit(d + 1));
                        match D {
                            1 => parts[1][j] = digit(0),
                            2 => parts[1][j] = pair(0),
                            _ => (parts[0][j], parts[1][j]) = (pair(0), digit(2)),
                        }
                    }
                    if CODES == 2 {
                        for [low, high] in &mut parts {
                            *high = _mm512_srai_epi32::<4>(_mm512_sub_epi32(*high, *low));
                        }
                    }
                    for j in 0..2 {
                        let at = (strip + p) * STRIP + 16 * j;
                        // What the zero point takes away.
                        let less = |part: usize, sum: i32| {
                            let of_zero = match chunk.zero_points {
                                Some(z) => {
                                    let z = &z[g][at..][..16];
                                    // SAFETY: the slice holds 16 bytes.
                                    let z =
                                        _mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(z.as_ptr().cast()) });
                                    _mm512_mullo_epi32(z, _mm512_set1_epi32(sum))
                                }
                                None => _mm512_set1_epi32(sum.wrapping_mul(chunk.middle)),
                            };
                            _mm512_cvtepi32_ps(_mm512_sub_epi32(parts[part][j], of_zero))
                        };
                        let mut sum = less(1, of_rows[r].low);
                        if D == 3 {
                            let high = less(0, of_rows[r].high);
                            sum = _mm512_add_ps(_mm512_mul_ps(high, _mm512_set1_ps(256.0)), sum);
                        }
                        // SAFETY: the slice holds 16 floats.
                        let scales = unsafe { _mm512_loadu_ps(scales[at..][..16].as_ptr()) };
                        let part = _mm512_mul_ps(_mm512_mul_ps(sum, unit), scales);
                        if stay {
                            results[r][at / 16] = _mm512_add_ps(results[r][at / 16], part);
                        } else {
                            let to = to[r][at..][..16].as_mut_ptr();
                            // SAFETY: the slice holds 16 floats.
                            unsafe { _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), part)) };
                        }
                    }
                }
            }
        }
    }
    for r in 0..if stay { M } else { 0 } {
        for j in 0..CHUNK / 16 {
            // SAFETY: the slice holds 16 floats.
            unsafe { _mm512_storeu_ps(to[r][16 * j..][..16].as_mut_ptr(), results[r][j]) };
        }
    }
}

/// How many bytes ahead of use to ask for weights.
const AHEAD: usize = 4096;

/// # Safety
/// The CPU has AVX-512 F and VNNI; the tile's `M` rows, which are one run each, and its panel hold `4 * steps` steps, and
/// its output `M` rows of `NR`.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn sums<const M: usize>(t: Tile<'_, i8>) {
    for strip in 0..CHUNK / STRIP {
        let mut sums = [[_mm512_setzero_si512(); 2]; M];
        for k in 0..t.steps {
            // SAFETY: the caller's promise: 256 bytes of the panel, four of each row.
            unsafe {
                let panel = t.panel.add(4 * (CHUNK * k + STRIP * strip));
                let w = [_mm512_loadu_si512(panel.cast()), _mm512_loadu_si512(panel.add(64).cast())];
                for (r, sums) in sums.iter_mut().enumerate() {
                    let quad = t.rows.add(r * t.row_stride + 4 * k).cast::<i32>().read_unaligned();
                    let x = _mm512_set1_epi32(quad);
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm512_dpbusd_epi32(*sum, w, x);
                    }
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (j, sum) in sums.into_iter().enumerate() {
                let at = r * t.out_stride + STRIP * strip + 16 * j;
                // SAFETY: the caller's promise.
                unsafe { _mm512_storeu_si512(t.out.add(at).cast(), sum) };
            }
        }
    }
}
