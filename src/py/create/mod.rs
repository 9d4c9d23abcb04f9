//! Making quantized tensors: from floats by quantizing, from integers by adopting their memory.

mod adopting;

use std::sync::Arc;

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;
use pyo3::types::{PyList, PySequence, PyTuple};
use quantray_core::affine::Rounding;
use quantray_core::observe;
use quantray_core::qparams::{DType, QParams, Quantizer, range_to_qparams};

pub use adopting::*;

use super::array::{Array, Output, as_float32, elements, fresh_view, len};
use super::dtype::parse_dtype;
use super::rounding::{Rounds, by_function, parse_rounding};
use super::tensor::QTensor;
use super::{quantizer, run};
use crate::error::Error;

/// The float input quantized with a quantizer whose channels fit its shape.
pub fn quantize_with(
    py: Python<'_>,
    input: &Bound<'_, PyAny>,
    quantizer: &Arc<Quantizer>,
    out: Option<&Bound<'_, PyAny>>,
) -> PyResult<QTensor> {
    quantize_array(py, &as_float32(input, "input")?, quantizer, out, "input")
}

/// The same for an array that is contiguous float32 already; errors call it `arg`.
pub fn quantize_array<'py>(
    py: Python<'py>,
    x: &Array<'py>,
    quantizer: &Arc<Quantizer>,
    out: Option<&Bound<'py, PyAny>>,
    arg: &str,
) -> PyResult<QTensor> {
    quantize_rounded(py, x, quantizer, out, arg, &Rounds::Kernel(Rounding::Nearest))
}

/// The same by any rounding.
fn quantize_rounded<'py>(
    py: Python<'py>,
    x: &Array<'py>,
    quantizer: &Arc<Quantizer>,
    out: Option<&Bound<'py, PyAny>>,
    arg: &str,
    rounds: &Rounds<'py>,
) -> PyResult<QTensor> {
    let (shape, dtype) = (x.shape(), quantizer.dtype());
    quantizer.check_shape(shape).map_err(Error)?;
    let packed = dtype.is_packed().then(|| [len(x).div_ceil(dtype.elements_per_item())]);
    let output = Output::codes(py, dtype, out, packed.as_ref().map_or(shape, |p| p), x)?;
    match rounds {
        Rounds::Kernel(rounding) => run::quantize(py, quantizer, shape, x, &output.array, arg, *rounding)?,
        Rounds::Function(function) => {
            let (whole, unit) = by_function(x, quantizer, function)?;
            let arg = "what rounding gives";
            run::quantize(py, &unit, shape, &whole, &output.array, arg, Rounding::Nearest)?;
        }
    }
    let codes = match out {
        // A view of our own: the caller may assign to the shape of theirs.
        Some(_) => fresh_view(&output.finish()?)?,
        None => output.array,
    };
    Ok(QTensor::from_parts(codes, Arc::clone(quantizer), packed.map(|_| shape.into())))
}

/// Quantizes floats with one scale and one zero point.
///
/// `codes = clamp(round_half_even(input * (1 / scale)) + zero_point, qmin, qmax)`, in float32.
///
/// Parameters
/// ----------
/// input : array_like of real numbers, any shape
///     Anything that `numpy.asarray` takes; rounded to float32 first. A list of arrays beside a sequence of scales
///     and one of zero points quantizes each array with its own.
/// scale : float or sequence of float
///     The size of one step; positive, at least the smallest normal float32.
/// zero_point : int or sequence of int
///     The code that stands for 0.
/// dtype : dtype
///     `qint8`, `quint8`, `qint32`, `quint4x2`, `quint2x4`; names and `np.int8` and so on will do.
/// qscheme : qscheme, optional
///     `per_tensor_affine` (the default) or `per_tensor_symmetric`, which demands the middle as zero point.
/// out : ndarray, optional
///     An integer array of the dtype's memory and the input's shape that the codes are written to.
/// rounding : str or callable, optional
///     `"nearest"` (halves to the even code, the default), `"floor"`, `"half_away"` or `"stochastic"`: up as often as the
///     fraction says. `quantray.grids.Stochastic(seed)` counts its calls; a function from float32 arrays of steps to
///     whole numbers will do, too.
/// seed : int, optional
///     Of `"stochastic"`; without it the seed comes from `quantray.manual_seed`. Codes depend on the seed and on each
///     element's place, not on threads.
///
/// Returns
/// -------
/// QTensor, or a tuple of them
///
/// Raises
/// ------
/// ValueError
///     For NaN in the input (with count and first position), and for a scale or zero point out of range.
/// TypeError
///     For input that is not made of real numbers.
///
/// >>> import quantray as qt
/// >>> qt.quantize_per_tensor([0.184, -9.0], scale=0.01, zero_point=0, dtype=qt.qint8).int_repr()
/// array([  18, -128], dtype=int8)
/// >>> qt.quantize_per_tensor([0.5] * 6, 1.0, 0, qt.qint8, rounding="stochastic", seed=0).tolist()
/// [1.0, 1.0, 1.0, 0.0, 0.0, 1.0]
///
/// Source: `torch.quantize_per_tensor`; by chance: Gupta et al., Deep Learning with Limited Numerical Precision (2015).
#[pyfunction]
#[pyo3(signature = (input, scale, zero_point, dtype, *, qscheme=None, out=None, rounding=None, seed=None))]
#[allow(clippy::too_many_arguments)] // torch's signature, and ours
pub fn quantize_per_tensor<'py>(
    py: Python<'py>,
    input: &Bound<'py, PyAny>,
    scale: &Bound<'py, PyAny>,
    zero_point: &Bound<'py, PyAny>,
    dtype: &Bound<'py, PyAny>,
    qscheme: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
    rounding: Option<&Bound<'py, PyAny>>,
    seed: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let dtype = parse_dtype(dtype)?;
    let rounds = parse_rounding(rounding, seed)?;
    let is_list = input.is_instance_of::<PyList>() || input.is_instance_of::<PyTuple>();
    // An observer's scale is an array of one number: it is that of the whole list, unless that holds one array.
    let one_for_all = is_list
        && scale.cast::<PyUntypedArray>().is_ok_and(|a| len(a) == 1)
        && (input.len()? != 1 || input.get_item(0)?.extract::<f64>().is_ok());
    if is_list && !one_for_all && scale.len().is_ok() {
        return quantize_list(py, input.cast()?, scale, zero_point, dtype, qscheme, out, rounds);
    }
    let quantizer = Arc::new(quantizer::per_tensor(scale, zero_point, dtype, qscheme)?);
    let x = as_float32(input, "input")?;
    let made = quantize_rounded(py, &x, &quantizer, out, "input", &rounds)?;
    if matches!(rounds, Rounds::Kernel(Rounding::Nearest)) {
        warn_of_tiny(&made, &x)?;
    }
    Ok(Bound::new(py, made)?.into_any())
}

