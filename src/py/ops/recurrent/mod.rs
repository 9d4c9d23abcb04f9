//! `PackedLSTM`, `PackedGRU` and the cells: recurrent layers with weights packed for this CPU.

mod cells;
mod layers;

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use quantray_core::arch::Isa;
use quantray_core::gemm::WeightParams;
use quantray_core::observe;
use quantray_core::qparams::{DType, Quantizer};
use quantray_core::recurrent::{Cell, Quantized, Tables, quantized_layer};

pub use cells::*;
pub use layers::*;

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
