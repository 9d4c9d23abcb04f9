//! Floats up to a number.

use super::super::dims::Known;
use super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::value::{Type, Value};
use super::{check_floats, each_element};
use crate::error::Result;

/// Floats above a number become that.
#[derive(Debug)]
pub struct AtMost(pub f32);

impl Op for AtMost {
    fn name(&self) -> &'static str {
        "minimum"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        check_floats(from[0])?;
        let made = from[0].dense(Type::F32);
        let (needs, most) = (vec![Need::like(&made)], self.0);
        let run = move |io: Io<'_>| {
            for (to, &x) in io.to.floats().iter_mut().zip(io.from[0].floats()) {
                // As NumPy: NaN stays.
                to.write(if x > most { most } else { x });
            }
            Ok(())
        };
        Ok(Task::new(made, run).needs(needs).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}
