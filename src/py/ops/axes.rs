//! Arguments with a number for each spatial axis.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::array::{Int, describe};
use crate::error::Error;

/// The most that an axis may be stepped over or padded by.
const MOST: usize = 1 << 24;

/// One integer for all axes, or one for each.
pub fn per_axis(value: &Bound<'_, PyAny>, arg: &str, dims: usize, least: usize) -> PyResult<Vec<usize>> {
    let valid = || format!("an integer from {least} to {MOST}, or {dims} of them, one for each spatial axis");
    let wrong = || Error::value(arg, describe(value), valid());
    let given: Vec<Int> = match value.extract::<Int>() {
        Ok(one) => vec![one; dims],
        Err(_) if value.is_instance_of::<PyString>() => return Err(wrong().into()),
        Err(_) => value.extract().map_err(|_| Error::type_(arg, describe(value), valid()))?,
    };
    let given = if given.len() == 1 { vec![given[0]; dims] } else { given };
    let found: Vec<usize> = given.iter().filter_map(|n| usize::try_from(n.0).ok()).collect();
    match given.len() == dims && found.len() == dims && found.iter().all(|n| (least..=MOST).contains(n)) {
        true => Ok(found),
        false => Err(wrong().into()),
    }
}

/// Three axes, of which images lack the first ones: those are `absent`.
pub fn space<T: Copy>(values: &[T], absent: T) -> [T; 3] {
    let skip = 3 - values.len();
    std::array::from_fn(|a| if a < skip { absent } else { values[a - skip] })
}
