//! From a step as Python says it to steps of the core.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::elements::elements;
use super::floats::floats;
use super::images::images;
use super::params::Params;
use super::places::places;
use super::recurrent::recurrent;
use super::reductions::reductions;
use super::weighted::weighted;
use crate::array::{describe, number};
use crate::error::Error;
use crate::ops::axes::per_axis;
use quantray_core::ops;
use quantray_core::ops::pool::Moves;
use quantray_core::program::Grid;
use quantray_core::program::Op;
use quantray_core::program::ops::{
    Binary, Cat, Clamp, Dequantize, Expand, Flatten, Flip, IntRepr, Interpolate, Matmul, Mode, Pool,
    Quantize, Requantize, Reshape, Size, Slice, Squeeze, Table, Transpose, Unsqueeze, Windows,
};

/// Steps of the core that make one of Python's: sources come first, then each makes a value; the last one is it.
pub struct Lowered {
    sources: usize,
    pub steps: Vec<(Box<dyn Op>, Vec<usize>)>,
}

type Range = Option<(i32, i32)>;

impl Lowered {
    pub fn new(sources: usize) -> Self {
        Self { sources, steps: Vec::new() }
    }

    pub fn push(&mut self, op: impl Op + 'static, from: Vec<usize>) -> usize {
        self.steps.push((Box::new(op), from));
        self.sources + self.steps.len() - 1
    }

    /// All sources go in.
    pub fn all(&self) -> Vec<usize> {
        (0..self.sources).collect()
    }

    /// The last value.
    pub fn last(&self) -> usize {
        self.sources + self.steps.len() - 1
    }

    /// Codes that stay within a range.
    pub fn within(&mut self, range: Range) {
        if let Some((lo, hi)) = range {
            self.push(Clamp(lo, hi), vec![self.last()]);
        }
    }
}

/// How many sources a step has.
pub fn check(p: &Params<'_, '_>, got: usize, valid: std::ops::RangeInclusive<usize>) -> PyResult<()> {
    if valid.contains(&got) {
        return Ok(());
    }
    let (lo, hi) = (valid.start(), valid.end());
    let valid = match (lo, hi) {
        (lo, &usize::MAX) => format!("at least {lo}"),
        (lo, hi) if lo == hi => format!("{lo}"),
        _ => format!("{lo} or {hi}"),
    };
    Err(Error::value(p.arg("sources"), format!("{got} of them"), valid).into())
}

