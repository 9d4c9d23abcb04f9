//! `PackedLinear`: a weight matrix packed for this CPU.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantray_core::arch::Isa;
use quantray_core::gemm::{
    Activations, Codes, Finish, Formula, Matrix, PackedWeights, Results, WeightParams, dynamic_codes,
    multiply,
};
use quantray_core::qparams::{DType, Quantizer};

use super::matrices::{Operand, activation, weight};
use super::results::{Bias, Form, handed_out};
use crate::array::{Array, Element, as_float32, elements, elements_mut, empty, from_slice, tuple_text};
use crate::error::Error;
use crate::run::{kernel, packing};
use crate::tensor::{Given, QTensor};

/// A quantized linear layer, `y = x @ weight.T + bias`, with its weight laid out once for this CPU.
///
/// Products of 8-bit integers are added up in 32 bits, exactly, and turned into results on the way: there is no
/// intermediate array. It pickles as its plain weight, and packs itself again where it is loaded.
///
/// Parameters
/// ----------
/// weight : QTensor
///     Shape (out_features, in_features), qint8 or quint8, quantized per tensor or per channel along axis 0.
/// bias : array_like, optional
///     Shape (out_features,). Floats are real numbers; int32 counts steps of a product, the scale of the input
///     times the weight's.
///
/// Raises
/// ------
/// TypeError, ValueError
///     For a weight of another dtype, shape or channel axis, and where a sum of products could leave 32 bits.
///
/// >>> import numpy as np, quantray as qt
/// >>> w = qt.quantize_per_channel([[1.0, 2.0], [0.5, -1.0]], [0.02, 0.01], 0, axis=0, dtype=qt.qint8)
/// >>> linear = qt.ops.PackedLinear(w, bias=[0.5, 0.0])
/// >>> x = qt.quantize_per_tensor([[1.0, 3.0]], 0.05, 0, qt.quint8)
/// >>> linear(x, scale=0.1, zero_point=10).tolist()
/// [[7.5, -1.0]]
/// >>> linear.dynamic(np.float32([[1.0, 3.0]])).round(1)
/// array([[ 7.5, -2.5]], dtype=float32)
///
/// Source: `torch.ops.quantized.linear`, `torch.ops.quantized.linear_dynamic`.
#[pyclass(module = "quantray.ops", frozen)]
pub struct PackedLinear {
    packed: Arc<PackedWeights>,
    bias: Bias,
    /// Of the weight.
    quantizer: Arc<Quantizer>,
}

#[pymethods]
impl PackedLinear {
    #[new]
    #[pyo3(signature = (weight, bias=None))]
    fn new(py: Python<'_>, weight: Given<'_>, bias: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let weight = &*weight;
        let q = weight.get();
        let (scales, zero_points) = self::weight(q, 0, "weight")?;
        let codes = q.codes(py);
        if codes.ndim() != 2 {
            let valid = "of shape (out_features, in_features)";
            return Err(Error::value("weight", tuple_text(codes.shape()), valid).into());
        }
        let operand = Operand::new(codes)?;
        let matrix = operand.matrix();
        let params = WeightParams { scales: &scales, zero_points: &zero_points };
        let packed = packing(py, || PackedWeights::new(Isa::current(), matrix, params))?;
        let zero = |o: usize| zero_points[if zero_points.len() == 1 { 0 } else { o }];
        let of_row = |o: usize| -> i64 {
            (0..matrix.columns()).map(|k| i64::from((matrix.at(o, k) - zero(o)).abs())).sum()
        };
        let bias = Bias::parse(bias, packed.columns())?.within(|o| 255 * of_row(o))?;
        Ok(Self { packed: Arc::new(packed), bias, quantizer: Arc::clone(q.quantizer()) })
    }

