//! Steps whose results are as long as they find: no plan knows their lengths before they have run. They stand between two
//! programs.

use std::fmt::Debug;

use super::memory::Memory;
use super::op::Trouble;
use super::value::Value;

/// A step that finds places, as many as there are.
pub trait Find: Debug + Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// What it finds in sources that lie in C order.
    ///
    /// # Errors
    /// Values that it does not take; an interrupt.
    fn find(&self, from: &[(&Value, Memory<'_>)]) -> Result<Found, Trouble>;
}

/// Numbers, as int64, in C order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The shape of the result.
    pub shape: Vec<usize>,
    /// Its elements.
    pub numbers: Vec<i64>,
}
