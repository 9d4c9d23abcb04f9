//! Pooling of quantized images, volumes and sequences.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::ops::TargetCodes;
use quantray_core::ops::pool::{Moves, Pool, Window, adaptive_windows, pool, pool_wide};
use quantray_core::qparams::{DType, QParams, Quantizer};

use super::axes::{per_axis, space};
use super::images::{channels_first, channels_last, image, moved_last, planes, without_negative_strides};
use super::matrices::activation;
use super::results::handed_out;
use super::wide::is_wide;
use crate::array::{Output, contiguous, describe, elements, elements_mut, integer, number, tuple_text};
use crate::error::Error;
use crate::run::{caught, kernel};
use crate::tensor::{Given, QTensor};

type Object<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// An input as pooling takes it: its lengths, and whether it has an axis of images.
fn lengths(shape: &[usize], dims: usize) -> PyResult<(&[usize], bool)> {
    match shape.len().checked_sub(dims) {
        Some(n @ (1 | 2)) => Ok((&shape[n..], n == 2)),
        _ => {
            let valid = format!("of shape (N, C, and {dims} more), or without N");
            Err(Error::value("input", tuple_text(shape), valid).into())
        }
    }
}

/// Pools by these windows, one table for each axis of the input's.
fn run<'py>(
    input: &Bound<'py, QTensor>,
    (kind, quantizer): (Pool, Arc<Quantizer>),
    windows: Vec<Vec<Window>>,
    out: Object<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, q) = (input.py(), input.get());
    let dims = windows.len();
    if is_wide(q) {
        return run_wide(input, (kind, quantizer), windows, out);
    }
    let codes = without_negative_strides(q.codes(py))?;
    let (_, batch) = lengths(codes.shape(), dims)?;
    let channel = usize::from(batch);
    let shape: Vec<usize> =
        codes.shape()[..=channel].iter().copied().chain(windows.iter().map(Vec::len)).collect();
    let whole = vec![Window::ONLY];
    let mut windows = windows.into_iter();
    let windows: [Vec<Window>; 3] =
        std::array::from_fn(
            |a| if a < 3 - dims { whole.clone() } else { windows.next().expect("one an axis") },
        );
    let image = image(&codes, dims, batch);
    let planes = planes(&image);
    let (room, lies) = match planes {
        Some(_) => (out.cloned(), shape.clone()),
        None => (channels_last(out, &shape, channel)?, moved_last(&shape, channel)),
    };
    let image = planes.unwrap_or(image);
    let dtype = q.quantizer().dtype();
    let output = Output::codes(py, dtype, room.as_ref(), &lies, &codes)?;
    let to = match dtype {
        DType::QInt8 => TargetCodes::I8(elements_mut(&output.array)),
        _ => TargetCodes::U8(elements_mut(&output.array)),
    };
    let taps: usize = windows.iter().map(|w| w.iter().map(|w| w.count).max().unwrap_or(0)).product();
    let work = shape.iter().product::<usize>().saturating_mul(taps) / 4;
    kernel(py, work, "input", &shape, || pool(kind, &image, &windows, to))?;
    let made = output.finish()?;
    let made = if planes.is_some() { made } else { channels_first(made, out, channel)? };
    handed_out(made, Some(quantizer), out.is_some())
}

/// The same for codes of 32 bits.
fn run_wide<'py>(
    input: &Bound<'py, QTensor>,
    (kind, quantizer): (Pool, Arc<Quantizer>),
    windows: Vec<Vec<Window>>,
    out: Object<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, q) = (input.py(), input.get());
    let dims = windows.len();
    let codes = contiguous(q.codes(py))?;
    let (lengths, batch) = lengths(codes.shape(), dims)?;
    let channel = usize::from(batch);
    let shape: Vec<usize> =
        codes.shape()[..=channel].iter().copied().chain(windows.iter().map(Vec::len)).collect();
    let whole = Window::ONLY;
    let mut windows = windows.into_iter();
    let windows: [Vec<Window>; 3] = std::array::from_fn(|a| match a < 3 - dims {
        true => vec![whole],
        false => windows.next().expect("one an axis"),
    });
    let output = Output::codes(py, DType::QInt32, out, &shape, &codes)?;
    let (from, to) = (elements::<i32>(&codes), elements_mut::<i32>(&output.array));
    let space = space(lengths, 1);
    kernel(py, to.len(), "input", &shape, || pool_wide(kind, from, space, &windows, to))?;
    handed_out(output.finish()?, Some(quantizer), out.is_some())
}

/// The scale and the zero point of an input, of any width.
fn pooled(q: &QTensor) -> PyResult<(f32, i32)> {
    match q.quantizer().params() {
        QParams::PerTensor { scale, zero_point } if is_wide(q) => Ok((*scale as f32, *zero_point)),
        _ => Ok(activation(q, "input")?),
    }
}

/// Greatest codes of an input, on its own grid.
fn greatest(input: &QTensor) -> PyResult<(Pool, Arc<Quantizer>)> {
    pooled(input)?;
    Ok((Pool::Max, Arc::clone(input.quantizer())))
}

