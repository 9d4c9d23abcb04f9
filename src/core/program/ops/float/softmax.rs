//! Softmax along an axis.

use super::super::super::dims::Known;
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Type, Value};
use super::super::{axis_in, check_floats};
use super::{mask_rows, strides_in};
use crate::error::Result;
use crate::float::{self, Mask, Place};

/// Softmax along an axis, of the input times a factor, plus the second source.
#[derive(Debug)]
pub struct Softmax {
    /// The axis whose sums become 1.
    pub axis: isize,
    /// What the input is multiplied by first.
    pub factor: f32,
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        check_floats(x)?;
        let axis = axis_in(self.axis, x.shape.len())?;
        // The axis is the fastest one in memory.
        let mut order: Vec<usize> = (0..x.shape.len()).filter(|&a| a != axis).collect();
        let lengths: Vec<usize> = order.iter().map(|&a| x.shape[a]).collect();
        order.push(axis);
        let made = Value { ty: Type::F32, shape: x.shape.clone(), strides: strides_in(&x.shape, &order) };
        let mut needs = vec![Need::like(&made)];
        let mut steps = None;
        if let Some(mask) = from.get(1) {
            let (need, own) = mask_rows(mask, &x.shape, axis)?;
            needs.push(need);
            steps = Some(own);
        }
        let (n, factor, work) = (x.shape[axis], self.factor, 16 * made.len());
        let run = move |io: Io<'_>| {
            let mask = steps.as_ref().map(|steps| Mask::new(io.from[1].floats(), &lengths, steps));
            let of = float::Softmax { n, factor, mask };
            Ok(float::softmax(&of, Place::Apart(io.from[0].floats(), io.to.floats()))?)
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        let axis = axis_in(self.axis, made.shape.len()).ok()?;
        (axis > 0 && images[0]).then(|| super::super::each_element(from, made, images)).flatten()
    }
}

/// The logarithm of softmax along an axis.
#[derive(Debug)]
pub struct LogSoftmax(pub isize);

impl Op for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        check_floats(x)?;
        let axis = axis_in(self.0, x.shape.len())?;
        // The axis is the fastest one in memory.
        let mut order: Vec<usize> = (0..x.shape.len()).filter(|&a| a != axis).collect();
        order.push(axis);
        let made = Value { ty: Type::F32, shape: x.shape.clone(), strides: strides_in(&x.shape, &order) };
        let (needs, n, work) = (vec![Need::like(&made)], x.shape[axis], 16 * made.len());
        let run = move |io: Io<'_>| Ok(float::log_softmax(io.from[0].floats(), n, io.to.floats())?);
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        (axis_in(self.0, from[0].shape.len()).ok()? > 0).then_some(true)
    }
}
