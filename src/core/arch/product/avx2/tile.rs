//! Sums of products of bytes in registers: by AVX-VNNI's instruction, or by three of AVX2.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{KU, NR};
use crate::arch::product::{Tile, TileFn, by_rows};

/// The function that makes the sums of so many rows.
#[inline]
pub(super) fn sums<const DOT: bool>(rows: usize) -> TileFn<u8> {
    by_rows!(6, rows, tile, DOT)
}

/// Adds the products of some rows of a tile to their sums.
///
/// # Safety
/// The CPU has AVX2, and AVX-VNNI where `DOT` says so; each run of the `M` rows holds `4 * steps` steps, and the panel as many
/// for each run.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) unsafe fn add_products<const M: usize, const DOT: bool>(
    t: &Tile<'_, u8>,
    rows: *const u8,
    sums: &mut [[__m256i; 2]; M],
) {
    // SAFETY: the caller's promise; `DOT` is true where the CPU has AVX-VNNI alone.
    unsafe { if DOT { by_dot(t, rows, sums) } else { by_pairs(t, rows, sums) } }
}

/// A sum and four products of each column.
///
/// # Safety
/// The CPU has AVX2 and AVX-VNNI.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn dot(mut sum: __m256i, quad: __m256i, weights: __m256i) -> __m256i {
    // As text: the intrinsic could not be inlined into functions for AVX2.
    // SAFETY: the caller's promise; only registers are touched.
    unsafe {
        asm!(
            "{{vex}} vpdpbusd {sum}, {quad}, {weights}",
            sum = inout(ymm_reg) sum,
            quad = in(ymm_reg) quad,
            weights = in(ymm_reg) weights,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// As [`add_products`], by AVX-VNNI.
///
/// # Safety
/// As there; the CPU has AVX-VNNI.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn by_dot<const M: usize>(t: &Tile<'_, u8>, rows: *const u8, sums: &mut [[__m256i; 2]; M]) {
    // A sum takes some cycles until the next products can be added to it: few rows have several for each column.
    let apart = const { [1, 4, 3, 2, 1, 1, 1][M] };
    let mut more = [[[_mm256_setzero_si256(); 2]; M]; 3];
    let mut panel = t.panel;
    for run in t.runs {
        // SAFETY: the caller's promise: there are as many steps of each row.
        let rows = unsafe { rows.add(*run) };
        let add = |sums: &mut [[__m256i; 2]; M], k: usize| {
            // SAFETY: the caller's promise: 64 bytes of the panel for each step, and four steps of each row.
            unsafe {
                let weights = panel.wrapping_add(KU * NR * k);
                // Not by `map`: what it is given is not inlined into it, as it has no AVX2 itself.
                let weights =
                    [_mm256_loadu_si256(weights.cast()), _mm256_loadu_si256(weights.add(32).cast())];
                for (r, sums) in sums.iter_mut().enumerate() {
                    let quad = rows.add(r * t.row_stride + 4 * k).cast::<i32>().read_unaligned();
                    let quad = _mm256_set1_epi32(quad);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = dot(*sum, quad, weights);
                    }
                }
            }
        };
        let mut k = 0;
        while k + apart <= t.steps {
            add(sums, k);
            for i in 1..apart {
                add(&mut more[i - 1], k + i);
            }
            k += apart;
        }
        while k < t.steps {
            add(sums, k);
            k += 1;
        }
        panel = panel.wrapping_add(KU * NR * t.steps);
    }
    for more in &more[..apart - 1] {
        for (sums, more) in sums.iter_mut().zip(more) {
            for (sum, more) in sums.iter_mut().zip(more) {
                *sum = _mm256_add_epi32(*sum, *more);
            }
        }
    }
}

/// As [`add_products`], by AVX2.
///
/// # Safety
/// As there.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn by_pairs<const M: usize>(t: &Tile<'_, u8>, rows: *const u8, sums: &mut [[__m256i; 2]; M]) {
    let ones = _mm256_set1_epi16(1);
    let mut panel = t.panel;
    for run in t.runs {
        // SAFETY: the caller's promise: there are as many steps of each row.
        let rows = unsafe { rows.add(*run) };
        for k in 0..t.steps {
            for (r, sums) in sums.iter_mut().enumerate() {
                let [first, second] = sums;
                // SAFETY: the caller's promise: 64 bytes of the panel, four steps of each row. The instructions read memory
                // alone.
                unsafe {
                    let quad = rows.add(r * t.row_stride + 4 * k);
                    // Weights are read with each row: the registers that they would take are the sums'.
                    asm!(
                        "vpbroadcastd {x}, dword ptr [{quad}]",
                        "vpmaddubsw {y}, {x}, ymmword ptr [{panel}]",
                        "vpmaddubsw {x}, {x}, ymmword ptr [{panel} + 32]",
                        "vpmaddwd {y}, {y}, {ones}",
                        "vpmaddwd {x}, {x}, {ones}",
                        "vpaddd {first}, {first}, {y}",
                        "vpaddd {second}, {second}, {x}",
                        x = out(ymm_reg) _,
                        y = out(ymm_reg) _,
                        quad = in(reg) quad,
                        panel = in(reg) panel,
                        ones = in(ymm_reg) ones,
                        first = inout(ymm_reg) *first,
                        second = inout(ymm_reg) *second,
                        options(pure, readonly, nostack, preserves_flags),
                    );
                }
            }
            panel = panel.wrapping_add(KU * NR);
        }
    }
}

/// # Safety
/// As [`add_products`]; the output has `M` rows of `NR`.
#[target_feature(enable = "avx2")]
unsafe fn tile<const M: usize, const DOT: bool>(t: Tile<'_, u8>) {
    let mut sums = [[_mm256_setzero_si256(); 2]; M];
    // SAFETY: the caller's promise.
    unsafe { add_products::<M, DOT>(&t, t.rows, &mut sums) };
    for (r, sums) in sums.into_iter().enumerate() {
        for (j, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm256_storeu_si256(t.out.add(r * t.out_stride + 8 * j).cast(), sum) };
        }
    }
}
