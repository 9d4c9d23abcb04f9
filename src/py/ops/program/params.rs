//! What a step is told: a dict, read by name, of which nothing may be left over.

use std::cell::RefCell;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyEllipsis, PySlice, PyString, PyTuple};

use crate::array::{describe, integer, number};
use crate::dtype::parse_dtype;
use crate::error::Error;
use quantray_core::program::ops::Item;
use quantray_core::program::{Dim, DimFunction, Grid};
use quantray_core::qparams::{DType, Quantizer};

/// Numbers of values as the steps of a part have them.
pub type Numbers<'a> = &'a dyn Fn(usize) -> PyResult<usize>;

/// A grid, and its least and greatest code where not all are used.
pub type Ranged = (Grid, Option<(i32, i32)>);

/// The params of a step.
pub struct Params<'a, 'py> {
    /// What errors name.
    pub place: String,
    dict: &'a Bound<'py, PyDict>,
    read: RefCell<Vec<&'static str>>,
    numbers: Numbers<'a>,
}

impl<'a, 'py> Params<'a, 'py> {
    pub fn new(place: String, dict: &'a Bound<'py, PyDict>, numbers: Numbers<'a>) -> Self {
        Self { place, dict, read: RefCell::new(vec!["name"]), numbers }
    }

    /// What this name stands for; nothing for None.
    pub fn get(&self, name: &'static str) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.read.borrow_mut().push(name);
        Ok(self.dict.get_item(name)?.filter(|value| !value.is_none()))
    }

    /// The same of either of two names.
    pub fn either(&self, name: &'static str, other: &'static str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (one, two) = (self.get(name)?, self.get(other)?);
        Ok(one.or(two))
    }

