//! `Chain`: layers of integers that one call runs.

use std::sync::{Arc, Mutex, PoisonError};

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::axes::space;
use super::conv::{Conv, conv_of};
use super::images::{channels_first, image};
use super::linear::PackedLinear;
use super::matrices::{activation, codes_of};
use super::results::{check_scales, handed_out};
use crate::chain::{Grid, Input, Out, Plan, Reduce, Shape, Step, To, Windows, run};
use crate::conv::Image;
use crate::error::{Error, Stopped};
use crate::ops::pool::Moves;
use crate::ops::{Function, table};
use crate::py::array::{
    Array, Element, as_float32, code_type, describe, elements, elements_mut, empty, is_contiguous,
    strides_that_matter,
};
use crate::py::dtype::parse_dtype;
use crate::py::run::kernel;
use crate::py::tensor::QTensor;
use crate::qparams::{DType, QParams, Quantizer};

/// Layers one after the other as one: codes between them stay in the caches, and threads share images.
///
/// Parameters
/// ----------
/// dims : int
///     Spatial axes of the input: 0 to 3. Without any, each row of its last axis is an image of one element.
/// begin : (scale, zero_point, dtype, least, greatest code) or None
///     How floats are quantized; None where the input must be quantized.
/// steps : sequence of tuples
///     The name of each step and what it is told:
///
///     - ("linear" or "conv", packed operator, relu, (scale, zero_point, dtype) or None for floats, of the last step)
///     - ("max_pool", kernel_size, stride, padding, dilation, ceil_mode), numbers for each axis
///     - ("avg_pool", kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
///     - ("adaptive_max_pool" or "adaptive_avg_pool", output_size), 0 for as many as there are
///     - (a function's name, its parameter or 0, (scale, zero_point, dtype))
///     - ("clamp", least code, greatest code)
///     - ("flatten",)
///
/// Raises
/// ------
/// TypeError, ValueError
///     For steps that are none, or that cannot follow each other.
///
/// `nn.Sequential` makes them of its layers of integers, and uses them by itself.
///
/// >>> import numpy as np, quantray as qt
/// >>> w = qt.quantize_per_tensor([[1.0, -2.0]], 0.02, 0, qt.qint8)
/// >>> linear = qt.ops.PackedLinear(w, bias=[0.5])
/// >>> steps = [("linear", linear, False, (0.1, 128, qt.quint8)), ("sigmoid", 0.0, (1 / 256, 0, qt.quint8))]
/// >>> chain = qt.ops.Chain(0, (0.05, 0, qt.quint8, 0, 255), steps)
/// >>> chain(np.float32([[1.0, 0.5], [3.0, 0.0]])).tolist()
/// [[0.62109375], [0.96875]]
#[pyclass(module = "quantray.ops", frozen)]
pub struct Chain {
    dims: usize,
    begin: Option<(Grid, (i32, i32))>,
    steps: Vec<Held>,
    /// What comes out; None for floats.
    end: Option<Arc<Quantizer>>,
    /// The last one that was made.
    plan: Mutex<Option<(Shape, Arc<Plan>)>>,
}

/// A step and what it needs.
enum Held {
    Linear(Py<PackedLinear>, bool, To),
    Conv(Arc<Conv>, bool, To),
    Pool(Reduce, Windows),
    Table(Box<[u8; 256]>, Grid),
    Clamp(i32, i32),
    Flatten,
}

impl Held {
    fn step(&self) -> Step<'_> {
        match self {
            Self::Linear(layer, relu, to) => {
                let (weights, bias, _) = layer.get().parts();
                Step::Linear { weights, finish: bias.finish(*relu), to: *to }
            }
            Self::Conv(layer, relu, to) => {
                let (conv, bias, _) = layer.parts();
                Step::Conv { conv, finish: bias.finish(*relu), to: *to }
            }
            Self::Pool(reduce, windows) => Step::Pool(*reduce, *windows),
            Self::Table(table, grid) => Step::Table(table, *grid),
            Self::Clamp(lo, hi) => Step::Clamp(*lo, *hi),
            Self::Flatten => Step::Flatten,
        }
    }

    /// Refuses scales that float32 does not hold.
    fn check(&self, x_scale: f32) -> crate::error::Result<()> {
        let (To::Codes(grid), weight, bias) = (match self {
            Self::Linear(layer, _, to) => {
                let (_, bias, weight) = layer.get().parts();
                (*to, weight, bias)
            }
            Self::Conv(layer, _, to) => {
                let (_, bias, weight) = layer.parts();
                (*to, weight, bias)
            }
            _ => return Ok(()),
        }) else {
            return Ok(());
        };
        check_scales(x_scale, weight.params(), grid.scale, bias)
    }
}

