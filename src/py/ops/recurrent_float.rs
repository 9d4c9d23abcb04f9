//! Recurrent layers of floats: the product with the input by NumPy's BLAS, all steps in one call.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use quantray_core::arch::Isa;
use quantray_core::recurrent::{self, Cell, Float, FloatWeights, Shape, float_layer};

use super::sequences::{
    Axes, Input, Part, States, bias, check_shapes, check_stack, memory, nonlinear, parts,
};
use crate::array::{Array, as_float32, elements, elements_over, np, tuple_text};
use crate::error::Error;
use crate::run::{kernel, packing};

/// Weights and biases of one direction.
pub struct Direction<'py> {
    pub weights: Vec<Array<'py>>,
    pub biases: [Option<Array<'py>>; 2],
}

impl<'py> Direction<'py> {
    pub fn parse(cell: Cell, part: Part<'py>) -> PyResult<Self> {
        let names = part.names.each_ref().map(String::as_str);
        let weights: Vec<_> =
            part.weights.iter().zip(names).map(|(w, name)| as_float32(w, name)).collect::<PyResult<_>>()?;
        let mut shapes = Vec::new();
        for (w, name) in weights.iter().zip(names) {
            let &[rows, columns] = w.shape() else {
                return Err(Error::value(name, tuple_text(w.shape()), "a matrix").into());
            };
            shapes.push([rows, columns]);
        }
        check_shapes(cell, &shapes, names)?;
        let [b_ih, b_hh] = &part.biases;
        let own =
            |b: &Option<Bound<'py, PyAny>>, name| b.as_ref().map(|b| bias(b, shapes[0][0], name)).transpose();
        Ok(Self { weights, biases: [own(b_ih, names[3])?, own(b_hh, names[4])?] })
    }

    /// Inputs, units, outputs.
    pub fn sizes(&self, cell: Cell) -> [usize; 3] {
        let (ih, hh) = (self.weights[0].shape(), self.weights[1].shape());
        [ih[1], ih[0] / cell.gates(), hh[1]]
    }

    /// What the hidden state is multiplied by, and what its projection is.
    pub fn packed(&self, cell: Cell) -> PyResult<(FloatWeights, Option<FloatWeights>)> {
        let [_, units, outputs] = self.sizes(cell);
        let (w_hh, w_hr) = (elements(&self.weights[1]), self.weights.get(2).map(elements));
        let b_hh = self.biases[1].as_ref().map(elements);
        packing(self.weights[1].py(), || {
            let isa = Isa::current();
            let projection = w_hr.map(|w| FloatWeights::new(isa, (1, outputs), w, None));
            Ok((FloatWeights::new(isa, (cell.gates(), units), w_hh, b_hh), projection))
        })
    }

