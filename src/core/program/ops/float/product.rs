//! Products of floats.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::super::super::dims::Known;
use super::super::super::memory::Memory;
use super::super::super::op::{Elements, Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Type, Value, text};
use super::super::check_floats;
use super::super::layer::row_step;
use super::super::product::Meeting;
use crate::arch::{Floats, float_product};
use crate::error::{Error, Result, Stopped};
use crate::threads;

/// Products and sums in as much time as a byte is read or written.
const PER_BYTE: usize = 4;
/// Rows of a piece of work.
const ROWS: usize = 64;

/// A product of rows of floats with a weight of floats.
#[derive(Debug)]
pub struct FloatLinear {
    /// The weight, `outputs x inputs`, in C order.
    pub weight: Arc<dyn Elements>,
    /// Number of outputs and of inputs.
    pub sides: (usize, usize),
    /// A number for each output, or none.
    pub bias: Option<Arc<[f32]>>,
}

impl Op for FloatLinear {
    fn name(&self) -> &'static str {
        "float linear"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        check_floats(x)?;
        let (outputs, inputs) = self.sides;
        let Some((_, leading)) = x.shape.split_last().filter(|&(&n, _)| n == inputs) else {
            let valid = format!("of shape (..., {inputs}), as deep as the weight");
            return Err(Error::value("input", text(&x.shape), valid));
        };
        let made = Value::new(Type::F32, [leading, &[outputs]].concat());
        let rows: usize = leading.iter().product();
        let (need, strides) = match row_step(x) {
            Some(down) => (None, (down, *x.strides.last().unwrap_or(&1))),
            None => (Need::contiguous(x), (inputs, 1)),
        };
        let (weight, bias) = (Arc::clone(&self.weight), self.bias.clone());
        let work = rows.saturating_mul(inputs).saturating_mul(outputs) / PER_BYTE;
        let run = move |io: Io<'_>| {
            let a = Floats { x: io.from[0].floats(), rows, columns: inputs, strides };
            let b =
                Floats { x: weight.memory().floats(), rows: inputs, columns: outputs, strides: (1, inputs) };
            let pieces = io.to.floats().chunks_mut(ROWS * outputs).enumerate();
            threads::for_each(work, pieces, |(i, to)| {
                float_product(a.part(i * ROWS, to.len() / outputs), b, bias.as_deref(), to);
                true
            })?;
            Ok(())
        };
        Ok(Task::new(made, run).needs(vec![need]).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        (from[0].shape.len() > 1).then_some(true)
    }

    fn weights(&self) -> usize {
        4 * self.sides.0 * self.sides.1
    }
}

/// The product of matrices of floats, for `Matmul`.
pub(in super::super) fn matmul(
    meeting: Meeting,
    n: usize,
) -> impl Fn(&[Memory<'_>], &mut [MaybeUninit<f32>]) -> Result<(), Stopped> {
    let (rows, columns, depth) = (meeting.left.rows, meeting.right.columns, meeting.left.columns);
    let work = n.saturating_mul(depth) / PER_BYTE;
    move |from, to| {
        let of = |x: &'_ [f32], at: usize| x.len().min(at);
        let (left, right) = (from[0].floats(), from[1].floats());
        threads::for_each(work, to.chunks_mut((rows * columns).max(1)).enumerate(), |(i, to)| {
            let (a, b) = meeting.starts(i);
            let a = Floats { x: &left[of(left, a)..], rows, columns: depth, strides: meeting.left.strides };
            let b =
                Floats { x: &right[of(right, b)..], rows: depth, columns, strides: meeting.right.strides };
            float_product(a, b, None, to);
            true
        })
    }
}
