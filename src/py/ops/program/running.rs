//! The parts of a program: planned, run, and what their errors say.

use std::sync::Arc;

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::parts::{CallPart, CorePart, FindPart, Part};
use super::values::{Declared, Fresh, Held, Typed};
use super::{Program, Values, find as value_of};
use crate::array::{Array, as_float32, describe, elements, is_contiguous};
use crate::error::{Error, Stopped};
use crate::run::{ended, kernel};
use quantray_core::affine::nan_in;
use quantray_core::memory::caught;
use quantray_core::program::{Failed, Found, Memory, Prepared, Room, Trouble, Type, Value};

impl Program {
    /// Plans the parts whose inputs are known.
    pub(super) fn planned(
        &self,
        shapes: &Bound<'_, PyTuple>,
        mut each: impl FnMut(&CorePart, &Prepared),
    ) -> PyResult<()> {
        if shapes.len() != self.inputs.len() {
            let valid = format!("{}, one for each input", self.inputs.len());
            return Err(Error::type_("shapes", format!("{} of them", shapes.len()), valid).into());
        }
        let shapes: Vec<Vec<usize>> = shapes
            .iter()
            .map(|shape| {
                let wrong = |_| PyErr::from(Error::type_("shapes", describe(&shape), "tuples of ints"));
                shape.extract().map_err(wrong)
            })
            .collect::<PyResult<_>>()?;
        let typed = |(declared, shape): (&Declared, &Vec<usize>)| {
            declared.ty().map(|ty| Value::new(ty, shape.clone()))
        };
        let mut known: Vec<(usize, Value)> = self
            .inputs
            .iter()
            .zip(&shapes)
            .enumerate()
            .filter_map(|(i, input)| Some((i, typed(input)?)))
            .collect();
        for part in &self.parts {
            let Part::Core(part) = part else { continue };
            let of = |v: &usize| known.iter().find(|(own, _)| own == v).map(|(_, value)| value.clone());
            let Some(inputs) = part.inputs.iter().map(of).collect::<Option<Vec<Value>>>() else { continue };
            let prepared = prepared(part, inputs, &shapes)?;
            known.extend(part.outputs.iter().copied().zip(prepared.outputs().iter().cloned()));
            each(part, &prepared);
        }
        Ok(())
    }

    /// Runs steps of the core.
    pub(super) fn run<'py>(
        &self,
        py: Python<'py>,
        part: &CorePart,
        origins: &[Vec<usize>],
        values: &mut Values<'py>,
    ) -> PyResult<()> {
        let inputs = all_typed(&part.inputs, values)?;
        let own = inputs.iter().map(|typed| typed.value.clone()).collect();
        let prepared = prepared(part, own, origins)?;
        let fresh = prepared.outputs().iter().map(|value| Fresh::new(py, value));
        let fresh: Vec<Fresh<'py>> = fresh.collect::<PyResult<_>>()?;
        let memory: Vec<Memory<'_>> = inputs.iter().map(|typed| typed.memory()).collect();
        let rooms = fresh.iter().map(Fresh::room).collect();
        let done =
            kernel(py, prepared.work(), "input", &[], || match part.core.run(&prepared, &memory, rooms) {
                Err(Failed { why: Trouble::Stopped(Stopped::Interrupted), .. }) => Err(Stopped::Interrupted),
                done => Ok(done),
            })?;
        if let Err(failed) = done {
            return Err(self.failed(part, failed, values));
        }
        for (&v, fresh) in part.outputs.iter().zip(fresh) {
            values.push((v, Held::made(fresh.finish()?)?));
        }
        Ok(())
    }

    /// The error of a step: NaN in an input is said of the input.
    pub(super) fn failed(&self, part: &CorePart, failed: Failed, values: &Values<'_>) -> PyErr {
        if let Trouble::Stopped(Stopped::Nan { .. }) = failed.why {
            for (i, name) in self.names.iter().enumerate().filter(|(i, _)| self.inputs[*i] == Declared::F32) {
                let value = values.iter().find(|(v, _)| *v == i);
                let array: Option<Array<'_>> =
                    value.and_then(|(_, value)| as_float32(value.object(), name).ok());
                if let Some(array) = array.filter(|array| is_contiguous(array)) {
                    let floats = elements::<f32>(&array);
                    if floats.iter().any(|x| x.is_nan()) {
                        return Error(nan_in(floats).named(name, array.shape())).into();
                    }
                }
            }
        }
        Error(part.core.error(failed)).into()
    }
}

