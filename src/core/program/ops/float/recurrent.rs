//! Recurrent layers of floats.

use std::sync::Arc;

use super::super::super::dims::Known;
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task, Trouble};
use super::super::super::value::{Type, Value, text};
use super::super::check_floats;
use super::strides_in;
use crate::arch::{copy_to, slots};
use crate::error::{Error, Result, Stopped};
use crate::float::product::{Finish, Matrix, PackedFloats, multiply};
use crate::memory::filled;
use crate::recurrent::{self, Cell, Float, FloatWeights, Shape, float_layer};

/// One direction of a layer: weights in C order, gates as torch orders them.
#[derive(Debug, Clone)]
pub struct Direction {
    /// Gates by the layer's inputs.
    pub w_ih: Arc<PackedFloats>,
    /// Gates by its outputs, and what is added for each gate.
    pub w_hh: Arc<FloatWeights>,
    /// The projection, outputs by units.
    pub w_hr: Option<Arc<FloatWeights>>,
    /// For each gate, with the input.
    pub b_ih: Option<Arc<[f32]>>,
}

/// All layers of a recurrent network. It makes one row of floats: the output, then the last hidden states, then the last
/// cell states, each as its own array would lie. The second and the third source are the first states.
#[derive(Debug)]
pub struct Recurrent {
    /// Which cell.
    pub cell: Cell,
    /// Directions, layer by layer.
    pub directions: Vec<Direction>,
    /// Whether each layer has two.
    pub bidirectional: bool,
    /// Whether the batch is the first axis.
    pub batch_first: bool,
    /// Units of each direction, and its outputs.
    pub sizes: (usize, usize),
}

impl Recurrent {
    /// Steps and batch of an input.
    fn shape(&self, x: &Value) -> Result<(Shape, bool)> {
        let inputs = self.directions.first().map_or(0, |direction| direction.w_ih.depth());
        let (steps, batch, batched) = match x.shape[..] {
            [batch, steps, n] if n == inputs && self.batch_first => (steps, batch, true),
            [steps, batch, n] if n == inputs && !self.batch_first => (steps, batch, true),
            [steps, n] if n == inputs => (steps, 1, false),
            _ => {
                let axes = if self.batch_first { "(batch, steps" } else { "(steps, batch" };
                let valid = format!("of shape {axes}, {inputs}) or (steps, {inputs})");
                return Err(Error::value("input", text(&x.shape), valid));
            }
        };
        if steps == 0 {
            return Err(Error::value("input", text(&x.shape), "of at least one step"));
        }
        Ok((Shape { steps, batch, batch_first: batched && self.batch_first }, batched))
    }
}

impl Op for Recurrent {
    fn name(&self) -> &'static str {
        match self.cell {
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
            Cell::Tanh | Cell::Relu => "rnn",
        }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        from.iter().try_for_each(|x| check_floats(x))?;
        let (shape, batched) = self.shape(x)?;
        let (units, outputs) = self.sizes;
        let ways = 1 + usize::from(self.bidirectional);
        let count = self.directions.len();
        // Steps are the slowest axis of the input in memory.
        let order: &[usize] = if shape.batch_first { &[1, 0, 2] } else { &[0, 1, 2] };
        let order: Vec<usize> = order.iter().copied().filter(|&a| a < x.shape.len()).collect();
        let order = if batched { order } else { vec![0, 1] };
        let mut needs = vec![Some(Need { shape: x.shape.clone(), strides: strides_in(&x.shape, &order) })];
        for (state, n) in from[1..].iter().zip([outputs, units]) {
            let batch = batched.then_some(shape.batch);
            let wanted: Vec<usize> = [count].into_iter().chain(batch).chain([n]).collect();
            if state.shape != wanted {
                return Err(Error::value("state", text(&state.shape), format!("of shape {}", text(&wanted))));
            }
            needs.push(Need::contiguous(state));
        }
        let memory = if self.cell.has_memory() { units } else { 0 };
        let sizes =
            [shape.rows() * ways * outputs, count * shape.batch * outputs, count * shape.batch * memory];
        let made = Value::new(Type::F32, vec![sizes.iter().sum()]);
        let layers: Vec<Vec<Direction>> = self.directions.chunks(ways).map(<[_]>::to_vec).collect();
        let (cell, inputs) = (self.cell, self.directions.first().map_or(0, |d| d.w_ih.depth()));
        let gates = cell.gates() * units;
        let work =
            shape.rows().saturating_mul(count).saturating_mul(gates).saturating_mul(inputs + outputs) / 4;
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            let state = |k: usize| io.from.get(k).map(|state| state.floats());
            let mut h = state(1).map_or_else(|| filled(sizes[1], 0f32), <[f32]>::to_vec);
            let mut c = state(2).map_or_else(|| filled(sizes[2], 0f32), <[f32]>::to_vec);
            let mut x: Vec<f32> = Vec::new();
            let mut own = io.from[0].floats();
            let (mut hs, mut cs) =
                (h.chunks_mut(shape.batch * outputs), c.chunks_mut((shape.batch * memory).max(1)));
            for (i, layer) in layers.iter().enumerate() {
                let last = i + 1 == layers.len();
                let mut y = filled(sizes[0], 0f32);
                let all: Vec<Vec<f32>> = layer
                    .iter()
                    .map(|d| products(d, own, shape.rows(), gates))
                    .collect::<Result<_, Stopped>>()?;
                let floats: Vec<Float<'_>> = layer
                    .iter()
                    .zip(&all)
                    .map(|(d, gates)| Float { cell, units, gates, w_hh: &d.w_hh, w_hr: d.w_hr.as_deref() })
                    .collect();
                let states = (0..ways)
                    .map(|_| recurrent::States {
                        h: hs.next().unwrap_or_default(),
                        c: cs.next().unwrap_or_default(),
                    })
                    .collect();
                let shape = Shape { batch_first: last && shape.batch_first, ..shape };
                float_layer(&floats, shape, states, &mut y)?;
                x = y;
                own = &x;
            }
            let (to, rest) = io.to.floats().split_at_mut(sizes[0]);
            let (to_h, to_c) = rest.split_at_mut(sizes[1]);
            copy_to(&x, to);
            copy_to(&h, to_h);
            copy_to(&c, to_c);
            Ok(())
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn weights(&self) -> usize {
        let of = |d: &Direction| {
            d.w_ih.bytes() + d.w_hh.bytes() + d.w_hr.as_ref().map_or(0, |weights| weights.bytes())
        };
        self.directions.iter().map(of).sum()
    }
}

/// The input's part of the gates.
fn products(direction: &Direction, x: &[f32], rows: usize, gates: usize) -> Result<Vec<f32>, Stopped> {
    let mut made = filled(rows * gates, 0f32);
    let n = direction.w_ih.depth();
    let bias = direction.b_ih.as_deref();
    let finish = Finish { bias, residual: None, limits: (f32::NEG_INFINITY, f32::INFINITY), then: None };
    multiply(&Matrix { x, rows, columns: n, down: n }, &direction.w_ih, &finish, slots(&mut made))?;
    Ok(made)
}
