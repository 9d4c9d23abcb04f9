//! The cells: one step of each row of a batch.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantray_core::recurrent::Cell;

use super::Network;
use crate::ops::sequences::{Axes, nonlinear};

/// Cells with a docstring each, whose packed weights are `$network`.
macro_rules! cells {
    ($($name:ident;)*) => {$(
        #[pymethods]
        impl $name {
            /// One step of each row of a batch.
            ///
            /// Parameters
            /// ----------
            /// input : array_like
            ///     Shape (batch, input_size) or (input_size,).
            /// state : array_like or tuple of two, optional
            ///     The hidden state, of an LSTM with the cell state, each of shape (batch, hidden_size) or (hidden_size,). Zeros
            ///     by default.
            ///
            /// Returns
            /// -------
            /// numpy.ndarray or tuple of two
            ///     The new ones, float32.
            #[pyo3(signature = (input, state=None))]
            fn __call__<'py>(
                &self,
                input: &Bound<'py, PyAny>,
                state: Option<&Bound<'py, PyAny>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                self.network.run(input, state, Axes::Step, false)?.1.into_python(input.py())
            }

            /// The weights, unpacked: `(w_ih, w_hh)`.
            fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
                self.network.directions[0].weights(py)
            }

            /// The biases: `(b_ih, b_hh)`, each a float32 array or None.
            fn biases<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
                self.network.directions[0].biases(py)
            }

            /// Length of the input's last axis.
            #[getter]
            fn input_size(&self) -> usize {
                self.network.first().inputs()
            }

            /// Units.
            #[getter]
            fn hidden_size(&self) -> usize {
                self.network.first().units()
            }

            /// Bytes of the packed weights and their tables.
            #[getter]
            fn nbytes(&self) -> usize {
                self.network.bytes()
            }

            /// The instruction set that the weights are packed for: a name as in `cpu_info()["available"]`.
            #[getter]
            fn kernel(&self) -> &'static str {
                self.network.kernel()
            }

            fn __repr__(&self) -> String {
                let first = self.network.first();
                let (inputs, units, rest) = (first.inputs(), first.units(), self.network.text());
                format!("{}({inputs}, {units}, {}{rest})", stringify!($name), self.extra())
            }

            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
                let (py, own) = (slf.py(), slf.get());
                let (weights, biases) = (own.weights(py)?, own.biases(py)?);
                let args = weights.as_sequence().concat(biases.as_sequence())?.to_tuple()?;
                let args = args.as_sequence().concat(own.more(py)?.as_sequence())?.to_tuple()?;
                Ok((slf.get_type().into_any(), args))
            }
        }
    )*};
}
cells! { PackedLSTMCell; PackedGRUCell; PackedRNNCell; }

/// Constructors of cells that take weights and biases only.
macro_rules! plain_cells {
    ($($(#[$doc:meta])* $name:ident, $cell:expr;)*) => {$(
        $(#[$doc])*
        #[pyclass(module = "quantray.ops", frozen)]
        pub struct $name {
            network: Network,
        }

        #[pymethods]
        impl $name {
            #[new]
            #[pyo3(signature = (w_ih, w_hh, b_ih=None, b_hh=None))]
            fn new(
                w_ih: &Bound<'_, PyAny>,
                w_hh: &Bound<'_, PyAny>,
                b_ih: Option<&Bound<'_, PyAny>>,
                b_hh: Option<&Bound<'_, PyAny>>,
            ) -> PyResult<Self> {
                Ok(Self { network: Network::of_cell($cell, [w_ih, w_hh], [b_ih, b_hh])? })
            }
        }

        impl $name {
            fn extra(&self) -> &'static str {
                ""
            }

            fn more<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
                Ok(PyTuple::empty(py))
            }
        }
    )*};
}

