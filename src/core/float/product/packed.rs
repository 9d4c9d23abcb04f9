//! Weights of floats, laid out once for products.

use crate::arch::{Isa, Lines, Panel, float_panels};
use crate::memory::{Ended, end, filled};
use crate::threads::Poll;

/// A matrix of weights, as products read it: panels of columns, and in each for every step of the depth a weight for
/// each column.
#[derive(Debug, Clone)]
pub struct PackedFloats {
    isa: Isa,
    depth: usize,
    columns: usize,
    pub(crate) panels: Vec<Panel>,
    data: Lines,
}

/// Where a weight lies that is not packed.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a> {
    /// From the first one on.
    pub x: &'a [f32],
    /// From one step of the depth to the next.
    pub down: usize,
    /// From one column to the next.
    pub right: usize,
}

/// Cuts columns into panels: as wide as may be, and none narrow beside wide ones.
pub(crate) fn panels(isa: Isa, depth: usize, columns: usize) -> Vec<Panel> {
    let (lanes, widest) = float_panels(isa);
    let vectors = columns.div_ceil(lanes);
    let count = vectors.div_ceil(widest);
    let mut all = Vec::with_capacity(count);
    let (mut first, mut start) = (0, 0);
    for i in 0..count {
        // 5 vectors are 3 and 2 rather than 4 and 1.
        let vectors = vectors * (i + 1) / count - vectors * i / count;
        let wide = vectors * lanes;
        all.push(Panel { first, columns: wide.min(columns - first), vectors, start });
        first += wide;
        start += depth * wide;
    }
    all
}

impl PackedFloats {
    /// Columns of `depth` weights each.
    ///
    /// # Panics
    /// Weights beyond the memory.
    pub fn new(isa: Isa, depth: usize, columns: usize, from: Plain<'_>) -> Self {
        let mut poll = Poll::new();
        Self::gathered(isa, (depth, columns), from, |k| k * from.down, || poll.end_if_interrupted())
    }

    /// The same on any thread: of matrices that are computed, whose products look for an interrupt.
    pub(super) fn of_product(isa: Isa, depth: usize, columns: usize, from: Plain<'_>) -> Self {
        Self::gathered(isa, (depth, columns), from, |k| k * from.down, || {})
    }

    /// The same, with a place for each step of the depth; `between` is called now and then.
    pub(crate) fn gathered(
        isa: Isa,
        (depth, columns): (usize, usize),
        from: Plain<'_>,
        place: impl Fn(usize) -> usize,
        mut between: impl FnMut(),
    ) -> Self {
        let panels = panels(isa, depth, columns);
        let (lanes, _) = float_panels(isa);
        let wide: usize = panels.iter().map(|panel| panel.vectors * lanes).sum();
        let bytes = depth.checked_mul(wide).and_then(|n| n.checked_mul(4)).unwrap_or(usize::MAX);
        let mut data = Lines::try_zeros(bytes).unwrap_or_else(|| end(Ended::OutOfMemory(bytes)));
        let all = data.floats_mut();
        // Steps in the order of memory, a few of all columns at a time: what is read and written stays in the first cache.
        let mut order: Vec<(usize, usize)> = Vec::new();
        if from.right != 1 && !panels.is_empty() {
            order.extend((0..depth).map(|k| (place(k), k)));
            order.sort_unstable();
        }
        let natural =
            depth > 0 && order.iter().enumerate().all(|(k, &(at, step))| step == k && at == order[0].0 + k);
        for panel in &panels {
            between();
            let wide = panel.vectors * lanes;
            let room = &mut all[panel.start..][..depth * wide];
            if from.right == 1 {
                for (k, to) in room.chunks_exact_mut(wide.max(1)).enumerate() {
                    to[..panel.columns].copy_from_slice(&from.x[place(k) + panel.first..][..panel.columns]);
                }
                continue;
            }
            if natural && from.right != 1 {
                let columns = &from.x[order[0].0..];
                turn(&columns[panel.first * from.right..], (panel.columns, depth), from.right, room, wide);
                continue;
            }
            for order in order.chunks(STEPS) {
                for c in 0..panel.columns {
                    let column = &from.x[(panel.first + c) * from.right..];
                    order.iter().for_each(|&(at, k)| room[k * wide + c] = column[at]);
                }
            }
        }
        Self { isa, depth, columns, panels, data }
    }

    /// Steps of the depth.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The instruction set that it is laid out for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        4 * self.data.floats().len()
    }

    pub(crate) fn data(&self) -> &[f32] {
        self.data.floats()
    }

    /// Numbers for each column, as sums begin: zeros where there are none, and behind the last one.
    pub(crate) fn begin(&self, bias: Option<&[f32]>) -> Vec<f32> {
        let (lanes, _) = float_panels(self.isa);
        let mut all = filled(self.columns.next_multiple_of(lanes), 0.0);
        if let Some(bias) = bias {
            all[..self.columns].copy_from_slice(bias);
        }
        all
    }
}

/// Lays columns, which lie so far apart and whose steps follow each other, side by side: four by four.
fn turn(from: &[f32], (columns, depth): (usize, usize), right: usize, to: &mut [f32], wide: usize) {
    let one = |c: usize, k: usize, to: &mut [f32]| to[k * wide + c] = from[c * right + k];
    let (even_columns, even_depth) = (columns / 4 * 4, depth / 4 * 4);
    for first in (0..even_depth).step_by(STEPS) {
        let steps = STEPS.min(even_depth - first);
        for c in (0..even_columns).step_by(4) {
            let four: [&[[f32; 4]]; 4] =
                std::array::from_fn(|i| from[(c + i) * right + first..][..steps].as_chunks().0);
            for q in 0..steps / 4 {
                let rows = four.map(|column| column[q]);
                for i in 0..4 {
                    let row: [f32; 4] = std::array::from_fn(|c| rows[c][i]);
                    to[(first + 4 * q + i) * wide + c..][..4].copy_from_slice(&row);
                }
            }
        }
    }
    for k in 0..depth {
        let from = if k < even_depth { even_columns } else { 0 };
        (from..columns).for_each(|c| one(c, k, to));
    }
}

/// Steps that are laid out before the next column's.
const STEPS: usize = 64;
