//! AVX2, of bytes: four products of each column at a time, by one instruction where the CPU has AVX-VNNI. By three, which
//! are exact where pairs of activations are small, it is half as much again as pairs of 16-bit products on a CPU that starts
//! two multiplications in a cycle.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::{KU, MR, NR, by_rows, finish};
use crate::arch::product::excess::{GREATEST_PAIR, Missing, Quad, missing};
use crate::arch::product::{
    Panels, Product, Rows, Tile, TileFn, ToBytes, ToNumbers, codes, each_panel, each_tiles, floats,
};
use crate::arch::window::Window;
use crate::arch::x86_64::avx2::Avx2;

/// The same panels as those of [`Avx2`]: of any bytes by `DOT`, AVX-VNNI's instruction, and of small pairs without it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<const DOT: bool>(Avx2);

/// What multiplies bytes whose pairs are small, on any CPU with AVX2.
pub(crate) type Bounded = Bytes<false>;

/// Exists only where the CPU has AVX2 and AVX-VNNI.
pub(crate) type AvxVnni = Bytes<true>;

impl Bounded {
    pub(super) fn new(base: Avx2) -> Self {
        Self(base)
    }
}

impl AvxVnni {
    /// The only door.
    #[inline]
    pub(crate) fn new() -> Option<Self> {
        let base = Avx2::new()?;
        std::is_x86_feature_detected!("avxvnni").then_some(Self(base))
    }
}

impl<const DOT: bool> Product for Bytes<DOT> {
    type A = u8;
    type V = Avx2;
    type Channelwise = Avx2;
    type Bounded = Self;
    const MR: usize = MR;
    const PER_BYTE: usize = if DOT { 12 } else { 4 };
    const NR: usize = NR;
    const KU: usize = KU;
    const IN_REGISTERS: bool = true;
    const HIGH: usize = 1;

    fn vector(self) -> Avx2 {
        self.0
    }

    fn channelwise(self) -> Avx2 {
        self.0
    }

    #[inline]
    fn bound(
        self,
        codes: &[u8],
        flip: u8,
        shifts: &[u8],
        first: usize,
        to: &mut [u8],
        quads: &mut Vec<Quad>,
    ) {
        assert!(codes.len() == to.len() && codes.len() == shifts.len() && codes.len().is_multiple_of(KU));
        // SAFETY: `self` exists, so the CPU has AVX2.
        unsafe { bound(codes, flip, shifts, first, to, quads) }
    }

    #[inline]
    fn block(self, rows: Rows<'_, u8>, panels: Panels<'_>, out: &mut [i32], stride: usize) {
        // SAFETY: `self` exists, so the CPU has AVX2; the function is the one for so many rows.
        unsafe { each_panel::<Self>(sums::<DOT>(rows.count), rows, panels, out, stride) }
        let missing = missing::<Self>(&rows, &panels, stride);
        if missing.all().is_empty() {
            return;
        }
        let each: Vec<&[i8]> = panels.data.chunks_exact(NR * panels.depth).collect();
        for (i, some) in each.chunks(2).enumerate() {
            let out = &mut out[2 * i * NR..];
            // SAFETY: `self` exists, so the CPU has AVX2; weights of quads lie within a panel, and `each_panel` has seen that
            // all rows have room in each.
            unsafe {
                match *some {
                    [one, two] => add(missing.all(), 0, [one, two], out),
                    _ => add(missing.all(), 0, [some[0]], out),
                }
            }
        }
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
        let (columns, stride) = (to.columns(), to.stride());
        let out = (to.row(0).as_mut_ptr(), stride, columns);
        // SAFETY: `self` exists, so the CPU has AVX2. `check` has seen that every run of every row of every line holds its
        // steps, that there are panels of as many, columns of each table, and rows and columns of the room and of what is
        // added.
        unsafe {
            let is_added = finish.added.is_some();
            each_start::<DOT, _>(
                rows,
                panels,
                out,
                finish.base,
                |tile, many, start, (row, column), wanted| {
                    let finish = finish.from(row, column);
                    finish::codes::<DOT>(many.1, is_added)(tile, many.0, start, &finish, wanted);
                },
            );
        }
    }

    #[inline]
    fn floats(
        self,
        rows: Rows<'_, u8>,
        panels: Panels<'_>,
        finish: &ToNumbers<'_>,
        mut to: Window<'_, MaybeUninit<f32>>,
    ) {
        floats::check::<Self>(rows, panels, finish, &to);
        let (columns, stride) = (to.columns(), to.stride());
        let out = (to.row(0).as_mut_ptr(), stride, columns);
        // SAFETY: as for codes.
        unsafe {
            each_sums::<DOT, _>(rows, panels, out, |sums, count, (row, column), out, wanted| {
                finish::floats(sums, count, &finish.from(row, column), (out, stride), wanted);
            });
        }
    }
}

