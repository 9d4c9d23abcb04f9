//! Normalization of rows.

use std::sync::Arc;

use super::super::super::dims::Known;
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Type, Value, text};
use super::super::check_floats;
use crate::error::{Error, Result};
use crate::float::{self, Place};

/// Normalization over the last axes, of the sum of one source or two.
#[derive(Debug)]
pub struct LayerNorm {
    /// The last lengths.
    pub lengths: Vec<usize>,
    /// What is added to the variance.
    pub eps: f64,
    /// What each element of a row is multiplied by at last.
    pub weight: Option<Arc<[f32]>>,
    /// What is then added.
    pub bias: Option<Arc<[f32]>>,
    /// Whether the mean is taken off first; root mean square normalization does not.
    pub centered: bool,
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        if self.centered { "layer_norm" } else { "rms_norm" }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        from.iter().try_for_each(|x| check_floats(x))?;
        if !x.shape.ends_with(&self.lengths) {
            let valid = format!("of a shape that ends with {}", text(&self.lengths));
            return Err(Error::value("input", text(&x.shape), valid));
        }
        if let Some(residual) = from.get(1)
            && residual.shape != x.shape
        {
            let valid = format!("of the input's shape, {}", text(&x.shape));
            return Err(Error::value("residual", text(&residual.shape), valid));
        }
        let made = Value::new(Type::F32, x.shape.clone());
        let (n, eps, centered) = (self.lengths.iter().product(), self.eps, self.centered);
        let (weight, bias) = (self.weight.clone(), self.bias.clone());
        let (needs, work) = (vec![Need::contiguous(x); from.len()], 12 * made.len());
        let run = move |io: Io<'_>| {
            let residual = io.from.get(1).map(|residual| residual.floats());
            let of = float::LayerNorm { n, eps, weight: weight.as_deref(), bias: bias.as_deref(), residual };
            let place = Place::Apart(io.from[0].floats(), io.to.floats());
            let done = if centered { float::layer_norm(&of, place) } else { float::rms_norm(&of, place) };
            Ok(done?)
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, images: &[bool]) -> Option<bool> {
        (from[0].shape.len() > self.lengths.len() && images.iter().all(|&images| images)).then_some(true)
    }
}
