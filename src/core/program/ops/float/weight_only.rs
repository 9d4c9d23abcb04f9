//! Products of rows of floats with codes in groups.

use std::sync::Arc;

use super::super::super::dims::Known;
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Type, Value, text};
use super::super::check_floats;
use crate::error::{Error, Result};
use crate::float::product::PER_BYTE;
use crate::weight_only::{Finish, InputBits, PackedGroups, multiply};

/// A product of rows of floats with a weight whose codes lie in groups.
#[derive(Debug)]
pub struct WeightOnlyLinear {
    /// The weight.
    pub weights: Arc<PackedGroups>,
    /// What rows keep.
    pub input_bits: InputBits,
    /// A number for each output, or none.
    pub bias: Option<Arc<[f32]>>,
    /// Whether negative results become 0.
    pub relu: bool,
}

impl Op for WeightOnlyLinear {
    fn name(&self) -> &'static str {
        "weight-only linear"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        check_floats(x)?;
        let (inputs, outputs) = (self.weights.layout().depth, self.weights.layout().columns);
        let Some((_, leading)) = x.shape.split_last().filter(|&(&n, _)| n == inputs) else {
            let valid = format!("of shape (..., {inputs}), as deep as the weight");
            return Err(Error::value("input", text(&x.shape), valid));
        };
        let made = Value::new(Type::F32, [leading, &[outputs]].concat());
        let work = made.len().saturating_mul(inputs) / PER_BYTE;
        let (weights, bits) = (Arc::clone(&self.weights), self.input_bits);
        let (bias, relu) = (self.bias.clone(), self.relu);
        let run = move |io: Io<'_>| {
            let finish = Finish { bias: bias.as_deref(), relu };
            Ok(multiply(io.from[0].floats(), bits, &weights, &finish, io.to.floats())?)
        };
        Ok(Task::new(made, run).needs(vec![Need::contiguous(x)]).work(work).into())
    }

    /// Rows of all images together read the weight once.
    fn images(&self, _: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        None
    }

    fn weights(&self) -> usize {
        self.weights.bytes()
    }
}
