//! Blocks of products, tile by tile.

use super::{Panels, Product, Rows, check};

/// What tile functions take: one panel, and where its sums go. Rows, runs and steps are checked already.
pub(super) struct Tile<'a, A> {
    pub(super) rows: *const A,
    pub(super) row_stride: usize,
    pub(super) runs: &'a [usize],
    pub(super) panel: *const i8,
    /// From a panel to the next one, for functions that take several.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "no other architecture's kernel takes more than one")
    )]
    pub(super) panel_stride: usize,
    /// From a step to what is asked for ahead with it.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "no other architecture's kernel asks ahead")
    )]
    pub(super) ahead: usize,
    /// Groups of `KU` in a run.
    pub(super) steps: usize,
    /// As in [`Zeros`], in groups of `KU`.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "no other architecture's kernel looks")
    )]
    pub(super) sides: (usize, usize),
    pub(super) out: *mut i32,
    pub(super) out_stride: usize,
}

/// What makes the sums of a tile.
pub(super) type TileFn<A> = unsafe fn(Tile<'_, A>);

/// Calls a tile function for each panel of a block.
///
/// # Safety
/// The CPU has the function's instructions, and it stays within `rows.count` rows and `P::NR` columns.
#[inline]
pub(super) unsafe fn each_panel<P: Product>(
    tile: TileFn<P::A>,
    rows: Rows<'_, P::A>,
    panels: Panels<'_>,
    out: &mut [i32],
    stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe { each_panels::<P>([tile, tile], 1, rows, panels, out, stride) }
}

/// Calls a function for so many panels of a block at a time, one or two, and another one for a panel that is left.
///
/// # Safety
/// The CPU has the functions' instructions, and they stay within `rows.count` rows and the columns of their panels.
#[inline]
pub(super) unsafe fn each_panels<P: Product>(
    [several, one]: [TileFn<P::A>; 2],
    at_once: usize,
    rows: Rows<'_, P::A>,
    panels: Panels<'_>,
    out: &mut [i32],
    stride: usize,
) {
    check::<P>(rows, panels, out, stride);
    let run = panels.depth / rows.runs.len();
    let sides = (rows.zeros.sides.0 / P::KU, rows.zeros.sides.1 / P::KU);
    for i in (0..panels.count).step_by(at_once) {
        let tile = if i + at_once <= panels.count { several } else { one };
        for (l, line) in rows.lines.iter().enumerate() {
            let (start, end) = rows.zeros.rest(l, rows.runs.len());
            // SAFETY: `check` has seen that every run of every row of every line holds its steps, that there are `count`
            // panels of as many, and that `out` takes their sums; the rest is the caller's promise.
            unsafe {
                tile(Tile {
                    rows: rows.data.as_ptr().add(*line),
                    row_stride: rows.stride,
                    runs: &rows.runs[start..end],
                    panel: panels.data.as_ptr().add(P::NR * (i * panels.depth + start * run)),
                    panel_stride: P::NR * panels.depth,
                    ahead: if l == 0 { panels.ahead::<P>(i) } else { 0 },
                    steps: run / P::KU,
                    sides,
                    out: out.as_mut_ptr().add(l * rows.count * stride + i * P::NR),
                    out_stride: stride,
                });
            }
        }
    }
}

/// Rows of a tile, of so many: 13 are 7 and 6 rather than 12 and 1.
#[inline]
pub(super) fn height<P: Product>(rows: usize) -> usize {
    rows.div_ceil(rows.div_ceil(P::MR))
}

#[cfg(target_arch = "x86_64")] // Nobody else makes results in registers.
/// Calls a function for the tiles of each line and panel, as many as are as high as each other, and those that are left:
/// with where the first one's results go, how many there are and how high each is, its first row and column, and how many
/// columns are wanted. Results go to so many columns of rows a stride apart.
///
/// # Safety
/// Every run of every row of every line holds its steps, there are panels of as many, and the room has all rows and columns.
#[inline]
pub(super) unsafe fn each_tiles<P: Product, T>(
    rows: Rows<'_, P::A>,
    panels: Panels<'_>,
    (out, stride, columns): (*mut T, usize, usize),
    mut make: impl FnMut(Tile<'_, P::A>, (usize, usize), (usize, usize), usize),
) {
    let run = panels.depth / rows.runs.len();
    let sides = (rows.zeros.sides.0 / P::KU, rows.zeros.sides.1 / P::KU);
    let height = height::<P>(rows.count);
    let (tiles, last) = (rows.count / height, rows.count % height);
    for i in 0..panels.count {
        let column = i * P::NR;
        let wanted = P::NR.min(columns - column);
        for (l, line) in rows.lines.iter().enumerate() {
            let (start, end) = rows.zeros.rest(l, rows.runs.len());
            let mut at = 0;
            // Those that are as high as each other, and the last one.
            for (count, tiles) in [(height, tiles), (last, 1)] {
                if count == 0 {
                    continue;
                }
                let row = l * rows.count + at;
                // SAFETY: the caller's promise.
                let tile = unsafe {
                    Tile {
                        rows: rows.data.as_ptr().add(line + at * rows.stride),
                        row_stride: rows.stride,
                        runs: &rows.runs[start..end],
                        panel: panels.data.as_ptr().add(column * panels.depth + P::NR * start * run),
                        panel_stride: P::NR * panels.depth,
                        ahead: if (l, at) == (0, 0) { panels.ahead::<P>(i) } else { 0 },
                        steps: run / P::KU,
                        sides: (
                            if at == 0 { sides.0 } else { 0 },
                            if at + tiles * count == rows.count { sides.1 } else { 0 },
                        ),
                        out: out.add(row * stride + column).cast(),
                        out_stride: stride,
                    }
                };
                make(tile, (tiles, count), (row, column), wanted);
                at += tiles * count;
            }
        }
    }
}