#[allow(clippy::too_many_arguments)] // those of its caller
fn quantize_list<'py>(
    py: Python<'py>,
    inputs: &Bound<'py, PySequence>,
    scales: &Bound<'py, PyAny>,
    zero_points: &Bound<'py, PyAny>,
    dtype: DType,
    qscheme: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
    mut rounds: Rounds<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let n = inputs.len()?;
    if scales.len()? != n {
        return Err(Error::value(
            "scale",
            format!("{} of them", scales.len()?),
            format!("as many as inputs, {n}"),
        )
        .into());
    }
    let zeros = zero_points.len().ok();
    if zeros.is_some_and(|z| z != n) {
        let got = format!("{} of them", zeros.unwrap_or(0));
        return Err(Error::value("zero_point", got, format!("as many as inputs, {n}")).into());
    }
    if out.is_some() {
        return Err(Error::type_("out", "an array", "absent where input is a list of arrays").into());
    }
    let made = (0..n).map(|i| {
        let zero = if zeros.is_some() { zero_points.get_item(i)? } else { zero_points.clone() };
        let quantizer = Arc::new(quantizer::per_tensor(&scales.get_item(i)?, &zero, dtype, qscheme)?);
        let x = as_float32(&inputs.get_item(i)?, "input")?;
        let made = quantize_rounded(py, &x, &quantizer, None, "input", &rounds);
        if let Rounds::Kernel(Rounding::Stochastic { call, .. }) = &mut rounds {
            // Each array has chances of its own.
            *call += 1 << 32;
        }
        made
    });
    Ok(PyTuple::new(py, made.collect::<PyResult<Vec<_>>>()?)?.into_any())
}

/// Quantizes floats with a scale and a zero point for each position along one axis.
///
/// Parameters
/// ----------
/// input : array_like of real numbers, one or more dimensions
///     Anything that `numpy.asarray` takes; rounded to float32 first.
/// scales : array_like of float, shape (channels,), or a number for all
///     The size of one step, for each channel.
/// zero_points : array_like of int, shape (channels,), or a number for all
///     The code that stands for 0, for each channel. Floats make the scheme `per_channel_affine_float_qparams`:
///     they are added before rounding, and the dtype must be `quint8`, `quint4x2` or `quint2x4`.
/// axis : int
///     The axis of the channels; counted from the end where negative.
/// dtype : dtype
///     `qint8`, `quint8`, `qint32`, `quint4x2`, `quint2x4`; names and `np.int8` and so on will do.
/// qscheme : qscheme, optional
///     `per_channel_affine` (the default), `per_channel_symmetric` or `per_channel_affine_float_qparams`.
/// out : ndarray, optional
///     An integer array of the dtype's memory and the input's shape that the codes are written to.
/// rounding, seed
///     As in `quantize_per_tensor`.
///
/// Returns
/// -------
/// QTensor
///
/// Raises
/// ------
/// ValueError
///     For NaN in the input, scales or zero points out of range, or as many as there are not channels.
/// IndexError
///     For an axis that the input does not have.
///
/// >>> import quantray as qt
/// >>> q = qt.quantize_per_channel([[1.0, 1.0]], scales=[0.1, 0.01], zero_points=[0, 5], axis=1, dtype="qint8")
/// >>> q.int_repr()
/// array([[ 10, 105]], dtype=int8)
///
/// Source: `torch.quantize_per_channel`.
#[pyfunction]
#[pyo3(signature = (input, scales, zero_points, axis, dtype, *, qscheme=None, out=None, rounding=None, seed=None))]
#[allow(clippy::too_many_arguments)] // torch's signature, and ours
pub fn quantize_per_channel<'py>(
    py: Python<'py>,
    input: &Bound<'py, PyAny>,
    scales: &Bound<'py, PyAny>,
    zero_points: &Bound<'py, PyAny>,
    axis: isize,
    dtype: &Bound<'py, PyAny>,
    qscheme: Option<&Bound<'py, PyAny>>,
    out: Option<&Bound<'py, PyAny>>,
    rounding: Option<&Bound<'py, PyAny>>,
    seed: Option<&Bound<'py, PyAny>>,
) -> PyResult<QTensor> {
    let dtype = parse_dtype(dtype)?;
    let x = as_float32(input, "input")?;
    let quantizer = quantizer::per_channel(x.shape(), scales, zero_points, axis, dtype, qscheme)?;
    let rounds = parse_rounding(rounding, seed)?;
    quantize_rounded(py, &x, &Arc::new(quantizer), out, "input", &rounds)
}