/// The step; none where there is no operation of this name.
pub fn lower(op: &str, p: &Params<'_, '_>, sources: usize) -> PyResult<Option<Lowered>> {
    let mut made = Lowered::new(sources);
    let from = made.all();
    let one = || check(p, sources, 1..=1);
    match op {
        "quantize" | "requantize" => {
            one()?;
            let (grid, range) = needed_grid(p, "grid")?;
            match op {
                "quantize" => made.push(Quantize { grid, divides: p.flag("divides")? }, from),
                _ => made.push(Requantize(grid), from),
            };
            made.within(range);
        }
        "dequantize" => {
            one()?;
            made.push(Dequantize, from);
        }
        "int_repr" => {
            one()?;
            made.push(IntRepr, from);
        }
        "linear" | "conv" if p.get("weight")?.is_none() => weighted(op, p, sources, &mut made)?,
        "max_pool" | "avg_pool" | "adaptive_max_pool" | "adaptive_avg_pool" => {
            one()?;
            let grid = if op.ends_with("avg_pool") { p.grid("grid")? } else { None };
            made.push(Pool { to: grid.map(|grid| grid.0), ..pool(op, p)? }, from);
            made.within(grid.and_then(|grid| grid.1));
        }
        "interpolate" => {
            one()?;
            made.push(interpolate(p)?, from);
        }
        "table" => {
            one()?;
            let given = p.need("table")?;
            let wrong = || Error::type_(p.arg("table"), describe(&given), "256 bytes");
            let bytes = given.cast::<PyBytes>().map_err(|_| wrong())?;
            let table: [u8; 256] = bytes.as_bytes().try_into().map_err(|_| wrong())?;
            let grid = p.grid("grid")?;
            made.push(Table { table: Box::new(table), to: grid.map(|grid| grid.0) }, from);
            made.within(grid.and_then(|grid| grid.1));
        }
        "clamp" => {
            one()?;
            let code = |name| Ok::<_, PyErr>(p.int(name, 0)?.clamp(-1024, 1024) as i32);
            p.need("lo")?;
            p.need("hi")?;
            made.push(Clamp(code("lo")?, code("hi")?), from);
        }
        "add" | "sub" | "mul" if p.get("grid")?.is_some() => {
            check(p, sources, 2..=2)?;
            let (to, range) = needed_grid(p, "grid")?;
            let op = match op {
                "add" => ops::Binary::Add,
                "sub" => ops::Binary::Sub,
                _ => ops::Binary::Mul,
            };
            made.push(Binary { op, to, relu: p.flag("relu")? }, from);
            made.within(range);
        }
        "cat" => {
            check(p, sources, 1..=usize::MAX)?;
            let axis = p.int("axis", 0)? as isize;
            let grid = p.grid("grid")?;
            let alike = match grid {
                Some((grid, _)) => from.iter().map(|&v| made.push(Requantize(grid), vec![v])).collect(),
                None => from,
            };
            made.push(Cat(axis), alike);
            made.within(grid.and_then(|grid| grid.1));
        }
        "matmul" => {
            check(p, sources, 2..=2)?;
            let grid = p.grid("grid")?;
            made.push(Matmul(grid.map(|grid| grid.0)), from);
            made.within(grid.and_then(|grid| grid.1));
        }
        "reshape" => {
            one()?;
            made.push(Reshape(p.dims("shape")?), from);
        }
        "flatten" => {
            one()?;
            made.push(Flatten(p.int("start", 0)? as isize, p.int("end", -1)? as isize), from);
        }
        "transpose" => {
            one()?;
            made.push(Transpose(p.axes("axes", "axis")?), from);
        }
        "slice" => {
            one()?;
            made.push(Slice(p.items("index", "items")?), from);
        }
        "flip" => {
            one()?;
            made.push(Flip(p.axes("axes", "axis")?), from);
        }
        "squeeze" => {
            one()?;
            made.push(Squeeze(p.axes("axes", "axis")?), from);
        }
        "unsqueeze" => {
            one()?;
            let axes = p.axes("axes", "axis")?;
            let axes = axes.ok_or_else(|| PyErr::from(Error::type_(p.arg("axes"), "None", "given")))?;
            made.push(Unsqueeze(axes), from);
        }
        "expand" => {
            one()?;
            made.push(Expand(p.dims("shape")?), from);
        }
        _ => {
            for family in [elements, reductions, places, images, recurrent, floats] {
                if let Some(made) = family(op, p, sources)? {
                    return Ok(Some(made));
                }
            }
            return Ok(None);
        }
    }
    Ok(Some(made))
}

pub fn needed_grid(p: &Params<'_, '_>, name: &'static str) -> PyResult<(Grid, Range)> {
    p.need(name)?;
    p.grid(name)?.ok_or_else(|| Error::type_(p.arg(name), "None", "given").into())
}

