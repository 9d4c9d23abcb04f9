//! Recurrent layers with weights in float32. The input's part of the gates is one large product, which is handed in.
//! Products with the hidden state are those of `float::product`: with fused multiply-add where there is one.

use std::ops::Range;

use super::cell::Cell;
use super::steps::{Hidden, Inputs, Pass, Room, States, from_blocks};
use super::{Shape, each, order, outputs};
use crate::arch::{self, Isa, Kernel, TILES, Vector, slots};
use crate::error::{Result, Stopped};
use crate::float::product::{Matrix, PackedFloats, Plain, multiply_onto};
use crate::gemm::WIDE;
use crate::memory::{filled, room};

/// The weights that a hidden state meets, laid out once: those of a block of units are a matrix of their own.
#[derive(Debug, Clone)]
pub struct FloatWeights {
    gates: usize,
    depth: usize,
    /// For each block what is multiplied, and what its sums begin with.
    blocks: Vec<(PackedFloats, Vec<f32>)>,
}

impl FloatWeights {
    /// Of so many gates of so many units, gate by gate, with a number for each that is added.
    ///
    /// # Panics
    /// Lengths that disagree; no units.
    pub fn new(isa: Isa, (gates, units): (usize, usize), weights: &[f32], bias: Option<&[f32]>) -> Self {
        let depth = weights.len() / (gates * units);
        assert_eq!(weights.len(), gates * units * depth, "weights for each gate");
        assert!(bias.is_none_or(|bias| bias.len() == gates * units), "a number for each gate");
        let order: Vec<usize> = order(gates, units).collect();
        let blocks = order.chunks(gates * WIDE).map(|block| {
            let mut rows = room(block.len() * depth);
            for &gate in block {
                rows.extend_from_slice(&weights[gate * depth..][..depth]);
            }
            let packed =
                PackedFloats::new(isa, depth, block.len(), Plain { x: &rows, down: 1, right: depth });
            let own: Option<Vec<f32>> = bias.map(|bias| block.iter().map(|&gate| bias[gate]).collect());
            let begin = packed.begin(own.as_deref());
            (packed, begin)
        });
        Self { gates, depth, blocks: blocks.collect() }
    }

    /// Gates of all units.
    fn columns(&self) -> usize {
        self.blocks.iter().map(|(packed, _)| packed.columns()).sum()
    }

    /// The instruction set that they are laid out for.
    fn isa(&self) -> Isa {
        self.blocks[0].0.isa()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|(packed, begin)| packed.bytes() + 4 * begin.len()).sum()
    }
}

/// One direction of a layer: what meets its hidden state.
#[derive(Debug, Clone, Copy)]
pub struct Float<'a> {
    /// Which cell.
    pub cell: Cell,
    /// How many units.
    pub units: usize,
    /// The input's part of the gates, for each step and row: weights times input, plus bias.
    pub gates: &'a [f32],
    /// What the hidden state is multiplied by.
    pub w_hh: &'a FloatWeights,
    /// The projection of the hidden state, if there is one.
    pub w_hr: Option<&'a FloatWeights>,
}

impl Float<'_> {
    /// Number of outputs: units, or what the projection gives.
    fn outputs(&self) -> usize {
        self.w_hr.map_or(self.units, FloatWeights::columns)
    }
}

/// A layer of one direction, or of two (the second one from the last step to the first): the output of all of them, side
/// by side.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree; no units.
pub fn float_layer(
    directions: &[Float<'_>],
    shape: Shape,
    states: Vec<States<'_>>,
    y: &mut [f32],
) -> Result<(), Stopped> {
    let Some(first) = directions.first() else { return Ok(()) };
    assert_eq!(states.len(), directions.len(), "states for each direction");
    let columns = first.cell.gates() * first.units;
    for direction in directions {
        assert_eq!(direction.gates.len(), shape.rows() * columns, "gates for each step and row");
        let (hidden, projection) = (direction.w_hh, direction.w_hr);
        assert_eq!((hidden.columns(), hidden.depth), (columns, first.outputs()), "weights for each gate");
        assert!(projection.is_none_or(|w| w.depth == first.units), "as deep as the units");
    }
    // Bytes of weights that are read.
    let work = 4 * directions.len() * shape.rows() * columns * first.outputs();
    let parts = outputs(y, directions.len(), first.outputs(), shape);
    let parts = directions.iter().zip(states).zip(parts).enumerate().collect();
    let done = each(work, parts, |(i, ((direction, states), output))| {
        let pass = Pass {
            cell: direction.cell,
            units: direction.units,
            steps: shape.steps,
            batch: shape.batch,
            reverse: i == 1,
            inputs: Inputs::Ready(direction.gates),
            states,
            output,
        };
        arch::dispatch(direction.w_hh.isa(), Run { direction, pass })
    })?;
    done.expect("floats have no range to be checked");
    Ok(())
}

struct Run<'a> {
    direction: &'a Float<'a>,
    pass: Pass<'a>,
}

impl Kernel for Run<'_> {
    type Output = std::result::Result<Result<()>, Stopped>;

    #[inline(always)]
    fn run<V: Vector>(self, v: V) -> Self::Output {
        let Self { direction, pass } = self;
        let hidden = State::new(v, direction.w_hh, pass.batch);
        let projection = direction.w_hr.map(|weights| State::new(v, weights, pass.batch));
        pass.run(hidden, projection)
    }
}

/// The hidden state, and the weights that it meets.
struct State<'a, V> {
    v: V,
    weights: &'a FloatWeights,
    /// Rows of the state.
    rows: Vec<f32>,
}

impl<'a, V: Vector> State<'a, V> {
    fn new(v: V, weights: &'a FloatWeights, batch: usize) -> Self {
        Self { v, weights, rows: filled(batch * weights.depth, 0.0) }
    }
}

impl<V: Vector> Hidden for State<'_, V> {
    type V = V;

    fn vector(&self) -> V {
        self.v
    }
    fn rows_at_once(&self) -> usize {
        TILES
    }
    fn width(&self, columns: usize) -> usize {
        columns
    }
    fn take(&mut self, state: &[f32]) -> std::result::Result<Result<()>, Stopped> {
        from_blocks(state, self.weights.depth, &mut self.rows);
        Ok(Ok(()))
    }
    fn multiply(&self, rows: Range<usize>, columns: Range<usize>, room: &mut Room) {
        let FloatWeights { gates, depth, blocks } = self.weights;
        let (packed, begin) = &blocks[columns.start / (gates * WIDE)];
        let x = Matrix {
            x: &self.rows[rows.start * depth..rows.end * depth],
            rows: rows.len(),
            columns: *depth,
            down: *depth,
        };
        let to = &mut room.floats[..rows.len() * columns.len()];
        multiply_onto(&x, packed, begin, slots(to));
    }
}
