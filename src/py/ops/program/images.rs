//! Steps that read images between their elements, from what Python says of them.

use pyo3::prelude::*;

use super::lower::{Lowered, check};
use super::params::Params;
use crate::array::{describe, number};
use crate::error::Error;
use crate::ops::axes::per_axis;
use quantray_core::program::ops::{
    Align, Coordinates, Fold, Near, Outside, PoolPlaces, Resize, Rounding, Sample, Sampling, Sliding, Sorted,
    Target,
};

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
            let near = match &p.text("mode", "bilinear")?[..] {
                "nearest" => Near::One,
                "bilinear" | "linear" => Near::Four,
                "bicubic" | "cubic" => Near::Sixteen,
                other => {
                    let valid = "\"bilinear\", \"nearest\" or \"bicubic\"";
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
            made.push(Sample { near, outside, align_corners: p.flag("align_corners")? }, from);
        }
        "roi_align" => {
            check(p, sources, 3..=3)?;
            let from = made.all();
            made.push(align(p)?, from);
        }
        "col2im" => {
            check(p, sources, 1..=1)?;
            let image = p.dims("shape")?;
            let axes = sliding(p, Some(image.len()))?;
            made.push(Fold { image, axes }, vec![0]);
        }
        "max_pool_places" => {
            check(p, sources, 1..=1)?;
            let axes = sliding(p, None)?;
            if !(1..=3).contains(&axes.len()) {
                let valid = "numbers for 1 to 3 axes";
                let got = format!("{} of them", axes.len());
                return Err(Error::value(p.arg("kernel_size"), got, valid).into());
            }
            let what = if p.flag_or("places", true)? { Sorted::Places } else { Sorted::Elements };
            let (ceil, first_is_fastest) = (p.flag("ceil_mode")?, p.flag("column_major")?);
            made.push(PoolPlaces { axes, ceil, first_is_fastest, what }, vec![0]);
        }
        _ => return Ok(None),
    }
    Ok(Some(made))
}

fn align(p: &Params<'_, '_>) -> PyResult<Align> {
    let size = per_axis(&p.need("output_size")?, &p.arg("output_size"), 2, 1)?;
    let sampling = p.int("sampling", 0)?;
    let sampling = usize::try_from(sampling)
        .map_err(|_| PyErr::from(Error::value(p.arg("sampling"), sampling, "at least 0")))?;
    let scale = p.number("scale", 1.0)? as f32;
    if !scale.is_finite() {
        return Err(Error::value(p.arg("scale"), scale, "finite").into());
    }
    let greatest = match &p.text("mode", "avg")?[..] {
        "avg" => false,
        "max" => true,
        other => {
            let valid = "\"avg\" or \"max\"";
            return Err(Error::value(p.arg("mode"), format!("{other:?}"), valid).into());
        }
    };
    let half_pixel = p.flag_or("half_pixel", true)?;
    Ok(Align { size: (size[0], size[1]), sampling, scale, greatest, half_pixel })
}

/// How windows lie along each axis; `pads` are those before all axes, then those behind them.
fn sliding(p: &Params<'_, '_>, dims: Option<usize>) -> PyResult<Vec<Sliding>> {
    let given = p.need("kernel_size")?;
    let dims = match dims {
        Some(dims) => dims,
        None => given.len()?,
    };
    let numbers = |name: &'static str, n: usize, absent: usize, least: usize| {
        p.get(name)?.map_or(Ok(vec![absent; n]), |given| per_axis(&given, &p.arg(name), n, least))
    };
    let kernel = per_axis(&given, &p.arg("kernel_size"), dims, 1)?;
    let stride = numbers("stride", dims, 1, 1)?;
    let pads = numbers("pads", 2 * dims, 0, 0)?;
    let dilation = numbers("dilation", dims, 1, 1)?;
    let axis = |a: usize| Sliding {
        kernel: kernel[a],
        stride: stride[a],
        before: pads[a],
        after: pads[dims + a],
        dilation: dilation[a],
    };
    Ok((0..dims).map(axis).collect())
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
    let antialias = p.flag("antialias")?;
    let all: Vec<(isize, Target)> = axes.into_iter().zip(targets).collect();
    let mut last = 0;
    if mode == "nearest" {
        made.push(Resize { axes: all, coordinates, sampling, antialias: false }, vec![0]);
        return Ok(());
    }
    for axis in all.into_iter().rev() {
        last = made.push(Resize { axes: vec![axis], coordinates, sampling, antialias }, vec![last]);
    }
    Ok(())
}
