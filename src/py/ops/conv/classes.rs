//! A class for each number of axes, and for each transpose.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use quantray_core::gemm::Formula;

use super::{Conv, Settings};
use crate::array::{Array, describe};
use crate::error::Error;
use crate::tensor::{Given, QTensor};

/// What all classes share.
macro_rules! class {
    (
        $(#[$doc:meta])* $name:ident, $dims:literal, ($($arg:ident),*), $signature:literal,
        $make:expr, |$own:ident, $py:ident| $args:expr
    ) => {
        $(#[$doc])*
        #[pyclass(module = "quantray.ops", frozen)]
        pub struct $name(Arc<Conv>);

        #[pymethods]
        impl $name {
            #[new]
            #[pyo3(signature = (weight, bias=None, $($arg=None),*), text_signature = $signature)]
            fn new(
                weight: Given<'_>,
                bias: Option<&Bound<'_, PyAny>>,
                $($arg: Option<&Bound<'_, PyAny>>),*
            ) -> PyResult<Self> {
                let weight = &*weight;
                Conv::new($dims, weight, bias, &$make).map(|made| Self(Arc::new(made)))
            }

            /// The convolution of a quantized input: a QTensor of this scale and zero point, or floats without them.
            /// Results lie channels last in memory.
            ///
            /// Parameters
            /// ----------
            /// input : QTensor
            ///     Shape (N, in_channels, lengths), or without N; qint8 or quint8, quantized per tensor.
            /// scale, zero_point : float and int, optional
            ///     Of the output. Without them the output is a float32 array.
            /// dtype : optional
            ///     Of the output: qint8 or quint8, by default the input's. With qint32, and neither scale nor zero
            ///     point, the output holds the sums themselves, in steps of the input's scale times the weight's.
            /// relu : bool
            ///     Whether negative outputs become 0.
            /// out : numpy.ndarray, optional
            ///     Where the integers, or the floats, go; without a copy where it lies channels last.
            ///
            /// Returns
            /// -------
            /// QTensor or numpy.ndarray
            ///     Shape (N, out_channels, lengths).
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
                self.0.call(py, input, scale, zero_point, dtype, relu, out)
            }

            /// The convolution of a float input, which is quantized to quint8 on the way, with a scale and a zero point
            /// chosen from its range.
            ///
            /// Parameters
            /// ----------
            /// input : array_like
            ///     Shape (N, in_channels, lengths), or without N.
            /// onnx : bool
            ///     Whether the range becomes a scale, and floats codes, as ONNX's DynamicQuantizeLinear has it.
            /// relu : bool
            ///     Whether negative outputs become 0.
            /// out : numpy.ndarray, optional
            ///     Shape (N, out_channels, lengths), float32: where the output goes.
            ///
            /// Returns
            /// -------
            /// numpy.ndarray
            ///     Shape (N, out_channels, lengths), float32.
            #[pyo3(
                signature = (input, *, onnx=false, relu=false, out=None),
                text_signature = "($self, input, *, onnx=False, relu=False, out=None)"
            )]
            fn dynamic<'py>(
                &self,
                py: Python<'py>,
                input: &Bound<'py, PyAny>,
                onnx: bool,
                relu: bool,
                out: Option<&Bound<'py, PyAny>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                self.0.dynamic(py, input, if onnx { Formula::Onnx } else { Formula::Contract }, relu, out)
            }

            /// The weight, unpacked.
            fn weight(&self, py: Python<'_>) -> PyResult<QTensor> {
                self.0.weight(py)
            }

            /// The bias: shape (out_channels,), float32 or int32; or None.
            fn bias<'py>(&self, py: Python<'py>) -> PyResult<Option<Array<'py>>> {
                self.0.bias.array(py)
            }

            /// Number of input channels.
            #[getter]
            fn in_channels(&self) -> usize {
                self.0.packed.channels().0
            }

            /// Number of output channels.
            #[getter]
            fn out_channels(&self) -> usize {
                self.0.packed.channels().1
            }

            /// Lengths of the kernel.
            #[getter]
            fn kernel_size<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
                PyTuple::new(py, self.0.own(self.0.packed.geometry().kernel))
            }

            /// From one position to the next, along each axis.
            #[getter]
            fn stride<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
                PyTuple::new(py, self.0.own(self.0.packed.geometry().stride))
            }

            /// Zeros at each end of each axis, or "same".
            #[getter]
            fn padding<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.padding(py)
            }

            /// From one element of the kernel to the next, along each axis.
            #[getter]
            fn dilation<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
                PyTuple::new(py, self.0.own(self.0.packed.geometry().dilation))
            }

            /// Groups of channels that do not meet.
            #[getter]
            fn groups(&self) -> usize {
                self.0.packed.geometry().groups
            }

            /// Bytes of the packed weight and its tables.
            #[getter]
            fn nbytes(&self) -> usize {
                self.0.packed.bytes()
            }

            /// The instruction set that the weight is packed for: a name as in `cpu_info()["available"]`.
            #[getter]
            fn kernel(&self) -> &'static str {
                self.0.packed.isa().name()
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                self.0.repr(py, stringify!($name))
            }

            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
                let ($py, $own) = (slf.py(), slf.get());
                Ok((slf.get_type().into_any(), $args.into_pyobject($py)?))
            }
        }
    };
}

