//! `PackedConv1d`, `PackedConv2d`, `PackedConv3d` and their transposes.

mod classes;

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use quantray_core::arch::Isa;
use quantray_core::conv::{Geometry, PackedConv};
use quantray_core::gemm::{Finish, Formula, Results, WeightParams, dynamic_params};
use quantray_core::qparams::{DType, QParams, Quantizer};

pub use classes::*;

use super::axes::{per_axis, space};
use super::images::{channels_first, channels_last, image, moved_last, without_negative_strides};
use super::matrices::{activation, codes_of, weight};
use super::order::{Order, strided_float32};
use super::results::{Bias, Form, handed_out};
use crate::array::{
    Array, Element, contiguous, describe, elements, elements_mut, empty, from_slice, integer, tuple_text,
};
use crate::error::Error;
use crate::run::{kernel, packing};
use crate::tensor::QTensor;

type Object<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// A convolution of any kind.
pub(super) struct Conv {
    packed: Arc<PackedConv>,
    bias: Bias,
    /// Of the weight.
    quantizer: Arc<Quantizer>,
    /// Of the weight.
    shape: Vec<usize>,
    /// "same", where that was asked for.
    same: bool,
}

/// The arguments of a convolution.
struct Settings<'a, 'py> {
    stride: Object<'a, 'py>,
    padding: Object<'a, 'py>,
    dilation: Object<'a, 'py>,
    groups: Object<'a, 'py>,
    /// For a transposed one.
    output_padding: Option<Object<'a, 'py>>,
    input_zero_points: Object<'a, 'py>,
}

impl Conv {
    fn new(
        dims: usize,
        weight: &Bound<'_, QTensor>,
        bias: Object<'_, '_>,
        settings: &Settings<'_, '_>,
    ) -> PyResult<Self> {
        let (py, q) = (weight.py(), weight.get());
        let transposed = settings.output_padding.is_some();
        let (scales, zero_points) = self::weight(q, usize::from(transposed), "weight")?;
        let codes = contiguous(q.codes(py))?;
        let shape = codes.shape().to_vec();
        if shape.len() != dims + 2 || shape.contains(&0) {
            let axes = match transposed {
                false => "(out_channels, in_channels / groups",
                true => "(in_channels, out_channels / groups",
            };
            let valid = format!("of shape {axes}, and {dims} more), none of them 0");
            return Err(Error::value("weight", tuple_text(&shape), valid).into());
        }
        let numbers = |given: Object<'_, '_>, arg: &str, least: usize| {
            given.map_or(Ok(vec![least; dims]), |v| per_axis(v, arg, dims, least))
        };
        let stride = numbers(settings.stride, "stride", 1)?;
        let dilation = numbers(settings.dilation, "dilation", 1)?;
        let groups = settings.groups.map_or(Ok(1), |g| integer(g, "groups"))?;
        let Some(groups) = usize::try_from(groups).ok().filter(|&g| g > 0 && shape[0].is_multiple_of(g))
        else {
            let valid = format!("at least 1, and a divisor of {}, the weight's first axis", shape[0]);
            return Err(Error::value("groups", groups, valid).into());
        };
        let kernel = &shape[2..];
        let (padding, same) = padding(settings.padding, dims, kernel, &stride, &dilation, transposed)?;
        let extra = match settings.output_padding {
            None => None,
            Some(given) => {
                let extra = numbers(given, "output_padding", 0)?;
                if let Some(a) = (0..dims).find(|&a| extra[a] >= stride[a].max(dilation[a])) {
                    let valid =
                        format!("less than the stride or the dilation, {}", stride[a].max(dilation[a]));
                    return Err(Error::value("output_padding", extra[a], valid).into());
                }
                Some(space(&extra, 0))
            }
        };
        let geometry = Geometry {
            kernel: space(kernel, 1),
            stride: space(&stride, 1),
            dilation: space(&dilation, 1),
            padding: space(&padding, (0, 0)),
            groups,
            transposed: extra,
        };
        let channels = match transposed {
            false => (shape[1] * groups, shape[0]),
            true => (shape[0], shape[1] * groups),
        };
        // A transposed convolution's groups share the scales of their outputs.
        let table = |t: usize| if t == 1 { 1 } else { channels.1 };
        let scales: Vec<f32> = scales.iter().copied().cycle().take(table(scales.len())).collect();
        let zero_points: Vec<i32> =
            zero_points.iter().copied().cycle().take(table(zero_points.len())).collect();
        let depth = shape[2..].iter().product::<usize>() * channels.0 / groups;
        let most = (depth as i64 * 255 * 255).min(i64::from(i32::MAX));
        let bias = Bias::parse(bias, channels.1)?.within(|_| most)?;
        let params = WeightParams { scales: &scales, zero_points: &zero_points };
        let of = codes_of(&codes);
        let zeros = settings.input_zero_points.map(|given| input_zeros(given, channels.0)).transpose()?;
        let packed = packing(py, || {
            let packed = PackedConv::new(Isa::current(), geometry, channels, of, params)?;
            match &zeros {
                None => Ok(packed),
                Some(zeros) => packed.with_x_zeros(zeros),
            }
        })?;
        Ok(Self { packed: Arc::new(packed), bias, quantizer: Arc::clone(q.quantizer()), shape, same })
    }

