//! aarch64: 16-bit products that are added in 32 bits; dot products of bytes; products of matrices of bytes.
//!
//! The latter two have intrinsics that are unstable; their instructions stand in `asm!`.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Panels, Product, Rows, Tile, by_rows, each_panel};
use crate::arch::aarch64::neon::Neon;

/// Two vectors of sums; with eight rows, 16 of the 32 registers.
const NR: usize = 8;

macro_rules! door {
    ($name:ident, $feature:tt, $what:literal) => {
        #[doc = concat!("Exists only where the CPU has ", $what, ".")]
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name(Neon);

        impl $name {
            /// The only door.
            #[inline]
            pub(crate) fn new() -> Option<Self> {
                let base = Neon::new()?;
                std::arch::is_aarch64_feature_detected!($feature).then_some(Self(base))
            }
        }
    };
}
door!(Dotprod, "dotprod", "dot products of bytes");
door!(I8mm, "i8mm", "products of matrices of bytes");

macro_rules! product {
    ($name:ty, $a:ty, $ku:literal, $tile:ident, $vector:expr) => {
        impl Product for $name {
            type A = $a;
            type V = Neon;
            type Channelwise = Neon;
            type Bounded = Self;
            const MR: usize = 8;
            const NR: usize = NR;
            const KU: usize = $ku;

            fn vector(self) -> Neon {
                let vector: fn($name) -> Neon = $vector;
                vector(self)
            }

            fn channelwise(self) -> Neon {
                Product::vector(self)
            }

            #[inline]
            fn block(self, rows: Rows<'_, $a>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
                let tile = by_rows!(8, rows.count, $tile);
                // SAFETY: `self` exists, so the CPU has the instructions; the function is the one for so many rows.
                unsafe { each_panel::<Self>(tile, rows, panels, out, stride) }
            }
        }
    };
}
product!(Neon, i16, 1, wide, |neon| neon);
product!(Dotprod, i8, 4, dot, |dotprod| dotprod.0);
product!(I8mm, i8, 8, matrix, |i8mm| i8mm.0);

/// # Safety
/// The CPU has Advanced SIMD; each run of the tile's `M` rows holds `steps` steps, its panel as many for each
/// run, and its output `M` rows of `NR`.
#[target_feature(enable = "neon")]
unsafe fn wide<const M: usize>(t: Tile<'_, i16>) {
    let mut sums = [[vdupq_n_s32(0); 2]; M];
    let mut panel = t.panel;
    for run in t.runs {
        // SAFETY: the caller's promise: there are as many steps of each row.
        let rows = unsafe { t.rows.add(*run) };
        for k in 0..t.steps {
            // SAFETY: the caller's promise: 8 bytes of the panel, one element of each row.
            unsafe {
                let w = vmovl_s8(vld1_s8(panel));
                panel = panel.add(NR);
                for (r, [low, high]) in sums.iter_mut().enumerate() {
                    let x = vld1q_dup_s16(rows.add(r * t.row_stride + k));
                    *low = vmlal_s16(*low, vget_low_s16(w), vget_low_s16(x));
                    *high = vmlal_high_s16(*high, w, x);
                }
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { store(sums, &t) };
}

/// # Safety
/// The tile's output takes `M` rows of `NR`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store<const M: usize, A>(sums: [[int32x4_t; 2]; M], t: &Tile<'_, A>) {
    for (r, sums) in sums.into_iter().enumerate() {
        for (j, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { vst1q_s32(t.out.add(r * t.out_stride + 4 * j), sum) };
        }
    }
}

/// # Safety
/// The CPU has dot products; each run of the tile's `M` rows holds `4 * steps` steps, its panel as many for each
/// run, and its output `M` rows of `NR`.
#[target_feature(enable = "neon,dotprod")]
unsafe fn dot<const M: usize>(t: Tile<'_, i8>) {
    let mut sums = [[vdupq_n_s32(0); 2]; M];
    let mut panel = t.panel;
    for run in t.runs {
        // SAFETY: the caller's promise: there are as many steps of each row.
        let rows = unsafe { t.rows.add(*run) };
        for k in 0..t.steps {
            // SAFETY: the caller's promise: 32 bytes of the panel, four of each row.
            unsafe {
                let w = [vld1q_s8(panel), vld1q_s8(panel.add(16))];
                panel = panel.add(4 * NR);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let quad = rows.add(r * t.row_stride + 4 * k).cast::<i32>().read_unaligned();
                    let x = vdupq_n_s32(quad);
                    for (sum, w) in sums.iter_mut().zip(w) {
                        asm!(
                            "sdot {sum:v}.4s, {w:v}.16b, {x:v}.16b",
                            sum = inout(vreg) *sum, w = in(vreg) w, x = in(vreg) x,
                            options(pure, nomem, nostack, preserves_flags),
                        );
                    }
                }
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { store(sums, &t) };
}

/// Two rows of eight steps times two columns of eight: four sums in a vector.
///
/// # Safety
/// The CPU has products of matrices; each run of the tile's `M` rows holds `8 * steps` steps, its panel as many
/// for each run, and its output `M` rows of `NR`.
#[target_feature(enable = "neon,i8mm")]
unsafe fn matrix<const M: usize>(t: Tile<'_, i8>) {
    // For each two rows, the four pairs of columns.
    let mut sums = [[vdupq_n_s32(0); NR / 2]; 4];
    let pairs = M.div_ceil(2);
    let mut panel = t.panel;
    for run in t.runs {
        // The last of an odd number of rows is its own partner.
        let row = |r: usize| t.rows.wrapping_add(run + r.min(M - 1) * t.row_stride);
        for k in 0..t.steps {
            // SAFETY: the caller's promise: 64 bytes of the panel, eight of each row.
            unsafe {
                let w: [int8x16_t; NR / 2] = std::array::from_fn(|j| vld1q_s8(panel.add(16 * j)));
                panel = panel.add(8 * NR);
                for (p, sums) in sums.iter_mut().enumerate().take(pairs) {
                    let x = vcombine_s8(vld1_s8(row(2 * p).add(8 * k)), vld1_s8(row(2 * p + 1).add(8 * k)));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        asm!(
                            "smmla {sum:v}.4s, {x:v}.16b, {w:v}.16b",
                            sum = inout(vreg) *sum, x = in(vreg) x, w = in(vreg) w,
                            options(pure, nomem, nostack, preserves_flags),
                        );
                    }
                }
            }
        }
    }
    let halves = sums.map(|s| {
        let low = |j: usize| vcombine_s32(vget_low_s32(s[j]), vget_low_s32(s[j + 1]));
        let high = |j: usize| vcombine_s32(vget_high_s32(s[j]), vget_high_s32(s[j + 1]));
        [[low(0), low(2)], [high(0), high(2)]]
    });
    let rows: [[int32x4_t; 2]; M] = std::array::from_fn(|r| halves[r / 2][r % 2]);
    // SAFETY: the caller's promise.
    unsafe { store(rows, &t) };
}