/// The arguments of pooling by windows of one size.
struct Settings<'a, 'py> {
    kernel_size: &'a Bound<'py, PyAny>,
    stride: Object<'a, 'py>,
    padding: Object<'a, 'py>,
    dilation: Object<'a, 'py>,
    ceil_mode: bool,
    count_include_pad: bool,
}

impl Settings<'_, '_> {
    /// The windows along each axis of the input.
    fn windows(&self, input: &Bound<'_, QTensor>, dims: usize) -> PyResult<Vec<Vec<Window>>> {
        let kernel = per_axis(self.kernel_size, "kernel_size", dims, 1)?;
        let stride = self.stride.map_or(Ok(kernel.clone()), |s| per_axis(s, "stride", dims, 1))?;
        let padding = self.padding.map_or(Ok(vec![0; dims]), |p| per_axis(p, "padding", dims, 0))?;
        let dilation = self.dilation.map_or(Ok(vec![1; dims]), |d| per_axis(d, "dilation", dims, 1))?;
        if let Some(a) = (0..dims).find(|&a| padding[a] > kernel[a] / 2) {
            let valid = format!("at most {}, half of the window", kernel[a] / 2);
            return Err(Error::value("padding", padding[a], valid).into());
        }
        let shape = input.get().codes(input.py()).shape();
        let (lengths, _) = lengths(shape, dims)?;
        let of = |a: usize| {
            let moves = Moves {
                kernel: kernel[a],
                stride: stride[a],
                padding: padding[a],
                dilation: dilation[a],
                ceil: self.ceil_mode,
                count_padding: self.count_include_pad,
            };
            caught(|| moves.windows(lengths[a]))
        };
        (0..dims).map(of).collect()
    }
}

/// The windows of adaptive pooling: a number for each axis, or None for as many as the input has.
fn adaptive(
    input: &Bound<'_, QTensor>,
    output_size: &Bound<'_, PyAny>,
    dims: usize,
) -> PyResult<Vec<Vec<Window>>> {
    let shape = input.get().codes(input.py()).shape();
    let (lengths, _) = lengths(shape, dims)?;
    if let Some(a) = (0..dims).find(|&a| lengths[a] == 0) {
        return Err(Error::value(
            "input",
            tuple_text(shape),
            format!("at least 1 long along axis {a} of its {dims}"),
        )
        .into());
    }
    let given: Vec<Bound<'_, PyAny>> = match output_size.extract() {
        Ok(each) => each,
        Err(_) => vec![output_size.clone(); dims],
    };
    if given.len() != dims {
        let valid = format!("an integer or None, or {dims} of them, one for each spatial axis");
        return Err(Error::value("output_size", describe(output_size), valid).into());
    }
    let of = |a: usize| {
        let n = match given[a].is_none() {
            true => lengths[a],
            false => per_axis(&given[a], "output_size", 1, 1)?[0],
        };
        caught(|| Ok(adaptive_windows(lengths[a], n)))
    };
    (0..dims).map(of).collect()
}

/// Averages of an input: on its own grid, or on one of this scale and zero point.
fn average(
    input: &QTensor,
    divisor: Option<i64>,
    scale: Object<'_, '_>,
    zero_point: Object<'_, '_>,
) -> PyResult<(Pool, Arc<Quantizer>)> {
    let (own_scale, own) = pooled(input)?;
    let Some(scale) = scale else {
        if let Some(zero_point) = zero_point {
            return Err(Error::value("zero_point", describe(zero_point), "given with scale").into());
        }
        return Ok((Pool::Average(own, divisor), Arc::clone(input.quantizer())));
    };
    let (scale, dtype) = (number(scale, "scale")?, input.quantizer().dtype());
    let zero_point = zero_point.map_or(Ok(0), |z| integer(z, "zero_point"))?;
    let quantizer = Quantizer::per_tensor(dtype, scale, zero_point, false).map_err(Error)?;
    let ratio = f64::from(own_scale) / f64::from(scale as f32);
    Ok((Pool::AverageOn(own, divisor, (ratio, zero_point as i32)), Arc::new(quantizer)))
}

