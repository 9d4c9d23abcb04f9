//! `PackedLSTM`, `PackedGRU` and the cells: recurrent layers with weights packed for this CPU.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use quantray_core::arch::Isa;
use quantray_core::gemm::WeightParams;
use quantray_core::observe;
use quantray_core::qparams::{DType, Quantizer};
use quantray_core::recurrent::{Cell, Quantized, Tables, quantized_layer};

use super::matrices::{Operand, weight};
use super::sequences::{Axes, Input, States, memory, parts};
use crate::array::{Array, Element, elements, elements_over, from_slice, tuple_text, type_name};
use crate::error::Error;
use crate::run::{kernel, packing};
use crate::tensor::QTensor;

/// A weight that a caller gave: its codes, and what they stand for.
struct Given<'py> {
    operand: Operand<'py>,
    shape: [usize; 2],
    scales: Vec<f32>,
    zero_points: Vec<i32>,
    quantizer: Arc<Quantizer>,
}

impl<'py> Given<'py> {
    fn parse(object: &Bound<'py, PyAny>, arg: &str) -> PyResult<Self> {
        let py = object.py();
        let Ok(tensor) = object.cast::<QTensor>() else {
            let valid = "a QTensor (quantize_per_tensor makes one)";
            return Err(Error::type_(arg, type_name(object), valid).into());
        };
        let q = tensor.get();
        let (scales, zero_points) = weight(q, 0, arg)?;
        let codes = q.codes(py);
        let &[rows, columns] = codes.shape() else {
            return Err(Error::value(arg, tuple_text(codes.shape()), "a matrix").into());
        };
        let quantizer = Arc::clone(q.quantizer());
        Ok(Self { operand: Operand::new(codes)?, shape: [rows, columns], scales, zero_points, quantizer })
    }

    fn params(&self) -> WeightParams<'_> {
        WeightParams { scales: &self.scales, zero_points: &self.zero_points }
    }
}

/// One direction of a layer, and the quantizers of its weights.
struct Direction {
    packed: Quantized,
    quantizers: Vec<Arc<Quantizer>>,
}

impl Direction {
    /// From `(w_ih, w_hh)` or `(w_ih, w_hh, w_hr)` and biases, for which messages have names.
    fn new(
        py: Python<'_>,
        cell: Cell,
        weights: &[Bound<'_, PyAny>],
        biases: [Option<Bound<'_, PyAny>>; 2],
        names: [&str; 5],
    ) -> PyResult<Self> {
        let given: Vec<_> =
            weights.iter().zip(names).map(|(w, name)| Given::parse(w, name)).collect::<PyResult<_>>()?;
        let shapes: Vec<_> = given.iter().map(|w| w.shape).collect();
        super::sequences::check_shapes(cell, &shapes, names)?;
        let bias = |i: usize| {
            let own: Option<&Bound<'_, PyAny>> = biases[i].as_ref();
            own.map(|bias| super::sequences::bias(bias, shapes[0][0], names[3 + i])).transpose()
        };
        let (b_ih, b_hh) = (bias(0)?, bias(1)?);
        for (bias, name) in [(&b_ih, names[3]), (&b_hh, names[4])] {
            if let Some(i) = bias.iter().flat_map(|b| elements::<f32>(b)).position(|b| !b.is_finite()) {
                return Err(Error::value(name, format!("not finite at {i}"), "finite").into());
            }
        }
        let matrices: Vec<_> = given.iter().map(|w| (w.operand.matrix(), w.params())).collect();
        let tables = Tables {
            w_ih: matrices[0],
            w_hh: matrices[1],
            w_hr: matrices.get(2).copied(),
            b_ih: b_ih.as_ref().map(elements::<f32>),
            b_hh: b_hh.as_ref().map(elements::<f32>),
        };
        let packed = packing(py, || Quantized::new(Isa::current(), cell, tables))?;
        Ok(Self { packed, quantizers: given.into_iter().map(|w| w.quantizer).collect() })
    }

    /// The weights, unpacked.
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let (units, outputs, inputs) = (self.packed.units(), self.packed.outputs(), self.packed.inputs());
        let shapes = [inputs, outputs, units];
        let tensors: Vec<QTensor> = self
            .quantizers
            .iter()
            .enumerate()
            .map(|(i, quantizer)| {
                let flat = match quantizer.dtype() {
                    DType::QInt8 => self.unpacked(py, i, |w| w)?,
                    _ => self.unpacked(py, i, |w| (w as u8) ^ 0x80)?,
                };
                let codes = flat.call_method1("reshape", (-1, shapes[i]))?.cast_into()?;
                Ok(QTensor::from_parts(codes, Arc::clone(quantizer), None))
            })
            .collect::<PyResult<_>>()?;
        PyTuple::new(py, tensors)
    }

    fn unpacked<'py, T: Element + Default>(
        &self,
        py: Python<'py>,
        i: usize,
        of: impl Fn(i8) -> T + Copy,
    ) -> PyResult<Array<'py>> {
        match i {
            0 | 1 => from_slice(py, &self.packed.unpack(of)[i]),
            _ => from_slice(py, &self.packed.unpack_projection(of).unwrap_or_default()),
        }
    }

    /// The biases, each an array or None.
    fn biases<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let arrays = self.packed.biases().map(|bias| bias.map(|bias| from_slice(py, &bias)).transpose());
        let [b_ih, b_hh] = arrays;
        PyTuple::new(py, [b_ih?, b_hh?])
    }
}

/// Layers one after the other, of one direction each or of two.
struct Network {
    cell: Cell,
    directions: Vec<Direction>,
    bidirectional: bool,
    batch_first: bool,
}

