//! Fake quantization, and its gradients for training.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyAny;
use quantray_core::affine::gradient::Grid;
use quantray_core::affine::{self, Affine, Channels};
use quantray_core::qparams::{DType, QParams, Quantizer, Scheme, check_quant_range};

use super::array::{
    Array, Element, Output, as_float32, elements, elements_mut, empty, from_slice, integer, number,
    tuple_text,
};
use super::quantizer::per_channel_in;
use super::run;
use crate::error::{Error, Result};

/// Scales, zero points and a range of codes, checked.
struct Fake {
    scales: Vec<f32>,
    zero_points: Vec<i32>,
    /// Where the channels lie, where there are any.
    layout: Option<Channels>,
    quant_min: i32,
    quant_max: i32,
}

impl Fake {
    fn per_tensor(
        scale: &Bound<'_, PyAny>,
        zero_point: &Bound<'_, PyAny>,
        quant_min: i64,
        quant_max: i64,
    ) -> PyResult<Self> {
        let range = check_quant_range(quant_min, quant_max).map_err(Error)?;
        let z = Quantizer::per_tensor(
            DType::QInt32,
            number(scale, "scale")?,
            integer(zero_point, "zero_point")?,
            false,
        )
        .map_err(Error)?;
        Ok(Self::of(&z, None, range, "zero_point")?)
    }

    fn per_channel(
        shape: &[usize],
        scales: &Bound<'_, PyAny>,
        zero_points: &Bound<'_, PyAny>,
        axis: isize,
        quant_min: i64,
        quant_max: i64,
    ) -> PyResult<Self> {
        let range = check_quant_range(quant_min, quant_max).map_err(Error)?;
        // qint32 takes every scale and zero point that a fake quantization could have.
        let scheme = Some(Scheme::PerChannelAffine);
        let z = per_channel_in(shape, scales, zero_points, axis, DType::QInt32, scheme)?;
        Ok(Self::of(&z, z.axis().map(|axis| Channels::of(shape, axis)), range, "zero_points")?)
    }

    fn of(
        z: &Quantizer,
        layout: Option<Channels>,
        (quant_min, quant_max): (i32, i32),
        arg: &str,
    ) -> Result<Self> {
        let (scales, zero_points) = match z.params() {
            QParams::PerTensor { scale, zero_point } => (vec![*scale as f32], vec![*zero_point]),
            QParams::PerChannel { scales, zero_points, .. } => {
                (scales.iter().map(|&s| s as f32).collect(), zero_points.to_vec())
            }
            QParams::PerChannelFloat { .. } => return Err(Error::value(arg, "floats", "integers")),
        };
        if let Some(i) = zero_points.iter().position(|z| !(quant_min..=quant_max).contains(z)) {
            let name = if layout.is_some() { format!("{arg}[{i}]") } else { arg.into() };
            return Err(Error::value(
                name,
                zero_points[i],
                format!("from quant_min, {quant_min}, to quant_max, {quant_max}"),
            ));
        }
        Ok(Self { scales, zero_points, layout, quant_min, quant_max })
    }

    fn affine(&self) -> Affine<'_> {
        match self.layout {
            None => Affine::PerTensor { scale: self.scales[0], zero_point: self.zero_points[0] },
            Some(layout) => {
                Affine::PerChannel { scales: &self.scales, zero_points: &self.zero_points, layout }
            }
        }
    }

    fn grid(&self, numel: usize) -> Grid<'_> {
        Grid {
            scales: &self.scales,
            zero_points: &self.zero_points,
            layout: self.layout.unwrap_or(Channels { outer: 1, channels: 1, inner: numel }),
            quant_min: self.quant_min,
            quant_max: self.quant_max,
        }
    }

    fn forward<'py>(&self, x: &Array<'py>, out: Option<&Bound<'py, PyAny>>) -> PyResult<Array<'py>> {
        let py = x.py();
        let output = Output::new::<f32>(py, out, x.shape(), x)?;
        let (values, y) = (elements::<f32>(x), elements_mut::<f32>(&output.array));
        let affine = self.affine();
        run::kernel(py, values.len(), "input", x.shape(), || {
            affine::fake_quantize(values, y, None, &affine, (self.quant_min, self.quant_max), output.pages)
        })?;
        output.finish()
    }
}

/// The gradient that comes in: of the input's shape.
fn gradient<'py>(grad: &Bound<'py, PyAny>, x: &Array<'py>) -> PyResult<Array<'py>> {
    let grad = as_float32(grad, "grad_output")?;
    if grad.shape() != x.shape() {
        let valid = format!("of the input's shape, {}", tuple_text(x.shape()));
        return Err(Error::value("grad_output", tuple_text(grad.shape()), valid).into());
    }
    Ok(grad)
}

