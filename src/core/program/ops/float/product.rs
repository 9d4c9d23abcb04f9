//! Products of floats.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::super::super::dims::Known;
use super::super::super::memory::Memory;
use super::super::super::op::{Hint, Io, Need, Op, Planned};
use super::super::super::value::{Type, Value, text};
use super::super::check_floats;
use super::super::layer::{by_image, row_step};
use super::super::product::Meeting;
use super::layer::FloatLayer;
use crate::error::{Error, Result, Stopped};
use crate::float::product::{Factor, Matrix, PER_BYTE, PackedFloats, Products, multiply, products};

/// A product of rows of floats with a weight of floats.
#[derive(Debug)]
pub struct FloatLinear {
    /// The weight.
    pub weights: Arc<PackedFloats>,
    /// What else there is.
    pub layer: FloatLayer,
}

impl Op for FloatLinear {
    fn name(&self) -> &'static str {
        "float linear"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        check_floats(x)?;
        let (inputs, outputs) = (self.weights.depth(), self.weights.columns());
        let Some((_, leading)) = x.shape.split_last().filter(|&(&n, _)| n == inputs) else {
            let valid = format!("of shape (..., {inputs}), as deep as the weight");
            return Err(Error::value("input", text(&x.shape), valid));
        };
        let made = Value::new(Type::F32, [leading, &[outputs]].concat());
        let rows: usize = leading.iter().product();
        let (need, down) = match row_step(x) {
            Some(down) if inputs == 1 || x.strides.last() == Some(&1) => (None, down),
            _ => (Need::contiguous(x), inputs),
        };
        let weights = Arc::clone(&self.weights);
        let work = rows.saturating_mul(inputs).saturating_mul(outputs) / PER_BYTE;
        let task = self.layer.task(from, made, need, move |io: Io<'_>, finish| {
            let x = Matrix { x: io.from[0].floats(), rows, columns: inputs, down };
            multiply(&x, &weights, finish, io.to.floats())
        })?;
        Ok(task.work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        (from[0].shape.len() > 1).then(|| by_image(from, made, images)).flatten()
    }

    fn weights(&self) -> usize {
        self.weights.bytes()
    }
}

/// The product of matrices of floats, for `Matmul`.
pub(in super::super) fn matmul(
    meeting: Meeting,
) -> impl Fn(&[Memory<'_>], &mut [MaybeUninit<f32>]) -> Result<(), Stopped> {
    let count: usize = meeting.batch.iter().product();
    let starts: Vec<(usize, usize)> = (0..count).map(|i| meeting.starts(i)).collect();
    let (left, right) = (meeting.left, meeting.right);
    move |from, to| {
        let work = Products {
            left: Factor { x: from[0].floats(), strides: left.strides },
            right: Factor { x: from[1].floats(), strides: right.strides },
            sides: (left.rows, left.columns, right.columns),
            starts: &starts,
        };
        products(&work, to)
    }
}
