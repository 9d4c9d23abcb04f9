//! AVX2, of bytes: four products of each column at a time, by one instruction where the CPU has AVX-VNNI. By three, which
//! are exact where pairs of activations are small, it is half as much again as pairs of 16-bit products on a CPU that starts
//! two multiplications in a cycle.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::small::{add, bound};
use super::tile::sums;
use super::{KU, MR, NR, finish};
use crate::arch::product::excess::{Quad, missing};
use crate::arch::product::{
    Panels, Product, Rows, Tile, ToBytes, ToNumbers, codes, each_panel, each_tiles, floats,
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
