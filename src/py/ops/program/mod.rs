//! `Program`: a converted model that one call runs.

mod elements;
mod finds;
mod floats;
mod images;
mod layers;
mod lower;
mod params;
mod parts;
mod places;
mod recurrent;
mod reductions;
mod running;
mod values;
mod weighted;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::array::describe;
use crate::error::Error;
use parts::{FLOATS, Part};
use quantray_core::program::Value;
use running::{call, find as find_part};
use values::{Declared, Held};

/// A program: typed steps over numbered values, which one call runs. Values between the steps never become arrays.
///
/// Values are numbered: inputs are 0 to n - 1, each step makes new ones. For the shapes of each call a plan is made once
/// and kept; batches of 0, any memory order of inputs and branches are fine.
///
/// Parameters
/// ----------
/// inputs : sequence of str
///     A dtype for each input: "float32", "int64", "int32", "uint8", "int8", "bool"; "quint8" or "qint8" for a QTensor;
///     "object" for what only goes into calls.
/// steps : sequence of (op, sources, made, params)
///     The name of an operation, the numbers of the values that it takes, that of the value that it makes (for a call
///     also a tuple of several), and a dict of what it is told, of which "name" goes in front of its errors. See Notes.
/// outputs : sequence
///     The numbers of the values that come out, codes as float32; `("codes", number)` gives a QTensor.
/// names : sequence of str, optional
///     What errors call the inputs.
///
/// Raises
/// ------
/// TypeError, ValueError
///     For steps that are none, and for values that do not exist or are made twice.
///
/// Notes
/// -----
/// A grid is a tuple (scale, zero_point, dtype, least code, greatest code). A length is an int, ("in", input, axis),
/// ("dim", value, axis), ("neg", a) or (op, a, b) with "add", "sub", "mul", "floordiv", "mod", "min" or "max". Optional
/// params are in brackets.
///
/// - quantize(x; grid [, divides]), dequantize(x), int_repr(x), requantize(x; grid)
/// - linear, conv(x [, residual]; packed [, relu, relu6, slopes, to: grid, per_row=True, reduce_range, onnx]): floats are
///   quantized as they come, by row or image with `per_row`, by ONNX's formula with `onnx`; the residual is added to the
///   floats of the layer, negative ones are multiplied by the slope of their output, and all are rounded once
/// - max_pool(x; kernel_size [, stride, padding, dilation, ceil_mode, dims]), avg_pool(x; kernel_size [, stride, padding,
///   ceil_mode, count_include_pad, divisor_override, dims]), adaptive_max_pool, adaptive_avg_pool(x; output_size [, dims]);
///   averages may have a `grid` of their own, of the input's dtype
/// - interpolate(x; size or scale [, mode, align_corners])
/// - table(x; table: 256 bytes [, grid]), clamp(x; lo, hi)
/// - add, sub, mul(a, b; grid [, relu]), cat(x, ...; axis [, grid]), matmul(a, b [; grid]) of codes or
///   of floats
/// - linear(x; packed: a `PackedWeightOnlyLinear` [, relu])
/// - linear, conv(x [, residual]; weight [, bias, relu, limits: (least, greatest), activation]) with a weight of floats:
///   the residual is added, then come the limits, then "gelu", "gelu_tanh", "silu", "sigmoid" or "tanh"; a convolution's
///   [stride, padding: numbers or pairs, dilation, groups, transposed, output_padding]
/// - reshape(x; shape), flatten(x [; start, end]), transpose(x [; axes]), slice(x; index [, axes]) with slices, tuples
///   (start, stop, step), ints and None for a new axis, flip(x [; axes]), squeeze(x [; axes]), unsqueeze(x; axes),
///   expand(x; shape), diagonal(x [; offset, axes]); pad(x; pairs [, value, mode: "constant", "reflect", "symmetric",
///   "edge", "wrap"]), tile(x; reps), repeat(x; repeats: a length or counts [, axis]), roll(x; shifts, axes)
/// - take(x, index [; axis]), take_along_axis(x, index [; axis]), gather_nd(x, index [; batch_dims]), put(x, value; index),
///   scatter_nd(x, index, updates [; reduction: "none", "add", "mul", "max", "min"]), scatter_along_axis(x, index,
///   updates [; axis, reduction]); sort, argsort(x [; axis, descending]), topk(x; k [, axis, descending=True, places])
/// - ramp(; length, dtype [, start, step]), band(; rows, columns [, offset, below]): where columns less rows are the offset,
///   or at most
/// - of floats: relu, gelu(x [; approximate]), silu, sigmoid, tanh, hardsigmoid, hardswish, softsign, mish,
///   leaky_relu(x [; slope]), elu, celu(x [; alpha]), softplus(x [; beta, threshold]), clip(x [; low, high]), exp, expm1,
///   exp2, log, log1p, log2, log10, erf, sqrt, rsqrt, cbrt, reciprocal, sin, cos, tan, arcsin, arccos, arctan, sinh, cosh,
///   arcsinh, arccosh, arctanh, isnan, isinf, isfinite(x); of integers too: negative, absolute, square, sign, floor, ceil,
///   rint, trunc(x); of bool: logical_not(x); cast(x; dtype)
/// - add, sub, mul, div, maximum, minimum, pow, floor_divide, trunc_divide, remainder, fmod, prelu, equal, not_equal, less,
///   less_equal, greater, greater_equal, bitwise_and, bitwise_or, bitwise_xor, left_shift, right_shift, logical_and,
///   logical_or, logical_xor(a, b), of one dtype, broadcast; where(condition, a, b)
/// - mean, sum, prod, max, min, sum_square, l1, l2, logsumexp, any, all, argmax, argmin(x [; axes, keepdims]),
///   var, std(x [; axes, keepdims, ddof]); cumsum, cumprod(x [; axis, exclusive, reverse])
/// - softmax(x [, mask]; [axis, factor]), log_softmax(x [; axis]), layer_norm, rms_norm(x [, residual]; normalized_shape
///   [, weight, bias, eps]), group_norm(x; groups [, eps]), instance_norm(x [; eps])
/// - resize(x; axes, size or scale [, mode: "nearest", "linear", "cubic", coordinates, nearest_mode, cubic_coeff,
///   exclude_outside, antialias]), as ONNX has it; grid_sample(x, grid [; mode, padding_mode, align_corners]);
///   roi_align(x, boxes, images; output_size [, sampling, scale, mode: "avg", "max", half_pixel=True]); max_pool_places(x;
///   kernel_size [, stride, pads, dilation, ceil_mode, column_major, places=True]); col2im(x; shape, kernel_size [, stride,
///   pads, dilation])
/// - nonzero(x): places, a row for each axis; non_max_suppression(boxes, scores; [limit, overlap, least, centred]): rows of
///   image, class and box. What comes after these is planned once their lengths are known
/// - lstm, gru, rnn(x [, h, c]; weights [, biases, bidirectional, batch_first, nonlinearity]), as `quantray.ops.lstm`: one
///   row of the output, the last hidden states and the last cell states
/// - embedding(ids; table: an array or a QTensor[, from_end]); attention(qkv [, mask]; heads); constant(; value)
/// - call(x, ...; function [, count, codes]): a Python function of arrays, of QTensors with `codes`
///
/// >>> import numpy as np, quantray as qt
/// >>> w = qt.quantize_per_tensor([[1.0, -2.0]], 0.02, 0, qt.qint8)
/// >>> grid = (0.05, 0, qt.quint8, 0, 255)
/// >>> steps = [
/// ...     ("quantize", (0,), 1, {"grid": grid}),
/// ...     ("linear", (1,), 2, {"packed": qt.ops.PackedLinear(w, bias=[0.5])}),
/// ... ]
/// >>> program = qt.ops.Program(["float32"], steps, [2])
/// >>> program(np.float32([[1.0, 0.5], [3.0, 0.0]]))[0].round(2).tolist()
/// [[0.5], [3.5]]
#[pyclass(module = "quantray.ops", frozen)]
pub struct Program {
    inputs: Vec<Declared>,
    names: Vec<String>,
    parts: Vec<Part>,
    outputs: Vec<(usize, bool)>,
    /// For reports: the name and the operation of each step.
    labels: Vec<(String, String)>,
    /// For each value the last part that takes it.
    last: Vec<(usize, usize)>,
}