/// The sums of a tile, in the first cache: registers do not hold them and all that they need to become results.
pub(super) type Sums = [i32; MR * NR];

/// What the sums of a tile start at: so many integers for each row, which lie so far apart.
pub(super) type Start = (*const i32, usize);

/// Calls a function for the tiles of a block: as many as are as high as each other and start at the same, with how many there
/// are and how high each is, what they start at, their first row and column, and how many columns are wanted.
///
/// # Safety
/// As [`each_tiles`]; the CPU has AVX2; the base has all columns of the panels.
#[inline]
unsafe fn each_start<const DOT: bool, T>(
    rows: Rows<'_, u8>,
    panels: Panels<'_>,
    (out, stride, columns): (*mut MaybeUninit<T>, usize, usize),
    base: &[i32],
    mut make: impl FnMut(Tile<'_, u8>, (usize, usize), Start, (usize, usize), usize),
) {
    let missing = missing::<Bytes<DOT>>(&rows, &panels, NR);
    let mut room: Sums = [0; MR * NR];
    // SAFETY: the caller's promise; the room takes the sums of a tile, and weights of quads lie within a panel.
    unsafe {
        each_tiles::<Bytes<DOT>, _>(
            rows,
            panels,
            (out, stride, columns),
            |tile, (tiles, count), (row, column), wanted| {
                let base = &base[column..][..NR];
                if missing.of(row, tiles).is_empty() {
                    return make(tile, (tiles, count), (base.as_ptr(), 0), (row, column), wanted);
                }
                if row == 0 {
                    // Sums start with what is missing, whose weights of the next panel nobody has read before, as they stand
                    // between others.
                    for one in missing.of(0, 1) {
                        let next =
                            panels.data.as_ptr().wrapping_add((column + NR) * panels.depth + one.weights);
                        _mm_prefetch::<_MM_HINT_T0>(next);
                    }
                }
                for i in 0..tiles {
                    let row = row + i * count;
                    let out = tile.out.cast::<T>().add(i * count * stride).cast();
                    let tile = Tile { rows: tile.rows.add(i * count * tile.row_stride), out, ..tile };
                    let missing = missing.of(row, 1);
                    if missing.is_empty() {
                        make(tile, (1, count), (base.as_ptr(), 0), (row, column), wanted);
                        continue;
                    }
                    for room in room.chunks_exact_mut(NR).take(count) {
                        room.copy_from_slice(base);
                    }
                    let panel = &panels.data[column * panels.depth..][..NR * panels.depth];
                    add(missing, row * NR, [panel], &mut room);
                    make(tile, (1, count), (room.as_ptr(), NR), (row, column), wanted);
                }
            },
        );
    }
}

/// Calls a function for the sums of each tile, with how many rows it has, its first row and column, where its results go, and
/// how many columns are wanted.
///
/// # Safety
/// As [`each_tiles`]; the CPU has AVX2.
#[inline]
unsafe fn each_sums<const DOT: bool, T>(
    rows: Rows<'_, u8>,
    panels: Panels<'_>,
    (out, stride, columns): (*mut MaybeUninit<T>, usize, usize),
    mut make: impl FnMut(&Sums, usize, (usize, usize), *mut T, usize),
) {
    let missing = missing::<Bytes<DOT>>(&rows, &panels, NR);
    let mut room: Sums = [0; MR * NR];
    // SAFETY: the caller's promise; the room takes the sums of a tile, and weights of quads lie within a panel.
    unsafe {
        each_tiles::<Bytes<DOT>, _>(
            rows,
            panels,
            (out, stride, columns),
            |tile, (tiles, count), (row, column), wanted| {
                let make_sums = sums::<DOT>(count);
                for i in 0..tiles {
                    let (row, rows) = (row + i * count, tile.rows.add(i * count * tile.row_stride));
                    make_sums(Tile { rows, out: room.as_mut_ptr(), out_stride: NR, ..tile });
                    let missing = missing.of(row, 1);
                    if !missing.is_empty() {
                        let panel = &panels.data[column * panels.depth..][..NR * panels.depth];
                        add(missing, row * NR, [panel], &mut room);
                    }
                    make(&room, count, (row, column), out.add(row * stride + column).cast(), wanted);
                }
            },
        );
    }
}

/// The function that makes the sums of so many rows.
#[inline]
fn sums<const DOT: bool>(rows: usize) -> TileFn<u8> {
    by_rows!(rows, tile, DOT)
}

/// Adds what is missing to the sums of `P` panels, whose first row starts at `first`: several at a time, since what is added to
/// the same sums waits for each other.
///
/// # Safety
/// The CPU has AVX2; all weights lie within a panel, and there is room for all panels' sums of each row.
#[target_feature(enable = "avx2")]
unsafe fn add<const P: usize>(missing: &[Missing], first: usize, panels: [&[i8]; P], out: &mut [i32]) {
    let ones = _mm256_set1_epi16(1);
    for one in missing {
        let quad = _mm256_set1_epi32(i32::from_le_bytes(one.quad));
        // By arithmetic: which sign comes next nobody can guess.
        let sign = _mm256_set1_epi32(one.sign);
        for (i, panel) in panels.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let weights = panel.as_ptr().add(one.weights);
                let out = out.as_mut_ptr().add(one.row - first + i * NR).cast::<__m256i>();
                for j in 0..2 {
                    let w = _mm256_loadu_si256(weights.add(32 * j).cast());
                    let products = _mm256_madd_epi16(_mm256_maddubs_epi16(quad, w), ones);
                    let products = _mm256_sub_epi32(_mm256_xor_si256(products, sign), sign);
                    let sum = _mm256_loadu_si256(out.add(j));
                    _mm256_storeu_si256(out.add(j), _mm256_add_epi32(sum, products));
                }
            }
        }
    }
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
                let weights = [0, 32].map(|at| _mm256_loadu_si256(weights.add(at).cast()));
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

