//! How users say what rounds.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;
use quantray_core::affine::Rounding;
use quantray_core::qparams::{QParams, Quantizer};

use super::array::{Array, as_float32, describe, from_slice};
use crate::error::{Error, Result};

/// What rounds: a kernel, or a function of the user's.
pub enum Rounds<'py> {
    Kernel(Rounding),
    Function(Bound<'py, PyAny>),
}

const VALID: &str = "one of 'nearest', 'floor', 'half_away', 'stochastic', quantray.grids.Stochastic(seed), or a \
                     function from steps to whole numbers";

/// Reads `rounding` and the `seed` beside it.
pub fn parse_rounding<'py>(
    rounding: Option<&Bound<'py, PyAny>>,
    seed: Option<&Bound<'py, PyAny>>,
) -> PyResult<Rounds<'py>> {
    let Some(rounding) = rounding else {
        refuse_seed(seed, "None")?;
        return Ok(Rounds::Kernel(Rounding::Nearest));
    };
    if let Ok(name) = rounding.cast::<PyString>() {
        let name = name.to_cow()?;
        if name == "stochastic" {
            let seed = match seed {
                Some(seed) => checked_seed(seed)?,
                None => drawn_seed(rounding.py())?,
            };
            return Ok(Rounds::Kernel(Rounding::Stochastic { seed, call: 0 }));
        }
        refuse_seed(seed, &name)?;
        let kernel = match &*name {
            "nearest" => Rounding::Nearest,
            "floor" => Rounding::Floor,
            "half_away" => Rounding::HalfAway,
            _ => return Err(Error::value("rounding", format!("{name:?}"), VALID).into()),
        };
        return Ok(Rounds::Kernel(kernel));
    }
    refuse_seed(seed, &describe(rounding))?;
    if rounding.hasattr("take_call")? {
        let (seed, call) = rounding.call_method0("take_call")?.extract()?;
        return Ok(Rounds::Kernel(Rounding::Stochastic { seed, call }));
    }
    if rounding.is_callable() {
        return Ok(Rounds::Function(rounding.clone()));
    }
    Err(Error::value("rounding", describe(rounding), VALID).into())
}

fn refuse_seed(seed: Option<&Bound<'_, PyAny>>, rounding: &str) -> Result<()> {
    match seed {
        Some(seed) => {
            let valid = format!("absent where rounding is {rounding}, which leaves nothing to chance");
            Err(Error::value("seed", seed, valid))
        }
        None => Ok(()),
    }
}

fn checked_seed(seed: &Bound<'_, PyAny>) -> Result<u64> {
    // True is no seed, and 1.0 is none.
    let whole = seed.call_method0("__index__").ok().filter(|_| !seed.is_instance_of::<pyo3::types::PyBool>());
    whole
        .and_then(|seed| seed.extract().ok())
        .ok_or_else(|| Error::value("seed", seed, "a whole number from 0 to 2**64 - 1"))
}

/// A seed from the generator that `manual_seed` sets.
fn drawn_seed(py: Python<'_>) -> PyResult<u64> {
    py.import("quantray._random")?
        .call_method0("generator")?
        .call_method1("integers", (1u64 << 63,))?
        .call_method0("__index__")?
        .extract()
}

/// What a function makes of steps, as an array of whole steps; the quantizer then has steps of 1, so that its codes are
/// those of the given one.
pub fn by_function<'py>(
    x: &Array<'py>,
    quantizer: &Quantizer,
    function: &Bound<'py, PyAny>,
) -> PyResult<(Array<'py>, Arc<Quantizer>)> {
    let py = x.py();
    let (dtype, packed) = (quantizer.dtype(), quantizer.dtype().is_packed());
    let narrow = |scales: &[f64]| from_slice(py, &scales.iter().map(|&s| s as f32).collect::<Vec<_>>());
    let zeros = |zero_points: &[i32]| {
        let added: Vec<f32> = zero_points.iter().map(|&z| z as f32).collect();
        packed.then(|| from_slice(py, &added)).transpose()
    };
    let after = |zero_point: i32| if packed { 0 } else { i64::from(zero_point) };
    // The zero points that are added before rounding are added by the helper.
    let (scales, before, axis, unit) = match quantizer.params() {
        QParams::PerTensor { scale, zero_point } => {
            let unit = Quantizer::per_tensor(dtype, 1.0, after(*zero_point), false);
            (narrow(&[*scale])?, zeros(&[*zero_point])?, None, unit)
        }
        QParams::PerChannel { scales, zero_points, axis } => {
            let after: Vec<i64> = zero_points.iter().map(|&z| after(z)).collect();
            let unit = Quantizer::per_channel(dtype, &vec![1.0; scales.len()], &after, *axis, false);
            (narrow(scales)?, zeros(zero_points)?, Some(*axis), unit)
        }
        QParams::PerChannelFloat { scales, zero_points, axis } => {
            let n = scales.len();
            let unit = Quantizer::per_channel_float(dtype, &vec![1.0; n], &vec![0.0; n], *axis);
            (from_slice(py, scales)?, Some(from_slice(py, zero_points)?), Some(*axis), unit)
        }
    };
    let made = py
        .import("quantray.grids._rounding")?
        .call_method1("whole_steps", (function, x, scales, before, axis))?;
    let whole = as_float32(&made, "what rounding gives")?;
    Ok((whole, Arc::new(unit.map_err(Error)?)))
}
