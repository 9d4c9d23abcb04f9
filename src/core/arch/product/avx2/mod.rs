//! AVX2: pairs of 16-bit products, added in 32 bits; or of bytes, added in 16 bits first, where that is exact, and four at
//! a time by AVX-VNNI.

mod bytes;
mod finish;
mod small;
mod tile;

use std::arch::x86_64::*;

use super::{Panels, Product, Rows, Tile, by_rows, each_panel};
use crate::arch::x86_64::{align_frame, avx2::Avx2};
pub(crate) use bytes::{AvxVnni, Bounded};
pub(crate) use finish::Narrow;

/// 16 columns, four steps of each side by side, are two vectors of sums; with six rows, twelve of the sixteen registers.
const NR: usize = 16;
const KU: usize = 4;

/// Rows of a tile; `by_rows` is told of as many.
const MR: usize = 6;

impl Product for Avx2 {
    type A = i16;
    type V = Self;
    type Channelwise = Self;
    type Bounded = Bounded;
    const MR: usize = MR;
    const NR: usize = NR;
    const KU: usize = KU;

    fn vector(self) -> Self {
        self
    }

    fn channelwise(self) -> Self {
        self
    }

    fn bounded(self) -> Option<Bounded> {
        Some(Bounded::new(self))
    }

    #[inline]
    fn block(self, rows: Rows<'_, i16>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
        // SAFETY: `self` exists, so the CPU has AVX2; the function is the one for so many rows.
        unsafe { each_panel::<Self>(by_rows!(6, rows.count, tile), rows, panels, out, stride) }
    }
}

/// # Safety
/// The CPU has AVX2; each run of the tile's `M` rows holds `4 * steps` steps, its panel as many
/// for each run, and its output `M` rows of `NR`.
#[target_feature(enable = "avx2")]
unsafe fn tile<const M: usize>(t: Tile<'_, i16>) {
    align_frame!();
    // Two bytes of each column's four, each above a byte that the shift leaves nothing of.
    let pair = |first: i8| {
        let column =
            |c: i8| i32::from_le_bytes([-128, 4 * c + first, -128, 4 * c + first + 1].map(|b: i8| b as u8));
        let (a, b, c, d) = (column(0), column(1), column(2), column(3));
        _mm256_setr_epi32(a, b, c, d, a, b, c, d)
    };
    let pairs = [pair(0), pair(2)];
    let mut sums = [[_mm256_setzero_si256(); 2]; M];
    let mut panel = t.panel;
    for run in t.runs {
        // SAFETY: the caller's promise: there are as many steps of each row.
        let rows = unsafe { t.rows.add(*run) };
        for k in 0..t.steps {
            for (half, places) in pairs.into_iter().enumerate() {
                // SAFETY: the caller's promise: 64 bytes of the panel, four steps of each row.
                unsafe {
                    let wide = |at: usize| {
                        let w = _mm256_loadu_si256(panel.add(at).cast());
                        _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(w, places))
                    };
                    let w = [wide(0), wide(32)];
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = rows.add(r * t.row_stride + 4 * k + 2 * half).cast::<i32>().read_unaligned();
                        let x = _mm256_set1_epi32(x);
                        for (sum, w) in sums.iter_mut().zip(w) {
                            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, w));
                        }
                    }
                }
            }
            panel = panel.wrapping_add(KU * NR);
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (j, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm256_storeu_si256(t.out.add(r * t.out_stride + 8 * j).cast(), sum) };
        }
    }
}
