//! AVX-512 VNNI: four products of u8 and i8 to a sum, in one instruction that does not saturate.

use std::arch::x86_64::*;

use std::mem::MaybeUninit;

use super::codes::{self, ToBytes};
use super::{Panels, Product, Rows, Tile, each_panel};
use crate::arch::window::Window;
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
    const IN_REGISTERS: bool = true;

    fn vector(self) -> Avx512 {
        self.0
    }

    fn channelwise(self) -> Self {
        self
    }

    #[inline]
    fn block(self, rows: Rows<'_, u8>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
        let tile = match (rows.count, panels.ahead) {
            (1, false) => sums::<1, 4, 0>,
            (2, false) => sums::<2, 2, 0>,
            (3, false) => sums::<3, 2, 0>,
            (1, true) => sums::<1, 4, AHEAD>,
            (2, true) => sums::<2, 2, AHEAD>,
            (3, true) => sums::<3, 2, AHEAD>,
            (4, true) => sums::<4, 1, AHEAD>,
            (count, _) => super::by_rows!(count, tile),
        };
        // SAFETY: `self` exists, so the CPU has AVX-512 VNNI; the function is the one for so many rows.
        unsafe { each_panel::<Self>(tile, rows, panels, out, stride) }
    }

    #[inline]
    fn codes(
        self,
        rows: Rows<'_, u8>,
        panels: Panels<'_>,
        finish: &ToBytes<'_>,
        mut to: Window<'_, MaybeUninit<u8>>,
    ) {
        codes::check::<Self>(rows, panels, finish, &to);
        let tile = super::by_rows!(rows.count, codes);
        let (columns, stride) = (to.columns(), to.stride());
        let out = to.row(0).as_mut_ptr().cast::<u8>();
        for i in 0..panels.count {
            let column = i * NR;
            let wanted = u32::MAX >> (NR - NR.min(columns - column));
            let finish = finish.from(column);
            for (l, line) in rows.lines.iter().enumerate() {
                // SAFETY: `self` exists, so the CPU has AVX-512 F, BW, VL and VNNI; the function is the one for so many
                // rows. `check` has seen that every run of every row of every line holds its steps, that there are
                // panels of as many, columns of each table, and rows and columns of the room.
                unsafe {
                    let tile_of = Tile {
                        rows: rows.data.as_ptr().add(*line),
                        row_stride: rows.stride,
                        runs: rows.runs,
                        panel: panels.data.as_ptr().add(column * panels.depth),
                        steps: panels.depth / rows.runs.len() / Self::KU,
                        out: out.add(l * rows.count * stride + column).cast(),
                        out_stride: stride,
                    };
                    tile(tile_of, &finish, wanted);
                }
            }
        }
    }
}

/// # Safety
/// As `sums`.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile<const M: usize>(t: Tile<'_, u8>) {
    // SAFETY: the caller's promise.
    unsafe { sums::<M, 1, 0>(t) }
}

/// How many bytes ahead of use to ask for weights.
const AHEAD: usize = 2048;

/// The sums of a tile, as a block: of so many rows, with `$ways` sums for each output, over every so manieth step, where
/// one for each would wait for itself: an instruction takes four cycles, and two start in each. Not a function, since
/// none that has instructions switched on is sure to be inlined.
macro_rules! products {
    ($t:ident, $sums:ident, $rows:ident, $ways:ident, $ahead:ident) => {{
        // SAFETY: the caller's promise: for each of the steps 128 bytes of the panel, four of each row. A prefetch is a
        // hint, which no address makes wrong.
        let step = |rows: *const u8, panel: *const i8, sums: &mut [[__m512i; 2]; $rows]| unsafe {
            let w = [_mm512_loadu_si512(panel.cast()), _mm512_loadu_si512(panel.add(64).cast())];
            if $ahead > 0 {
                _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add($ahead));
                _mm_prefetch::<_MM_HINT_T0>(panel.wrapping_add($ahead + 64));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let quad = rows.add(r * $t.row_stride).cast::<i32>().read_unaligned();
                let x = _mm512_set1_epi32(quad);
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = _mm512_dpbusd_epi32(*sum, x, w);
                }
            }
        };
        let whole = $t.steps / $ways * $ways;
        let mut panel = $t.panel;
        for run in $t.runs {
            // SAFETY: the caller's promise: in each run four elements a step, and 128 bytes of the panel.
            unsafe {
                let rows = $t.rows.add(*run);
                for k in (0..whole).step_by($ways) {
                    for (u, sums) in $sums.iter_mut().enumerate() {
                        step(rows.add(4 * (k + u)), panel.add(4 * NR * u), sums);
                    }
                    panel = panel.add(4 * NR * $ways);
                }
                for k in whole..$t.steps {
                    step(rows.add(4 * k), panel, &mut $sums[0]);
                    panel = panel.add(4 * NR);
                }
            }
        }
        if let Some((first, further)) = $sums.split_first_mut() {
            for further in further {
                for (first, further) in first.iter_mut().zip(further) {
                    for (first, further) in first.iter_mut().zip(further) {
                        *first = _mm512_add_epi32(*first, *further);
                    }
                }
            }
        }
    }};
}