plain_cells! {
    /// One step of a quantized LSTM. The input is quantized with one scale for the batch, and so is the hidden state.
    ///
    /// Parameters
    /// ----------
    /// w_ih, w_hh : QTensor
    ///     Shapes (4 * hidden_size, input_size) and (4 * hidden_size, hidden_size), gates i, f, g, o; as in `PackedLSTM`.
    /// b_ih, b_hh : array_like, optional
    ///     Shape (4 * hidden_size,).
    ///
    /// Raises
    /// ------
    /// TypeError, ValueError
    ///     As `PackedLSTM`.
    ///
    /// >>> import numpy as np, quantray as qt
    /// >>> w = qt.quantize_per_tensor(np.full((4, 1), 0.5), 0.5, 0, qt.qint8)
    /// >>> h, c = qt.ops.PackedLSTMCell(w, w)([[2.0]])
    /// >>> h.round(4), c.round(4)
    /// (array([[0.3696]], dtype=float32), array([[0.5568]], dtype=float32))
    ///
    /// Source: `torch.ao.nn.quantized.dynamic.LSTMCell`.
    PackedLSTMCell, Cell::Lstm;

    /// One step of a quantized GRU. The input is quantized with one scale for the batch, and so is the hidden state.
    ///
    /// Parameters
    /// ----------
    /// w_ih, w_hh : QTensor
    ///     Shapes (3 * hidden_size, input_size) and (3 * hidden_size, hidden_size), gates r, z, n; as in `PackedGRU`.
    /// b_ih, b_hh : array_like, optional
    ///     Shape (3 * hidden_size,).
    ///
    /// Raises
    /// ------
    /// TypeError, ValueError
    ///     As `PackedLSTM`.
    ///
    /// >>> import numpy as np, quantray as qt
    /// >>> w = qt.quantize_per_tensor(np.full((3, 1), 0.5), 0.5, 0, qt.qint8)
    /// >>> qt.ops.PackedGRUCell(w, w)([[2.0]]).round(4)
    /// array([[0.2048]], dtype=float32)
    ///
    /// Source: `torch.ao.nn.quantized.dynamic.GRUCell`.
    PackedGRUCell, Cell::Gru;
}

/// One step of Elman's quantized network, `h' = tanh(w_ih x + b_ih + w_hh h + b_hh)` or its positive part. The input is
/// quantized with one scale for the batch, and so is the hidden state.
///
/// Parameters
/// ----------
/// w_ih, w_hh : QTensor
///     Shapes (hidden_size, input_size) and (hidden_size, hidden_size); as in `PackedLSTM`.
/// b_ih, b_hh : array_like, optional
///     Shape (hidden_size,).
/// nonlinearity : str
///     "tanh" or "relu".
///
/// Raises
/// ------
/// TypeError, ValueError
///     As `PackedLSTM`; for another nonlinearity.
///
/// >>> import numpy as np, quantray as qt
/// >>> w = qt.quantize_per_tensor([[0.5]], 0.5, 0, qt.qint8)
/// >>> qt.ops.PackedRNNCell(w, w, nonlinearity="relu")([[2.0]], [[1.0]])
/// array([[1.5]], dtype=float32)
///
/// Source: `torch.ao.nn.quantized.dynamic.RNNCell`; Elman, Finding Structure in Time (1990).
#[pyclass(module = "quantray.ops", frozen)]
pub struct PackedRNNCell {
    network: Network,
}

#[pymethods]
impl PackedRNNCell {
    #[new]
    #[pyo3(signature = (w_ih, w_hh, b_ih=None, b_hh=None, nonlinearity="tanh"))]
    fn new(
        w_ih: &Bound<'_, PyAny>,
        w_hh: &Bound<'_, PyAny>,
        b_ih: Option<&Bound<'_, PyAny>>,
        b_hh: Option<&Bound<'_, PyAny>>,
        nonlinearity: &str,
    ) -> PyResult<Self> {
        let cell = nonlinear(nonlinearity)?;
        Ok(Self { network: Network::of_cell(cell, [w_ih, w_hh], [b_ih, b_hh])? })
    }

    /// What is done to the sum: "tanh" or "relu".
    #[getter]
    fn nonlinearity(&self) -> &'static str {
        if self.network.cell == Cell::Relu { "relu" } else { "tanh" }
    }
}

impl PackedRNNCell {
    fn extra(&self) -> &'static str {
        if self.network.cell == Cell::Relu { "nonlinearity=relu, " } else { "nonlinearity=tanh, " }
    }

    fn more<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, [self.nonlinearity()])
    }
}