fn grid_of(quantizer: &Quantizer) -> Grid {
    let QParams::PerTensor { scale, zero_point } = *quantizer.params() else {
        unreachable!("made with one scale")
    };
    Grid { signed: quantizer.dtype() == DType::QInt8, scale: scale as f32, zero_point }
}

fn quantizer(given: &Bound<'_, PyAny>) -> PyResult<Arc<Quantizer>> {
    let (scale, zero_point, dtype) = given.extract()?;
    quantizer_of(scale, zero_point, &dtype)
}

fn quantizer_of(scale: f64, zero_point: i64, dtype: &Bound<'_, PyAny>) -> PyResult<Arc<Quantizer>> {
    let dtype = parse_dtype(dtype)?;
    if !matches!(dtype, DType::QInt8 | DType::QUInt8) {
        return Err(Error::value("dtype", dtype.name(), "qint8 or quint8").into());
    }
    Ok(Arc::new(Quantizer::per_tensor(dtype, scale, zero_point, false)?))
}

fn axes(given: &Bound<'_, PyAny>, dims: usize, absent: usize) -> PyResult<[usize; 3]> {
    let numbers: Vec<usize> = given.extract()?;
    if numbers.len() != dims {
        return Err(
            Error::value("steps", describe(given), format!("{dims} numbers, one for each axis")).into()
        );
    }
    Ok(space(&numbers, absent))
}

