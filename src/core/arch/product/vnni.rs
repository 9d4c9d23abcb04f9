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
    const PER_BYTE: usize = 12;
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
        let tile = match (rows.count, panels.ahead) {
            (1, false) => deep::<1, 4, 0>,
            (2, false) => deep::<2, 2, 0>,
            (3, false) => deep::<3, 2, 0>,
            (1, true) => deep::<1, 4, AHEAD>,
            (2, true) => deep::<2, 2, AHEAD>,
            (3, true) => deep::<3, 2, AHEAD>,
            (4, true) => deep::<4, 1, AHEAD>,
            (count, _) => super::by_rows!(count, tile),
        };
        // SAFETY: `self` exists, so the CPU has AVX-512 VNNI; the function is the one for so many rows.
        unsafe { each_panel::<Self>(tile, rows, panels, out, stride) }
    }
}

/// # Safety
/// As `deep`.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile<const M: usize>(t: Tile<'_, u8>) {
    // SAFETY: the caller's promise.
    unsafe { deep::<M, 1, 0>(t) }
}

/// How many bytes ahead of use to ask for weights.
const AHEAD: usize = 2048;

/// `U` sums for each output, over every `U`th step, where one for each would wait for itself: an instruction takes four
/// cycles, and two start in each.
///
/// # Safety
/// The CPU has AVX-512 F and VNNI; each run of the tile's `M` rows holds `4 * steps` steps, its panel as many for
/// each run, and its output `M` rows of `NR`.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn deep<const M: usize, const U: usize, const AHEAD: usize>(t: Tile<'_, u8>) {
    let mut sums = [[[_mm512_setzero_si512(); 2]; M]; U];
    // SAFETY: the caller's promise: for each of the steps 128 bytes of the panel, four of each row. A prefetch is a hint,
    // which no address makes wrong.
    let step = |rows: *const u8, panel: *const i8, sums: &mut [[__m512i; 2]; M]| unsafe {
        let w = [_mm512_loadu_si512(panel.cast()), _mm512_loadu_si512(panel.add(64).cast())];
        if AHEAD > 0 {
            _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add(AHEAD));
            _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add(AHEAD + 64));
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let quad = rows.add(r * t.row_stride).cast::<i32>().read_unaligned();
            let x = _mm512_set1_epi32(quad);
            for (sum, w) in sums.iter_mut().zip(w) {
                *sum = _mm512_dpbusd_epi32(*sum, x, w);
            }
        }
    };
    let whole = t.steps / U * U;
    let mut panel = t.panel;
    for run in t.runs {
        // SAFETY: the caller's promise: in each run four elements a step, and 128 bytes of the panel.
        unsafe {
            let rows = t.rows.add(*run);
            for k in (0..whole).step_by(U) {
                for (u, sums) in sums.iter_mut().enumerate() {
                    step(rows.add(4 * (k + u)), panel.add(4 * NR * u), sums);
                }
                panel = panel.add(4 * NR * U);
            }
            for k in whole..t.steps {
                step(rows.add(4 * k), panel, &mut sums[0]);
                panel = panel.add(4 * NR);
            }
        }
    }
    for r in 0..M {
        for j in 0..2 {
            let mut sum = sums[0][r][j];
            for more in &sums[1..] {
                sum = _mm512_add_epi32(sum, more[r][j]);
            }
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_si512(t.out.add(r * t.out_stride + 16 * j).cast(), sum) };
        }
    }
}