    /// What must be there.
    pub fn need(&self, name: &'static str) -> PyResult<Bound<'py, PyAny>> {
        self.get(name)?.ok_or_else(|| Error::type_(self.arg(name), "None", "given").into())
    }

    /// The argument's name in errors.
    pub fn arg(&self, name: &str) -> String {
        format!("{}: {name}", self.place)
    }

    pub fn flag(&self, name: &'static str) -> PyResult<bool> {
        self.flag_or(name, false)
    }

    pub fn flag_or(&self, name: &'static str, absent: bool) -> PyResult<bool> {
        let Some(value) = self.get(name)? else { return Ok(absent) };
        value.extract().map_err(|_| Error::type_(self.arg(name), describe(&value), "a bool").into())
    }

    pub fn int(&self, name: &'static str, absent: i64) -> PyResult<i64> {
        self.get(name)?.map_or(Ok(absent), |value| integer(&value, &self.arg(name)))
    }

    pub fn number(&self, name: &'static str, absent: f64) -> PyResult<f64> {
        self.get(name)?.map_or(Ok(absent), |value| number(&value, &self.arg(name)))
    }

    pub fn text(&self, name: &'static str, absent: &str) -> PyResult<String> {
        let Some(value) = self.get(name)? else { return Ok(absent.into()) };
        value.extract().map_err(|_| Error::type_(self.arg(name), describe(&value), "a str").into())
    }

    /// Axes: one or several.
    pub fn axes(&self, name: &'static str, other: &'static str) -> PyResult<Option<Vec<isize>>> {
        let Some(value) = self.either(name, other)? else { return Ok(None) };
        if let Ok(one) = value.extract::<isize>() {
            return Ok(Some(vec![one]));
        }
        let wrong = |_| Error::type_(self.arg(name), describe(&value), "an axis or several").into();
        value.extract().map(Some).map_err(wrong)
    }

    /// A grid, and its least and greatest code where not all are used.
    pub fn grid(&self, name: &'static str) -> PyResult<Option<Ranged>> {
        self.get(name)?.map(|value| self.grid_of(name, &value)).transpose()
    }

    fn grid_of(&self, name: &str, value: &Bound<'py, PyAny>) -> PyResult<Ranged> {
        let wrong = || -> PyErr {
            let valid = "a tuple (scale, zero_point, dtype, least code, greatest code)";
            Error::type_(self.arg(name), describe(value), valid).into()
        };
        let parts: Vec<Bound<'py, PyAny>> =
            value.try_iter().map_err(|_| wrong())?.collect::<PyResult<_>>()?;
        let (scale, zero_point, dtype, range) = match &parts[..] {
            [scale, zero_point, dtype] => (scale, zero_point, dtype, None),
            [scale, zero_point, dtype, least, greatest] => {
                let code = |code| integer(code, &self.arg(name));
                (scale, zero_point, dtype, Some((code(least)?, code(greatest)?)))
            }
            _ => return Err(wrong()),
        };
        let dtype = parse_dtype(dtype)?;
        if !matches!(dtype, DType::QInt8 | DType::QUInt8) {
            return Err(Error::value(self.arg(name), dtype.name(), "of qint8 or quint8").into());
        }
        let scale = number(scale, &self.arg(name))?;
        let zero_point = integer(zero_point, &self.arg(name))?;
        // Which scales and zero points there may be is said in one place.
        Quantizer::per_tensor(dtype, scale, zero_point, false)
            .map_err(|error| Error(error.within(&self.place)))?;
        let (lo, hi) = (i64::from(dtype.qmin()), i64::from(dtype.qmax()));
        let range = match range {
            Some((least, greatest)) if !(lo <= least && least <= greatest && greatest <= hi) => {
                let valid = format!("codes from {lo} to {hi}, the lesser one first");
                return Err(Error::value(self.arg(name), format!("{least} and {greatest}"), valid).into());
            }
            Some(range) if range != (lo, hi) => Some((range.0 as i32, range.1 as i32)),
            _ => None,
        };
        Ok((Grid { signed: dtype == DType::QInt8, scale, zero_point: zero_point as i32 }, range))
    }

    /// A length: a number, or what it is computed from.
    pub fn dim(&self, name: &str, value: &Bound<'py, PyAny>) -> PyResult<Dim> {
        let wrong = || -> PyErr {
            let valid = "an int, (\"in\", input, axis), (\"dim\", value, axis), or (an operation, a, b)";
            Error::type_(self.arg(name), describe(value), valid).into()
        };
        let Ok(tuple) = value.cast::<PyTuple>() else {
            return integer(value, &self.arg(name)).map(Dim::Number);
        };
        let parts: Vec<Bound<'py, PyAny>> = tuple.iter().collect();
        let op: String = parts.first().and_then(|op| op.extract().ok()).ok_or_else(wrong)?;
        let index = |value: &Bound<'py, PyAny>| value.extract::<usize>().map_err(|_| wrong());
        let axis = |value: &Bound<'py, PyAny>| value.extract::<isize>().map_err(|_| wrong());
        Ok(match (&op[..], &parts[1..]) {
            ("in", [input, at]) => Dim::Input(index(input)?, axis(at)?),
            ("dim", [value, at]) => Dim::Value((self.numbers)(index(value)?)?, axis(at)?),
            ("neg", [a]) => Dim::Negative(Box::new(self.dim(name, a)?)),
            (op, [a, b]) => {
                let function = DimFunction::from_name(op).ok_or_else(wrong)?;
                Dim::Of(function, Box::new(self.dim(name, a)?), Box::new(self.dim(name, b)?))
            }
            _ => return Err(wrong()),
        })
    }

    /// Lengths.
    pub fn dims(&self, name: &'static str) -> PyResult<Vec<Dim>> {
        let value = self.need(name)?;
        if value.is_instance_of::<PyString>() {
            return Err(Error::type_(self.arg(name), describe(&value), "a sequence of lengths").into());
        }
        let all = value.try_iter().map_err(|_| {
            PyErr::from(Error::type_(self.arg(name), describe(&value), "a sequence of lengths"))
        })?;
        all.map(|dim| self.dim(name, &dim?)).collect()
    }

    /// One length, or another one where nothing is said.
    pub fn one_dim(&self, name: &'static str, absent: i64) -> PyResult<Dim> {
        self.get(name)?.map_or(Ok(Dim::Number(absent)), |value| self.dim(name, &value))
    }

    /// Pairs of lengths.
    pub fn pairs(&self, name: &'static str) -> PyResult<Vec<(Dim, Dim)>> {
        let value = self.need(name)?;
        let wrong = || {
            PyErr::from(Error::type_(self.arg(name), describe(&value), "pairs of lengths, one for each axis"))
        };
        let pair = |pair: Bound<'py, PyAny>| -> PyResult<(Dim, Dim)> {
            let both: Vec<Bound<'py, PyAny>> =
                pair.try_iter().and_then(|all| all.collect()).map_err(|_| wrong())?;
            let [before, after] = &both[..] else { return Err(wrong()) };
            Ok((self.dim(name, before)?, self.dim(name, after)?))
        };
        value.try_iter().map_err(|_| wrong())?.map(|each| pair(each?)).collect()
    }