/// The windows of a step that pools, from its arguments.
fn windows(args: &[Bound<'_, PyAny>], dims: usize, dilated: bool) -> PyResult<Windows> {
    let (kernel, stride) = (axes(&args[0], dims, 1)?, axes(&args[1], dims, 1)?);
    let padding = axes(&args[2], dims, 0)?;
    let dilation = if dilated { axes(&args[3], dims, 1)? } else { [1; 3] };
    let ceil = args[if dilated { 4 } else { 3 }].extract()?;
    let count_padding = dilated || args[4].extract()?;
    if let Some(a) = (0..3).find(|&a| kernel[a] == 0 || stride[a] == 0 || dilation[a] == 0) {
        let got = format!("0 along axis {a} of 3");
        return Err(Error::value("steps", got, "windows, strides and dilations of at least 1").into());
    }
    if let Some(a) = (0..3).find(|&a| padding[a] > kernel[a] / 2) {
        let valid = format!("padding of at most {}, half of the window", kernel[a] / 2);
        return Err(Error::value("steps", padding[a], valid).into());
    }
    Ok(Windows::Moving([0, 1, 2].map(|a| Moves {
        kernel: kernel[a],
        stride: stride[a],
        padding: padding[a],
        dilation: dilation[a],
        ceil,
        count_padding,
    })))
}

fn function(name: &str, parameter: f32) -> Option<Function> {
    Some(match name {
        "sigmoid" => Function::Sigmoid,
        "tanh" => Function::Tanh,
        "hardswish" => Function::Hardswish,
        "hardsigmoid" => Function::Hardsigmoid,
        "leaky_relu" => Function::LeakyRelu(parameter),
        "elu" => Function::Elu(parameter),
        "gelu" => Function::Gelu,
        "gelu_tanh" => Function::GeluTanh,
        "silu" => Function::Silu,
        "relu6" => Function::Relu6,
        _ => return None,
    })
}

/// A step from its name and arguments, the values before it being of this quantizer if that is known.
fn held(
    name: &str,
    args: &[Bound<'_, PyAny>],
    dims: usize,
    before: Option<&Quantizer>,
) -> PyResult<(Held, Option<Option<Arc<Quantizer>>>)> {
    let wrong = |got: usize, valid: usize| {
        Error::value("steps", format!("{name} with {got} arguments"), format!("{valid} of them"))
    };
    let need = match name {
        "linear" | "conv" => 3,
        "max_pool" => 5,
        "avg_pool" => 6,
        "adaptive_max_pool" | "adaptive_avg_pool" => 1,
        "flatten" => 0,
        _ => 2,
    };
    if args.len() != need {
        return Err(wrong(args.len(), need).into());
    }
    Ok(match name {
        "linear" | "conv" => {
            let relu = args[1].extract()?;
            let made = if args[2].is_none() { None } else { Some(quantizer(&args[2])?) };
            let to = made.as_deref().map_or(To::Floats, |q| To::Codes(grid_of(q)));
            let held = match name {
                "linear" => Held::Linear(args[0].cast::<PackedLinear>()?.clone().unbind(), relu, to),
                _ => Held::Conv(conv_of(&args[0])?, relu, to),
            };
            (held, Some(made))
        }
        "max_pool" => (Held::Pool(Reduce::Max, windows(args, dims, true)?), None),
        "avg_pool" => {
            let divisor: Option<i64> = args[5].extract()?;
            if divisor == Some(0) {
                return Err(Error::value("divisor_override", 0, "another number than 0").into());
            }
            (Held::Pool(Reduce::Average(divisor), windows(args, dims, false)?), None)
        }
        "adaptive_max_pool" => (Held::Pool(Reduce::Max, Windows::Adaptive(axes(&args[0], dims, 1)?)), None),
        "adaptive_avg_pool" => {
            (Held::Pool(Reduce::Average(None), Windows::Adaptive(axes(&args[0], dims, 1)?)), None)
        }
        "flatten" => (Held::Flatten, None),
        "clamp" => (Held::Clamp(args[0].extract()?, args[1].extract()?), None),
        _ => {
            let (Some(function), Some(from)) = (function(name, args[0].extract()?), before) else {
                return Err(Error::value("steps", name, "the name of a step, after one with a scale").into());
            };
            let to = quantizer(&args[1])?;
            let (x, y) = (grid_of(from), grid_of(&to));
            let own = (from.dtype(), x.scale, x.zero_point);
            let made = table(function, own, (to.dtype(), y.scale, y.zero_point));
            (Held::Table(Box::new(made), y), Some(Some(to)))
        }
    })
}

#[pymethods]
impl Chain {
    #[new]
    fn new(
        dims: usize,
        begin: Option<(f64, i64, Bound<'_, PyAny>, i32, i32)>,
        steps: Vec<Bound<'_, PyTuple>>,
    ) -> PyResult<Self> {
        if dims > 3 || steps.is_empty() {
            let got = format!("{dims}, with {} steps", steps.len());
            return Err(Error::value("dims", got, "0 to 3, with at least one step").into());
        }
        let mut now = None;
        let begin = match begin {
            None => None,
            Some((scale, zero_point, dtype, least, greatest)) => {
                let own = now.insert(quantizer_of(scale, zero_point, &dtype)?);
                Some((grid_of(own), (least, greatest)))
            }
        };
        let mut made = Vec::with_capacity(steps.len());
        let (mut weighted, mut flat) = (false, dims == 0);
        for step in &steps {
            let all: Vec<Bound<'_, PyAny>> = step.iter().collect();
            let Some((name, args)) = all.split_first() else {
                return Err(Error::value("steps", "an empty tuple", "a name and arguments").into());
            };
            let (held, next) = held(&name.extract::<String>()?, args, dims, now.as_deref())?;
            match held {
                Held::Linear(..) if !flat => {
                    let got = "linear after images";
                    return Err(Error::value("steps", got, "flatten before it, or dims of 0").into());
                }
                Held::Conv(..) | Held::Pool(..) if flat => {
                    return Err(
                        Error::value("steps", format!("{name} after rows"), "images before it").into()
                    );
                }
                Held::Flatten => flat = true,
                _ => {}
            }
            // The first one's is checked with each input.
            if let (true, Some(before)) = (weighted, &now) {
                held.check(grid_of(before).scale)?;
            }
            weighted |= next.is_some();
            now = next.unwrap_or(now);
            made.push(held);
        }
        if !weighted {
            return Err(Error::value("steps", "none with a scale", "at least one").into());
        }
        Ok(Self { dims, begin, steps: made, end: now, plan: Mutex::new(None) })
    }

    /// The output of all steps: a QTensor, or floats.
    ///
    /// Parameters
    /// ----------
    /// input : array_like or QTensor
    ///     Shape (N, channels, lengths); without spatial axes (..., channels).
    ///
    /// Returns
    /// -------
    /// QTensor, numpy.ndarray or None
    ///     None where the input does not fit, or holds NaN: the operators themselves say what is wrong with it.
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        input: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Ok(q) = input.cast::<QTensor>() {
            let q = q.get();
            let (Ok((scale, zero_point)), codes) = (activation(q, "input"), q.codes(py)) else {
                return Ok(None);
            };
            let signed = q.quantizer().dtype() == DType::QInt8;
            let grid = Grid { signed, scale, zero_point };
            let plain =
                strides_that_matter(codes).iter().all(|&s| s >= 0) && (self.dims > 0 || is_contiguous(codes));
            if !plain || !self.takes(codes.shape()) {
                return Ok(None);
            }
            let image = match self.dims {
                0 => rows(codes),
                dims => image(codes, dims, true),
            };
            return self.run(py, codes.shape(), Input::Codes(image, grid), grid);
        }
        let Some((grid, range)) = self.begin else { return Ok(None) };
        let x = as_float32(input, "input")?;
        if !self.takes(x.shape()) {
            return Ok(None);
        }
        self.run(py, x.shape(), Input::Floats(elements(&x), grid, range), grid)
    }
}

/// Each row of the last axis as an image of one element.
fn rows<'a>(codes: &'a Array<'_>) -> Image<'a> {
    let channels = codes.shape().last().copied().unwrap_or(0);
    let images = codes.shape()[..codes.ndim().saturating_sub(1)].iter().product();
    Image { codes: codes_of(codes), images, channels, space: [1; 3], strides: [channels, 1, 0, 0, 0] }
}

impl Chain {
    /// Whether an input has as many axes.
    fn takes(&self, shape: &[usize]) -> bool {
        match self.dims {
            0 if self.steps.iter().any(|s| matches!(s, Held::Flatten)) => shape.len() == 2,
            0 => !shape.is_empty(),
            dims => shape.len() == dims + 2,
        }
    }

    fn run<'py>(
        &self,
        py: Python<'py>,
        shape: &[usize],
        input: Input<'_>,
        grid: Grid,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.steps[0].check(grid.scale).is_err() {
            return Ok(None);
        }
        let (leading, own) = match self.dims {
            0 => (&shape[..shape.len() - 1], Shape { channels: shape[shape.len() - 1], space: [1; 3] }),
            _ => (&shape[..1], Shape { channels: shape[1], space: space(&shape[2..], 1) }),
        };
        let steps: Vec<Step<'_>> = self.steps.iter().map(Held::step).collect();
        let Some(plan) = self.plan(&steps, own) else { return Ok(None) };
        let images: usize = leading.iter().product();
        let output = plan.output();
        let flat = self.dims == 0 || self.steps.iter().any(|s| matches!(s, Held::Flatten));
        let places = if flat { &[][..] } else { &output.space[3 - self.dims..] };
        let last: Vec<usize> = leading.iter().chain(places).chain([&output.channels]).copied().collect();
        let kind = self.end.as_deref().map_or(f32::TYPE, |q| code_type(q.dtype()));
        let made = empty(py, kind, &last)?;
        let out = match self.end.as_deref().map(Quantizer::dtype) {
            None => Out::Floats(elements_mut(&made)),
            Some(DType::QInt8) => Out::I8(elements_mut(&made)),
            Some(_) => Out::U8(elements_mut(&made)),
        };
        let fits =
            kernel(py, plan.work(images), "input", shape, || match run(&steps, &plan, images, input, out) {
                Err(Stopped::Nan { .. }) => Ok(false),
                done => done.map(|()| true),
            })?;
        if !fits {
            return Ok(None);
        }
        let made = if flat { made } else { channels_first(made, None, 1)? };
        handed_out(made, self.end.clone(), false).map(Some)
    }

    fn plan(&self, steps: &[Step<'_>], shape: Shape) -> Option<Arc<Plan>> {
        let mut kept = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((own, plan)) if *own == shape => Some(Arc::clone(plan)),
            _ => {
                let plan = Arc::new(Plan::new(steps, shape)?);
                *kept = Some((shape, Arc::clone(&plan)));
                Some(plan)
            }
        }
    }
}
