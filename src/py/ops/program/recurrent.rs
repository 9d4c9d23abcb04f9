//! Steps of normalizations and recurrent layers, from what Python says of them.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;

use super::lower::{Lowered, check};
use super::params::Params;
use crate::array::elements;
use crate::error::Error;
use crate::ops::recurrent_float::Direction as Given;
use crate::ops::sequences::{check_stack, parts};
use crate::run::packing;
use quantray_core::arch::Isa;
use quantray_core::float::product::{PackedFloats, Plain};
use quantray_core::program::ops::{Direction, GroupNorm, LogSoftmax, Recurrent};
use quantray_core::recurrent::Cell;

/// The step; none where there is no operation of this name.
pub fn recurrent(op: &str, p: &Params<'_, '_>, sources: usize) -> PyResult<Option<Lowered>> {
    let mut made = Lowered::new(sources);
    let from = made.all();
    match op {
        "group_norm" | "instance_norm" => {
            check(p, sources, 1..=1)?;
            let groups =
                match op {
                    "instance_norm" => None,
                    _ => {
                        let groups = p.int("groups", 0)?;
                        let found = usize::try_from(groups).ok().filter(|&groups| groups > 0);
                        Some(found.ok_or_else(|| {
                            PyErr::from(Error::value(p.arg("groups"), groups, "at least 1"))
                        })?)
                    }
                };
            let eps = p.number("eps", 1e-5)?;
            if !(eps.is_finite() && eps >= 0.0) {
                return Err(Error::value(p.arg("eps"), eps, "finite, at least 0").into());
            }
            made.push(GroupNorm { groups, eps }, from);
        }
        "log_softmax" => {
            check(p, sources, 1..=1)?;
            made.push(LogSoftmax(p.int("axis", -1)? as isize), from);
        }
        "lstm" | "gru" | "rnn" => {
            let cell = match (op, &p.text("nonlinearity", "tanh")?[..]) {
                ("lstm", _) => Cell::Lstm,
                ("gru", _) => Cell::Gru,
                (_, "tanh") => Cell::Tanh,
                (_, "relu") => Cell::Relu,
                (_, other) => {
                    let valid = "\"tanh\" or \"relu\"";
                    return Err(Error::value(p.arg("nonlinearity"), format!("{other:?}"), valid).into());
                }
            };
            check(p, sources, 1..=if cell.has_memory() { 3 } else { 2 })?;
            made.push(layers(cell, p)?, from);
        }
        _ => return Ok(None),
    }
    Ok(Some(made))
}

fn layers(cell: Cell, p: &Params<'_, '_>) -> PyResult<Recurrent> {
    let (bidirectional, batch_first) = (p.flag("bidirectional")?, p.flag("batch_first")?);
    let (weights, biases) = (p.need("weights")?, p.get("biases")?);
    let given: Vec<Given<'_>> = parts(cell, &weights, biases.as_ref(), bidirectional)?
        .into_iter()
        .map(|part| Given::parse(cell, part))
        .collect::<PyResult<_>>()?;
    let sizes: Vec<_> = given.iter().map(|direction| direction.sizes(cell)).collect();
    check_stack(&sizes, 1 + usize::from(bidirectional))?;
    let [_, units, outputs] = sizes[0];
    let directions = given
        .iter()
        .map(|direction| {
            let weight = &direction.weights[0];
            let (rows, inputs) = (weight.shape()[0], weight.shape()[1]);
            let from = Plain { x: elements::<f32>(weight), down: 1, right: inputs };
            let packed = packing(weight.py(), || Ok(PackedFloats::new(Isa::current(), inputs, rows, from)))?;
            let (w_hh, w_hr) = direction.packed(cell)?;
            let b_ih = direction.biases[0].as_ref().map(|bias| Arc::from(elements::<f32>(bias)));
            Ok(Direction { w_ih: Arc::new(packed), w_hh: Arc::new(w_hh), w_hr: w_hr.map(Arc::new), b_ih })
        })
        .collect::<PyResult<_>>()?;
    Ok(Recurrent { cell, directions, bidirectional, batch_first, sizes: (units, outputs) })
}