    /// The input's part of the gates, a row for each step and row of the batch.
    fn gates(&self, x: &Array<'py>) -> PyResult<Array<'py>> {
        let py = x.py();
        let inputs = self.weights[0].shape()[1];
        let rows =
            x.call_method1("reshape", (x.shape().iter().product::<usize>() / inputs.max(1), inputs))?;
        let gates = np(py)?.call_method1("matmul", (rows, self.weights[0].getattr("T")?))?;
        if let Some(bias) = &self.biases[0] {
            let out = PyDict::new(py);
            out.set_item("out", &gates)?;
            np(py)?.getattr("add")?.call((&gates, bias), Some(&out))?;
        }
        Ok(gates.cast_into()?)
    }
}

/// All layers.
fn run<'py>(
    cell: Cell,
    input: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    biases: Option<&Bound<'py, PyAny>>,
    state: Option<&Bound<'py, PyAny>>,
    batch_first: bool,
    bidirectional: bool,
) -> PyResult<(Array<'py>, Bound<'py, PyAny>)> {
    let py = input.py();
    let directions: Vec<_> = parts(cell, weights, biases, bidirectional)?
        .into_iter()
        .map(|part| Direction::parse(cell, part))
        .collect::<PyResult<_>>()?;
    let per_layer = 1 + usize::from(bidirectional);
    let sizes: Vec<_> = directions.iter().map(|d| d.sizes(cell)).collect();
    check_stack(&sizes, per_layer)?;
    let [inputs, units, outputs] = sizes[0];
    let input = Input::parse(input, inputs, Axes::Steps { batch_first })?;
    let states = States::parse(py, cell, state, &input, directions.len(), outputs, units)?;
    let y = input.output(py, per_layer * outputs)?;
    if input.shape.rows() == 0 {
        return Ok((y, states.into_python(py)?));
    }
    let (h, c) = (memory(Some(&states.h)), memory(states.c.as_ref()));
    let mut cs = c.chunks_mut(input.shape.batch * units);
    let mut all = h
        .chunks_mut(input.shape.batch * outputs)
        .map(|h| recurrent::States { h, c: cs.next().unwrap_or_default() });
    let mut x = input.by_steps()?;
    for (i, layer) in directions.chunks(per_layer).enumerate() {
        let gates: Vec<_> = layer.iter().map(|d| d.gates(&x)).collect::<PyResult<_>>()?;
        let packed: Vec<_> = layer.iter().map(|direction| direction.packed(cell)).collect::<PyResult<_>>()?;
        let own: Vec<_> = packed
            .iter()
            .zip(&gates)
            .map(|((w_hh, w_hr), gates)| Float {
                cell,
                units,
                gates: elements(gates),
                w_hh,
                w_hr: w_hr.as_ref(),
            })
            .collect();
        let layer_states = all.by_ref().take(per_layer).collect();
        let last = (i + 1) * per_layer == directions.len();
        let shape = Shape { batch_first: last && input.shape.batch_first, ..input.shape };
        let to = match last {
            true => y.clone(),
            false => super::sequences::zeros(py, &[shape.steps, shape.batch, per_layer * outputs])?,
        };
        let memory = elements_over(&to);
        let work = shape.rows() * cell.gates() * units * outputs;
        kernel(py, work / 16, "input", &[], || float_layer(&own, shape, layer_states, memory))?;
        x = to;
    }
    drop(all);
    Ok((y, states.into_python(py)?))
}

/// A long short-term memory of floats, all steps in one call: any number of layers, in one direction or in both, with
/// projections or without.
///
/// Parameters
/// ----------
/// input : array_like
///     Shape (steps, batch, input_size), with `batch_first` (batch, steps, input_size); or, for one sequence,
///     (steps, input_size).
/// weights : sequence of tuples of array_like
///     For each layer `(w_ih, w_hh)`, with `bidirectional` two of them, the second one for the way back. Shapes
///     (4 * hidden_size, input_size) and (4 * hidden_size, hidden_size), gates i, f, g, o, as torch has them.
///     `(w_ih, w_hh, w_hr)` with a projection: w_hh is (4 * hidden_size, proj_size), w_hr (proj_size, hidden_size).
/// biases : sequence of tuples of array_like, optional
///     As many `(b_ih, b_hh)`, of shape (4 * hidden_size,); each may be None.
/// state : tuple of two array_like, optional
///     The first hidden state and the first cell state. Shapes (layers * directions, batch, output size) and
///     (layers * directions, batch, hidden_size), without the batch for one sequence. Zeros by default.
/// batch_first : bool
///     Whether the first axis of inputs and outputs is the batch, and not the steps.
/// bidirectional : bool
///     Whether each layer also runs from the last step to the first; outputs lie side by side.
///
/// Returns
/// -------
/// output : numpy.ndarray
///     As the input, with directions * output size on the last axis; float32.
/// state : tuple of two numpy.ndarray
///     The last ones, in the first ones' shapes.
///
/// Raises
/// ------
/// TypeError, ValueError
///     For shapes that do not fit.
///
/// >>> import numpy as np, quantray as qt
/// >>> w = np.full((4, 1), 0.5)
/// >>> y, (h, c) = qt.ops.lstm([[2.0], [0.0]], [(w, w)])
/// >>> y.round(4), c.round(4)
/// (array([[0.3696],
///        [0.2093]], dtype=float32), array([[0.4038]], dtype=float32))
///
/// Source: `torch.nn.LSTM`; Hochreiter and Schmidhuber, Long Short-Term Memory (1997).
#[pyfunction]
#[pyo3(
    signature = (input, weights, biases=None, state=None, *, batch_first=false, bidirectional=false),
    text_signature = "(input, weights, biases=None, state=None, *, batch_first=False, bidirectional=False)"
)]
pub fn lstm<'py>(
    input: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    biases: Option<&Bound<'py, PyAny>>,
    state: Option<&Bound<'py, PyAny>>,
    batch_first: bool,
    bidirectional: bool,
) -> PyResult<(Array<'py>, Bound<'py, PyAny>)> {
    run(Cell::Lstm, input, weights, biases, state, batch_first, bidirectional)
}

