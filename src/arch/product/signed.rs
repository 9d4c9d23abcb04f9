//! AVX-512 VNNI with the operands the other way round: activations are signed and weights unsigned, so that neither
//! needs an offset.

use std::arch::x86_64::*;

use super::vnni::Vnni;
use super::wide::{HALF_RUN, Wide};
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

    #[inline]
    fn block(self, rows: Rows<'_, i8>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
        let tile = match (rows.count, panels.ahead) {
            (3, true) => tile::<3, 1, AHEAD>,
            (count, _) => by_rows!(count, bytes),
        };
        // SAFETY: `self` exists, so the CPU has AVX-512 VNNI; the function is the one for so many rows.
        unsafe { each_panel::<Self>(tile, rows, panels, out, stride) }
    }
}

impl Wide for Signed {
    const OFFSET: i32 = 0;

    #[inline]
    fn block_of_halves(
        self,
        rows: Rows<'_, i8>,
        panels: Panels<'_>,
        _: &mut [i8],
        out: &mut [i32],
        stride: usize,
    ) {
        let Panels { data, depth, count, ahead } = panels;
        assert!((1..=Self::MR).contains(&rows.count) && depth.is_multiple_of(Self::KU));
        assert_eq!(2 * data.len(), count * NR * depth);
        assert!(rows.data.len() >= (rows.count - 1) * rows.stride + depth);
        assert!(stride >= count * NR && out.len() >= (rows.count - 1) * stride + count * NR);
        let tile = match (rows.count, ahead) {
            (3, true) => tile::<3, 2, AHEAD>,
            (count, _) => by_rows!(count, halves),
        };
        for i in 0..count {
            // SAFETY: `self` exists, so the CPU has AVX-512 VNNI; the function is the one for so many rows, each of
            // which holds `depth` steps; there are `count` panels of half as many bytes; `out` takes their sums.
            unsafe {
                tile(Tile {
                    rows: rows.data.as_ptr(),
                    row_stride: rows.stride,
                    panel: data.as_ptr().add(i * NR * depth / 2),
                    steps: depth / Self::KU,
                    out: out.as_mut_ptr().add(i * NR),
                    out_stride: stride,
                });
            }
        }
    }
}

/// How many bytes ahead of use to ask for weights, where the three digits of one row meet them.
const AHEAD: usize = 2048;

/// # Safety
/// As [`tile`], of codes in bytes of their own.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn bytes<const M: usize>(t: Tile<i8>) {
    // SAFETY: the caller's promise.
    unsafe { tile::<M, 1, 0>(t) }
}

/// # Safety
/// As [`tile`], of codes two to a byte.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn halves<const M: usize>(t: Tile<i8>) {
    // SAFETY: the caller's promise.
    unsafe { tile::<M, 2, 0>(t) }
}

/// The sums of `M` rows and one panel with `CODES` in each byte.
///
/// # Safety
/// The CPU has AVX-512 F, BW and VNNI; the tile's `M` rows and its panel hold `4 * steps` steps, and its output `M` rows of
/// `NR`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn tile<const M: usize, const CODES: usize, const AHEAD: usize>(t: Tile<i8>) {
    let low = _mm512_set1_epi8(15);
    let mut sums = [[_mm512_setzero_si512(); 2]; M];
    for k in 0..t.steps {
        // SAFETY: the caller's promise: 128 codes of the panel, four of each row. A prefetch is a hint, which no address
        // makes wrong.
        unsafe {
            let panel = t.panel.add(4 * NR / CODES * k);
            let first = _mm512_loadu_si512(panel.cast());
            let w = match CODES {
                1 => [first, _mm512_loadu_si512(panel.add(64).cast())],
                _ => [_mm512_and_si512(first, low), _mm512_and_si512(_mm512_srli_epi16::<4>(first), low)],
            };
            if AHEAD > 0 {
                for line in 0..2 / CODES {
                    _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add(AHEAD + 64 * line));
                }
            }
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
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_si512(t.out.add(r * t.out_stride + 16 * j).cast(), sum) };
        }
    }
}
