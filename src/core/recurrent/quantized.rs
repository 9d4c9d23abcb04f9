//! Recurrent layers with weights of 8 bits.

use std::ops::Range;

use super::cell::Cell;
use super::steps::{Hidden, Inputs, Make, Pass, Room, States};
use super::{Shape, each, order, outputs};
use crate::arch::product::{Product, WithProduct, with_product};
use crate::arch::{Isa, slots};
use crate::error::{Result, Stopped};
use crate::gemm::{
    self, Activations, Codes, Finish, Formula, Matrix, PackedWeights, Results, State, WeightParams,
    dynamic_codes, multiply,
};
use crate::memory::{filled, reserve};

/// The weights and biases of one direction, as torch orders them: gates of all units one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    /// For the input: gates by inputs.
    pub w_ih: (Matrix<'a>, WeightParams<'a>),
    /// For the hidden state: gates by its units.
    pub w_hh: (Matrix<'a>, WeightParams<'a>),
    /// The projection of the hidden state, if there is one: its outputs by units.
    pub w_hr: Option<(Matrix<'a>, WeightParams<'a>)>,
    /// What is added to the input's part of the gates.
    pub b_ih: Option<&'a [f32]>,
    /// What is added to the hidden state's part.
    pub b_hh: Option<&'a [f32]>,
}

/// One direction of a layer, packed for an instruction set.
#[derive(Debug, Clone)]
pub struct Quantized {
    cell: Cell,
    /// The gates of both in blocks of units.
    w_ih: PackedWeights,
    w_hh: PackedWeights,
    w_hr: Option<PackedWeights>,
    b_ih: Option<Vec<f32>>,
    b_hh: Option<Vec<f32>>,
}

impl Quantized {
    /// Packs them.
    ///
    /// # Errors
    /// A depth at which a sum could leave 32 bits, whatever the activations.
    ///
    /// # Panics
    /// Shapes that do not fit each other; no units.
    pub fn new(isa: Isa, cell: Cell, tables: Tables<'_>) -> Result<Self> {
        let gates = tables.w_hh.0.rows();
        let units = gates / cell.gates();
        assert!(units > 0 && gates == units * cell.gates() && tables.w_ih.0.rows() == gates, "whole units");
        let outputs = tables.w_hr.map_or(units, |(matrix, _)| matrix.rows());
        assert_eq!(tables.w_hh.0.columns(), outputs, "as deep as the hidden state");
        assert!(tables.w_hr.is_none_or(|(matrix, _)| matrix.columns() == units), "as deep as the units");
        let own = |bias: Option<&[f32]>| {
            bias.map(|bias| order(cell.gates(), units).map(|gate| bias[gate]).collect::<Vec<_>>())
        };
        Ok(Self {
            cell,
            w_ih: in_blocks(isa, cell, units, tables.w_ih)?,
            w_hh: in_blocks(isa, cell, units, tables.w_hh)?,
            w_hr: tables.w_hr.map(|(matrix, params)| PackedWeights::new(isa, matrix, params)).transpose()?,
            b_ih: own(tables.b_ih),
            b_hh: own(tables.b_hh),
        })
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.w_ih.depth()
    }

    /// Number of units.
    pub fn units(&self) -> usize {
        self.w_hh.columns() / self.cell.gates()
    }

    /// Number of outputs: units, or what the projection gives.
    pub fn outputs(&self) -> usize {
        self.w_hh.depth()
    }

    /// The instruction set that it is packed for.
    pub fn isa(&self) -> Isa {
        self.w_hh.isa()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let biases = [&self.b_ih, &self.b_hh].into_iter().flatten().map(Vec::len).sum::<usize>();
        let weights = [Some(&self.w_ih), Some(&self.w_hh), self.w_hr.as_ref()];
        4 * biases + weights.into_iter().flatten().map(PackedWeights::bytes).sum::<usize>()
    }

    /// The weights for the input and the hidden state as they were, from what is stored (see `PackedWeights::unpack`).
    pub fn unpack<T: Copy + Default>(&self, of: impl Fn(i8) -> T + Copy) -> [Vec<T>; 2] {
        [&self.w_ih, &self.w_hh].map(|packed| self.in_order(&packed.unpack(of), packed.depth()))
    }

    /// The weights of the projection as they were.
    pub fn unpack_projection<T>(&self, of: impl Fn(i8) -> T) -> Option<Vec<T>> {
        self.w_hr.as_ref().map(|packed| packed.unpack(of))
    }

    /// The biases as they were.
    pub fn biases(&self) -> [Option<Vec<f32>>; 2] {
        [&self.b_ih, &self.b_hh].map(|bias| bias.as_ref().map(|bias| self.in_order(bias, 1)))
    }

    /// Rows in blocks of units, gate by gate.
    fn in_order<T: Copy + Default>(&self, rows: &[T], depth: usize) -> Vec<T> {
        let mut all = filled(rows.len(), T::default());
        for (i, gate) in order(self.cell.gates(), self.units()).enumerate() {
            all[gate * depth..][..depth].copy_from_slice(&rows[i * depth..][..depth]);
        }
        all
    }
}

