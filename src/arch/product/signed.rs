//! AVX-512 VNNI with the operands the other way round: activations are signed and weights unsigned, so that neither
//! needs an offset.

use std::arch::x86_64::*;

use super::vnni::Vnni;
use super::wide::{CHUNK, Chunk, HALF_RUN, Inputs, Sum, Wide};
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

const NR: usize = <Vnni as Product>::NR;
/// A step of a panel is one run of codes of 4 bits.
const _: () = assert!(NR * <Vnni as Product>::KU == 2 * HALF_RUN);

impl Product for Signed {
    type A = i8;
    type V = Avx512;
    type Channelwise = Vnni;
    const MR: usize = Vnni::MR;
    const PER_BYTE: usize = Vnni::PER_BYTE;
    const NR: usize = NR;
    const KU: usize = Vnni::KU;

    fn vector(self) -> Avx512 {
        self.0.vector()
    }

    fn channelwise(self) -> Vnni {
        self.0
    }

    /// The sums alone; [`Wide::add_group`] does not write them down.
    #[inline]
    fn block(self, rows: Rows<'_, i8>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
        let tile = by_rows!(rows.count, sums);
        // SAFETY: `self` exists, so the CPU has AVX-512 VNNI; the function is the one for so many rows.
        unsafe { each_panel::<Self>(tile, rows, panels, out, stride) }
    }
}

impl Wide for Signed {
    const OFFSET: i32 = 0;
    const HALVES: bool = true;

    #[inline]
    fn add_group(self, inputs: Inputs<'_, i8>, chunk: Chunk<'_>, _: &mut Vec<i32>, to: &mut [[f32; CHUNK]]) {
        let (Rows { data, stride, count, .. }, Panels { depth, .. }) = (inputs.digits, chunk.panels);
        let rows = to.len();
        assert!((1..=4).contains(&rows) && count == 3 * rows && depth.is_multiple_of(Self::KU));
        assert!(inputs.units.len() == rows && inputs.sums.len() == rows);
        assert!(data.len() >= (count - 1) * stride + depth);
        assert_eq!(chunk.panels.data.len() << u32::from(chunk.halves), CHUNK * depth);
        let group = match (rows, chunk.halves) {
            (1, false) => group::<1, 2, 1>,
            (2, false) => group::<2, 1, 1>,
            (3, false) => group::<3, 1, 1>,
            (_, false) => group::<4, 1, 1>,
            (1, true) => group::<1, 2, 2>,
            (2, true) => group::<2, 1, 2>,
            (3, true) => group::<3, 1, 2>,
            (_, true) => group::<4, 1, 2>,
        };
        // SAFETY: `self` exists, so the CPU has AVX-512 F, BW, VL and VNNI; the function is the one for so many rows and
        // codes in a byte; rows hold `depth` steps, and the panels, units and sums what it reads.
        unsafe { group(&inputs, &chunk, to) }
    }
}

