//! Floats up to a number.

use super::super::dims::Known;
use super::super::op::{Hint, Op, Planned, Task};
use super::super::tile::of;
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
        // As NumPy: NaN stays.
        let tile = of!([most: f32 = self.0] |x: f32| -> f32 { if x > most { most } else { x } });
        Ok(Task::each(made, from, tile).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}
