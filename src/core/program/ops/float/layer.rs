//! What layers of floats have beside their weights.

use std::sync::Arc;

use super::super::super::op::{Io, Need, Task, Trouble};
use super::super::super::value::{Type, Value, text};
use crate::error::{Error, Result, Stopped};
use crate::float::Function;
use crate::float::product::Finish;

/// What becomes of the sums of a layer. A second source is added to them before the limits.
#[derive(Debug, Clone)]
pub struct FloatLayer {
    /// A number for each output, or none.
    pub bias: Option<Arc<[f32]>>,
    /// The least and the greatest result, before the function.
    pub limits: (f32, f32),
    /// What becomes of each then.
    pub then: Option<Function>,
}

impl FloatLayer {
    /// The task that makes `made` of the first source.
    pub(super) fn task(
        &self,
        from: &[&Value],
        made: Value,
        need: Option<Need>,
        run: impl Fn(Io<'_>, &Finish<'_>) -> Result<(), Stopped> + Send + Sync + 'static,
    ) -> Result<Task> {
        let mut needs = vec![need];
        if let Some(other) = from.get(1) {
            if other.ty != Type::F32 {
                return Err(Error::type_("residual", other.ty.name(), "float32"));
            }
            let fits = other.shape.len() <= made.shape.len()
                && other.shape.iter().rev().zip(made.shape.iter().rev()).all(|(&n, &m)| n == 1 || n == m);
            if !fits {
                let valid = format!("of a shape that broadcasts to {}", text(&made.shape));
                return Err(Error::value("residual", text(&other.shape), valid));
            }
            needs.push(Need::like(&made));
        }
        let own = self.clone();
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            let residual = io.from.get(1).map(|memory| memory.floats());
            let bias = own.bias.as_deref();
            let finish = Finish { bias, residual, limits: own.limits, then: own.then };
            Ok(run(io, &finish)?)
        };
        Ok(Task::new(made, run).needs(needs))
    }
}