macro_rules! functions {
    ($dims:literal, $max:ident, $average:ident, $adaptive_max:ident, $adaptive_average:ident, $like:literal) => {
        #[doc = concat!("The greatest value of each window", $like)]
        #[pyfunction]
        #[pyo3(
            signature = (input, kernel_size, stride=None, padding=None, dilation=None, ceil_mode=false, *, out=None),
            text_signature = "(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *, out=None)"
        )]
        pub fn $max<'py>(
            input: Given<'py>,
            kernel_size: &Bound<'py, PyAny>,
            stride: Option<&Bound<'py, PyAny>>,
            padding: Option<&Bound<'py, PyAny>>,
            dilation: Option<&Bound<'py, PyAny>>,
            ceil_mode: bool,
            out: Option<&Bound<'py, PyAny>>,
        ) -> PyResult<Bound<'py, PyAny>> {
            let input = &*input;
            let kind = greatest(input.get())?;
            let settings =
                Settings { kernel_size, stride, padding, dilation, ceil_mode, count_include_pad: true };
            run(input, kind, settings.windows(input, $dims)?, out)
        }

        #[doc = concat!("The average of each window, to the nearest code", $like)]
        ///
        /// Padding counts as zeros with `count_include_pad`; `divisor_override` replaces the number of elements. With
        /// `scale`, and `zero_point`, the result is on a grid of its own, rounded once.
        #[pyfunction]
        #[pyo3(
            signature = (
                input, kernel_size, stride=None, padding=None, ceil_mode=false, count_include_pad=true,
                divisor_override=None, *, scale=None, zero_point=None, out=None
            ),
            text_signature = "(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, \
                divisor_override=None, *, scale=None, zero_point=0, out=None)"
        )]
        #[expect(clippy::too_many_arguments, reason = "they are the arguments of a Python function")]
        pub fn $average<'py>(
            input: Given<'py>,
            kernel_size: &Bound<'py, PyAny>,
            stride: Option<&Bound<'py, PyAny>>,
            padding: Option<&Bound<'py, PyAny>>,
            ceil_mode: bool,
            count_include_pad: bool,
            divisor_override: Option<&Bound<'py, PyAny>>,
            scale: Option<&Bound<'py, PyAny>>,
            zero_point: Option<&Bound<'py, PyAny>>,
            out: Option<&Bound<'py, PyAny>>,
        ) -> PyResult<Bound<'py, PyAny>> {
            let input = &*input;
            let divisor = divisor_override.map(|d| integer(d, "divisor_override")).transpose()?;
            if divisor == Some(0) {
                return Err(Error::value("divisor_override", 0, "another number than 0").into());
            }
            let kind = average(input.get(), divisor, scale, zero_point)?;
            let settings = Settings { kernel_size, stride, padding, dilation: None, ceil_mode, count_include_pad };
            run(input, kind, settings.windows(input, $dims)?, out)
        }

        #[doc = concat!("The greatest value of each of `output_size` windows that cover an axis evenly", $like)]
        #[pyfunction]
        #[pyo3(signature = (input, output_size, *, out=None))]
        pub fn $adaptive_max<'py>(
            input: Given<'py>,
            output_size: &Bound<'py, PyAny>,
            out: Option<&Bound<'py, PyAny>>,
        ) -> PyResult<Bound<'py, PyAny>> {
            let input = &*input;
            run(input, greatest(input.get())?, adaptive(input, output_size, $dims)?, out)
        }

        #[doc = concat!("The average of each of `output_size` windows that cover an axis evenly", $like)]
        ///
        /// With `scale`, and `zero_point`, the result is on a grid of its own, rounded once.
        #[pyfunction]
        #[pyo3(
            signature = (input, output_size, *, scale=None, zero_point=None, out=None),
            text_signature = "(input, output_size, *, scale=None, zero_point=0, out=None)"
        )]
        pub fn $adaptive_average<'py>(
            input: Given<'py>,
            output_size: &Bound<'py, PyAny>,
            scale: Option<&Bound<'py, PyAny>>,
            zero_point: Option<&Bound<'py, PyAny>>,
            out: Option<&Bound<'py, PyAny>>,
        ) -> PyResult<Bound<'py, PyAny>> {
            let input = &*input;
            let kind = average(input.get(), None, scale, zero_point)?;
            run(input, kind, adaptive(input, output_size, $dims)?, out)
        }
    };
}

functions!(
    1,
    max_pool1d,
    avg_pool1d,
    adaptive_max_pool1d,
    adaptive_avg_pool1d,
    ": of sequences (N, C, L), or without N, qint8 or quint8, quantized per tensor. The result has the input's scale \
     and zero point.\n\nSource: the function of this name in `torch.nn.functional`."
);
functions!(
    2,
    max_pool2d,
    avg_pool2d,
    adaptive_max_pool2d,
    adaptive_avg_pool2d,
    ": of images (N, C, H, W), or without N, qint8 or quint8, quantized per tensor. The result has the input's scale \
     and zero point, and lies in memory as the input does: channels first or channels last.\n\n\
     >>> import quantray as qt\n\
     >>> x = qt.quantize_per_tensor([[[1.0, 2.0], [3.0, 4.0]]], 0.5, 0, qt.quint8)\n\
     >>> qt.ops.max_pool2d(x, 2).tolist(), qt.ops.adaptive_avg_pool2d(x, 1).tolist()\n\
     ([[[4.0]]], [[[2.5]]])\n\n\
     Source: the function of this name in `torch.nn.functional`."
);
functions!(
    3,
    max_pool3d,
    avg_pool3d,
    adaptive_max_pool3d,
    adaptive_avg_pool3d,
    ": of volumes (N, C, D, H, W), or without N, qint8 or quint8, quantized per tensor. The result has the input's \
     scale and zero point.\n\nSource: the function of this name in `torch.nn.functional`."
);