    /// The packed weight, the bias, and what the weight stands for.
    pub(super) fn parts(&self) -> (&PackedConv, &Bias, &Quantizer) {
        (&self.packed, &self.bias, &self.quantizer)
    }

    /// The packed weight, for others to hold.
    pub(super) fn shared(&self) -> Arc<PackedConv> {
        Arc::clone(&self.packed)
    }

    /// Axes of its images.
    pub(super) fn dims(&self) -> usize {
        self.shape.len() - 2
    }

    /// Of all that a convolution has three of, those that this one's images have.
    fn own<T: Copy>(&self, all: [T; 3]) -> Vec<T> {
        all[3 - self.dims()..].to_vec()
    }

    #[expect(clippy::too_many_arguments, reason = "they are the arguments of a Python function")]
    fn call<'py>(
        &self,
        py: Python<'py>,
        input: &Bound<'py, QTensor>,
        scale: Object<'_, 'py>,
        zero_point: Object<'_, 'py>,
        dtype: Object<'_, 'py>,
        relu: bool,
        out: Object<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let q = input.get();
        let params = activation(q, "input")?;
        let form = Form::parse(scale, zero_point, dtype, q)?;
        self.results(form, q.codes(py), q.codes(py), params, relu, out)
    }

    fn dynamic<'py>(
        &self,
        py: Python<'py>,
        input: &Bound<'py, PyAny>,
        formula: Formula,
        relu: bool,
        out: Object<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let x = strided_float32(input, "input")?;
        if self.packed.x_zeros().is_some() {
            let valid = "a QTensor, whose channels have the zero points that the convolution was given";
            return Err(Error::type_("input", "floats", valid).into());
        }
        self.output(x.shape())?;
        // One scale for all: the order of the elements does not matter.
        let order = Order::of(&x);
        let from = contiguous(&order.as_ref().map_or(Ok(x.clone()), |order| order.of_memory(&x))?)?;
        let (values, shape) = (elements::<f32>(&from), from.shape());
        let found = kernel(py, values.len(), "input", shape, || dynamic_params(values, 1, false, formula))
            .map_err(|error| if order.is_some() { Order::of_error(error, &x, "input") } else { error })?
            .map_err(Error)?;
        let codes = empty(py, u8::TYPE, shape)?;
        let room = elements_mut::<u8>(&codes);
        kernel(py, values.len(), "input", shape, || formula.quantize(values, room, (&found.0, &found.1)))?;
        let codes = order.map_or(Ok(codes.clone()), |order| order.of_axes(&codes))?;
        self.results(Form::Floats, &codes, &x, (found.0[0], found.1[0]), relu, out)
    }

    /// The lengths of an output, `images x channels x lengths`, and whether the images have an axis.
    fn output(&self, input: &[usize]) -> PyResult<(Vec<usize>, bool)> {
        let (dims, (inputs, outputs)) = (self.dims(), self.packed.channels());
        let batch = input.len() == dims + 2;
        let (true, Some(&channels)) =
            (batch || input.len() == dims + 1, input.len().checked_sub(dims + 1).and_then(|c| input.get(c)))
        else {
            let valid = format!("of shape (N, {inputs}, and {dims} more), or without N");
            return Err(Error::value("input", tuple_text(input), valid).into());
        };
        if channels != inputs {
            let valid = format!("with {inputs} channels, as many as the weight's");
            return Err(Error::value("input", tuple_text(input), valid).into());
        }
        let own = self.packed.geometry().output(space(&input[input.len() - dims..], 1)).map_err(Error)?;
        let images = if batch { input[0] } else { 1 };
        Ok(([images, outputs].into_iter().chain(self.own(own)).collect(), batch))
    }

    /// Results lie channels last in memory, as the next convolution reads them.
    fn results<'py>(
        &self,
        form: Form,
        codes: &Array<'py>,
        input: &Array<'py>,
        params: (f32, i32),
        relu: bool,
        out: Object<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = codes.py();
        let (shape, batch) = self.output(codes.shape())?;
        let codes = without_negative_strides(codes)?;
        let image = image(&codes, self.dims(), batch);
        let visible = &shape[usize::from(!batch)..];
        let channel = usize::from(batch);
        let room = channels_last(out, visible, channel)?;
        let last = moved_last(visible, channel);
        let weight = (params.0, &*self.quantizer, channel);
        let output = space(&shape[2..], 1);
        let work = shape[0].saturating_mul(self.packed.work(output)) / 16;
        let run = |finish: &Finish<'_>, results: Results<'_>| {
            kernel(py, work, "input", &[], || self.packed.run(&image, params, finish, results))
        };
        let (made, quantizer) = form.fill(input, room.as_ref(), &last, weight, &self.bias, relu, run)?;
        let made = channels_first(made, out, channel)?;
        handed_out(made, quantizer, out.is_some())
    }

    fn weight<'py>(&self, py: Python<'py>) -> PyResult<QTensor> {
        let unsigned = self.quantizer.dtype() == DType::QUInt8;
        let offset = if unsigned { 128 } else { 0 };
        let zero_points: Vec<i32> = match self.quantizer.params() {
            QParams::PerTensor { zero_point, .. } => vec![zero_point - offset],
            QParams::PerChannel { zero_points, .. } => {
                let all = zero_points.iter().map(|z| z - offset);
                all.cycle().take(self.packed.channels().1).collect()
            }
            QParams::PerChannelFloat { .. } => unreachable!("refused at creation"),
        };
        let stored = self.packed.unpack(&zero_points);
        let flat = match unsigned {
            false => from_slice::<i8>(py, &stored)?,
            true => from_slice::<u8>(py, &stored.iter().map(|&w| (w as u8) ^ 0x80).collect::<Vec<_>>())?,
        };
        let codes = flat.call_method1("reshape", (PyTuple::new(py, &self.shape)?,))?.cast_into()?;
        Ok(QTensor::from_parts(codes, Arc::clone(&self.quantizer), None))
    }

    /// Zero points of channels of the input.
    fn input_zero_points<'py>(&self, py: Python<'py>) -> PyResult<Option<Array<'py>>> {
        self.packed.x_zeros().map(|zeros| from_slice(py, &zeros)).transpose()
    }

    fn padding<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.same {
            return Ok(PyString::new(py, "same").into_any());
        }
        let before = self.own(self.packed.geometry().padding).into_iter().map(|p| p.0);
        Ok(PyTuple::new(py, before.collect::<Vec<_>>())?.into_any())
    }

    fn repr(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        let geometry = self.packed.geometry();
        let (inputs, outputs) = self.packed.channels();
        let tuple = |all| tuple_text(&self.own(all));
        let extra =
            geometry.transposed.map_or_else(String::new, |e| format!(", output_padding={}", tuple(e)));
        let depthwise = if self.packed.is_depthwise() { ", depthwise" } else { "" };
        Ok(format!(
            "{name}({inputs}, {outputs}, kernel_size={}, stride={}, padding={}{extra}, dilation={}, groups={}, \
             dtype={}, qscheme={}, bias={}, kernel={}{depthwise})",
            tuple(geometry.kernel),
            tuple(geometry.stride),
            self.padding(py)?.repr()?,
            tuple(geometry.dilation),
            geometry.groups,
            self.quantizer.dtype().name(),
            self.quantizer.scheme().name(),
            self.bias.name(),
            self.packed.isa().name()
        ))
    }
}

