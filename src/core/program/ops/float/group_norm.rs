//! Normalization of groups of channels.

use super::super::super::dims::Known;
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Type, Value, text};
use super::super::check_floats;
use crate::error::{Error, Result};
use crate::float::{self, Place};

/// Groups of channels, in each image, less their means and divided by their standard deviations.
#[derive(Debug)]
pub struct GroupNorm {
    /// How many groups there are; each channel is one where nothing is said.
    pub groups: Option<usize>,
    /// What is added to the variance.
    pub eps: f64,
}

impl Op for GroupNorm {
    fn name(&self) -> &'static str {
        if self.groups.is_some() { "group_norm" } else { "instance_norm" }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        check_floats(x)?;
        let &[_, channels, ref lengths @ ..] = &x.shape[..] else {
            return Err(Error::value("input", text(&x.shape), "of shape (N, C, lengths)"));
        };
        let groups = self.groups.unwrap_or(channels.max(1));
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(Error::value("groups", groups, format!("a divisor of the {channels} channels")));
        }
        let n = channels / groups * lengths.iter().product::<usize>();
        let made = Value::new(Type::F32, x.shape.clone());
        let (needs, work, eps) = (vec![Need::contiguous(x)], 12 * made.len(), self.eps);
        let run = move |io: Io<'_>| {
            let of = float::LayerNorm { n, eps, weight: None, bias: None, residual: None };
            Ok(float::layer_norm(&of, Place::Apart(io.from[0].floats(), io.to.floats()))?)
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn images(&self, _: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        Some(true)
    }
}
