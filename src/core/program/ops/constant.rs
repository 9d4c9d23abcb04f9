//! Values that are part of the program.

use std::sync::Arc;

use super::super::dims::Known;
use super::super::op::{Elements, Hint, Op, Planned};
use super::super::value::Value;
use crate::error::Result;

/// A constant.
#[derive(Debug)]
pub struct Given {
    /// What it is, in C order.
    pub value: Value,
    /// Its elements.
    pub elements: Arc<dyn Elements>,
}

impl Op for Given {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn plan(&self, _: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        Ok(Planned::Constant(self.value.clone(), Arc::clone(&self.elements)))
    }
}
