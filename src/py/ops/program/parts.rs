//! A program cut at its calls and at what finds as much as there is: parts that the core plans and runs, and these between
//! them.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::finds::{find, is_find};
use super::lower::{Lowered, lower};
use super::params::{Params, referred};
use super::values::Declared;
use crate::array::{describe, tuple_text};
use crate::error::Error;
use quantray_core::program::ops::Dequantize;
use quantray_core::program::{Find, Program as Core};

/// What follows each other in a call.
pub enum Part {
    Core(CorePart),
    Call(CallPart),
    Find(FindPart),
}

/// Steps that the core runs.
pub struct CorePart {
    pub core: Core,
    /// The values that go in.
    pub inputs: Vec<usize>,
    /// The values that come out, and where they are kept: some as they are, some as floats.
    pub outputs: Vec<usize>,
    /// For reports: each step's number among Python's, its value there, and its last step in the core.
    pub steps: Vec<(usize, usize, usize)>,
}

/// A step whose result is as long as it finds.
pub struct FindPart {
    pub step: Box<dyn Find>,
    pub inputs: Vec<usize>,
    pub output: usize,
    /// What its errors begin with.
    pub place: String,
}

/// A Python function.
pub struct CallPart {
    pub function: Py<PyAny>,
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
    /// Whether the function takes tensors.
    pub codes: bool,
    pub name: String,
    pub step: usize,
    pub tuple: bool,
}

/// A step as it was given.
pub struct Given<'py> {
    pub op: String,
    pub sources: Vec<usize>,
    pub made: Vec<usize>,
    pub tuple: bool,
    pub params: Bound<'py, PyDict>,
    /// Values whose lengths it asks for.
    lengths: Vec<usize>,
}

impl<'py> Given<'py> {
    fn name(&self) -> PyResult<String> {
        Ok(self.params.get_item("name")?.and_then(|name| name.extract().ok()).unwrap_or_default())
    }

    fn parse(i: usize, step: &Bound<'py, PyAny>) -> PyResult<Self> {
        let wrong = || -> PyErr {
            let valid = "a tuple (op, sources, made, params)";
            Error::type_(format!("steps[{i}]"), describe(step), valid).into()
        };
        let (op, sources, made, params): (String, Vec<usize>, Bound<'py, PyAny>, Bound<'py, PyDict>) =
            step.extract().map_err(|_| wrong())?;
        let (made, tuple) = match made.extract::<usize>() {
            Ok(one) => (vec![one], false),
            Err(_) => (made.extract().map_err(|_| wrong())?, true),
        };
        let mut lengths = Vec::new();
        referred(&params, &mut lengths)?;
        Ok(Self { op, sources, made, tuple, params, lengths })
    }
}

/// All steps, each checked for itself and with those before it.
pub fn given<'py>(
    steps: &Bound<'py, PyAny>,
    inputs: &[Declared],
    outputs: &[(usize, bool)],
) -> PyResult<Vec<Given<'py>>> {
    let mut known: HashMap<usize, bool> =
        inputs.iter().enumerate().map(|(i, input)| (i, *input == Declared::Object)).collect();
    let mut all = Vec::new();
    for (i, step) in steps.try_iter()?.enumerate() {
        let step = Given::parse(i, &step?)?;
        let call = step.op == "call";
        for v in step.sources.iter().chain(&step.lengths) {
            match known.get(v) {
                None => {
                    let valid = "the number of an input, or of a value that a step before makes";
                    return Err(Error::value(format!("steps[{i}]: sources"), v, valid).into());
                }
                Some(true) if !call => {
                    let valid = format!("for call steps alone, not for {:?}", step.op);
                    return Err(Error::type_(
                        format!("steps[{i}]: sources"),
                        format!("{v}, an object"),
                        valid,
                    )
                    .into());
                }
                _ => {}
            }
        }
        if step.made.is_empty() || (!call && step.made.len() > 1) {
            let valid = if call { "at least one number" } else { "one number" };
            return Err(Error::value(format!("steps[{i}]: made"), tuple_text(&step.made), valid).into());
        }
        for &v in &step.made {
            if known.insert(v, false).is_some() {
                let valid = "a number that no other step makes";
                return Err(Error::value(format!("steps[{i}]: made"), v, valid).into());
            }
        }
        all.push(step);
    }
    match outputs.iter().find(|(v, _)| !known.contains_key(v)) {
        None => Ok(all),
        Some((v, _)) => {
            Err(Error::value("outputs", v, "the number of an input, or of a value that a step makes").into())
        }
    }
}

/// Where a value is kept between the parts: its number, or, as floats for the caller alone, another one.
pub const FLOATS: usize = 1 << 40;

