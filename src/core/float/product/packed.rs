//! Weights of floats, laid out once for products.

use crate::arch::{Isa, Lines, Panel, float_panels};
use crate::memory::{Ended, end, filled};

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
fn panels(isa: Isa, depth: usize, columns: usize) -> Vec<Panel> {
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
        Self::gathered(isa, depth, columns, from, |k| k * from.down)
    }

    /// The same, with a place for each step of the depth.
    pub(crate) fn gathered(
        isa: Isa,
        depth: usize,
        columns: usize,
        from: Plain<'_>,
        place: impl Fn(usize) -> usize,
    ) -> Self {
        let panels = panels(isa, depth, columns);
        let (lanes, _) = float_panels(isa);
        let wide: usize = panels.iter().map(|panel| panel.vectors * lanes).sum();
        let bytes = depth.checked_mul(wide).and_then(|n| n.checked_mul(4)).unwrap_or(usize::MAX);
        let mut data = Lines::try_zeros(bytes).unwrap_or_else(|| end(Ended::OutOfMemory(bytes)));
        let all = data.floats_mut();
        for panel in &panels {
            let wide = panel.vectors * lanes;
            let room = &mut all[panel.start..][..depth * wide];
            if from.right == 1 {
                for (k, to) in room.chunks_exact_mut(wide.max(1)).enumerate() {
                    to[..panel.columns].copy_from_slice(&from.x[place(k) + panel.first..][..panel.columns]);
                }
                continue;
            }
            // Some steps of each column at a time, so that what is read and written stays in the first cache.
            for first in (0..depth).step_by(STEPS) {
                let steps = STEPS.min(depth - first);
                for c in 0..panel.columns {
                    let column = &from.x[(panel.first + c) * from.right..];
                    for k in first..first + steps {
                        room[k * wide + c] = column[place(k)];
                    }
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

/// Steps that are laid out before the next column's.
const STEPS: usize = 16;
