//! Steps that take elements from other places, from what Python says of them.

use pyo3::prelude::*;

use super::elements::plain_type;
use super::lower::{Lowered, check};
use super::params::Params;
use crate::array::describe;
use crate::error::Error;
use quantray_core::program::Type;
use quantray_core::program::ops::{
    Band, Combine, Diagonal, GatherNd, Lists, Order, Pad, PadMode, Put, Ramp, Repeated, ScatterAlong,
    ScatterNd, Sorted, Take, TakeAlong,
};

/// The step; none where there is no operation of this name.
pub fn places(op: &str, p: &Params<'_, '_>, sources: usize) -> PyResult<Option<Lowered>> {
    let mut made = Lowered::new(sources);
    let from = made.all();
    let takes = |n| check(p, sources, n..=n);
    let axis = |absent| Ok::<isize, PyErr>(p.int("axis", absent)? as isize);
    match op {
        "pad" => {
            takes(1)?;
            let (pairs, mode) = (p.pairs("pairs")?, p.text("mode", "constant")?);
            let value = p.number("value", 0.0)?;
            if mode == "constant" {
                made.push(Pad { sides: pairs, value }, from);
            } else {
                let found = PadMode::from_name(&mode).ok_or_else(|| {
                    let valid = "\"constant\", \"reflect\", \"symmetric\", \"edge\" or \"wrap\"";
                    PyErr::from(Error::value(p.arg("mode"), format!("{mode:?}"), valid))
                })?;
                made.push(Lists::Pad(found, pairs), from);
            }
        }
        "tile" => {
            takes(1)?;
            made.push(Lists::Tile(p.dims("reps")?), from);
        }
        "repeat" => {
            takes(1)?;
            let given = p.need("repeats")?;
            let repeated = match given.extract::<Vec<usize>>() {
                Ok(each) => Repeated::Each(each),
                Err(_) => Repeated::All(p.dim("repeats", &given)?),
            };
            made.push(Lists::Repeat(repeated, axis(0)?), from);
        }
        "roll" => {
            takes(1)?;
            let axes = p.axes("axes", "axis")?.unwrap_or_default();
            let shifts = p.dims("shifts")?;
            if axes.len() != shifts.len() {
                let valid = format!("{}, one for each axis", axes.len());
                return Err(Error::value(p.arg("shifts"), format!("{} of them", shifts.len()), valid).into());
            }
            made.push(Lists::Roll(axes.into_iter().zip(shifts).collect()), from);
        }
        "take" => {
            takes(2)?;
            made.push(Take(axis(0)?), from);
        }
        "take_along_axis" => {
            takes(2)?;
            made.push(TakeAlong(axis(-1)?), from);
        }
        "gather_nd" => {
            takes(2)?;
            let batch = p.int("batch_dims", 0)?;
            let batch = usize::try_from(batch)
                .map_err(|_| PyErr::from(Error::value(p.arg("batch_dims"), batch, "at least 0")))?;
            made.push(GatherNd(batch), from);
        }
        "scatter_nd" => {
            takes(3)?;
            made.push(ScatterNd(combine(p)?), from);
        }
        "scatter_along_axis" => {
            takes(3)?;
            made.push(ScatterAlong(axis(-1)?, combine(p)?), from);
        }
        "put" => {
            takes(2)?;
            made.push(Put(p.items("index", "items")?), from);
        }
        "diagonal" => {
            takes(1)?;
            let axes = p.axes("axes", "axis")?.unwrap_or_else(|| vec![0, 1]);
            let &[a, b] = &axes[..] else {
                return Err(Error::value(p.arg("axes"), format!("{axes:?}"), "two axes").into());
            };
            made.push(Diagonal { offset: p.int("offset", 0)?, axes: (a, b) }, from);
        }
        "band" => {
            takes(0)?;
            let (rows, columns) = (p.dim("rows", &p.need("rows")?)?, p.dim("columns", &p.need("columns")?)?);
            let k = p.int("offset", 0)?.clamp(-(1 << 40), 1 << 40);
            made.push(Band { rows, columns, k, below: p.flag("below")? }, from);
        }
        "ramp" => {
            takes(0)?;
            made.push(ramp(p)?, from);
        }
        "sort" | "argsort" | "topk" => {
            takes(1)?;
            let what = if op == "argsort" || p.flag("places")? { Sorted::Places } else { Sorted::Elements };
            let count = if op == "topk" { Some(p.dim("k", &p.need("k")?)?) } else { None };
            let descending = p.flag_or("descending", op == "topk")?;
            made.push(Order { axis: axis(-1)?, descending, what, count }, from);
        }
        _ => return Ok(None),
    }
    Ok(Some(made))
}

fn combine(p: &Params<'_, '_>) -> PyResult<Combine> {
    let name = p.text("reduction", "none")?;
    Combine::from_name(&name).ok_or_else(|| {
        let valid = "\"none\", \"add\", \"mul\", \"max\" or \"min\"";
        Error::value(p.arg("reduction"), format!("{name:?}"), valid).into()
    })
}

/// Numbers are integers where both are, and lengths are.
fn ramp(p: &Params<'_, '_>) -> PyResult<Ramp> {
    let length = p.dim("length", &p.need("length")?)?;
    let ty = plain_type(p, "dtype")?;
    let whole = |name: &'static str| -> PyResult<bool> {
        Ok(p.get(name)?.is_none_or(|value| value.extract::<i64>().is_ok() || value.extract::<f64>().is_err()))
    };
    if whole("start")? && whole("step")? {
        return Ok(Ramp::Integers(length, p.one_dim("start", 0)?, p.one_dim("step", 1)?, ty));
    }
    let float = |name: &'static str, absent: f64| -> PyResult<f64> {
        let Some(value) = p.get(name)? else { return Ok(absent) };
        value.extract().map_err(|_| Error::type_(p.arg(name), describe(&value), "a number").into())
    };
    if ty != Type::F32 {
        let valid = "float32 where start or step is no integer";
        return Err(Error::value(p.arg("dtype"), ty.name(), valid).into());
    }
    Ok(Ramp::Floats(length, float("start", 0.0)?, float("step", 1.0)?))
}