macro_rules! convolution {
    ($(#[$doc:meta])* $name:ident, $dims:literal) => {
        class! {
            $(#[$doc])* $name, $dims, (stride, padding, dilation, groups, input_zero_points),
            "(weight, bias=None, stride=1, padding=0, dilation=1, groups=1, input_zero_points=None)",
            Settings { stride, padding, dilation, groups, output_padding: None, input_zero_points },
            |own, py| (
                own.weight(py)?, own.bias(py)?, own.stride(py)?, own.padding(py)?, own.dilation(py)?, own.groups(),
                own.0.input_zero_points(py)?,
            )
        }

        #[pymethods]
        impl $name {
            /// The zero points of the input's channels, where these have some of their own; or None.
            #[getter]
            fn input_zero_points<'py>(&self, py: Python<'py>) -> PyResult<Option<Array<'py>>> {
                self.0.input_zero_points(py)
            }
        }
    };
}

macro_rules! transposed {
    ($(#[$doc:meta])* $name:ident, $dims:literal) => {
        class! {
            $(#[$doc])* $name, $dims, (stride, padding, output_padding, groups, dilation),
            "(weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1)",
            Settings { stride, padding, dilation, groups, output_padding: Some(output_padding), input_zero_points: None },
            |own, py| (
                own.weight(py)?, own.bias(py)?, own.stride(py)?, own.padding(py)?, own.output_padding(py)?,
                own.groups(), own.dilation(py)?,
            )
        }

        #[pymethods]
        impl $name {
            /// What is added to the end of each axis of the output.
            #[getter]
            fn output_padding<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
                PyTuple::new(py, self.0.own(self.0.packed.geometry().transposed.unwrap_or_default()))
            }
        }
    };
}

convolution! {
    /// A quantized convolution of sequences, as `PackedConv2d` is of images: weights are of shape
    /// (out_channels, in_channels / groups, L).
    ///
    /// Source: `torch.ops.quantized.conv1d`.
    PackedConv1d, 1
}

convolution! {
    /// A quantized convolution of images, with its weight laid out once for this CPU.
    ///
    /// Products of 8-bit integers are added up in 32 bits, exactly, and turned into results on the way. It pickles as
    /// its plain weight, and packs itself again where it is loaded.
    ///
    /// Parameters
    /// ----------
    /// weight : QTensor
    ///     Shape (out_channels, in_channels / groups, H, W), qint8 or quint8, quantized per tensor or per channel along
    ///     axis 0.
    /// bias : array_like, optional
    ///     Shape (out_channels,). Floats are real numbers; int32 counts steps of a product, the scale of the input
    ///     times the weight's.
    /// stride, dilation : int or sequence of int
    ///     From one position, or one element of the kernel, to the next.
    /// padding : int, sequence of int, "same" or "valid"
    ///     Zeros at both ends of each axis.
    /// groups : int
    ///     Groups of channels that do not meet. As many as there are input channels: a depthwise convolution.
    /// input_zero_points : sequence of int, optional
    ///     Of a depthwise convolution: the zero point of each channel, in the place of the input's.
    ///
    /// Raises
    /// ------
    /// TypeError, ValueError
    ///     For a weight of another dtype, shape or channel axis, for other settings, and where a sum of products could
    ///     leave 32 bits.
    ///
    /// >>> import numpy as np, quantray as qt
    /// >>> w = qt.quantize_per_tensor(np.ones((1, 1, 2, 2)), 0.01, 0, qt.qint8)
    /// >>> conv = qt.ops.PackedConv2d(w, bias=[0.5])
    /// >>> x = qt.quantize_per_tensor(np.arange(9.0).reshape(1, 1, 3, 3), 0.1, 0, qt.quint8)
    /// >>> conv(x, scale=0.5, zero_point=0).tolist()
    /// [[[[8.5, 12.5], [20.5, 24.5]]]]
    ///
    /// Source: `torch.ops.quantized.conv2d`, `torch.ops.quantized.conv2d_relu`.
    PackedConv2d, 2
}

convolution! {
    /// A quantized convolution of volumes, as `PackedConv2d` is of images: weights are of shape
    /// (out_channels, in_channels / groups, D, H, W).
    ///
    /// Source: `torch.ops.quantized.conv3d`.
    PackedConv3d, 3
}

transposed! {
    /// A quantized transposed convolution of sequences, as `PackedConvTranspose2d` is of images: weights are of shape
    /// (in_channels, out_channels / groups, L).
    ///
    /// Source: `torch.ops.quantized.conv_transpose1d`.
    PackedConvTranspose1d, 1
}

transposed! {
    /// A quantized transposed convolution of images, with its weight laid out once for this CPU.
    ///
    /// Parameters
    /// ----------
    /// weight : QTensor
    ///     Shape (in_channels, out_channels / groups, H, W), qint8 or quint8, quantized per tensor or per channel along
    ///     axis 1.
    /// bias : array_like, optional
    ///     Shape (out_channels,), as in `PackedConv2d`.
    /// stride, dilation : int or sequence of int
    ///     From one position of the input to the next in the output, and from one element of the kernel to the next.
    /// padding : int or sequence of int
    ///     What is cut off both ends of each axis of the output.
    /// output_padding : int or sequence of int
    ///     What is added to the end of each axis of the output.
    /// groups : int
    ///     Groups of channels that do not meet.
    ///
    /// >>> import numpy as np, quantray as qt
    /// >>> w = qt.quantize_per_tensor(np.ones((1, 1, 2, 2)), 0.01, 0, qt.qint8)
    /// >>> up = qt.ops.PackedConvTranspose2d(w, stride=2)
    /// >>> x = qt.quantize_per_tensor([[[[1.0, 2.0]]]], 0.1, 0, qt.quint8)
    /// >>> up(x, scale=0.5, zero_point=0).tolist()
    /// [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]
    ///
    /// Source: `torch.ops.quantized.conv_transpose2d`.
    PackedConvTranspose2d, 2
}

transposed! {
    /// A quantized transposed convolution of volumes, as `PackedConvTranspose2d` is of images: weights are of shape
    /// (in_channels, out_channels / groups, D, H, W).
    ///
    /// Source: `torch.ops.quantized.conv_transpose3d`.
    PackedConvTranspose3d, 3
}

/// The convolution of an object of any of the classes.
pub(in crate::ops) fn conv_of(object: &Bound<'_, PyAny>) -> PyResult<Arc<Conv>> {
    macro_rules! first_of {
        ($($class:ident),*) => {$(
            if let Ok(found) = object.cast::<$class>() {
                return Ok(Arc::clone(&found.get().0));
            }
        )*};
    }
    first_of!(
        PackedConv1d,
        PackedConv2d,
        PackedConv3d,
        PackedConvTranspose1d,
        PackedConvTranspose2d,
        PackedConvTranspose3d
    );
    Err(Error::type_("steps", describe(object), "a packed convolution").into())
}
