//! AVX-512 without VNNI: as AVX2, twice as wide, with twice the registers.

use std::arch::x86_64::*;

use super::{Panels, Product, Rows, Tile, by_rows, each_panel};
use crate::arch::x86_64::{avx2::Avx2, avx512::Avx512};

const NR: usize = 32;

impl Product for Avx512 {
    type A = i16;
    type V = Self;
    type Channelwise = Avx2;
    type Bounded = Self;
    const MR: usize = 12;
    const PER_BYTE: usize = 6;
    const NR: usize = NR;
    const KU: usize = 2;

    fn vector(self) -> Self {
        self
    }

    fn channelwise(self) -> Avx2 {
        self.narrower()
    }

    #[inline]
    fn block(self, rows: Rows<'_, i16>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
        let tile = by_rows!(12, rows.count, tile);
        // SAFETY: `self` exists, so the CPU has AVX-512 F and BW; the function is the one for so many rows.
        unsafe { each_panel::<Self>(tile, rows, panels, out, stride) }
    }
}

/// # Safety
/// The CPU has AVX-512 F and BW; each run of the tile's `M` rows holds `2 * steps` steps, its panel as many
/// for each run, and its output `M` rows of `NR`.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn tile<const M: usize>(t: Tile<'_, i16>) {
    let mut panel = t.panel;
    let mut sums = [[_mm512_setzero_si512(); 2]; M];
    for run in t.runs {
        // SAFETY: the caller's promise: there are as many steps of each row.
        let rows = unsafe { t.rows.add(*run) };
        for k in 0..t.steps {
            // SAFETY: the caller's promise: 64 bytes of the panel, one pair of each row.
            unsafe {
                let w = [
                    _mm512_cvtepi8_epi16(_mm256_loadu_si256(panel.cast())),
                    _mm512_cvtepi8_epi16(_mm256_loadu_si256(panel.add(32).cast())),
                ];
                panel = panel.add(2 * NR);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let pair = rows.add(r * t.row_stride + 2 * k).cast::<i32>().read_unaligned();
                    let x = _mm512_set1_epi32(pair);
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(x, w));
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