/// A gated recurrent unit of floats, all steps in one call. As `lstm`, with 3 * hidden_size rows of weights, gates r, z, n,
/// without projections, and one state.
///
/// Parameters
/// ----------
/// input, weights, biases, batch_first, bidirectional
///     As in `lstm`.
/// state : array_like, optional
///     The first hidden state, of shape (layers * directions, batch, hidden_size).
///
/// Returns
/// -------
/// output, state : numpy.ndarray
///     The output, and the last state.
///
/// Raises
/// ------
/// TypeError, ValueError
///     For shapes that do not fit.
///
/// >>> import numpy as np, quantray as qt
/// >>> w = np.full((3, 1), 0.5)
/// >>> qt.ops.gru([[2.0], [0.0]], [(w, w)])[0].round(4)
/// array([[0.2048],
///        [0.1332]], dtype=float32)
///
/// Source: `torch.nn.GRU`; Cho et al. (2014), with the reset gate behind the product.
#[pyfunction]
#[pyo3(
    signature = (input, weights, biases=None, state=None, *, batch_first=false, bidirectional=false),
    text_signature = "(input, weights, biases=None, state=None, *, batch_first=False, bidirectional=False)"
)]
pub fn gru<'py>(
    input: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    biases: Option<&Bound<'py, PyAny>>,
    state: Option<&Bound<'py, PyAny>>,
    batch_first: bool,
    bidirectional: bool,
) -> PyResult<(Array<'py>, Bound<'py, PyAny>)> {
    run(Cell::Gru, input, weights, biases, state, batch_first, bidirectional)
}

/// Elman's network of floats, `h' = tanh(w_ih x + b_ih + w_hh h + b_hh)` or its positive part, all steps in one call. As
/// `gru`, with hidden_size rows of weights.
///
/// Parameters
/// ----------
/// input, weights, biases, state, batch_first, bidirectional
///     As in `gru`.
/// nonlinearity : str
///     "tanh" or "relu".
///
/// Returns
/// -------
/// output, state : numpy.ndarray
///     The output, and the last state.
///
/// Raises
/// ------
/// TypeError, ValueError
///     For shapes that do not fit; for another nonlinearity.
///
/// >>> import numpy as np, quantray as qt
/// >>> qt.ops.rnn([[2.0], [0.0]], [([[0.5]], [[0.25]])], nonlinearity="relu")[0]
/// array([[1.  ],
///        [0.25]], dtype=float32)
///
/// Source: `torch.nn.RNN`; Elman, Finding Structure in Time (1990).
#[pyfunction]
#[pyo3(
    signature = (
        input, weights, biases=None, state=None, *, nonlinearity="tanh", batch_first=false, bidirectional=false
    ),
    text_signature = "(input, weights, biases=None, state=None, *, nonlinearity=\"tanh\", batch_first=False, \
                      bidirectional=False)"
)]
pub fn rnn<'py>(
    input: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    biases: Option<&Bound<'py, PyAny>>,
    state: Option<&Bound<'py, PyAny>>,
    nonlinearity: &str,
    batch_first: bool,
    bidirectional: bool,
) -> PyResult<(Array<'py>, Bound<'py, PyAny>)> {
    run(nonlinear(nonlinearity)?, input, weights, biases, state, batch_first, bidirectional)
}
