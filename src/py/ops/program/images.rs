//! Steps that read images between their elements, from what Python says of them.

use pyo3::prelude::*;

use super::lower::{Lowered, check};
use super::params::Params;
use crate::array::{describe, number};
use crate::error::Error;
use quantray_core::program::ops::{Coordinates, Outside, Resize, Rounding, Sample, Sampling, Target};

/// The step; none where there is no operation of this name.
pub fn images(op: &str, p: &Params<'_, '_>, sources: usize) -> PyResult<Option<Lowered>> {
    let mut made = Lowered::new(sources);
    match op {
        "resize" => {
            check(p, sources, 1..=1)?;
            resize(p, &mut made)?;
        }
        "grid_sample" => {
            check(p, sources, 2..=2)?;
            let nearest = match &p.text("mode", "bilinear")?[..] {
                "nearest" => true,
                "bilinear" | "linear" => false,
                other => {
                    let valid = "\"bilinear\" or \"nearest\"";
                    return Err(Error::value(p.arg("mode"), format!("{other:?}"), valid).into());
                }
            };
            let outside = match &p.text("padding_mode", "zeros")?[..] {
                "zeros" => Outside::Zeros,
                "border" => Outside::Border,
                "reflection" => Outside::Reflection,
                other => {
                    let valid = "\"zeros\", \"border\" or \"reflection\"";
                    return Err(Error::value(p.arg("padding_mode"), format!("{other:?}"), valid).into());
                }
            };
            let from = made.all();
            made.push(Sample { nearest, outside, align_corners: p.flag("align_corners")? }, from);
        }
        _ => return Ok(None),
    }
    Ok(Some(made))
}

/// Means go axis by axis, the last one first.
fn resize(p: &Params<'_, '_>, made: &mut Lowered) -> PyResult<()> {
    let axes =
        p.axes("axes", "axis")?.ok_or_else(|| PyErr::from(Error::type_(p.arg("axes"), "None", "given")))?;
    let targets: Vec<Target> = match (p.get("size")?, p.get("scale")?) {
        (Some(_), None) => p.dims("size")?.into_iter().map(Target::Length).collect(),
        (None, Some(given)) => {
            let wrong =
                |_| PyErr::from(Error::type_(p.arg("scale"), describe(&given), "numbers, one for each axis"));
            let each: Vec<Bound<'_, PyAny>> =
                given.try_iter().and_then(|all| all.collect()).map_err(wrong)?;
            let each: Vec<f64> = each.iter().map(|f| number(f, &p.arg("scale"))).collect::<PyResult<_>>()?;
            if let Some(f) = each.iter().find(|f| !(f.is_finite() && **f > 0.0)) {
                return Err(Error::value(p.arg("scale"), f, "greater than 0").into());
            }
            each.into_iter().map(Target::Factor).collect()
        }
        _ => {
            let valid = "given: one of them";
            return Err(Error::value(p.arg("size or scale"), "both or neither", valid).into());
        }
    };
    if targets.len() != axes.len() {
        let valid = format!("{}, one for each axis", axes.len());
        return Err(Error::value(p.arg("size or scale"), format!("{} of them", targets.len()), valid).into());
    }
    let (mode, nearest) = (p.text("mode", "nearest")?, p.text("nearest_mode", "floor")?);
    let wrong = |name: &'static str, got: &str, valid: &str| {
        PyErr::from(Error::value(p.arg(name), format!("{got:?}"), valid))
    };
    let sampling = match &mode[..] {
        "nearest" => Sampling::Nearest(Rounding::from_name(&nearest).ok_or_else(|| {
            let valid = "\"floor\", \"ceil\", \"round_prefer_floor\" or \"round_prefer_ceil\"";
            wrong("nearest_mode", &nearest, valid)
        })?),
        "linear" => Sampling::Linear,
        "cubic" => Sampling::Cubic(p.number("cubic_coeff", -0.75)? as f32, p.flag("exclude_outside")?),
        other => return Err(wrong("mode", other, "\"nearest\", \"linear\" or \"cubic\"")),
    };
    let name = p.text("coordinates", "half_pixel")?;
    let coordinates = Coordinates::from_name(&name).ok_or_else(|| {
        let valid = "\"half_pixel\", \"pytorch_half_pixel\", \"align_corners\", \"asymmetric\", \
                     \"tf_half_pixel_for_nn\", \"torch\", \"torch_start\" or \"torch_middle\"";
        wrong("coordinates", &name, valid)
    })?;
    let all: Vec<(isize, Target)> = axes.into_iter().zip(targets).collect();
    let mut last = 0;
    if mode == "nearest" {
        made.push(Resize { axes: all, coordinates, sampling }, vec![0]);
        return Ok(());
    }
    for axis in all.into_iter().rev() {
        last = made.push(Resize { axes: vec![axis], coordinates, sampling }, vec![last]);
    }
    Ok(())
}
