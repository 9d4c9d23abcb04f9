//! `PackedLSTM` and `PackedGRU`: whole sequences.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use quantray_core::recurrent::Cell;

use super::Network;
use crate::array::Array;
use crate::ops::sequences::Axes;

/// Layers with a docstring and a number of states.
macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $cell:expr;)*) => {$(
        $(#[$doc])*
        #[pyclass(module = "quantray.ops", frozen)]
        pub struct $name(Network);

        #[pymethods]
        impl $name {
            #[new]
            #[pyo3(signature = (weights, biases=None, batch_first=false, bidirectional=false))]
            fn new(
                weights: &Bound<'_, PyAny>,
                biases: Option<&Bound<'_, PyAny>>,
                batch_first: bool,
                bidirectional: bool,
            ) -> PyResult<Self> {
                Ok(Self(Network::new($cell, weights, biases, batch_first, bidirectional)?))
            }

            /// Runs all layers over whole sequences.
            ///
            /// Parameters
            /// ----------
            /// input : array_like
            ///     Shape (steps, batch, input_size), with `batch_first` (batch, steps, input_size); or, for one sequence,
            ///     (steps, input_size).
            /// state : array_like or tuple of two, optional
            ///     The first hidden state, of an LSTM with the first cell state. Shape (layers * directions, batch,
            ///     output size or, for the cell state, hidden_size), without the batch for one sequence. Zeros by default.
            /// per_row : bool
            ///     Whether each row of each step of the input has a scale of its own, as audio wants it, whose frames
            ///     are silent and loud. By default all steps have one, as torch's.
            ///
            /// Returns
            /// -------
            /// output : numpy.ndarray
            ///     As the input, with directions * output size on the last axis; float32.
            /// state : numpy.ndarray or tuple of two
            ///     The last ones, in the first ones' shapes.
            #[pyo3(signature = (input, state=None, *, per_row=false))]
            fn __call__<'py>(
                &self,
                input: &Bound<'py, PyAny>,
                state: Option<&Bound<'py, PyAny>>,
                per_row: bool,
            ) -> PyResult<(Array<'py>, Bound<'py, PyAny>)> {
                let axes = Axes::Steps { batch_first: self.0.batch_first };
                let (y, states) = self.0.run(input, state, axes, per_row)?;
                Ok((y, states.into_python(input.py())?))
            }

            /// The weights, unpacked: for each layer and direction `(w_ih, w_hh)`, with a projection `(w_ih, w_hh, w_hr)`.
            fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
                self.0.weights(py)
            }

            /// The biases: for each layer and direction `(b_ih, b_hh)`, float32 arrays or None.
            fn biases<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
                self.0.biases(py)
            }

            /// Length of the input's last axis.
            #[getter]
            fn input_size(&self) -> usize {
                self.0.first().inputs()
            }

            /// Units of each direction.
            #[getter]
            fn hidden_size(&self) -> usize {
                self.0.first().units()
            }

            /// Number of layers.
            #[getter]
            fn num_layers(&self) -> usize {
                self.0.layers()
            }

            /// Whether each layer also runs from the last step to the first.
            #[getter]
            fn bidirectional(&self) -> bool {
                self.0.bidirectional
            }

            /// Whether the input's first axis is the batch.
            #[getter]
            fn batch_first(&self) -> bool {
                self.0.batch_first
            }

            /// Bytes of the packed weights and their tables.
            #[getter]
            fn nbytes(&self) -> usize {
                self.0.bytes()
            }

            /// The instruction set that the weights are packed for: a name as in `cpu_info()["available"]`.
            #[getter]
            fn kernel(&self) -> &'static str {
                self.0.kernel()
            }

            fn __repr__(&self) -> String {
                let (first, network) = (self.0.first(), &self.0);
                let projection = match network.is_projected() {
                    true => format!(", proj_size={}", first.outputs()),
                    false => String::new(),
                };
                let flag = |on| if on { "True" } else { "False" };
                format!(
                    concat!($text, "({}, {}{}, num_layers={}, batch_first={}, bidirectional={}, {})"),
                    first.inputs(),
                    first.units(),
                    projection,
                    network.layers(),
                    flag(network.batch_first),
                    flag(network.bidirectional),
                    network.text()
                )
            }

            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
                let (py, own) = (slf.py(), &slf.get().0);
                let args = (own.weights(py)?, own.biases(py)?, own.batch_first, own.bidirectional);
                Ok((slf.get_type().into_any(), args.into_pyobject(py)?))
            }
        }
    )*};
}