/// Rounds floats to the values that codes from `quant_min` to `quant_max` stand for:
/// `dequantize(quantize(input))`, without integers in between.
///
/// Parameters
/// ----------
/// input : array_like of real numbers, any shape
///     Rounded to float32 first.
/// scale : float
///     The size of one step; positive, at least the smallest normal float32.
/// zero_point : int
///     The code that stands for 0, from `quant_min` to `quant_max`.
/// quant_min, quant_max : int
///     The smallest and the largest code: 0 and 255 for quint8, -8 and 7 for 4 bits.
/// out : ndarray of float32, optional
///     An array of the input's shape that the result is written to.
///
/// Returns
/// -------
/// ndarray of float32, of the input's shape
///
/// Raises
/// ------
/// ValueError
///     For NaN in the input, and for a scale or a zero point out of range.
///
/// >>> import quantray as qt
/// >>> qt.fake_quantize_per_tensor_affine([0.26, 9.0], 0.25, 0, 0, 15)
/// array([0.25, 3.75], dtype=float32)
///
/// Source: `torch.fake_quantize_per_tensor_affine`.
#[pyfunction]
#[pyo3(signature = (input, scale, zero_point, quant_min, quant_max, *, out=None))]
pub fn fake_quantize_per_tensor_affine<'py>(
    input: &Bound<'py, PyAny>,
    scale: &Bound<'py, PyAny>,
    zero_point: &Bound<'py, PyAny>,
    quant_min: i64,
    quant_max: i64,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Array<'py>> {
    let fake = Fake::per_tensor(scale, zero_point, quant_min, quant_max)?;
    fake.forward(&as_float32(input, "input")?, out)
}

/// Rounds floats to the values that codes stand for, with a scale and a zero point for each position along one axis.
///
/// Parameters
/// ----------
/// input : array_like of real numbers, one or more dimensions
///     Rounded to float32 first.
/// scales : array_like of float, shape (channels,), or a number for all
/// zero_points : array_like of int, shape (channels,), or a number for all
///     From `quant_min` to `quant_max`.
/// axis : int
///     The axis of the channels; counted from the end where negative.
/// quant_min, quant_max : int
///     The smallest and the largest code.
/// out : ndarray of float32, optional
///     An array of the input's shape that the result is written to.
///
/// Returns
/// -------
/// ndarray of float32, of the input's shape
///
/// >>> import quantray as qt
/// >>> qt.fake_quantize_per_channel_affine([[0.26, 0.26]], [0.25, 0.1], [0, 0], 1, -128, 127)
/// array([[0.25, 0.3 ]], dtype=float32)
///
/// Source: `torch.fake_quantize_per_channel_affine`.
#[pyfunction]
#[pyo3(signature = (input, scales, zero_points, axis, quant_min, quant_max, *, out=None))]
pub fn fake_quantize_per_channel_affine<'py>(
    input: &Bound<'py, PyAny>,
    scales: &Bound<'py, PyAny>,
    zero_points: &Bound<'py, PyAny>,
    axis: isize,
    quant_min: i64,
    quant_max: i64,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Array<'py>> {
    let x = as_float32(input, "input")?;
    Fake::per_channel(x.shape(), scales, zero_points, axis, quant_min, quant_max)?.forward(&x, out)
}

fn backward<'py>(fake: &Fake, grad: &Bound<'py, PyAny>, x: &Array<'py>) -> PyResult<Array<'py>> {
    let py = x.py();
    let grad = gradient(grad, x)?;
    let dx = empty(py, f32::TYPE, x.shape())?;
    let (g, values, out) = (elements::<f32>(&grad), elements::<f32>(x), elements_mut::<f32>(&dx));
    run::kernel(py, values.len(), "input", x.shape(), || {
        fake.grid(values.len()).backward(g, values, out);
        Ok(())
    })?;
    Ok(dx)
}

/// The gradient of `fake_quantize_per_tensor_affine` with respect to its input: `grad_output` where the code lies
/// inside of the range, 0 elsewhere (the straight-through estimator).
///
/// >>> import quantray as qt
/// >>> qt.fake_quantize_per_tensor_affine_backward([1.0, 1.0], [0.26, 9.0], 0.25, 0, 0, 15)
/// array([1., 0.], dtype=float32)
#[pyfunction]
pub fn fake_quantize_per_tensor_affine_backward<'py>(
    grad_output: &Bound<'py, PyAny>,
    input: &Bound<'py, PyAny>,
    scale: &Bound<'py, PyAny>,
    zero_point: &Bound<'py, PyAny>,
    quant_min: i64,
    quant_max: i64,
) -> PyResult<Array<'py>> {
    let fake = Fake::per_tensor(scale, zero_point, quant_min, quant_max)?;
    backward(&fake, grad_output, &as_float32(input, "input")?)
}