/// # Safety
/// The CPU has AVX-512 F and VNNI; each run of the tile's `M` rows holds `4 * steps` steps, its panel as many for
/// each run, and its output `M` rows of `NR`.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn sums<const M: usize, const U: usize, const AHEAD: usize>(t: Tile<'_, u8>) {
    let mut sums = [[[_mm512_setzero_si512(); 2]; M]; U];
    products!(t, sums, M, U, AHEAD);
    for (r, sums) in sums[0].iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_si512(t.out.add(r * t.out_stride + 16 * j).cast(), *sum) };
        }
    }
}

/// # Safety
/// The CPU has AVX-512 F, BW, VL and VNNI; each run of the tile's `M` rows holds `4 * steps` steps, its panel as many
/// for each run, the tables `NR` columns, and its output is bytes, `M` rows of those that are wanted.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn codes<const M: usize>(t: Tile<'_, u8>, finish: &ToBytes<'_>, wanted: u32) {
    const { assert!(M > 0) };
    const WAYS: usize = 1;
    const NEVER: usize = 0;
    let (base, bias, multipliers) = (finish.base.as_ptr(), finish.bias.as_ptr(), finish.multipliers.as_ptr());
    // SAFETY: the caller's promise.
    let base = unsafe { [_mm512_loadu_si512(base.cast()), _mm512_loadu_si512(base.add(16).cast())] };
    let mut sums = [[base; M]; WAYS];
    products!(t, sums, M, WAYS, NEVER);
    // SAFETY: the caller's promise.
    let (bias, multipliers) = unsafe {
        (
            [_mm512_loadu_ps(bias), _mm512_loadu_ps(bias.add(16))],
            [_mm512_loadu_ps(multipliers), _mm512_loadu_ps(multipliers.add(16))],
        )
    };
    let zero_point = _mm512_set1_epi16(finish.zero_point);
    let (least, flip) = (_mm512_set1_epi8(finish.least as i8), _mm512_set1_epi8(finish.flip as i8));
    // Packing twice leaves four bytes from each vector in turn.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let out = t.out.cast::<u8>();
    for r in (0..M).step_by(2) {
        let half = |r: usize| {
            let step = |j: usize| {
                let sum = _mm512_add_ps(_mm512_cvtepi32_ps(sums[0][r][j]), bias[j]);
                _mm512_cvtps_epi32(_mm512_mul_ps(sum, multipliers[j]))
            };
            _mm512_adds_epi16(_mm512_packs_epi32(step(0), step(1)), zero_point)
        };
        let both = _mm512_packus_epi16(half(r), half((r + 1).min(M - 1)));
        let both = _mm512_xor_si512(_mm512_max_epu8(both, least), flip);
        let both = _mm512_permutexvar_epi32(order, both);
        let (first, second) = (_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64::<1>(both));
        // SAFETY: the caller's promise.
        unsafe {
            let to = out.add(r * t.out_stride).cast::<i8>();
            let next = to.wrapping_add(t.out_stride);
            if wanted == u32::MAX {
                _mm256_storeu_si256(to.cast(), first);
                if r + 1 < M {
                    _mm256_storeu_si256(next.cast(), second);
                }
            } else {
                _mm256_mask_storeu_epi8(to, wanted, first);
                if r + 1 < M {
                    _mm256_mask_storeu_epi8(next, wanted, second);
                }
            }
        }
    }
}