    /// What becomes of each axis: slices, tuples (start, stop, step), ints, None for a new axis.
    pub fn items(&self, name: &'static str, other: &'static str) -> PyResult<Vec<Item>> {
        let value = self.either(name, other)?;
        let value = value.ok_or_else(|| PyErr::from(Error::type_(self.arg(name), "None", "given")))?;
        let tuple = value
            .cast::<PyTuple>()
            .map_err(|_| PyErr::from(Error::type_(self.arg(name), describe(&value), "a tuple")))?;
        let axes = self.axes("axes", "axis")?;
        let items: Vec<Item> = tuple.iter().map(|item| self.item(name, &item)).collect::<PyResult<_>>()?;
        let Some(axes) = axes else { return Ok(items) };
        let ascending = axes.windows(2).all(|two| two[0] < two[1]) && axes.first().is_none_or(|&a| a >= 0);
        if axes.len() != items.len() || !ascending {
            let valid = format!("{} axes from 0 on, in order", items.len());
            return Err(Error::value(self.arg("axes"), format!("{axes:?}"), valid).into());
        }
        let mut all = Vec::new();
        for (axis, item) in axes.into_iter().zip(items) {
            if axis > 64 {
                return Err(Error::value(self.arg("axes"), axis, "at most 64").into());
            }
            all.resize(axis as usize, Item::Range(None, None, 1));
            all.push(item);
        }
        Ok(all)
    }

    fn item(&self, name: &str, item: &Bound<'py, PyAny>) -> PyResult<Item> {
        if item.is_none() {
            return Ok(Item::New);
        }
        if item.is_instance_of::<PyEllipsis>() {
            let valid = "written out for each axis, without an ellipsis";
            return Err(Error::value(self.arg(name), "...", valid).into());
        }
        let parts: [Bound<'py, PyAny>; 3] = if item.is_instance_of::<PySlice>() {
            [item.getattr("start")?, item.getattr("stop")?, item.getattr("step")?]
        } else {
            match item.cast::<PyTuple>() {
                Ok(tuple) if tuple.len() == 3 && !tuple.get_item(0)?.is_instance_of::<PyString>() => {
                    [tuple.get_item(0)?, tuple.get_item(1)?, tuple.get_item(2)?]
                }
                _ => return self.dim(name, item).map(Item::Index),
            }
        };
        let [start, stop, step] = parts;
        let end = |value: Bound<'py, PyAny>| match value.is_none() {
            true => Ok(None),
            false => self.dim(name, &value).map(Some),
        };
        let step = if step.is_none() { 1 } else { integer(&step, &self.arg(name))? };
        if step == 0 || step == i64::MIN {
            return Err(Error::value(self.arg(name), step, "a slice with another step than 0").into());
        }
        Ok(Item::Range(end(start)?, end(stop)?, step))
    }

    /// Refuses names that no one has read.
    pub fn finish(&self) -> PyResult<()> {
        for key in self.dict.keys() {
            let known = key.extract::<String>().is_ok_and(|key| self.read.borrow().contains(&&key[..]));
            if !known {
                let mut names = self.read.borrow().clone();
                names.sort_unstable();
                names.dedup();
                let valid = format!("of {}", names.join(", "));
                return Err(Error::type_(self.arg("params"), key.repr()?, valid).into());
            }
        }
        Ok(())
    }
}

/// The numbers of the values whose lengths are asked for anywhere in params.
pub fn referred(value: &Bound<'_, PyAny>, into: &mut Vec<usize>) -> PyResult<()> {
    if let Ok(dict) = value.cast::<PyDict>() {
        for (key, value) in dict.iter() {
            let lengths = [
                "shape", "index", "items", "size", "pairs", "reps", "repeats", "shifts", "k", "length",
                "start", "step", "rows", "columns",
            ];
            if key.extract::<String>().is_ok_and(|key| lengths.contains(&&key[..])) {
                referred(&value, into)?;
            }
        }
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        let tagged = |tuple: &Bound<'_, PyTuple>| -> Option<usize> {
            let tag: String = tuple.get_item(0).ok()?.extract().ok()?;
            (tag == "dim" && tuple.len() == 3).then(|| tuple.get_item(1).ok()?.extract().ok()).flatten()
        };
        match tagged(tuple) {
            Some(value) => into.push(value),
            None => tuple.iter().try_for_each(|item| referred(&item, into))?,
        }
    } else if let Ok(slice) = value.cast::<PySlice>() {
        for end in ["start", "stop"] {
            referred(&slice.getattr(end)?, into)?;
        }
    } else if let Ok(list) = value.cast::<pyo3::types::PyList>() {
        list.iter().try_for_each(|item| referred(&item, into))?;
    }
    Ok(())
}
