//! AMX: tiles of 16 x 64 bytes. A block of 32 x 32 sums stays in four of them over the whole depth.
//!
//! The intrinsics are unstable, `asm!` is not. A tile configuration belongs to the thread: one that is found (another
//! library's) is put back, else the tiles are released, since a configuration left behind ends the next user's call.

mod tiles;

use std::arch::asm;
use std::sync::OnceLock;

use super::vnni::Vnni;
use super::{Panels, Product, Rows, check};
use crate::arch::x86_64::avx512::Avx512;
use tiles::{Configuration, exist, permitted};

/// Exists only where the CPU has AMX for bytes, and the system lets this process use it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amx(Vnni);

impl Amx {
    /// The only door.
    #[inline]
    pub(crate) fn new() -> Option<Self> {
        static ALLOWED: OnceLock<bool> = OnceLock::new();
        let vnni = Vnni::new()?;
        ALLOWED.get_or_init(|| exist() && permitted() && Self(vnni).agrees()).then_some(Self(vnni))
    }

    /// Whether the tiles give VNNI's sums, for each of the three ways to fill them: some systems and emulators say
    /// that they have AMX and do not run it right. Once, in some microseconds.
    fn agrees(self) -> bool {
        const DEPTH: usize = 128;
        let bytes = |n: usize, by: usize| (0..n).map(move |i| (i * by + i / 64) as u8);
        let activations: Vec<u8> = bytes(Self::MR * DEPTH, 89).collect();
        let data: Vec<i8> = bytes(3 * NR * DEPTH, 37).map(|b| b as i8).collect();
        let panels = Panels { data: &data, depth: DEPTH, count: 3, are_new: false };
        let mut sums = [[0; 32 * 3 * NR]; 2];
        [9, 16, 17, 32].into_iter().all(|count| {
            let rows = Rows::new(&activations, DEPTH, count);
            self.block(rows, panels, &mut sums[0], 3 * NR);
            for (r, row) in sums[1].chunks_exact_mut(3 * NR).enumerate().take(count) {
                self.0.block(rows.part(r, 1), panels, row, 3 * NR);
            }
            sums[0] == sums[1]
        })
    }
}

/// Rows, columns and bytes of the panels are VNNI's, so that few rows can go there.
const NR: usize = <Vnni as Product>::NR;
/// Up to here the tiles' start-up costs more than they save.
const FEW: usize = 4;

impl Product for Amx {
    type A = u8;
    type V = Avx512;
    type Channelwise = Vnni;
    type Bounded = Self;
    const MR: usize = 32;
    const ROWS: usize = 16;
    const PER_BYTE: usize = 36;
    const NR: usize = NR;
    const KU: usize = 4;
    const DEPTH: usize = 64;
    const RUNS: bool = false;
    const IN_ORDER: bool = false;

    fn vector(self) -> Avx512 {
        self.0.vector()
    }

    fn channelwise(self) -> Vnni {
        self.0
    }

    fn block(self, rows: Rows<'_, u8>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
        if rows.count <= FEW {
            return self.0.block(rows, panels, out, stride);
        }
        check::<Self>(rows, panels, out, stride);
        let _configured = Configuration::set(rows.count);
        let (mut panel, mut to) = (panels.data.as_ptr(), out.as_mut_ptr());
        let (chunks, row_stride, out_stride) = (panels.depth / 64, rows.stride, stride * 4);
        let bytes = NR * panels.depth;
        let rows_at = rows.data.as_ptr();
        let mut left = panels.count;
        while left > 0 {
            // SAFETY: for all three, `self` exists, so the CPU has AMX and the process may use it; the tiles are
            // configured for the rows; `check` has seen that they hold `depth` steps, the panels as many, and `out`
            // their sums.
            let done = unsafe {
                if rows.count > 16 {
                    rows_32(rows_at, row_stride, panel, chunks, to, out_stride);
                    1
                } else if left > 1 {
                    rows_16_by_64(rows_at, row_stride, panel, bytes, chunks, to, out_stride);
                    2
                } else {
                    rows_16(rows_at, row_stride, panel, chunks, to, out_stride);
                    1
                }
            };
            panel = panel.wrapping_add(done * bytes);
            to = to.wrapping_add(done * NR);
            left -= done;
        }
    }
}

