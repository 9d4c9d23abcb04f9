//! Recurrent layers: LSTM, GRU and Elman's, a whole sequence in one call.
//!
//! Quantized weights meet activations that are quantized when they arrive, as in torch's dynamic modules: the input of
//! all steps with one scale, and in each step the hidden state of the whole batch with one. What is left, gates and
//! states, is float32. `steps` runs a direction over any kind of product with the hidden state ([`Quantized`] or
//! [`Float`]); `cell` has the formulas of the cells, once.

mod cell;
mod float;
mod quantized;
mod steps;

use std::sync::{Mutex, PoisonError};

pub use cell::Cell;
pub use float::{Float, FloatWeights, float_layer};
pub use quantized::{Quantized, Tables, quantized_layer};
pub use steps::States;

use crate::error::{Result, Stopped};
use crate::gemm::WIDE;
use crate::threads;
use steps::Output;

/// What a layer runs over.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Length of the sequences, at least 1.
    pub steps: usize,
    /// How many of them, at least 1.
    pub batch: usize,
    /// Whether the output has the batch on its first axis, and not the steps.
    pub batch_first: bool,
}

impl Shape {
    /// Number of rows of the input and the output.
    pub fn rows(&self) -> usize {
        self.steps * self.batch
    }
}

/// Where gates lie that are packed in blocks of units: in this order, from gates of all units one after the other.
fn order(gates: usize, units: usize) -> impl Iterator<Item = usize> {
    (0..units).step_by(WIDE).flat_map(move |first| {
        let block = first..units.min(first + WIDE);
        (0..gates).flat_map(move |gate| block.clone().map(move |unit| gate * units + unit))
    })
}

/// The output of a layer, for each of its directions: side by side in each row.
fn outputs(y: &mut [f32], directions: usize, units: usize, shape: Shape) -> Vec<Output<'_>> {
    assert_eq!(y.len(), shape.rows() * directions * units, "room for the output");
    let strides = if shape.batch_first { [1, shape.steps] } else { [shape.batch, 1] };
    let output = || Output { rows: Vec::with_capacity(shape.rows()), strides };
    let mut all: Vec<_> = (0..directions).map(|_| output()).collect();
    for row in y.chunks_exact_mut(directions * units) {
        for (to, piece) in all.iter_mut().zip(row.chunks_exact_mut(units)) {
            to.rows.push(piece);
        }
    }
    all
}

/// Runs each direction, together if `work` (in bytes, as `threads` counts) is worth it.
fn each<T: Send>(
    work: usize,
    directions: Vec<T>,
    run: impl Fn(T) -> std::result::Result<Result<()>, Stopped> + Sync,
) -> std::result::Result<Result<()>, Stopped> {
    let first_error = Mutex::new(Ok(Ok(())));
    threads::for_each(work, directions.into_iter(), |direction| {
        let done = run(direction);
        let well = matches!(done, Ok(Ok(())));
        if !well {
            *first_error.lock().unwrap_or_else(PoisonError::into_inner) = done;
        }
        well
    })?;
    first_error.into_inner().unwrap_or_else(PoisonError::into_inner)
}