type Values<'py> = Vec<(usize, Held<'py>)>;

fn find<'a, 'py>(values: &'a Values<'py>, v: usize) -> &'a Held<'py> {
    let found = values.iter().find(|(own, _)| *own == v);
    &found.expect("values that parts before it have made").1
}

#[pymethods]
impl Program {
    #[new]
    #[pyo3(signature = (inputs, steps, outputs, *, names=None))]
    fn new(
        inputs: &Bound<'_, PyAny>,
        steps: &Bound<'_, PyAny>,
        outputs: &Bound<'_, PyAny>,
        names: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let one = |input: Bound<'_, PyAny>| -> PyResult<Declared> {
            let valid = "names of dtypes: float32, int32, int64, uint8, int8, bool, quint8, qint8 or object";
            let wrong = || PyErr::from(Error::value("inputs", describe(&input), valid));
            let name: String = input.extract().map_err(|_| wrong())?;
            Declared::parse(&name).ok_or_else(wrong)
        };
        if inputs.is_instance_of::<PyString>() {
            return Err(Error::type_("inputs", describe(inputs), "a sequence of names of dtypes").into());
        }
        let inputs: Vec<Declared> = inputs.try_iter()?.map(|input| one(input?)).collect::<PyResult<_>>()?;
        let names = match names {
            Some(names) if names.len() == inputs.len() => names,
            Some(names) => {
                let valid = format!("{}, one for each input", inputs.len());
                return Err(Error::value("names", format!("{} of them", names.len()), valid).into());
            }
            None => (0..inputs.len()).map(|i| format!("inputs[{i}]")).collect(),
        };
        let outputs = parts::outputs(outputs)?;
        let given = parts::given(steps, &inputs, &outputs)?;
        let parts = parts::cut(&given, &outputs)?;
        let mut last: Vec<(usize, usize)> = Vec::new();
        for (k, part) in parts.iter().enumerate() {
            let takes = match part {
                Part::Core(part) => &part.inputs,
                Part::Call(part) => &part.inputs,
                Part::Find(part) => &part.inputs,
            };
            for &v in takes {
                last.retain(|(own, _)| *own != v);
                last.push((v, k));
            }
        }
        last.retain(|(v, _)| outputs.iter().all(|(own, _)| own != v));
        let labels = given
            .iter()
            .map(|step| {
                let name = step.params.get_item("name")?.and_then(|name| name.extract().ok());
                Ok((name.unwrap_or_default(), step.op.clone()))
            })
            .collect::<PyResult<_>>()?;
        Ok(Self { inputs, names, parts, outputs, labels, last })
    }

    /// The outputs for these inputs.
    ///
    /// Parameters
    /// ----------
    /// *args : array_like
    ///     One for each input.
    ///
    /// Returns
    /// -------
    /// tuple of numpy.ndarray or QTensor
    ///     One for each output.
    ///
    /// Raises
    /// ------
    /// TypeError, ValueError
    ///     For inputs of another number, dtype or shape, and for NaN where integers begin; the input, or the step, is
    ///     named.
    #[pyo3(signature = (*args))]
    fn __call__<'py>(&self, py: Python<'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyTuple>> {
        if args.len() != self.inputs.len() {
            let valid = format!("{}, one for each input", self.inputs.len());
            return Err(Error::type_("args", format!("{} of them", args.len()), valid).into());
        }
        let mut values: Values<'py> = Vec::with_capacity(self.inputs.len() + self.outputs.len());
        for (i, declared) in self.inputs.iter().enumerate() {
            values.push((i, declared.take(&args.get_item(i)?, &self.names[i])?));
        }
        let origins: Vec<Vec<usize>> = values.iter().map(|(_, value)| value.shape()).collect();
        for (k, part) in self.parts.iter().enumerate() {
            match part {
                Part::Core(part) => self.run(py, part, &origins, &mut values)?,
                Part::Call(part) => call(py, part, &mut values)?,
                Part::Find(part) => find_part(py, part, &mut values)?,
            }
            for &(v, last) in &self.last {
                if last == k {
                    values.retain(|(own, _)| *own != v);
                }
            }
        }
        let given = |&(v, codes): &(usize, bool)| -> PyResult<Bound<'py, PyAny>> {
            let own = |v: usize| values.iter().find(|(own, _)| *own == v).map(|(_, value)| value);
            if !codes && let Some(floats) = own(v + FLOATS) {
                return Ok(floats.object().clone());
            }
            let value = find(&values, v);
            let object = if codes { value.object().clone() } else { value.plain()? };
            // A caller's array is not given back as a result that may be written to.
            match v < self.inputs.len() && matches!(value, Held::Typed(_)) {
                true if codes => object.call_method0("clone"),
                true => object.call_method0("copy"),
                false => Ok(object),
            }
        };
        PyTuple::new(py, self.outputs.iter().map(given).collect::<PyResult<Vec<_>>>()?)
    }

    /// What each step makes, for inputs of these shapes.
    ///
    /// Parameters
    /// ----------
    /// *shapes : tuple of int
    ///     One for each input.
    ///
    /// Returns
    /// -------
    /// list of (name, op, shape, dtype, bytes)
    ///     Shape, dtype and bytes are None behind a call, and behind what finds as much as there is: their results are known
    ///     only when they run.
    #[pyo3(signature = (*shapes), text_signature = "($self, *shapes)")]
    fn steps<'py>(
        &self,
        py: Python<'py>,
        shapes: &Bound<'py, PyTuple>,
    ) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let mut rows: Vec<Option<Value>> = vec![None; self.labels.len()];
        self.planned(shapes, |part, prepared| {
            let all = prepared.rows(&part.core);
            for &(i, _, last) in &part.steps {
                rows[i] = all.get(last - part.inputs.len()).map(|row| row.value.clone());
            }
        })?;
        let row = |((name, op), value): (&(String, String), Option<Value>)| {
            let dtype = value.as_ref().map(|value| value.ty.name());
            let bytes = value.as_ref().map(Value::bytes);
            let shape = value.map(|value| PyTuple::new(py, value.shape)).transpose()?;
            (name, op, shape, dtype, bytes).into_pyobject(py)
        };
        self.labels.iter().zip(rows).map(row).collect()
    }

    /// Bytes of memory that values between the steps share, for inputs of these shapes; without what lies behind calls.
    ///
    /// Parameters
    /// ----------
    /// *shapes : tuple of int
    ///     One for each input.
    #[pyo3(signature = (*shapes), text_signature = "($self, *shapes)")]
    fn memory(&self, shapes: &Bound<'_, PyTuple>) -> PyResult<usize> {
        let mut bytes = 0;
        self.planned(shapes, |_, prepared| bytes += prepared.memory())?;
        Ok(bytes)
    }

    fn __repr__(&self) -> String {
        let calls = self.parts.iter().filter(|part| matches!(part, Part::Call(_))).count();
        format!(
            "Program({} inputs, {} steps, {} outputs, {calls} calls)",
            self.inputs.len(),
            self.labels.len(),
            self.outputs.len()
        )
    }
}
