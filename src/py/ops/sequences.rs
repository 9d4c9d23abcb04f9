//! What recurrent layers take from Python, quantized or not: sequences, states, and weights layer by layer.

use std::mem::MaybeUninit;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use quantray_core::recurrent::{Cell, Shape};

use crate::array::{
    Array, Element, as_float32, contiguous, describe, elements, elements_mut, elements_over, empty,
    tuple_text,
};
use crate::error::{Error, Result};

/// What the axes of an input are.
#[derive(Clone, Copy)]
pub enum Axes {
    /// Steps, batch and elements; or steps and elements.
    Steps {
        /// The batch comes first.
        batch_first: bool,
    },
    /// Batch and elements, or elements, of one step.
    Step,
}

/// Sequences.
pub struct Input<'py> {
    /// As they came.
    pub given: Array<'py>,
    /// Steps and batch.
    pub shape: Shape,
    axes: Axes,
    batched: bool,
}

impl<'py> Input<'py> {
    /// Checks that they hold so many elements in each step.
    pub fn parse(object: &Bound<'py, PyAny>, inputs: usize, axes: Axes) -> PyResult<Self> {
        let given = as_float32(object, "input")?;
        let (batched, steps, batch) = match (axes, given.shape()) {
            (Axes::Steps { batch_first: false }, &[steps, batch, n]) if n == inputs => (true, steps, batch),
            (Axes::Steps { batch_first: true }, &[batch, steps, n]) if n == inputs => (true, steps, batch),
            (Axes::Steps { .. }, &[steps, n]) if n == inputs => (false, steps, 1),
            (Axes::Step, &[batch, n]) if n == inputs => (true, 1, batch),
            (Axes::Step, &[n]) if n == inputs => (false, 1, 1),
            (_, other) => {
                let valid = match axes {
                    Axes::Steps { batch_first: false } => {
                        format!("of shape (steps, batch, {inputs}) or (steps, {inputs})")
                    }
                    Axes::Steps { batch_first: true } => {
                        format!("of shape (batch, steps, {inputs}) or (steps, {inputs})")
                    }
                    Axes::Step => format!("of shape (batch, {inputs}) or ({inputs},)"),
                };
                return Err(Error::value("input", tuple_text(other), valid).into());
            }
        };
        if steps == 0 {
            return Err(Error::value("input", tuple_text(given.shape()), "of at least one step").into());
        }
        let batch_first = batched && matches!(axes, Axes::Steps { batch_first: true });
        Ok(Self { given, shape: Shape { steps, batch, batch_first }, axes, batched })
    }

    /// Step by step, in memory without gaps.
    pub fn by_steps(&self) -> PyResult<Array<'py>> {
        if self.shape.batch_first && self.shape.batch > 1 && self.shape.steps > 1 {
            return contiguous(&self.given.call_method1("swapaxes", (0, 1))?.cast_into()?);
        }
        Ok(self.given.clone())
    }

    /// Room for an output of so many elements in each step.
    pub fn output(&self, py: Python<'py>, n: usize) -> PyResult<Array<'py>> {
        let (_, rest) = self.given.shape().split_last().expect("checked: it has elements");
        zeros(py, &rest.iter().copied().chain([n]).collect::<Vec<_>>())
    }
}

/// A fresh array of zeros.
pub fn zeros<'py>(py: Python<'py>, shape: &[usize]) -> PyResult<Array<'py>> {
    let array = empty(py, f32::TYPE, shape)?;
    elements_mut::<f32>(&array).fill(MaybeUninit::new(0.0));
    Ok(array)
}

/// The floats of a fresh array, to be read and written; none of no array.
pub fn memory<'a>(array: Option<&'a Array<'_>>) -> &'a mut [f32] {
    array.map(elements_over).unwrap_or_default()
}

/// The first states, which become the last ones: arrays of our own.
pub struct States<'py> {
    /// Hidden.
    pub h: Array<'py>,
    /// The cell's, of an LSTM.
    pub c: Option<Array<'py>>,
}

