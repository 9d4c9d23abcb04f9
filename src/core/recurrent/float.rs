//! Recurrent layers with weights in float32. The input's part of the gates is one large product, which a BLAS does
//! best: it is handed in.

use std::ops::Range;

use super::cell::Cell;
use super::steps::{Hidden, Inputs, Pass, Room, States, from_blocks};
use super::{Shape, each, order, outputs};
use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::{Result, Stopped};
use crate::gemm::WIDE;
use crate::memory::filled;
use crate::threads::Poll;

/// One direction of a layer: what meets its hidden state, as torch orders it.
#[derive(Debug, Clone, Copy)]
pub struct Float<'a> {
    /// Which cell.
    pub cell: Cell,
    /// How many units.
    pub units: usize,
    /// The input's part of the gates, for each step and row: weights times input, plus bias.
    pub gates: &'a [f32],
    /// Gates by the units of the hidden state.
    pub w_hh: &'a [f32],
    /// The projection of the hidden state, if there is one: its outputs by units.
    pub w_hr: Option<&'a [f32]>,
    /// What is added to the hidden state's part of the gates.
    pub b_hh: Option<&'a [f32]>,
}

impl Float<'_> {
    /// Number of outputs: units, or what the projection gives.
    fn outputs(&self) -> usize {
        self.w_hr.map_or(self.units, |weights| weights.len() / self.units)
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
        assert_eq!(direction.w_hh.len(), columns * first.outputs(), "weights for each gate");
    }
    // Bytes of weights that are read.
    let work = 4 * directions.len() * shape.rows() * first.w_hh.len();
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
        arch::dispatch(Isa::current(), Run { direction, pass })
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
        let (batch, units, outputs) = (pass.batch, direction.units, direction.outputs());
        let gates = direction.cell.gates();
        let hidden = State::new(v, direction.w_hh, direction.b_hh, (gates, units), outputs, batch);
        let projection =
            direction.w_hr.map(|weights| State::new(v, weights, None, (1, outputs), units, batch));
        pass.run(hidden, projection)
    }
}

/// The hidden state, and the weights that it meets: strips of `WIDE` columns, each with its rows of `WIDE` in depth.
struct State<V> {
    v: V,
    strips: Vec<f32>,
    /// For each column; padded.
    bias: Vec<f32>,
    depth: usize,
    /// Rows of the state.
    rows: Vec<f32>,
}

impl<V: Vector> State<V> {
    fn new(
        v: V,
        weights: &[f32],
        bias: Option<&[f32]>,
        (gates, units): (usize, usize),
        depth: usize,
        batch: usize,
    ) -> Self {
        let columns = (gates * units).next_multiple_of(WIDE);
        let (mut strips, mut padded) = (filled(columns * depth, 0f32), filled(columns, 0f32));
        let mut poll = Poll::new();
        for (column, row) in order(gates, units).enumerate() {
            poll.end_if_interrupted();
            let strip = &mut strips[column / WIDE * WIDE * depth + column % WIDE..];
            for (to, &w) in strip.iter_mut().step_by(WIDE).zip(&weights[row * depth..][..depth]) {
                *to = w;
            }
            if let Some(bias) = bias {
                padded[column] = bias[row];
            }
        }
        Self { v, strips, bias: padded, depth, rows: filled(batch * depth, 0.0) }
    }
}

/// Rows that share what is read of the weights, with vectors of so many lanes: their sums stay in registers.
const fn together(lanes: usize) -> usize {
    if lanes < 16 { 2 } else { 4 }
}

impl<V: Vector> Hidden for State<V> {
    type V = V;

    fn vector(&self) -> V {
        self.v
    }
    fn rows_at_once(&self) -> usize {
        8
    }
    fn width(&self, columns: usize) -> usize {
        columns.next_multiple_of(WIDE)
    }
    fn take(&mut self, state: &[f32]) -> std::result::Result<Result<()>, Stopped> {
        from_blocks(state, self.depth, &mut self.rows);
        Ok(Ok(()))
    }
    fn multiply(&self, rows: Range<usize>, columns: Range<usize>, room: &mut Room) {
        let width = self.width(columns.len());
        self.v.run(Multiply {
            strips: &self.strips[columns.start * self.depth..][..width * self.depth],
            bias: &self.bias[columns.start..][..width],
            depth: self.depth,
            rows: &self.rows[rows.start * self.depth..rows.end * self.depth],
            to: &mut room.floats[..rows.len() * width],
        });
    }
}

/// Rows times strips, plus a bias. Each sum runs along the depth from its start, whatever the vectors.
struct Multiply<'a> {
    strips: &'a [f32],
    bias: &'a [f32],
    depth: usize,
    rows: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self, v: V) {
        let count = self.rows.len() / self.depth.max(1);
        let mut first = 0;
        while first + 4 <= count && together(V::LANES) == 4 {
            self.rows_from::<V, 4>(v, first);
            first += 4;
        }
        while first + 2 <= count {
            self.rows_from::<V, 2>(v, first);
            first += 2;
        }
        if first < count {
            self.rows_from::<V, 1>(v, first);
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn rows_from<V: Vector, const R: usize>(&mut self, v: V, first: usize) {
        let (depth, width) = (self.depth, self.bias.len());
        let rows: [&[f32]; R] = std::array::from_fn(|r| &self.rows[(first + r) * depth..][..depth]);
        for (s, strip) in self.strips.chunks_exact(WIDE * depth).enumerate() {
            for at in (0..WIDE).step_by(V::GROUP) {
                let mut sums = [[v.splat(0.0); 4]; R];
                for (k, weights) in strip.chunks_exact(WIDE).enumerate() {
                    let weights = v.load(&weights[at..]);
                    for r in 0..R {
                        let x = v.splat(rows[r][k]);
                        for j in 0..4 {
                            sums[r][j] = v.add(sums[r][j], v.mul(x, weights[j]));
                        }
                    }
                }
                let bias = v.load(&self.bias[s * WIDE + at..]);
                for (r, sum) in sums.iter_mut().enumerate() {
                    for j in 0..4 {
                        sum[j] = v.add(sum[j], bias[j]);
                    }
                    v.store::<_, false>(*sum, &mut self.to[(first + r) * width + s * WIDE + at..]);
                }
            }
        }
    }
}