/// Packs the rows of a matrix of gates in blocks of units.
fn in_blocks(
    isa: Isa,
    cell: Cell,
    units: usize,
    (matrix, params): (Matrix<'_>, WeightParams<'_>),
) -> Result<PackedWeights> {
    let (rows, depth) = (matrix.rows(), matrix.columns());
    let at = || order(cell.gates(), units).flat_map(|gate| (0..depth).map(move |k| (gate, k)));
    let scales = sorted(cell, units, params.scales);
    let zero_points = sorted(cell, units, params.zero_points);
    let params = WeightParams { scales: &scales, zero_points: &zero_points };
    let pack = |codes| PackedWeights::new(isa, Matrix::dense(codes, rows, depth), params);
    match matrix.is_signed() {
        true => pack(Codes::I8(&at().map(|(gate, k)| matrix.at(gate, k) as i8).collect::<Vec<_>>())),
        false => pack(Codes::U8(&at().map(|(gate, k)| matrix.at(gate, k) as u8).collect::<Vec<_>>())),
    }
}

/// One value for all gates, or one for each, in blocks of units.
fn sorted<T: Copy>(cell: Cell, units: usize, values: &[T]) -> Vec<T> {
    if values.len() == 1 {
        return values.to_vec();
    }
    order(cell.gates(), units).map(|gate| values[gate]).collect()
}

/// A layer of one direction, or of two (the second one from the last step to the first): the output of all of them, side
/// by side, for an input of rows step by step, which has one scale, or one for each row with `per_row`.
///
/// # Errors
/// NaN in the input, or an interrupt; inside, an input or a state whose range is not finite.
///
/// # Panics
/// Lengths that disagree.
pub fn quantized_layer(
    directions: &[&Quantized],
    x: &[f32],
    shape: Shape,
    states: Vec<States<'_>>,
    y: &mut [f32],
    per_row: bool,
) -> std::result::Result<Result<()>, Stopped> {
    let Some(first) = directions.first() else { return Ok(Ok(())) };
    assert_eq!(x.len(), shape.rows() * first.inputs(), "an input for each step and row");
    assert_eq!(states.len(), directions.len(), "states for each direction");
    let mut codes = filled(x.len(), 0u8);
    let found = dynamic_codes(&x, shape.rows(), per_row, Formula::Contract, slots(&mut codes))?;
    let (scales, zero_points) = match found {
        Ok(params) => params,
        Err(error) => return Ok(Err(error)),
    };
    let work = shape.rows() * first.w_hh.columns() * (first.inputs() + first.outputs()) * directions.len();
    let parts = outputs(y, directions.len(), first.outputs(), shape);
    let parts = directions.iter().zip(states).zip(parts).enumerate().collect();
    each(work / super::steps::PER_BYTE, parts, |(i, ((direction, states), output))| {
        let product = InputProduct { direction, codes: &codes, scales: &scales, zero_points: &zero_points };
        let pass = Pass {
            cell: direction.cell,
            units: direction.units(),
            steps: shape.steps,
            batch: shape.batch,
            reverse: i == 1,
            inputs: Inputs::Made(&product),
            states,
            output,
        };
        with_product(direction.isa(), Run { direction, pass })
    })
}

/// The input's codes times its weights.
struct InputProduct<'a> {
    direction: &'a Quantized,
    codes: &'a [u8],
    scales: &'a [f32],
    zero_points: &'a [i32],
}

impl Make for InputProduct<'_> {
    fn make(&self, rows: Range<usize>, to: &mut Vec<f32>) -> std::result::Result<(), Stopped> {
        let weights = &self.direction.w_ih;
        let depth = weights.depth();
        let codes = Codes::U8(&self.codes[rows.start * depth..rows.end * depth]);
        // One for all rows, or those of these.
        let own = if self.scales.len() == 1 { 0..1 } else { rows.clone() };
        let x = Activations {
            codes: Matrix::dense(codes, rows.len(), depth).into(),
            scales: &self.scales[own.clone()],
            zero_points: &self.zero_points[own],
        };
        let wanted = rows.len() * weights.columns();
        reserve(to, wanted.saturating_sub(to.len()));
        to.resize(wanted, 0.0);
        let finish = Finish { bias: self.direction.b_ih.as_deref(), ..Finish::default() };
        multiply(&x, weights, &finish, Results::Floats(slots(to)))
    }
}

struct Run<'a> {
    direction: &'a Quantized,
    pass: Pass<'a>,
}

impl WithProduct for Run<'_> {
    type Output = std::result::Result<Result<()>, Stopped>;

    fn run<P: Product>(self, p: P) -> Self::Output {
        let Self { direction, pass } = self;
        let batch = pass.batch;
        let hidden = State::new(p, &direction.w_hh, direction.b_hh.as_deref(), batch);
        let projection = direction.w_hr.as_ref().map(|weights| State::new(p, weights, None, batch));
        pass.run(hidden, projection)
    }
}

impl<P: Product> Hidden for State<'_, P> {
    type V = P::V;

    fn vector(&self) -> P::V {
        gemm::State::vector(self)
    }
    fn rows_at_once(&self) -> usize {
        P::MR
    }
    fn width(&self, columns: usize) -> usize {
        Self::width(columns)
    }
    fn take(&mut self, state: &[f32]) -> std::result::Result<Result<()>, Stopped> {
        self.take(state)
    }
    fn multiply(&self, rows: Range<usize>, columns: Range<usize>, room: &mut Room) {
        self.multiply(rows, columns, &mut room.sums, &mut room.floats);
    }
}