/// The parts, in order.
pub fn cut(steps: &[Given<'_>], outputs: &[(usize, bool)]) -> PyResult<Vec<Part>> {
    let mut parts = Vec::new();
    let mut start = 0;
    while start < steps.len() {
        if steps[start].op == "call" {
            parts.push(Part::Call(call(start, &steps[start])?));
            start += 1;
            continue;
        }
        if is_find(&steps[start].op) {
            parts.push(Part::Find(finding(start, &steps[start])?));
            start += 1;
            continue;
        }
        let ends = |&i: &usize| steps[i].op == "call" || is_find(&steps[i].op);
        let end = (start..steps.len()).find(ends).unwrap_or(steps.len());
        parts.push(Part::Core(core(steps, start, end, outputs)?));
        start = end;
    }
    Ok(parts)
}

fn finding(i: usize, step: &Given<'_>) -> PyResult<FindPart> {
    let name = step.name()?;
    let label = if name.is_empty() { step.op.clone() } else { name.clone() };
    let p = Params::new(format!("steps[{i}] ({label})"), &step.params, &|v| Ok(v));
    let Some(found) = find(&step.op, &p, step.sources.len())? else {
        let valid = "the name of an operation of Program";
        return Err(Error::value(format!("steps[{i}]: op"), format!("{:?}", step.op), valid).into());
    };
    p.finish()?;
    Ok(FindPart { step: found, inputs: step.sources.clone(), output: step.made[0], place: name })
}

fn call(i: usize, step: &Given<'_>) -> PyResult<CallPart> {
    let place = format!("steps[{i}] (call)");
    let p = Params::new(place, &step.params, &|v| Ok(v));
    let function = p.need("function")?;
    if !function.is_callable() {
        return Err(Error::type_(p.arg("function"), describe(&function), "callable").into());
    }
    let count = p.int("count", step.made.len() as i64)?;
    if count != step.made.len() as i64 {
        let valid = format!("{}, as many as values are made", step.made.len());
        return Err(Error::value(p.arg("count"), count, valid).into());
    }
    let codes = p.flag("codes")?;
    p.finish()?;
    Ok(CallPart {
        function: function.unbind(),
        inputs: step.sources.clone(),
        outputs: step.made.clone(),
        codes,
        name: step.name()?,
        step: i,
        tuple: step.tuple,
    })
}

/// The steps from one to another, which are no calls.
fn core(steps: &[Given<'_>], start: usize, end: usize, outputs: &[(usize, bool)]) -> PyResult<CorePart> {
    let own = &steps[start..end];
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    let mut taken = Vec::new();
    let made: Vec<usize> = own.iter().map(|step| step.made[0]).collect();
    for step in own {
        for &v in step.sources.iter().chain(&step.lengths) {
            if !made.contains(&v) && !taken.contains(&v) {
                numbers.insert(v, taken.len());
                taken.push(v);
            }
        }
    }
    let mut core = Core::new(taken.len());
    let mut rows = Vec::new();
    for (k, step) in own.iter().enumerate() {
        let (i, name) = (start + k, step.name()?);
        let find = |v: usize| -> PyResult<usize> {
            numbers.get(&v).copied().ok_or_else(|| {
                Error::value(format!("steps[{i}]"), v, "the number of a value that there is already").into()
            })
        };
        let label = if name.is_empty() { step.op.clone() } else { name.clone() };
        let p = Params::new(format!("steps[{i}] ({label})"), &step.params, &find);
        let sources: Vec<usize> = step.sources.iter().map(|&v| find(v)).collect::<PyResult<_>>()?;
        let Some(lowered) = lower(&step.op, &p, sources.len())? else {
            let valid = "the name of an operation of Program";
            return Err(Error::value(format!("steps[{i}]: op"), format!("{:?}", step.op), valid).into());
        };
        p.finish()?;
        let last = push(&mut core, lowered, &sources, &name);
        numbers.insert(step.made[0], last);
        rows.push((i, last, step.made[0]));
    }
    let mut given = Vec::new();
    for &(v, codes) in outputs.iter().filter(|(v, _)| made.contains(v)) {
        if codes {
            if !given.contains(&v) {
                core.give(numbers[&v]);
                given.push(v);
            }
        } else if !given.contains(&(v + FLOATS)) {
            let floats = core.push("", Dequantize, vec![numbers[&v]]);
            core.give(floats);
            given.push(v + FLOATS);
        }
    }
    // What later parts take.
    for step in &steps[end..] {
        for &v in step.sources.iter().chain(&step.lengths) {
            if made.contains(&v) && !given.contains(&v) {
                core.give(numbers[&v]);
                given.push(v);
            }
        }
    }
    let steps = rows.into_iter().map(|(i, last, made)| (i, made, last)).collect();
    Ok(CorePart { core, inputs: taken, outputs: given, steps })
}

fn push(core: &mut Core, lowered: Lowered, sources: &[usize], name: &str) -> usize {
    let mut own = sources.to_vec();
    for (op, from) in lowered.steps {
        let from = from.into_iter().map(|v| own[v]).collect();
        own.push(core.push_boxed(name, op, from));
    }
    own.last().copied().unwrap_or_default()
}

/// The outputs: a value's number, or ("codes", number).
pub fn outputs(given: &Bound<'_, PyAny>) -> PyResult<Vec<(usize, bool)>> {
    let one = |output: Bound<'_, PyAny>| -> PyResult<(usize, bool)> {
        if let Ok(v) = output.extract::<usize>() {
            return Ok((v, false));
        }
        if let Ok(tuple) = output.cast::<PyTuple>()
            && let Ok((tag, v)) = tuple.extract::<(String, usize)>()
            && tag == "codes"
        {
            return Ok((v, true));
        }
        Err(Error::type_("outputs", describe(&output), "numbers of values, or (\"codes\", number)").into())
    };
    given.try_iter()?.map(|output| one(output?)).collect()
}
