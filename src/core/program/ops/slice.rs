//! Some elements of each axis.

use super::super::dims::{Dim, Known};
use super::super::op::{Hint, Io, Op, Planned, Task};
use super::super::value::Value;
use super::copy::Copy;
use crate::error::{Error, Result};

/// What becomes of an axis.
#[derive(Debug, Clone)]
pub enum Item {
    /// One element, without the axis.
    Index(Dim),
    /// From one element to another, by a step.
    Range(Option<Dim>, Option<Dim>, i64),
    /// A new axis.
    New,
}

/// Some elements of each axis; the last axes are left as they are.
#[derive(Debug)]
pub struct Slice(pub Vec<Item>);

/// The elements of a slice, as Python counts them: the first one, and how many.
fn range(n: i64, start: Option<i64>, stop: Option<i64>, step: i64) -> (i64, i64) {
    let (lo, hi) = if step < 0 { (-1, n - 1) } else { (0, n) };
    let within = |i: i64| (if i < 0 { i.saturating_add(n) } else { i }).clamp(lo, hi);
    let start = start.map_or(if step < 0 { hi } else { lo }, within);
    let stop = stop.map_or(if step < 0 { lo } else { hi }, within);
    let (span, step) = (if step < 0 { start - stop } else { stop - start }, step.unsigned_abs());
    (start, if span <= 0 { 0 } else { ((span as u64 - 1) / step + 1) as i64 })
}

/// The lengths that say which elements are chosen.
pub(super) fn counts_of(items: &[Item]) -> Vec<&Dim> {
    let mut found = Vec::new();
    for item in items {
        match item {
            Item::Index(dim) => found.push(dim),
            Item::Range(start, stop, _) => found.extend(start.iter().chain(stop)),
            Item::New => {}
        }
    }
    found
}

/// A part of an array: its lengths, from one of its elements to the next, and the first one.
pub(super) struct Part {
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<i64>,
    pub(super) start: i64,
}

/// The part that is chosen.
pub(super) fn chosen(items: &[Item], x: &Value, known: &Known<'_>) -> Result<Part> {
    let used = items.iter().filter(|item| !matches!(item, Item::New)).count();
    if used > x.shape.len() {
        let valid = format!("for at most {} axes", x.shape.len());
        return Err(Error::value("index", format!("one for {used} axes"), valid));
    }
    let (mut shape, mut strides, mut start, mut axis) = (vec![], vec![], 0i64, 0);
    for item in items {
        let Some((&n, &stride)) = x.shape.get(axis).zip(x.strides.get(axis)) else {
            shape.push(1);
            strides.push(1);
            continue;
        };
        let (n, stride) = (n as i64, stride as i64);
        match item {
            Item::New => {
                shape.push(1);
                strides.push(1);
                continue;
            }
            Item::Index(at) => {
                let at = at.of(known)?;
                if !(-n..n).contains(&at) {
                    let valid = format!("from {} to {} on axis {axis}", -n, n - 1);
                    return Err(Error::value("index", at, valid));
                }
                start += if at < 0 { at + n } else { at } * stride;
            }
            Item::Range(from, to, step) => {
                let of = |dim: &Option<Dim>| dim.as_ref().map(|dim| dim.of(known)).transpose();
                let (first, count) = range(n, of(from)?, of(to)?, *step);
                start += if count > 0 { first * stride } else { 0 };
                shape.push(count as usize);
                strides.push(if count > 1 { stride * step } else { stride });
            }
        }
        axis += 1;
    }
    shape.extend(&x.shape[axis..]);
    strides.extend(x.strides[axis..].iter().map(|&s| s as i64));
    Ok(Part { shape, strides, start })
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn plan(&self, from: &[&Value], known: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let Part { shape, strides, start } = chosen(&self.0, x, known)?;
        if strides.iter().all(|&s| s >= 0) || shape.contains(&0) {
            let strides = strides.into_iter().map(i64::unsigned_abs).map(|s| s as usize).collect();
            let start = if shape.contains(&0) { 0 } else { start as usize };
            return Ok(Planned::View(Value { ty: x.ty, shape, strides }, start));
        }
        // Backwards is no view.
        let made = Value::new(x.ty, shape);
        let strides: Vec<isize> = strides.into_iter().map(|s| s as isize).collect();
        let copy = Copy::new(&made.shape, start as usize, &strides, &made.strides);
        Ok(Task::new(made, move |io: Io<'_>| Ok(copy.fill(io.from[0], io.to)?)).into())
    }

    fn counts(&self) -> Vec<&Dim> {
        // What becomes of the first axis is said by `images`.
        counts_of(self.0.get(1..).unwrap_or_default())
    }

    fn images(&self, from: &[&Value], made: &Value, _: &[bool]) -> Option<bool> {
        let all = match self.0.first() {
            None => true,
            Some(Item::Range(start, stop, 1)) => {
                let first = matches!(start, None | Some(Dim::Number(0)));
                first && matches!(stop, None | Some(Dim::Input(_, 0) | Dim::Value(_, 0)))
            }
            _ => false,
        };
        (all && made.shape.first() == from[0].shape.first()).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_of_python() {
        assert_eq!(range(5, None, None, -2), (4, 3));
        assert_eq!(range(5, Some(-2), None, 1), (3, 2));
        assert_eq!(range(5, Some(7), Some(1), -1), (4, 3));
        assert_eq!(range(5, Some(3), Some(1), 1), (3, 0));
        assert_eq!(range(0, None, None, -1).1, 0);
        assert_eq!(range(5, Some(i64::MIN), Some(i64::MAX), i64::MAX), (0, 1));
    }
}
