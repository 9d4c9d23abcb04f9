//! The products of a tile, in registers.
//!
//! Macros, since no function that has instructions switched on is sure to be inlined, and loops without adaptors, which
//! may leave sums in memory.

use std::arch::x86_64::*;

use super::NR;
use crate::arch::product::{Tile, by_rows};

/// A step in depth of the rows `$own` of a tile times so many columns of a panel: 16, 24 or 32.
macro_rules! step {
    ($rows:expr, $stride:expr, $panel:expr, $own:expr, $sums:expr, $columns:expr) => {{
        let (rows, panel) = ($rows, $panel);
        let w = _mm512_loadu_si512(panel.cast());
        let v = match $columns {
            ..=16 => _mm512_setzero_si512(),
            17..=24 => _mm512_castsi256_si512(_mm256_loadu_si256(panel.add(64).cast())),
            _ => _mm512_loadu_si512(panel.add(64).cast()),
        };
        let mut r = $own.start;
        while r < $own.end {
            let quad = rows.add(r * $stride).cast::<i32>().read_unaligned();
            let x = _mm512_set1_epi32(quad);
            let [a, b] = &mut $sums[r];
            *a = _mm512_dpbusd_epi32(*a, x, w);
            match $columns {
                ..=16 => {}
                17..=24 => {
                    let x = _mm512_castsi512_si256(x);
                    let sum = _mm256_dpbusd_epi32(_mm512_castsi512_si256(*b), x, _mm512_castsi512_si256(v));
                    *b = _mm512_castsi256_si512(sum);
                }
                _ => *b = _mm512_dpbusd_epi32(*b, x, v),
            }
            r += 1;
        }
    }};
}

/// Adds the products of `$m` rows of a tile to their sums, without what its first and its last row have of zeros. With each
/// step the second cache is asked for what lies `$ahead` bytes further, if anything: the first rows that meet weights would
/// wait for them at the start of each page, which a processor does not foresee.
macro_rules! products {
    ($t:ident, $tile:expr, $sides:expr, $ahead:expr, $sums:expr, $m:ident, $columns:expr) => {{
        let (tile, mut panel, stride) = ($tile, $t.panel, $t.row_stride);
        if $sides == (0, 0) {
            for run in $t.runs {
                // SAFETY: the caller's promise: in each run four elements a step of each row, and 128 bytes of the panel.
                unsafe {
                    let mut rows = tile.add(*run);
                    let end = rows.add(4 * $t.steps);
                    while rows != end {
                        let next = panel.wrapping_add($ahead);
                        _mm_prefetch::<_MM_HINT_T1>(next);
                        _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(64));
                        step!(rows, stride, panel, 0..$m, $sums, $columns);
                        (rows, panel) = (rows.add(4), panel.add(4 * NR));
                    }
                }
            }
        } else {
            let first = $t.steps.min($sides.0);
            let last = $t.steps - ($t.steps - first).min($sides.1);
            for run in $t.runs {
                // SAFETY: as above.
                unsafe {
                    let rows = tile.add(*run);
                    for k in 0..first {
                        step!(rows.add(4 * k), stride, panel, 1..$m, $sums, $columns);
                        panel = panel.add(4 * NR);
                    }
                    for k in first..last {
                        step!(rows.add(4 * k), stride, panel, 0..$m, $sums, $columns);
                        panel = panel.add(4 * NR);
                    }
                    for k in last..$t.steps {
                        step!(rows.add(4 * k), stride, panel, 0..$m - 1, $sums, $columns);
                        panel = panel.add(4 * NR);
                    }
                }
            }
        }
    }};
}
pub(super) use {products, step};

/// The sums of few rows and `P` panels: with `U` for each output, over every so manieth step, where one for each would wait
/// for itself: an instruction takes four cycles, and one starts in each.
///
/// # Safety
/// As [`tile`], for so many panels, which are `panel_stride` apart.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn few<const M: usize, const U: usize, const P: usize>(t: Tile<'_, u8>) {
    let mut sums = [[[[_mm512_setzero_si512(); 2]; M]; P]; U];
    let whole = t.steps / U * U;
    let (mut panel, stride) = (t.panel, t.row_stride);
    for run in t.runs {
        // SAFETY: the caller's promise: in each run four elements a step of each row, and 128 bytes of each panel.
        unsafe {
            let rows = t.rows.add(*run);
            for k in (0..whole).step_by(U) {
                let mut u = 0;
                while u < U {
                    let mut p = 0;
                    while p < P {
                        let panel = panel.add(p * t.panel_stride);
                        step!(rows.add(4 * (k + u)), stride, panel, 0..M, sums[u][p], NR);
                        p += 1;
                    }
                    panel = panel.add(4 * NR);
                    u += 1;
                }
            }
            for k in whole..t.steps {
                let mut p = 0;
                while p < P {
                    let panel = panel.add(p * t.panel_stride);
                    step!(rows.add(4 * k), stride, panel, 0..M, sums[0][p], NR);
                    p += 1;
                }
                panel = panel.add(4 * NR);
            }
        }
    }
    // By index: what is iterated over has an address, and then sums lie in memory all the way.
    let mut p = 0;
    while p < P {
        let mut r = 0;
        while r < M {
            let mut j = 0;
            while j < 2 {
                let (mut sum, mut u) = (sums[0][p][r][j], 1);
                while u < U {
                    sum = _mm512_add_epi32(sum, sums[u][p][r][j]);
                    u += 1;
                }
                // SAFETY: the caller's promise.
                unsafe { _mm512_storeu_si512(t.out.add(r * t.out_stride + NR * p + 16 * j).cast(), sum) };
                j += 1;
            }
            r += 1;
        }
        p += 1;
    }
}

/// The function that makes the sums of so many rows: [`tile`].
#[inline]
pub(super) fn sums(rows: usize) -> unsafe fn(Tile<'_, u8>) {
    by_rows!(12, rows, tile)
}

/// # Safety
/// The CPU has AVX-512 F and VNNI; each run of the tile's `M` rows holds `4 * steps` steps, its panel as many for
/// each run, and its output `M` rows of `NR`.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile<const M: usize>(t: Tile<'_, u8>) {
    const { assert!(M > 0) };
    let mut sums = [[_mm512_setzero_si512(); 2]; M];
    products!(t, t.rows, t.sides, t.ahead, sums, M, NR);
    for (r, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_si512(t.out.add(r * t.out_stride + 16 * j).cast(), *sum) };
        }
    }
}