/// One group of `M` rows, with `CODES` in each byte, for `P` panels at a time: what few rows leave of the registers takes
/// more columns.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VL and VNNI; there are `3 * M` rows of digits, `M` units, sums and results; all rows and both
/// panels hold `depth` steps, a multiple of 4.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[expect(
    clippy::needless_range_loop,
    reason = "sums leave the registers where an iterator over them is not unrolled"
)]
unsafe fn group<const M: usize, const P: usize, const CODES: usize>(
    inputs: &Inputs<'_, i8>,
    chunk: &Chunk<'_>,
    to: &mut [[f32; CHUNK]],
) {
    let Panels { data, depth, ahead, .. } = chunk.panels;
    let nibble = _mm512_set1_epi8(15);
    let bytes = NR * depth / CODES;
    for panel in (0..CHUNK / NR).step_by(P) {
        // For each row and panel the two vectors of each digit's sums, which start with what zero points take away.
        let mut sums = [[[[_mm512_setzero_si512(); 2]; 3]; P]; M];
        for r in 0..M {
            let Sum { high, low } = inputs.sums[r].times(-1);
            for (part, sum) in [(1, high), (2, low)] {
                let same = _mm512_set1_epi32(sum.wrapping_mul(chunk.middle));
                for p in 0..P {
                    for j in 0..2 {
                        sums[r][p][part][j] = match chunk.zero_points {
                            // SAFETY: the slice holds 16 bytes.
                            Some(z) => unsafe {
                                let z = z[(panel + p) * NR + 16 * j..][..16].as_ptr().cast();
                                let z = _mm512_cvtepu8_epi32(_mm_loadu_si128(z));
                                let z = _mm512_add_epi32(z, _mm512_set1_epi32(chunk.offset));
                                _mm512_mullo_epi32(z, _mm512_set1_epi32(sum))
                            },
                            None => same,
                        };
                    }
                }
            }
        }
        for k in 0..depth / 4 {
            // SAFETY: the caller's promise: for each step 128 codes of each panel, four of each row. A prefetch is a hint,
            // which no address makes wrong.
            unsafe {
                let w: [[__m512i; 2]; P] = std::array::from_fn(|p| {
                    let at = data.as_ptr().add((panel + p) * bytes + 4 * NR / CODES * k);
                    if ahead {
                        for line in 0..2 / CODES {
                            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD + 64 * line));
                        }
                    }
                    let first = _mm512_loadu_si512(at.cast());
                    if CODES == 1 {
                        return [first, _mm512_loadu_si512(at.add(64).cast())];
                    }
                    [_mm512_and_si512(first, nibble), _mm512_and_si512(_mm512_srli_epi16::<4>(first), nibble)]
                });
                for r in 0..M {
                    for digit in 0..3 {
                        let row = inputs.digits.data.as_ptr().add((3 * r + digit) * inputs.digits.stride);
                        let x = _mm512_set1_epi32(row.add(4 * k).cast::<i32>().read_unaligned());
                        for p in 0..P {
                            for j in 0..2 {
                                let sum = &mut sums[r][p][digit][j];
                                *sum = _mm512_dpbusd_epi32(*sum, w[p][j], x);
                            }
                        }
                    }
                }
            }
        }
        for r in 0..M {
            let unit = _mm512_set1_ps(inputs.units[r]);
            for p in 0..P {
                for j in 0..2 {
                    let [first, second, low] = [sums[r][p][0][j], sums[r][p][1][j], sums[r][p][2][j]];
                    let at = (panel + p) * NR + 16 * j;
                    let (scales, to) = (&chunk.scales[at..][..16], &mut to[r][at..][..16]);
                    let high = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32::<8>(first), second));
                    let low = _mm512_cvtepi32_ps(low);
                    let both = _mm512_add_ps(_mm512_mul_ps(high, _mm512_set1_ps(256.0)), low);
                    // SAFETY: the slices hold 16 floats.
                    unsafe {
                        let scales = _mm512_loadu_ps(scales.as_ptr());
                        let part = _mm512_mul_ps(_mm512_mul_ps(both, unit), scales);
                        _mm512_storeu_ps(to.as_mut_ptr(), _mm512_add_ps(_mm512_loadu_ps(to.as_ptr()), part));
                    }
                }
            }
        }
    }
}

/// How many bytes ahead of use to ask for weights.
const AHEAD: usize = 8192;

/// # Safety
/// The CPU has AVX-512 F and VNNI; each run of the tile's `M` rows holds `4 * steps` steps, its panel as many for
/// each run, and its output `M` rows of `NR`.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn sums<const M: usize>(t: Tile<'_, i8>) {
    let mut sums = [[_mm512_setzero_si512(); 2]; M];
    let mut panel = t.panel;
    for run in t.runs {
        // SAFETY: the caller's promise: there are as many steps of each row.
        let rows = unsafe { t.rows.add(*run) };
        for k in 0..t.steps {
            // SAFETY: the caller's promise: 128 bytes of the panel, four of each row.
            unsafe {
                let w = [_mm512_loadu_si512(panel.cast()), _mm512_loadu_si512(panel.add(64).cast())];
                panel = panel.add(4 * NR);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let quad = rows.add(r * t.row_stride + 4 * k).cast::<i32>().read_unaligned();
                    let x = _mm512_set1_epi32(quad);
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm512_dpbusd_epi32(*sum, w, x);
                    }
                }
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (j, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_si512(t.out.add(r * t.out_stride + 16 * j).cast(), sum) };
        }
    }
}