/// See [`Product::bound`].
///
/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn bound(codes: &[u8], flip: u8, shifts: &[u8], first: usize, to: &mut [u8], quads: &mut Vec<Quad>) {
    let ones = _mm256_set1_epi8(1);
    let greatest = _mm256_set1_epi16(GREATEST_PAIR as i16);
    let flips = _mm256_set1_epi8(flip as i8);
    let whole = codes.len() / 32 * 32;
    for i in (0..whole).step_by(32) {
        // SAFETY: there are 32 bytes of all three.
        let mut some = unsafe {
            let x = _mm256_xor_si256(_mm256_loadu_si256(codes.as_ptr().add(i).cast()), flips);
            let shifts = _mm256_loadu_si256(shifts.as_ptr().add(i).cast());
            let below = _mm256_subs_epu8(shifts, x);
            let stored = _mm256_subs_epu8(x, shifts);
            // Each at most 510, so that nothing saturates.
            let pairs = _mm256_maddubs_epi16(stored, ones);
            let any = _mm256_or_si256(below, _mm256_subs_epu16(pairs, greatest));
            _mm256_storeu_si256(to.as_mut_ptr().add(i).cast(), stored);
            // Which quads have any.
            let none = _mm256_cmpeq_epi32(any, _mm256_setzero_si256());
            !_mm256_movemask_ps(_mm256_castsi256_ps(none)) & 0xff
        };
        while some != 0 {
            let at = i + KU * some.trailing_zeros() as usize;
            some &= some - 1;
            one(&codes[at..], flip, &shifts[at..], first + at / KU, &mut to[at..], quads);
        }
    }
    for at in (whole..codes.len()).step_by(KU) {
        one(&codes[at..], flip, &shifts[at..], first + at / KU, &mut to[at..], quads);
    }
}

/// The first quad, and what is missing of it.
fn one(codes: &[u8], flip: u8, shifts: &[u8], at: usize, to: &mut [u8], quads: &mut Vec<Quad>) {
    let (mut more, mut less) = ([0; KU], [0; KU]);
    let (codes, shifts, to) = (&codes[..KU], &shifts[..KU], &mut to[..KU]);
    for i in 0..KU {
        let x = codes[i] ^ flip;
        less[i] = shifts[i].saturating_sub(x);
        to[i] = x.saturating_sub(shifts[i]);
    }
    for i in [0, 2] {
        let sum = u32::from(to[i]) + u32::from(to[i + 1]);
        // The greater one is at least half of the sum, and the sum less than twice what it may be.
        let over = sum.saturating_sub(GREATEST_PAIR) as u8;
        let greater = if to[i] < to[i + 1] { i + 1 } else { i };
        to[greater] -= over;
        more[greater] = over;
    }
    if more != [0; KU] || less != [0; KU] {
        quads.push(Quad { at: at as u32, more, less });
    }
}