impl<'py> States<'py> {
    /// Those of a caller for so many layers and directions, or zeros.
    pub fn parse(
        py: Python<'py>,
        cell: Cell,
        state: Option<&Bound<'py, PyAny>>,
        input: &Input<'_>,
        count: usize,
        outputs: usize,
        units: usize,
    ) -> PyResult<Self> {
        let layers = matches!(input.axes, Axes::Steps { .. }).then_some(count);
        let batch = input.batched.then_some(input.shape.batch);
        let shape = |n: usize| layers.into_iter().chain(batch).chain([n]).collect::<Vec<_>>();
        if !cell.has_memory() {
            return Ok(Self { h: own(py, state, "state", &shape(outputs))?, c: None });
        }
        let (h, c) = match state {
            None => (None, None),
            Some(both) => {
                let pair = both.try_iter().and_then(|all| all.collect::<PyResult<Vec<_>>>());
                match pair.as_deref() {
                    Ok([h, c]) => (Some(h.clone()), Some(c.clone())),
                    _ => {
                        let valid = "a tuple of the hidden state and the cell state";
                        return Err(Error::type_("state", describe(both), valid).into());
                    }
                }
            }
        };
        Ok(Self {
            h: own(py, h.as_ref(), "state[0]", &shape(outputs))?,
            c: Some(own(py, c.as_ref(), "state[1]", &shape(units))?),
        })
    }

    /// What messages call the hidden state (0) and the cell state (1).
    pub fn name(&self, i: usize) -> &'static str {
        match (&self.c, i) {
            (None, _) => "state",
            (_, 0) => "state[0]",
            _ => "state[1]",
        }
    }

    /// The hidden state, with the cell state if there is one.
    pub fn into_python(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.c {
            None => Ok(self.h.into_any()),
            Some(c) => Ok(PyTuple::new(py, [self.h, c])?.into_any()),
        }
    }
}

/// A copy of a state, or zeros.
fn own<'py>(
    py: Python<'py>,
    state: Option<&Bound<'py, PyAny>>,
    arg: &str,
    shape: &[usize],
) -> PyResult<Array<'py>> {
    let made = zeros(py, shape)?;
    if let Some(state) = state {
        let state = as_float32(state, arg)?;
        if state.shape() != shape {
            let valid = format!("of shape {}", tuple_text(shape));
            return Err(Error::value(arg, tuple_text(state.shape()), valid).into());
        }
        memory(Some(&made)).copy_from_slice(elements(&state));
    }
    Ok(made)
}

/// Weights and biases of one direction, and what messages call them.
pub struct Part<'py> {
    /// For the input, the hidden state and, if there is one, the projection.
    pub weights: Vec<Bound<'py, PyAny>>,
    /// For the input and the hidden state.
    pub biases: [Option<Bound<'py, PyAny>>; 2],
    /// Of the three weights, then of the biases.
    pub names: [String; 5],
}

/// The elements of a sequence.
fn items<'py>(object: &Bound<'py, PyAny>, arg: &str, valid: &str) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let items = object.try_iter().and_then(|items| items.collect());
    items.map_err(|_| Error::type_(arg, describe(object), valid).into())
}