/// Quantizes floats with the scale and the zero point that just cover their range, widened to hold 0.
///
/// Parameters
/// ----------
/// input : array_like of real numbers, any shape
///     Anything that `numpy.asarray` takes; rounded to float32 first.
/// dtype : dtype
///     `qint8` or `quint8`, as in torch; the others work too.
/// reduce_range : bool
///     Leave one bit unused, as torch does for kernels that saturate.
///
/// Returns
/// -------
/// QTensor
///     Its scale and zero point are `q_scale()` and `q_zero_point()`.
///
/// Raises
/// ------
/// ValueError
///     For NaN or infinities in the input.
///
/// >>> import quantray as qt
/// >>> qt.quantize_per_tensor_dynamic([0.0, 1.0, 2.55], qt.quint8, reduce_range=False).int_repr()
/// array([  0, 100, 255], dtype=uint8)
///
/// Source: `torch.quantize_per_tensor_dynamic`.
#[pyfunction]
#[pyo3(signature = (input, dtype, reduce_range=false))]
pub fn quantize_per_tensor_dynamic<'py>(
    py: Python<'py>,
    input: &Bound<'py, PyAny>,
    dtype: &Bound<'py, PyAny>,
    reduce_range: bool,
) -> PyResult<QTensor> {
    quantize_to_range(py, &as_float32(input, "input")?, parse_dtype(dtype)?, reduce_range)
}

/// Values are this many times smaller than a step where nobody can have meant them to become 0.
const TINY: f32 = 1e-3;

/// Warns where all values became 0 because they are far smaller than a step.
fn warn_of_tiny(made: &QTensor, x: &Array<'_>) -> PyResult<()> {
    let (values, py) = (elements::<f32>(x), x.py());
    let QParams::PerTensor { scale, .. } = made.quantizer().params() else { return Ok(()) };
    let tiny = *scale as f32 * TINY;
    // The first value that is not tiny ends the search; of most inputs that is the first of all.
    if values.len() < 2 || values.iter().any(|v| v.abs() >= tiny) {
        return Ok(());
    }
    let most = values.iter().fold(0f32, |most, v| most.max(v.abs()));
    warn_of_loss(py, "input", most, *scale)
}

/// Warns where the largest of some values is none, but becomes 0.
fn warn_of_loss(py: Python<'_>, arg: &str, most: f32, scale: f64) -> PyResult<()> {
    if most == 0.0 || f64::from(most) >= scale / 2.0 {
        return Ok(());
    }
    let text = format!(
        "all values of {arg} become 0: the largest is {most:e}, and a step is {scale:e}; multiply them before, or choose \
         a smaller scale"
    );
    let text = std::ffi::CString::new(text).unwrap_or_default();
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1)
}

/// A contiguous float32 array quantized to its own range.
pub fn quantize_to_range(
    py: Python<'_>,
    x: &Array<'_>,
    dtype: DType,
    reduce_range: bool,
) -> PyResult<QTensor> {
    let values = elements::<f32>(x);
    let (min, max) = if values.is_empty() {
        (0.0, 0.0)
    } else {
        let range = run::kernel(py, values.len(), "input", x.shape(), || observe::min_max(values))?;
        (range.min, range.max)
    };
    let (scale, zero_point) = range_to_qparams(min, max, dtype, reduce_range).map_err(Error)?;
    warn_of_loss(py, "input", min.abs().max(max.abs()), scale)?;
    let quantizer = Quantizer::per_tensor(dtype, scale, i64::from(zero_point), false).map_err(Error)?;
    quantize_array(py, x, &Arc::new(quantizer), None, "input")
}
