//! Steps whose results are as long as they find, from what Python says of them.

use pyo3::prelude::*;

use super::lower::check;
use super::params::Params;
use crate::error::Error;
use quantray_core::ops::Suppression;
use quantray_core::program::Find;
use quantray_core::program::ops::{NonZero, Suppress};

/// Whether an operation finds as much as there is, which ends the part of a program that is planned before it.
pub fn is_find(op: &str) -> bool {
    matches!(op, "nonzero" | "non_max_suppression")
}

/// The step; none where there is no operation of this name.
pub fn find(op: &str, p: &Params<'_, '_>, sources: usize) -> PyResult<Option<Box<dyn Find>>> {
    Ok(Some(match op {
        "nonzero" => {
            check(p, sources, 1..=1)?;
            Box::new(NonZero)
        }
        "non_max_suppression" => {
            check(p, sources, 2..=2)?;
            Box::new(Suppress(suppression(p)?))
        }
        _ => return Ok(None),
    }))
}

fn suppression(p: &Params<'_, '_>) -> PyResult<Suppression> {
    let limit = usize::try_from(p.int("limit", i64::MAX)?.max(0)).unwrap_or(usize::MAX);
    let overlap = p.number("overlap", 0.0)? as f32;
    let least = if p.get("least")?.is_some() { Some(p.number("least", 0.0)? as f32) } else { None };
    if overlap.is_nan() || least.is_some_and(f32::is_nan) {
        let name = if overlap.is_nan() { "overlap" } else { "least" };
        return Err(Error::value(p.arg(name), "nan", "a number").into());
    }
    Ok(Suppression { limit, overlap, least, centred: p.flag("centred")? })
}