/// Layer by layer, and in it direction by direction.
pub fn parts<'py>(
    cell: Cell,
    weights: &Bound<'py, PyAny>,
    biases: Option<&Bound<'py, PyAny>>,
    bidirectional: bool,
) -> PyResult<Vec<Part<'py>>> {
    let each = "(w_ih, w_hh)";
    let weights = items(weights, "weights", "a sequence of (w_ih, w_hh), one for each layer and direction")?;
    let count = weights.len();
    if count == 0 || (bidirectional && !count.is_multiple_of(2)) {
        let valid = match bidirectional {
            true => "two for each layer, since bidirectional=True",
            false => "one for each layer, at least one",
        };
        return Err(Error::value("weights", format!("{count} of {each}"), valid).into());
    }
    let biases = match biases {
        None => vec![None; count],
        Some(biases) => {
            let all = items(biases, "biases", "a sequence of (b_ih, b_hh), or None")?;
            if all.len() != count {
                let valid = format!("{count} of (b_ih, b_hh), as many as there are weights");
                return Err(Error::value("biases", format!("{} of them", all.len()), valid).into());
            }
            all.into_iter().map(|bias| (!bias.is_none()).then_some(bias)).collect()
        }
    };
    let mut parts = Vec::new();
    for (i, (own, bias)) in weights.iter().zip(&biases).enumerate() {
        let arg = format!("weights[{i}]");
        let own = items(own, &arg, each)?;
        let most = if cell == Cell::Lstm { 3 } else { 2 };
        if !(2..=most).contains(&own.len()) {
            let valid = if most == 3 { "(w_ih, w_hh) or (w_ih, w_hh, w_hr)" } else { each };
            return Err(Error::value(arg, format!("{} elements", own.len()), valid).into());
        }
        let arg = format!("biases[{i}]");
        let pair = match bias {
            None => [None, None],
            Some(pair) => match &items(pair, &arg, "(b_ih, b_hh), or None")?[..] {
                [a, b] => [a, b].map(|bias| (!bias.is_none()).then(|| bias.clone())),
                other => {
                    let got = format!("{} elements", other.len());
                    return Err(Error::value(arg, got, "(b_ih, b_hh), or None").into());
                }
            },
        };
        let name = |of: &str, j: usize| format!("{of}[{i}][{j}]");
        let names = [
            name("weights", 0),
            name("weights", 1),
            name("weights", 2),
            name("biases", 0),
            name("biases", 1),
        ];
        parts.push(Part { weights: own, biases: pair, names });
    }
    Ok(parts)
}

/// Whether the weights of one direction fit each other: their shapes, the projection's last.
pub fn check_shapes(cell: Cell, shapes: &[[usize; 2]], names: [&str; 5]) -> Result<()> {
    let (gates, [rows, _], [hidden_rows, depth]) = (cell.gates(), shapes[0], shapes[1]);
    let wrong = |i: usize, valid: String| Err(Error::value(names[i], tuple_text(&shapes[i]), valid));
    if rows == 0 || !rows.is_multiple_of(gates) {
        return wrong(0, format!("of shape ({gates} * hidden_size, input_size), of at least one unit"));
    }
    let units = rows / gates;
    let outputs = match shapes.get(2) {
        None => units,
        Some(&[outputs, of]) if of == units && outputs > 0 => outputs,
        Some(_) => return wrong(2, format!("of shape (proj_size, {units}), of at least one output")),
    };
    if (hidden_rows, depth) != (rows, outputs) {
        return wrong(1, format!("of shape ({rows}, {outputs}), to go with the others"));
    }
    Ok(())
}

/// Whether directions, of so many inputs, units and outputs each, make layers that follow each other.
pub fn check_stack(sizes: &[[usize; 3]], per_layer: usize) -> Result<()> {
    let [inputs, units, outputs] = sizes[0];
    for (i, &got) in sizes.iter().enumerate() {
        let want = [if i < per_layer { inputs } else { per_layer * outputs }, units, outputs];
        if got != want {
            let text = |[inputs, units, outputs]: [usize; 3]| {
                format!("{inputs} inputs, {units} units and {outputs} outputs")
            };
            let valid = format!("of {}, to go with the first one", text(want));
            return Err(Error::value(format!("weights[{i}]"), format!("one of {}", text(got)), valid));
        }
    }
    Ok(())
}

/// A bias with one number for each gate.
pub fn bias<'py>(bias: &Bound<'py, PyAny>, gates: usize, arg: &str) -> PyResult<Array<'py>> {
    let bias = as_float32(bias, arg)?;
    if bias.shape() != [gates] {
        let valid = format!("of shape ({gates},), one for each row of the weights");
        return Err(Error::value(arg, tuple_text(bias.shape()), valid).into());
    }
    Ok(bias)
}

/// Elman's cell by the name of its function.
pub fn nonlinear(name: &str) -> Result<Cell> {
    match name {
        "tanh" => Ok(Cell::Tanh),
        "relu" => Ok(Cell::Relu),
        other => Err(Error::value("nonlinearity", format!("{other:?}"), "\"tanh\" or \"relu\"")),
    }
}
