//! Activations as bytes whose pairs are small, and what that leaves out of them.
//!
//! AVX2 multiplies four bytes of each column at a time, but adds pairs of products in 16 bits: `x0 * w0 + x1 * w1` is exact for
//! all weights where `x0 + x1` is at most 256. So a product stores activations less what most of them have in common, not
//! below 0 and no pair above that, and adds the products of what is missing, which is little, to the sums.

use std::ops::Range;

use super::tiles::height;
use super::{Panels, Product, Rows};

/// The greatest sum of two neighbours: times -128 it is the least number of 16 bits.
pub(crate) const GREATEST_PAIR: u32 = 256;

/// What four neighbours are more, and less, than what is stored of them: no pair of either is more than [`GREATEST_PAIR`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quad {
    /// Which four of all.
    pub(crate) at: u32,
    pub(crate) more: [u8; 4],
    pub(crate) less: [u8; 4],
}

/// The quads of rows that have any.
#[derive(Clone, Copy)]
pub(crate) struct Excess<'a> {
    /// In their order.
    pub(crate) quads: &'a [Quad],
    /// Which is the first one of each unit, and at the end how many there are.
    pub(crate) firsts: &'a [u32],
    /// Elements of a unit: all rows and runs start with one.
    pub(crate) unit: usize,
    /// How many elements lie before those of the rows.
    pub(crate) before: usize,
}

impl<'a> Excess<'a> {
    /// Of rows that start so many elements further.
    pub(crate) fn behind(self, elements: usize) -> Self {
        Self { before: self.before + elements, ..self }
    }

    /// Those of some units.
    #[inline]
    fn of(self, units: Range<usize>) -> &'a [Quad] {
        &self.quads[self.firsts[units.start] as usize..self.firsts[units.end] as usize]
    }
}

/// What a quad adds to the sums of a row, panel by panel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Missing {
    /// Where in the sums of a panel the row starts.
    pub(super) row: usize,
    /// Where in a panel the weights of the quad start.
    pub(super) weights: usize,
    pub(super) quad: [u8; 4],
    /// 0 for what is added, and -1 for what is subtracted.
    pub(super) sign: i32,
}

/// What is missing of the sums of a block.
#[derive(Default)]
pub(super) struct OfTiles {
    /// Tile by tile, which are as many for each line.
    all: Vec<Missing>,
    /// Where those of each tile end; empty where nothing is missing.
    ends: Vec<usize>,
    /// Rows of a line, and of a tile.
    rows: usize,
    height: usize,
}

impl OfTiles {
    /// Of all tiles.
    pub(super) fn all(&self) -> &[Missing] {
        &self.all
    }

    /// Of some tiles, of which the first one starts with this row.
    #[inline]
    pub(super) fn of(&self, row: usize, tiles: usize) -> &[Missing] {
        if self.ends.is_empty() {
            return &[];
        }
        let first = row / self.rows * self.rows.div_ceil(self.height) + row % self.rows / self.height;
        let start = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start..self.ends[first + tiles - 1]]
    }
}

/// What is missing of the sums of rows that are `stride` apart, if anything. Weights lie within a panel.
pub(super) fn missing<P: Product>(rows: &Rows<'_, P::A>, panels: &Panels<'_>, stride: usize) -> OfTiles {
    let Some(excess) = rows.excess else { return OfTiles::default() };
    let length = panels.depth / rows.runs.len();
    // In units, which divide all of these: a division for each row would take longer than all else.
    let (units, step) = (length.div_ceil(excess.unit), rows.stride / excess.unit);
    let unit = |line: usize, run: usize| (excess.before + line + run) / excess.unit;
    // What some rows have in a run, from its first unit in the first row on; it overlaps.
    let meets = |first: usize, rows: Range<usize>| {
        excess.of(first + rows.start * step..first + (rows.end - 1) * step + units)
    };
    let firsts = || rows.lines.iter().flat_map(|&line| rows.runs.iter().map(move |&run| unit(line, run)));
    // Those of a row are counted by how many there are in all of them.
    let most: usize = firsts().map(|first| meets(first, 0..rows.count).len()).sum();
    if most == 0 {
        return OfTiles::default();
    }
    let height = height::<P>(rows.count);
    let mut all = Vec::with_capacity(2 * most);
    let mut ends = Vec::with_capacity(rows.lines.len() * rows.count.div_ceil(height));
    for (l, &line) in rows.lines.iter().enumerate() {
        for first in (0..rows.count).step_by(height) {
            let tile = first..rows.count.min(first + height);
            for (i, &run) in rows.runs.iter().enumerate() {
                let first = unit(line, run);
                if meets(first, tile.clone()).is_empty() {
                    continue;
                }
                let start = |r: usize| excess.before + line + run + r * rows.stride;
                let mut quads = [&[][..]; MOST_ROWS];
                let mut longest = 0;
                for (quads, r) in quads.iter_mut().zip(tile.clone()) {
                    *quads = meets(first, r..r + 1);
                    longest = longest.max(quads.len());
                }
                // Neighbours are of different rows: what is added to the same sums waits for each other.
                for j in 0..longest {
                    for (quads, r) in quads.iter().zip(tile.clone()) {
                        let Some(quad) = quads.get(j) else { continue };
                        let k = 4 * quad.at as usize - start(r);
                        assert!(k + 4 <= length, "a quad of the row");
                        let row = (l * rows.count + r) * stride;
                        let weights = P::NR * (i * length + k);
                        let mut push = |quad, sign| all.push(Missing { row, weights, quad, sign });
                        if quad.more != [0; 4] {
                            push(quad.more, 0);
                        }
                        if quad.less != [0; 4] {
                            push(quad.less, -1);
                        }
                    }
                }
            }
            ends.push(all.len());
        }
    }
    OfTiles { all, ends, rows: rows.count, height }
}

/// No tile has more rows.
const MOST_ROWS: usize = 16;
