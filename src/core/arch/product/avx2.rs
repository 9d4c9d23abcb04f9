//! AVX2: pairs of 16-bit products, added in 32 bits. `vpmaddubsw` would do twice as much and saturate.

use std::arch::x86_64::*;

use super::{Panels, Product, Rows, Tile, each_panel};
use crate::arch::x86_64::avx2::Avx2;

/// 16 columns are two vectors of sums; with six rows, twelve of the sixteen registers.
const NR: usize = 16;

impl Product for Avx2 {
    type A = i16;
    type V = Self;
    type Channelwise = Self;
    const MR: usize = 6;
    const NR: usize = NR;
    const KU: usize = 2;

    fn vector(self) -> Self {
        self
    }

    fn channelwise(self) -> Self {
        self
    }

    #[inline]
    fn block(self, rows: Rows<'_, i16>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
        let tile = match rows.count {
            1 => tile::<1>,
            2 => tile::<2>,
            3 => tile::<3>,
            4 => tile::<4>,
            5 => tile::<5>,
            _ => tile::<6>,
        };
        // SAFETY: `self` exists, so the CPU has AVX2; the function is the one for so many rows.
        unsafe { each_panel::<Self>(tile, rows, panels, out, stride) }
    }
}

/// # Safety
/// The CPU has AVX2; each run of the tile's `M` rows holds `2 * steps` steps, its panel as many
/// for each run, and its output `M` rows of `NR`.
#[target_feature(enable = "avx2")]
unsafe fn tile<const M: usize>(t: Tile<'_, i16>) {
    let mut panel = t.panel;
    let mut sums = [[_mm256_setzero_si256(); 2]; M];
    for run in t.runs {
        // SAFETY: the caller's promise: there are as many steps of each row.
        let rows = unsafe { t.rows.add(*run) };
        for k in 0..t.steps {
            // SAFETY: the caller's promise: 32 bytes of the panel, one pair of each row.
            unsafe {
                let w = [
                    _mm256_cvtepi8_epi16(_mm_loadu_si128(panel.cast())),
                    _mm256_cvtepi8_epi16(_mm_loadu_si128(panel.add(16).cast())),
                ];
                panel = panel.add(2 * NR);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let pair = rows.add(r * t.row_stride + 2 * k).cast::<i32>().read_unaligned();
                    let x = _mm256_set1_epi32(pair);
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, w));
                    }
                }
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (j, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm256_storeu_si256(t.out.add(r * t.out_stride + 8 * j).cast(), sum) };
        }
    }
}