fn pool(op: &str, p: &Params<'_, '_>) -> PyResult<Pool> {
    let average = op.ends_with("avg_pool");
    let dims = |given: &Bound<'_, PyAny>, name: &'static str| -> PyResult<usize> {
        let dims = match p.get("dims")? {
            Some(_) => p.int("dims", 0)?,
            None => given.len().map_err(|_| {
                let valid = "numbers, one for each spatial axis, or one together with dims";
                PyErr::from(Error::type_(p.arg(name), describe(given), valid))
            })? as i64,
        };
        match dims {
            1..=3 => Ok(dims as usize),
            _ => Err(Error::value(p.arg(name), format!("{dims} axes"), "for 1 to 3 axes").into()),
        }
    };
    let divisor = if op == "avg_pool" && p.get("divisor_override")?.is_some() {
        Some(p.int("divisor_override", 1)?)
    } else {
        None
    };
    if divisor == Some(0) {
        return Err(Error::value(p.arg("divisor_override"), 0, "another number than 0").into());
    }
    let average = average.then_some(divisor);
    if op.starts_with("adaptive") {
        let size = p.need("output_size")?;
        let n = dims(&size, "output_size")?;
        let each: Vec<Bound<'_, PyAny>> = match size.extract() {
            Ok(each) => each,
            Err(_) => vec![size.clone(); n],
        };
        let count = |given: &Bound<'_, PyAny>| -> PyResult<Option<usize>> {
            if given.is_none() {
                return Ok(None);
            }
            Ok(Some(per_axis(given, &p.arg("output_size"), 1, 0)?[0]).filter(|&n| n > 0))
        };
        let counts: Vec<Option<usize>> = each.iter().map(count).collect::<PyResult<_>>()?;
        if counts.len() != n {
            let valid = format!("{n} numbers, one for each spatial axis");
            return Err(Error::value(p.arg("output_size"), describe(&size), valid).into());
        }
        return Ok(Pool { average, to: None, windows: Windows::Adaptive(counts) });
    }
    let size = p.need("kernel_size")?;
    let n = dims(&size, "kernel_size")?;
    let numbers = |name: &'static str, absent: Vec<usize>, least: usize| {
        p.get(name)?.map_or(Ok(absent), |given| per_axis(&given, &p.arg(name), n, least))
    };
    let kernel = numbers("kernel_size", vec![1; n], 1)?;
    let stride = numbers("stride", kernel.clone(), 1)?;
    let padding = numbers("padding", vec![0; n], 0)?;
    let dilation = if average.is_none() { numbers("dilation", vec![1; n], 1)? } else { vec![1; n] };
    let ceil = p.flag("ceil_mode")?;
    let count_padding = if average.is_some() { p.flag_or("count_include_pad", true)? } else { true };
    if let Some(a) = (0..n).find(|&a| padding[a] > kernel[a] / 2) {
        let valid = format!("at most {}, half of the window", kernel[a] / 2);
        return Err(Error::value(p.arg("padding"), padding[a], valid).into());
    }
    let moves = |a: usize| Moves {
        kernel: kernel[a],
        stride: stride[a],
        padding: padding[a],
        dilation: dilation[a],
        ceil,
        count_padding,
    };
    Ok(Pool { average, to: None, windows: Windows::Moving((0..n).map(moves).collect()) })
}

fn interpolate(p: &Params<'_, '_>) -> PyResult<Interpolate> {
    let factors = p.either("scale", "scale_factor")?;
    let size = match (p.get("size")?, factors) {
        (Some(_), None) => Size::Lengths(p.dims("size")?),
        (None, Some(given)) => {
            let each: Vec<Bound<'_, PyAny>> =
                given.try_iter().and_then(|all| all.collect()).map_err(|_| {
                    let valid = "numbers, one for each spatial axis";
                    PyErr::from(Error::type_(p.arg("scale"), describe(&given), valid))
                })?;
            let each: Vec<f64> = each.iter().map(|f| number(f, &p.arg("scale"))).collect::<PyResult<_>>()?;
            if let Some(f) = each.iter().find(|f| !(f.is_finite() && **f > 0.0)) {
                return Err(Error::value(p.arg("scale"), f, "greater than 0").into());
            }
            Size::Factors(each)
        }
        _ => {
            let valid = "given: one of them";
            return Err(Error::value(p.arg("size or scale"), "both or neither", valid).into());
        }
    };
    let dims = match &size {
        Size::Lengths(all) => all.len(),
        Size::Factors(all) => all.len(),
    };
    let mode = p.text("mode", "nearest")?;
    let corners = p.flag("align_corners")?;
    let mode = match (&mode[..], dims) {
        ("nearest", _) => Mode::Nearest,
        ("nearest-exact", _) => Mode::NearestExact,
        ("linear", 1) | ("bilinear", 2) | ("trilinear", 3) => Mode::Linear(corners),
        _ => {
            let valid = "\"nearest\", \"nearest-exact\", or \"linear\", \"bilinear\", \"trilinear\" for 1 to 3 lengths";
            return Err(Error::value(p.arg("mode"), format!("{mode:?} for {dims}"), valid).into());
        }
    };
    Ok(Interpolate { size, mode })
}