    /// The layer of a quantized input: a QTensor of this scale and zero point, or floats without them.
    ///
    /// Parameters
    /// ----------
    /// input : QTensor
    ///     Shape (..., in_features), qint8 or quint8, quantized per tensor.
    /// scale, zero_point : float and int, optional
    ///     Of the output. Without them the output is a float32 array.
    /// dtype : optional
    ///     Of the output: qint8 or quint8, by default the input's. With qint32, and neither scale nor zero point, the
    ///     output holds the sums themselves, in steps of the input's scale times the weight's.
    /// relu : bool
    ///     Whether negative outputs become 0.
    /// out : numpy.ndarray, optional
    ///     Shape (..., out_features): where the integers, or the floats, go.
    ///
    /// Returns
    /// -------
    /// QTensor or numpy.ndarray
    ///     Shape (..., out_features).
    #[pyo3(signature = (input, scale=None, zero_point=None, dtype=None, *, relu=false, out=None))]
    #[expect(clippy::too_many_arguments, reason = "they are the arguments of a Python function")]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        input: Given<'py>,
        scale: Option<&Bound<'py, PyAny>>,
        zero_point: Option<&Bound<'py, PyAny>>,
        dtype: Option<&Bound<'py, PyAny>>,
        relu: bool,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let input = &*input;
        let q = input.get();
        let (x_scale, x_zero) = activation(q, "input")?;
        let form = Form::parse(scale, zero_point, dtype, q)?;
        let codes = q.codes(py);
        let shape = self.output_shape(codes.shape())?;
        let operand = Operand::new(codes)?;
        let (scales, zero_points) = ([x_scale], [x_zero]);
        let x = Activations { codes: operand.matrix().into(), scales: &scales, zero_points: &zero_points };
        self.results(form, &x, codes, &shape, relu, out)
    }

    /// The layer of a float input, which is quantized to quint8 on the way: one scale and zero point for all of it,
    /// chosen from its range, or one for each row.
    ///
    /// Parameters
    /// ----------
    /// input : array_like
    ///     Shape (..., in_features).
    /// per_row : bool
    ///     Whether each row (each token, in a language model) has a scale of its own. More exact where rows differ.
    /// onnx : bool
    ///     Whether ranges become scales, and floats codes, as ONNX's DynamicQuantizeLinear has it: in float32, by
    ///     division; not as `quantize_per_tensor_dynamic` does.
    /// relu : bool
    ///     Whether negative outputs become 0.
    /// out : numpy.ndarray, optional
    ///     Shape (..., out_features), float32: where the output goes.
    ///
    /// Returns
    /// -------
    /// numpy.ndarray
    ///     Shape (..., out_features), float32.
    #[pyo3(
        signature = (input, *, per_row=false, onnx=false, relu=false, out=None),
        text_signature = "($self, input, *, per_row=False, onnx=False, relu=False, out=None)"
    )]
    fn dynamic<'py>(
        &self,
        py: Python<'py>,
        input: &Bound<'py, PyAny>,
        per_row: bool,
        onnx: bool,
        relu: bool,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let formula = if onnx { Formula::Onnx } else { Formula::Contract };
        let x = as_float32(input, "input")?;
        let in_shape = x.shape();
        let shape = self.output_shape(in_shape)?;
        let depth = self.packed.depth();
        let values = elements::<f32>(&x);
        let rows: usize = shape[..shape.len() - 1].iter().product();
        let codes = empty(py, u8::TYPE, &[values.len()])?;
        let room = elements_mut::<u8>(&codes);
        let found = || dynamic_codes(&values, rows, per_row, formula, room);
        let (scales, zero_points) = kernel(py, values.len(), "input", in_shape, found)?.map_err(Error)?;
        let x_codes = Matrix::dense(Codes::U8(elements(&codes)), rows, depth);
        let activations = Activations { codes: x_codes.into(), scales: &scales, zero_points: &zero_points };
        self.results(Form::Floats, &activations, &x, &shape, relu, out)
    }

    /// The weight, unpacked: shape (out_features, in_features).
    fn weight(&self, py: Python<'_>) -> PyResult<QTensor> {
        let shape = [self.packed.columns(), self.packed.depth()];
        let flat = match self.quantizer.dtype() {
            DType::QInt8 => from_slice::<i8>(py, &self.packed.unpack(|w| w))?,
            _ => from_slice::<u8>(py, &self.packed.unpack(|w| (w as u8) ^ 0x80))?,
        };
        let codes = flat.call_method1("reshape", (PyTuple::new(py, shape)?,))?.cast_into()?;
        Ok(QTensor::from_parts(codes, Arc::clone(&self.quantizer), None))
    }

    /// The bias: shape (out_features,), float32 or int32; or None.
    fn bias<'py>(&self, py: Python<'py>) -> PyResult<Option<Array<'py>>> {
        self.bias.array(py)
    }

    /// Length of the input's last axis.
    #[getter]
    fn in_features(&self) -> usize {
        self.packed.depth()
    }

    /// Length of the output's last axis.
    #[getter]
    fn out_features(&self) -> usize {
        self.packed.columns()
    }

    /// Bytes of the packed weight and its tables.
    #[getter]
    fn nbytes(&self) -> usize {
        self.packed.bytes()
    }

    /// The instruction set that the weight is packed for: a name as in `cpu_info()["available"]`.
    #[getter]
    fn kernel(&self) -> &'static str {
        self.packed.isa().name()
    }

    fn __repr__(&self) -> String {
        format!(
            "PackedLinear(in_features={}, out_features={}, dtype={}, qscheme={}, bias={}, kernel={})",
            self.packed.depth(),
            self.packed.columns(),
            self.quantizer.dtype().name(),
            self.quantizer.scheme().name(),
            self.bias.name(),
            self.packed.isa().name()
        )
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let args = (slf.get().weight(py)?, slf.get().bias(py)?).into_pyobject(py)?;
        Ok((slf.get_type().into_any(), args))
    }
}

impl PackedLinear {
    /// The packed weight, the bias, and what the weight stands for.
    pub(super) fn parts(&self) -> (&PackedWeights, &Bias, &Quantizer) {
        (&self.packed, &self.bias, &self.quantizer)
    }

    /// The packed weight, for others to hold.
    pub(super) fn shared(&self) -> Arc<PackedWeights> {
        Arc::clone(&self.packed)
    }

    fn output_shape(&self, input: &[usize]) -> PyResult<Vec<usize>> {
        match input.split_last() {
            Some((&last, rows)) if last == self.packed.depth() => {
                Ok(rows.iter().copied().chain([self.packed.columns()]).collect())
            }
            _ => {
                let valid = format!("of shape (..., {}), as deep as the weight", self.packed.depth());
                Err(Error::value("input", tuple_text(input), valid).into())
            }
        }
    }

    fn results<'py>(
        &self,
        form: Form,
        x: &Activations<'_>,
        input: &Array<'py>,
        shape: &[usize],
        relu: bool,
        out: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let scales = (x.scales.first().copied().unwrap_or(1.0), &*self.quantizer, shape.len() - 1);
        // Products per element that a kernel of `run` handles in as much time.
        let work = x.codes.rows() * self.packed.columns() * self.packed.depth() / 16;
        let run = |finish: &Finish<'_>, results: Results<'_>| {
            kernel(input.py(), work, "input", &[], || multiply(x, &self.packed, finish, results))
        };
        let (array, quantizer) = form.fill(input, out, shape, scales, &self.bias, relu, run)?;
        handed_out(array, quantizer, out.is_some())
    }
}