layers! {
    /// A quantized LSTM, its weights laid out once for this CPU: any number of layers, in one direction or in both, with
    /// projections or without.
    ///
    /// Weights are integers. Activations are quantized to quint8 when they arrive: the input of a layer with one scale, and
    /// in each step the hidden state of the whole batch with one. Gates and states are float32. It pickles as its plain
    /// weights, and packs itself again where it is loaded.
    ///
    /// Parameters
    /// ----------
    /// weights : sequence of tuples of QTensor
    ///     For each layer `(w_ih, w_hh)`, with `bidirectional` two of them, the second one for the way back. Shapes
    ///     (4 * hidden_size, input_size) and (4 * hidden_size, hidden_size), gates i, f, g, o, as torch has them; qint8 or
    ///     quint8, quantized per tensor or per channel along axis 0. `(w_ih, w_hh, w_hr)` with a projection: w_hh is
    ///     (4 * hidden_size, proj_size), w_hr (proj_size, hidden_size).
    /// biases : sequence of tuples of array_like, optional
    ///     As many `(b_ih, b_hh)`, of shape (4 * hidden_size,); each may be None.
    /// batch_first : bool
    ///     Whether the first axis of inputs and outputs is the batch, and not the steps.
    /// bidirectional : bool
    ///     Whether each layer also runs from the last step to the first; outputs lie side by side.
    ///
    /// Raises
    /// ------
    /// TypeError, ValueError
    ///     For weights of other dtypes, shapes or channel axes; for an input that holds NaN, or whose range is infinite.
    ///
    /// >>> import numpy as np, quantray as qt
    /// >>> rng = np.random.default_rng(0)
    /// >>> w = [qt.quantize_per_tensor(rng.uniform(-1, 1, (4 * 8, n)), 1 / 127, 0, qt.qint8) for n in (3, 8)]
    /// >>> lstm = qt.ops.PackedLSTM([w])
    /// >>> y, (h, c) = lstm(rng.standard_normal((5, 2, 3)))
    /// >>> y.shape, h.shape, c.shape
    /// ((5, 2, 8), (1, 2, 8), (1, 2, 8))
    /// >>> np.array_equal(y[-1], h[0])
    /// True
    ///
    /// Source: `torch.ao.nn.quantized.dynamic.LSTM`; Hochreiter and Schmidhuber, Long Short-Term Memory (1997).
    PackedLSTM, "PackedLSTM", Cell::Lstm;

    /// A quantized GRU, its weights laid out once for this CPU: any number of layers, in one direction or in both. As
    /// `PackedLSTM`, with 3 * hidden_size rows of weights, gates r, z, n, and one state.
    ///
    /// Parameters
    /// ----------
    /// weights : sequence of tuples of QTensor
    ///     For each layer and direction `(w_ih, w_hh)`, of shapes (3 * hidden_size, input_size) and
    ///     (3 * hidden_size, hidden_size).
    /// biases : sequence of tuples of array_like, optional
    ///     As many `(b_ih, b_hh)`, of shape (3 * hidden_size,); each may be None.
    /// batch_first, bidirectional : bool
    ///     As in `PackedLSTM`.
    ///
    /// Raises
    /// ------
    /// TypeError, ValueError
    ///     As `PackedLSTM`.
    ///
    /// >>> import numpy as np, quantray as qt
    /// >>> rng = np.random.default_rng(0)
    /// >>> w = [qt.quantize_per_tensor(rng.uniform(-1, 1, (3 * 8, n)), 1 / 127, 0, qt.qint8) for n in (3, 8)]
    /// >>> y, h = qt.ops.PackedGRU([w, w], bidirectional=True)(rng.standard_normal((5, 2, 3)))
    /// >>> y.shape, h.shape
    /// ((5, 2, 16), (2, 2, 8))
    ///
    /// Source: `torch.ao.nn.quantized.dynamic.GRU`; Cho et al., Learning Phrase Representations using RNN Encoder-Decoder
    /// (2014), with the reset gate behind the product, as torch and cuDNN have it.
    PackedGRU, "PackedGRU", Cell::Gru;
}

#[pymethods]
impl PackedLSTM {
    /// What the projection makes of the units; 0 without one, as in torch.
    #[getter]
    fn proj_size(&self) -> usize {
        if self.0.is_projected() { self.0.first().outputs() } else { 0 }
    }
}
