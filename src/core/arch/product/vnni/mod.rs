//! AVX-512 VNNI: four products of u8 and i8 to a sum, in one instruction that does not saturate.

mod finish;
mod tile;

use std::mem::MaybeUninit;

use super::codes::{self, ToBytes};
use super::{Panels, Product, Rows, Tile, TileFn, each_panel, each_panels};
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
        let out = to.row(0).as_mut_ptr().cast::<u8>();
        let run = panels.depth / rows.runs.len();
        let sides = (rows.zeros.sides.0 / Self::KU, rows.zeros.sides.1 / Self::KU);
        // 13 rows are 7 and 6 rather than 12 and 1.
        let height = rows.count.div_ceil(rows.count.div_ceil(MR));
        let (tiles, last) = (rows.count / height, rows.count % height);
        for i in 0..panels.count {
            let column = i * NR;
            let wanted = NR.min(columns - column);
            for (l, line) in rows.lines.iter().enumerate() {
                let (start, end) = rows.zeros.rest(l, rows.runs.len());
                let mut at = 0;
                // Those that are as high as each other, and the last one.
                for (count, tiles) in [(height, tiles), (last, 1)] {
                    if count == 0 {
                        continue;
                    }
                    let row = l * rows.count + at;
                    let finish = finish.from(row, column);
                    // SAFETY: `self` exists, so the CPU has AVX-512 F, BW, VL and VNNI; the functions are those for so many
                    // rows and columns. `check` has seen that every run of every row of every line holds its steps, that
                    // there are panels of as many, columns of each table, and rows and columns of the room and of what is
                    // added.
                    unsafe {
                        let tile = Tile {
                            rows: rows.data.as_ptr().add(line + at * rows.stride),
                            row_stride: rows.stride,
                            runs: &rows.runs[start..end],
                            panel: panels.data.as_ptr().add(column * panels.depth + NR * start * run),
                            panel_stride: NR * panels.depth,
                            steps: run / Self::KU,
                            sides: (
                                if at == 0 { sides.0 } else { 0 },
                                if at + tiles * count == rows.count { sides.1 } else { 0 },
                            ),
                            out: out.add(row * stride + column).cast(),
                            out_stride: stride,
                        };
                        match &finish.added {
                            Some(added) => finish::with_added(tile, (tiles, count), &finish, added, wanted),
                            None => finish::codes(count, wanted)(tile, tiles, &finish, wanted),
                        }
                    }
                    at += tiles * count;
                }
            }
        }
    }
}
