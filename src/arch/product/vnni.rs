//! AVX-512 VNNI: four products of u8 and i8 to a sum, in one instruction that does not saturate.

use std::arch::x86_64::*;

use super::{Panels, Product, Rows, Tile, each_panel};
use crate::arch::x86_64::avx512::Avx512;

/// Exists only where the CPU has AVX-512 F, BW, VL and VNNI.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vnni(Avx512);

impl Vnni {
    /// The only door.
    #[inline]
    pub(crate) fn new() -> Option<Self> {
        let base = Avx512::new()?;
        std::is_x86_feature_detected!("avx512vnni").then_some(Self(base))
    }
}

/// Two vectors of sums; with twelve rows, 24 of the 32 registers.
const NR: usize = 32;

impl Product for Vnni {
    type A = u8;
    type V = Avx512;
    type Channelwise = Self;
    const MR: usize = 12;
    const NR: usize = NR;
    const KU: usize = 4;

    fn vector(self) -> Avx512 {
        self.0
    }

    fn channelwise(self) -> Self {
        self
    }

    #[inline]
    fn block(self, rows: Rows<'_, u8>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
        let tile = super::by_rows!(rows.count, tile);
        // SAFETY: `self` exists, so the CPU has AVX-512 VNNI; the function is the one for so many rows.
        unsafe { each_panel::<Self>(tile, rows, panels, out, stride) }
    }
}

/// # Safety
/// The CPU has AVX-512 F and VNNI; the tile's `M` rows and its panel hold `4 * steps` steps, and its output `M` rows of `NR`.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile<const M: usize>(t: Tile<u8>) {
    let mut panel = t.panel;
    let mut sums = [[_mm512_setzero_si512(); 2]; M];
    for k in 0..t.steps {
        // SAFETY: the caller's promise: 128 bytes of the panel, four of each row.
        unsafe {
            let w = [_mm512_loadu_si512(panel.cast()), _mm512_loadu_si512(panel.add(64).cast())];
            panel = panel.add(4 * NR);
            for (r, sums) in sums.iter_mut().enumerate() {
                let quad = t.rows.add(r * t.row_stride + 4 * k).cast::<i32>().read_unaligned();
                let x = _mm512_set1_epi32(quad);
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = _mm512_dpbusd_epi32(*sum, x, w);
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