/// The gradient of `fake_quantize_per_channel_affine` with respect to its input: `grad_output` where the code lies
/// inside of the range, 0 elsewhere (the straight-through estimator).
#[pyfunction]
pub fn fake_quantize_per_channel_affine_backward<'py>(
    grad_output: &Bound<'py, PyAny>,
    input: &Bound<'py, PyAny>,
    scales: &Bound<'py, PyAny>,
    zero_points: &Bound<'py, PyAny>,
    axis: isize,
    quant_min: i64,
    quant_max: i64,
) -> PyResult<Array<'py>> {
    let x = as_float32(input, "input")?;
    let fake = Fake::per_channel(x.shape(), scales, zero_points, axis, quant_min, quant_max)?;
    backward(&fake, grad_output, &x)
}

fn learnable<'py>(
    fake: &Fake,
    grad: &Bound<'py, PyAny>,
    x: &Array<'py>,
    grad_factor: f64,
) -> PyResult<(Array<'py>, Array<'py>, Array<'py>)> {
    let py = x.py();
    let grad = gradient(grad, x)?;
    let dx = empty(py, f32::TYPE, x.shape())?;
    let (g, values, out) = (elements::<f32>(&grad), elements::<f32>(x), elements_mut::<f32>(&dx));
    let learned = run::kernel(py, values.len(), "input", x.shape(), || {
        Ok(fake.grid(values.len()).learnable_backward(g, values, out))
    })?;
    let scaled = |v: &[f64]| v.iter().map(|&v| (v * grad_factor) as f32).collect::<Vec<_>>();
    Ok((dx, from_slice(py, &scaled(&learned.scales))?, from_slice(py, &scaled(&learned.zero_points))?))
}

/// The gradients of a fake quantization whose scale and zero point are learned.
///
/// Inside of the range `ds = (y - x) / s` and `dz = 0`; outside `ds = quant_min - z` or `quant_max - z`, and
/// `dz = -s`; each times `grad_output`, added up, times `grad_factor`.
///
/// Returns
/// -------
/// tuple of ndarray
///     With respect to the input (its shape), the scale (shape (1,)) and the zero point (shape (1,)), float32.
///
/// Source: LSQ+ (arXiv:2004.09576); `torch._fake_quantize_learnable_per_tensor_affine`.
#[pyfunction]
#[pyo3(signature = (grad_output, input, scale, zero_point, quant_min, quant_max, grad_factor=1.0))]
pub fn fake_quantize_learnable_per_tensor_affine_backward<'py>(
    grad_output: &Bound<'py, PyAny>,
    input: &Bound<'py, PyAny>,
    scale: &Bound<'py, PyAny>,
    zero_point: &Bound<'py, PyAny>,
    quant_min: i64,
    quant_max: i64,
    grad_factor: f64,
) -> PyResult<(Array<'py>, Array<'py>, Array<'py>)> {
    let fake = Fake::per_tensor(scale, zero_point, quant_min, quant_max)?;
    learnable(&fake, grad_output, &as_float32(input, "input")?, grad_factor)
}

/// The gradients of a per-channel fake quantization whose scales and zero points are learned; see
/// `fake_quantize_learnable_per_tensor_affine_backward`.
///
/// Returns
/// -------
/// tuple of ndarray
///     With respect to the input (its shape), the scales and the zero points (shape (channels,)), float32.
#[pyfunction]
#[pyo3(signature = (grad_output, input, scales, zero_points, axis, quant_min, quant_max, grad_factor=1.0))]
#[allow(clippy::too_many_arguments)] // torch's signature
pub fn fake_quantize_learnable_per_channel_affine_backward<'py>(
    grad_output: &Bound<'py, PyAny>,
    input: &Bound<'py, PyAny>,
    scales: &Bound<'py, PyAny>,
    zero_points: &Bound<'py, PyAny>,
    axis: isize,
    quant_min: i64,
    quant_max: i64,
    grad_factor: f64,
) -> PyResult<(Array<'py>, Array<'py>, Array<'py>)> {
    let x = as_float32(input, "input")?;
    let fake = Fake::per_channel(x.shape(), scales, zero_points, axis, quant_min, quant_max)?;
    learnable(&fake, grad_output, &x, grad_factor)
}