/// 17 to 32 rows times a panel.
///
/// # Safety
/// AMX is there and configured for the rows; they and the panel hold `64 * chunks` steps, and `out` the sums.
unsafe fn rows_32(
    rows: *const u8,
    row_stride: usize,
    panel: *const i8,
    chunks: usize,
    out: *mut i32,
    out_stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "test {n}, {n}",
            "jz 3f",
            "2:",
            "tileloadd tmm4, [{x} + {xs}]",
            "tileloadd tmm6, [{w} + {ws}]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{w} + {ws} + 64]",
            "tdpbusd tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{x2} + {xs}]",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbusd tmm3, tmm5, tmm7",
            "add {x}, 64",
            "add {x2}, 64",
            "add {w}, 2048",
            "dec {n}",
            "jnz 2b",
            "3:",
            "tilestored [{out} + {os}], tmm0",
            "tilestored [{out} + {os} + 64], tmm1",
            "tilestored [{out2} + {os}], tmm2",
            "tilestored [{out2} + {os} + 64], tmm3",
            x = inout(reg) rows => _,
            x2 = inout(reg) rows.wrapping_add(16 * row_stride) => _,
            xs = in(reg) row_stride,
            w = inout(reg) panel => _,
            ws = in(reg) 4 * NR,
            n = inout(reg) chunks => _,
            out = in(reg) out,
            out2 = in(reg) out.wrapping_byte_add(16 * out_stride),
            os = in(reg) out_stride,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Up to 16 rows times a panel.
///
/// # Safety
/// As `rows_32`.
unsafe fn rows_16(
    rows: *const u8,
    row_stride: usize,
    panel: *const i8,
    chunks: usize,
    out: *mut i32,
    out_stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "test {n}, {n}",
            "jz 3f",
            "2:",
            "tileloadd tmm4, [{x} + {xs}]",
            "tileloadd tmm6, [{w} + {ws}]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{w} + {ws} + 64]",
            "tdpbusd tmm1, tmm4, tmm7",
            "add {x}, 64",
            "add {w}, 2048",
            "dec {n}",
            "jnz 2b",
            "3:",
            "tilestored [{out} + {os}], tmm0",
            "tilestored [{out} + {os} + 64], tmm1",
            x = inout(reg) rows => _,
            xs = in(reg) row_stride,
            w = inout(reg) panel => _,
            ws = in(reg) 4 * NR,
            n = inout(reg) chunks => _,
            out = in(reg) out,
            os = in(reg) out_stride,
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Up to 16 rows times two panels: four sums in flight, where two would wait for each other.
///
/// # Safety
/// As `rows_32`, for the panel at `panel` and the one `bytes` after it.
unsafe fn rows_16_by_64(
    rows: *const u8,
    row_stride: usize,
    panel: *const i8,
    bytes: usize,
    chunks: usize,
    out: *mut i32,
    out_stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "test {n}, {n}",
            "jz 3f",
            "2:",
            "tileloadd tmm4, [{x} + {xs}]",
            "tileloadd tmm6, [{w} + {ws}]",
            "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{w} + {ws} + 64]",
            "tdpbusd tmm1, tmm4, tmm7",
            "tileloadd tmm6, [{w2} + {ws}]",
            "tdpbusd tmm2, tmm4, tmm6",
            "tileloadd tmm7, [{w2} + {ws} + 64]",
            "tdpbusd tmm3, tmm4, tmm7",
            "add {x}, 64",
            "add {w}, 2048",
            "add {w2}, 2048",
            "dec {n}",
            "jnz 2b",
            "3:",
            "tilestored [{out} + {os}], tmm0",
            "tilestored [{out} + {os} + 64], tmm1",
            "tilestored [{out} + {os} + 128], tmm2",
            "tilestored [{out} + {os} + 192], tmm3",
            x = inout(reg) rows => _,
            xs = in(reg) row_stride,
            w = inout(reg) panel => _,
            w2 = inout(reg) panel.wrapping_add(bytes) => _,
            ws = in(reg) 4 * NR,
            n = inout(reg) chunks => _,
            out = in(reg) out,
            os = in(reg) out_stride,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::tiles::{EMPTY, Layout};
    use super::*;

    /// What is configured on this thread.
    fn configured() -> Layout {
        let mut now = EMPTY;
        // SAFETY: only called where AMX exists and is permitted; it writes 64 bytes.
        unsafe { asm!("sttilecfg [{}]", in(reg) &raw mut now, options(nostack, preserves_flags)) };
        now
    }

    fn parts(layout: &Layout) -> (u8, u8, [u16; 16], [u8; 16]) {
        (layout.palette, layout.start_row, layout.column_bytes, layout.rows)
    }

    #[test]
    fn a_configuration_that_was_there_comes_back() {
        let Some(amx) = Amx::new() else {
            eprintln!("skipped: this CPU, or the system, has no AMX");
            return;
        };
        let (activations, data) = (vec![3u8; 32 * 64], vec![5i8; 2 * NR * 64]);
        let mut sums = vec![0; 32 * 2 * NR];
        let mut product = |count: usize| {
            let rows = Rows::new(&activations, 64, count);
            amx.block(rows, Panels { data: &data, depth: 64, count: 2, are_new: false }, &mut sums, 2 * NR);
            assert!(sums[..2 * NR].iter().all(|&sum| sum == 3 * 5 * 64));
        };
        for count in [FEW + 1, 16, 17, 32] {
            product(count);
            assert_eq!(parts(&configured()), parts(&EMPTY), "nothing was configured, and nothing is left");
        }
        // Another library's: one tile, of another shape than any of ours.
        let mut other = EMPTY;
        other.palette = 1;
        (other.column_bytes[0], other.rows[0]) = (32, 7);
        // SAFETY: AMX exists and is permitted; the layout is a valid one.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const other, options(nostack, preserves_flags, readonly))
        };
        for count in [1, FEW + 1, 16, 17, 32] {
            product(count);
            assert_eq!(parts(&configured()), parts(&other), "{count} rows");
        }
        // SAFETY: as above.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }
}
