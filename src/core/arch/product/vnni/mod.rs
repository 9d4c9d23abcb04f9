//! AVX-512 VNNI: four products of u8 and i8 to a sum, in one instruction that does not saturate.

mod finish;
mod tile;

use std::mem::MaybeUninit;

use super::codes::{self, ToBytes};
use super::floats::{self, ToNumbers};
use super::{Panels, Product, Rows, TileFn, each_panel, each_panels, each_tiles};
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
/// Rows of a tile.
const MR: usize = 12;

impl Product for Vnni {
    type A = u8;
    type V = Avx512;
    type Channelwise = Self;
    type Bounded = Self;
    const MR: usize = MR;
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
        // Two panels at a time are two streams, which come faster from the caches than one; nothing asks ahead for them,
        // which made the CPU's own guesses worse.
        let few: Option<[TileFn<u8>; 2]> = match rows.count {
            1 => Some([tile::few::<1, 4, 2>, tile::few::<1, 4, 1>]),
            2 => Some([tile::few::<2, 2, 2>, tile::few::<2, 2, 1>]),
            3 => Some([tile::few::<3, 1, 2>, tile::few::<3, 2, 1>]),
            _ => None,
        };
        // SAFETY: `self` exists, so the CPU has AVX-512 VNNI; the functions are those for so many rows and panels.
        unsafe {
            match few {
                Some(few) => each_panels::<Self>(few, 2, rows, panels, out, stride),
                None => each_panel::<Self>(tile::sums(rows.count), rows, panels, out, stride),
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
        // SAFETY: `self` exists, so the CPU has AVX-512 F, BW, VL and VNNI; the functions are those for so many rows and
        // columns. `check` has seen that every run of every row of every line holds its steps, that there are panels of as
        // many, columns of each table, and rows and columns of the room and of what is added.
        unsafe {
            each_tiles::<Self, _>(
                rows,
                panels,
                (to.row(0).as_mut_ptr(), stride, columns),
                |tile, many, (row, column), wanted| {
                    let finish = finish.from(row, column);
                    match &finish.added {
                        Some(added) => finish::with_added(tile, many, &finish, added, wanted),
                        None => finish::codes(many.1, wanted)(tile, many.0, &finish, wanted),
                    }
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
        // SAFETY: as for codes.
        unsafe {
            each_tiles::<Self, _>(
                rows,
                panels,
                (to.row(0).as_mut_ptr(), stride, columns),
                |tile, many, (row, column), wanted| {
                    finish::floats(many.1, finish.added.is_some())(
                        tile,
                        many.0,
                        &finish.from(row, column),
                        wanted,
                    );
                },
            );
        }
    }
}