/// Zero points for the channels of an input.
fn input_zeros(given: &Bound<'_, PyAny>, channels: usize) -> PyResult<Vec<i32>> {
    let name = "input_zero_points";
    let all: Vec<Bound<'_, PyAny>> = given
        .try_iter()
        .and_then(Iterator::collect)
        .map_err(|_| PyErr::from(Error::type_(name, describe(given), "integers, one for each channel")))?;
    let zeros: Vec<i64> = all.iter().map(|zero| integer(zero, name)).collect::<PyResult<_>>()?;
    if let Some(zero) = zeros.iter().find(|&zero| !(-128..=255).contains(zero)) {
        return Err(Error::value(name, zero, "from -128 to 127 for qint8, from 0 to 255 for quint8").into());
    }
    if zeros.len() != channels {
        let valid = format!("one for each of the {channels} channels");
        return Err(Error::value(name, format!("{} of them", zeros.len()), valid).into());
    }
    Ok(zeros.into_iter().map(|zero| zero as i32).collect())
}

/// Elements before and after each axis, and whether they are those of "same".
fn padding(
    given: Object<'_, '_>,
    dims: usize,
    kernel: &[usize],
    stride: &[usize],
    dilation: &[usize],
    transposed: bool,
) -> PyResult<(Vec<(usize, usize)>, bool)> {
    let Some(given) = given else { return Ok((vec![(0, 0); dims], false)) };
    let Ok(name) = given.extract::<String>() else {
        return Ok((per_axis(given, "padding", dims, 0)?.into_iter().map(|p| (p, p)).collect(), false));
    };
    match &name[..] {
        "valid" if !transposed => Ok((vec![(0, 0); dims], false)),
        "same" if !transposed => {
            if stride.iter().any(|&s| s != 1) {
                return Err(Error::value("stride", tuple_text(stride), "1 with padding=\"same\"").into());
            }
            let sides = |a: usize| {
                let all = dilation[a] * (kernel[a] - 1);
                (all / 2, all - all / 2)
            };
            Ok(((0..dims).map(sides).collect(), true))
        }
        _ => {
            let names = if transposed { "" } else { ", \"same\" or \"valid\"" };
            let valid = format!("an integer, {dims} of them, one for each spatial axis{names}");
            Err(Error::value("padding", format!("\"{name}\""), valid).into())
        }
    }
}
