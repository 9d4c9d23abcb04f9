//! Steps that make one of many elements, from what Python says of them.

use pyo3::prelude::*;

use super::lower::{Lowered, check};
use super::params::Params;
use quantray_core::program::ops::{Reduce, Reduction, Scan, Scanned};

/// The step; none where there is no operation of this name.
pub fn reductions(op: &str, p: &Params<'_, '_>, sources: usize) -> PyResult<Option<Lowered>> {
    let mut made = Lowered::new(sources);
    let from = made.all();
    if let Some(of) = Reduction::from_name(op) {
        check(p, sources, 1..=1)?;
        let of = match of {
            Reduction::Variance(_) => Reduction::Variance(p.number("ddof", 0.0)?),
            Reduction::Deviation(_) => Reduction::Deviation(p.number("ddof", 0.0)?),
            of => of,
        };
        made.push(Reduce { of, axes: p.axes("axes", "axis")?, keep: p.flag("keepdims")? }, from);
        return Ok(Some(made));
    }
    let of = match op {
        "cumsum" => Scanned::Sum,
        "cumprod" => Scanned::Product,
        _ => return Ok(None),
    };
    check(p, sources, 1..=1)?;
    let axis = p.int("axis", -1)? as isize;
    made.push(Scan { of, axis, exclusive: p.flag("exclusive")?, reverse: p.flag("reverse")? }, from);
    Ok(Some(made))
}