impl Network {
    fn new(
        cell: Cell,
        weights: &Bound<'_, PyAny>,
        biases: Option<&Bound<'_, PyAny>>,
        batch_first: bool,
        bidirectional: bool,
    ) -> PyResult<Self> {
        let py = weights.py();
        let mut directions = Vec::new();
        for part in parts(cell, weights, biases, bidirectional)? {
            let names = part.names.each_ref().map(String::as_str);
            directions.push(Direction::new(py, cell, &part.weights, part.biases, names)?);
        }
        let sizes = |d: &Direction| [d.packed.inputs(), d.packed.units(), d.packed.outputs()];
        let sizes: Vec<_> = directions.iter().map(sizes).collect();
        super::sequences::check_stack(&sizes, 1 + usize::from(bidirectional))?;
        Ok(Self { cell, directions, bidirectional, batch_first })
    }

    /// One of a cell's.
    fn of_cell(
        cell: Cell,
        weights: [&Bound<'_, PyAny>; 2],
        biases: [Option<&Bound<'_, PyAny>>; 2],
    ) -> PyResult<Self> {
        let names = ["w_ih", "w_hh", "w_hr", "b_ih", "b_hh"];
        let biases = biases.map(|bias| bias.cloned());
        let direction = Direction::new(weights[0].py(), cell, &weights.map(Clone::clone), biases, names)?;
        Ok(Self { cell, directions: vec![direction], bidirectional: false, batch_first: false })
    }

    fn first(&self) -> &Quantized {
        &self.directions[0].packed
    }

    fn is_projected(&self) -> bool {
        self.directions[0].quantizers.len() > 2
    }

    fn per_layer(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    fn layers(&self) -> usize {
        self.directions.len() / self.per_layer()
    }

    /// All layers: the output, and the last states.
    fn run<'py>(
        &self,
        input: &Bound<'py, PyAny>,
        state: Option<&Bound<'py, PyAny>>,
        axes: Axes,
        per_row: bool,
    ) -> PyResult<(Array<'py>, States<'py>)> {
        let py = input.py();
        let first = self.first();
        let input = Input::parse(input, first.inputs(), axes)?;
        let (count, outputs) = (self.directions.len(), first.outputs());
        let states = States::parse(py, self.cell, state, &input, count, outputs, first.units())?;
        finite(&states.h, states.name(0))?;
        if let Some(c) = &states.c {
            finite(c, states.name(1))?;
        }
        let shape = input.shape;
        let per_layer = self.per_layer();
        let y = input.output(py, per_layer * outputs)?;
        if shape.rows() == 0 {
            return Ok((y, states));
        }
        // Where NaN is, in the caller's order of axes.
        let given = elements::<f32>(&input.given);
        kernel(py, given.len(), "input", input.given.shape(), || observe::min_max(given))?;
        let x = input.by_steps()?;
        let (x, to) = (elements::<f32>(&x), elements_over::<f32>(&y));
        let (h, c) = (memory(Some(&states.h)), memory(states.c.as_ref()));
        let work = self
            .directions
            .iter()
            .map(|d| shape.rows() * self.cell.gates() * first.units() * (d.packed.inputs() + outputs))
            .sum::<usize>();
        kernel(py, work / 16, "input", &[], || {
            let mut last = Vec::new();
            let (h_size, c_size) = (shape.batch * outputs, shape.batch * first.units());
            let mut cs = c.chunks_mut(c_size.max(1));
            let mut all = h
                .chunks_mut(h_size)
                .map(|h| quantray_core::recurrent::States { h, c: cs.next().unwrap_or_default() });
            for (i, layer) in self.directions.chunks(per_layer).enumerate() {
                let directions: Vec<_> = layer.iter().map(|d| &d.packed).collect();
                let states = all.by_ref().take(per_layer).collect();
                let x = if i == 0 { x } else { &last };
                let done = if i + 1 == self.layers() {
                    quantized_layer(&directions, x, shape, states, to, per_row)?
                } else {
                    let mut y = vec![0f32; shape.rows() * per_layer * outputs];
                    let shape = quantray_core::recurrent::Shape { batch_first: false, ..shape };
                    let done = quantized_layer(&directions, x, shape, states, &mut y, per_row)?;
                    last = y;
                    done
                };
                if done.is_err() {
                    return Ok(done);
                }
            }
            Ok(Ok(()))
        })?
        .map_err(Error)?;
        Ok((y, states))
    }

    fn bytes(&self) -> usize {
        self.directions.iter().map(|d| d.packed.bytes()).sum()
    }

    fn kernel(&self) -> &'static str {
        self.first().isa().name()
    }

    /// What `repr` says of the weights.
    fn text(&self) -> String {
        let quantizer = &self.directions[0].quantizers[0];
        let biases = self.first().biases().iter().any(Option::is_some);
        let bias = if biases { f32::NAME } else { "None" };
        format!(
            "dtype={}, qscheme={}, bias={bias}, kernel={}",
            quantizer.dtype().name(),
            quantizer.scheme().name(),
            self.kernel()
        )
    }

    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.directions.iter().map(|d| d.weights(py)).collect::<PyResult<Vec<_>>>()?)
    }

    fn biases<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.directions.iter().map(|d| d.biases(py)).collect::<PyResult<Vec<_>>>()?)
    }
}

/// A first state has to be quantized, or to stay a number.
fn finite(array: &Array<'_>, name: &str) -> PyResult<()> {
    let values = elements::<f32>(array);
    match values.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(Error::value(name, format!("{} (flat index {i})", values[i]), "finite").into()),
        None => Ok(()),
    }
}

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
        let cell = super::sequences::nonlinear(nonlinearity)?;
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