/// The elements of values.
fn all_typed<'a, 'py>(all: &[usize], values: &'a Values<'py>) -> PyResult<Vec<&'a Typed<'py>>> {
    let typed = |&v: &usize| match value_of(values, v) {
        Held::Typed(typed) => Ok(typed),
        Held::Object(object) => {
            let valid = "an array of numbers, or a tensor of 8 bits quantized per tensor";
            Err(Error::type_(format!("value {v}"), describe(object), valid).into())
        }
    };
    all.iter().map(typed).collect()
}

/// The plan of a part.
fn prepared(part: &CorePart, inputs: Vec<Value>, origins: &[Vec<usize>]) -> PyResult<Arc<Prepared>> {
    let made = caught(|| part.core.prepare(inputs, origins.to_vec())).map_err(ended)?;
    Ok(made.map_err(|failed| Error(part.core.error(failed)))?)
}

/// Finds as much as there is.
pub(super) fn find<'py>(py: Python<'py>, part: &FindPart, values: &mut Values<'py>) -> PyResult<()> {
    let inputs = all_typed(&part.inputs, values)?;
    let inputs: Vec<Typed<'py>> = inputs.into_iter().map(Typed::in_order).collect::<PyResult<_>>()?;
    let from: Vec<(&Value, Memory<'_>)> = inputs.iter().map(|typed| (&typed.value, typed.memory())).collect();
    let work = from.iter().map(|(value, _)| value.bytes()).sum();
    let done = kernel(py, work, "input", &[], || match part.step.find(&from) {
        Err(Trouble::Stopped(stopped)) => Err(stopped),
        Err(Trouble::Error(error)) => Ok(Err(error)),
        Ok(found) => Ok(Ok(found)),
    })?;
    let Found { shape, numbers } = done.map_err(|error| match part.place.is_empty() {
        true => Error(error),
        false => Error(error.within(&part.place)),
    })?;
    let fresh = Fresh::new(py, &Value::new(Type::I64, shape))?;
    if let Room::I64(to) = fresh.room() {
        to.write_copy_of_slice(&numbers);
    }
    values.push((part.output, Held::made(fresh.finish()?)?));
    Ok(())
}

/// Calls a Python function.
pub(super) fn call<'py>(py: Python<'py>, part: &CallPart, values: &mut Values<'py>) -> PyResult<()> {
    let args = part.inputs.iter().map(|&v| match part.codes {
        true => Ok(value_of(values, v).object().clone()),
        false => value_of(values, v).plain(),
    });
    let args = PyTuple::new(py, args.collect::<PyResult<Vec<_>>>()?)?;
    let made = part.function.bind(py).call1(args)?;
    let place = if part.name.is_empty() { format!("steps[{}]", part.step) } else { part.name.clone() };
    let all: Vec<Bound<'py, PyAny>> = match made.cast::<PyTuple>() {
        Ok(tuple) if part.tuple || part.outputs.len() > 1 || tuple.len() == 1 => tuple.iter().collect(),
        _ => vec![made],
    };
    if all.len() != part.outputs.len() {
        let valid = format!("{} of them", part.outputs.len());
        return Err(Error::value(format!("{place}: results"), all.len(), valid).into());
    }
    for (&v, object) in part.outputs.iter().zip(all) {
        values.push((v, Held::returned(object)?));
    }
    Ok(())
}
