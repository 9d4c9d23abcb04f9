//! Elements in other places: views where strides can say it.

use std::mem::MaybeUninit;

use super::super::dims::{Dim, Known};
use super::super::memory::{Memory, Room, with_bits};
use super::super::op::{Hint, Io, Op, Planned, Task};
use super::super::value::{Type, Value, text};
use super::axis_in;
use super::copy::Copy;
use crate::error::{Error, Result};
use crate::qparams::quantize_one;

/// Axes in another order; the reverse one where none is given.
#[derive(Debug)]
pub struct Transpose(pub Option<Vec<isize>>);

impl Transpose {
    fn axes(&self, rank: usize) -> Result<Vec<usize>> {
        let Some(given) = &self.0 else { return Ok((0..rank).rev().collect()) };
        let axes: Vec<usize> = given.iter().map(|&a| axis_in(a, rank)).collect::<Result<_>>()?;
        let mut sorted = axes.clone();
        sorted.sort_unstable();
        match sorted.iter().copied().eq(0..rank) {
            true => Ok(axes),
            false => Err(Error::value("axes", format!("{given:?}"), format!("each of the {rank} axes once"))),
        }
    }
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let axes = self.axes(x.shape.len())?;
        let moved = |all: &[usize]| axes.iter().map(|&a| all[a]).collect();
        Ok(Planned::View(Value { ty: x.ty, shape: moved(&x.shape), strides: moved(&x.strides) }, 0))
    }

    fn images(&self, from: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        (self.axes(from[0].shape.len()).ok()?.first() == Some(&0)).then_some(true)
    }
}

/// The elements of some axes in reverse order.
#[derive(Debug)]
pub struct Flip(pub Option<Vec<isize>>);

impl Op for Flip {
    fn name(&self) -> &'static str {
        "flip"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let rank = x.shape.len();
        let axes = match &self.0 {
            None => (0..rank).collect(),
            Some(axes) => axes.iter().map(|&a| axis_in(a, rank)).collect::<Result<Vec<_>>>()?,
        };
        let mut strides: Vec<isize> = x.strides.iter().map(|&s| s as isize).collect();
        let mut start = 0;
        for (a, stride) in strides.iter_mut().enumerate().filter(|(a, _)| axes.contains(a)) {
            start += x.shape[a].saturating_sub(1) * x.strides[a];
            *stride = -*stride;
        }
        let made = x.dense(x.ty);
        let copy = Copy::new(&made.shape, start, &strides, &made.strides);
        Ok(Task::new(made, move |io: Io<'_>| Ok(copy.fill(io.from[0], io.to)?)).into())
    }

    fn images(&self, from: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        let rank = from[0].shape.len();
        let first = |&a: &isize| axis_in(a, rank).is_ok_and(|a| a == 0);
        (!self.0.as_ref()?.iter().any(first)).then_some(true)
    }
}

/// Without some axes of one element; without all of them where none is given.
#[derive(Debug)]
pub struct Squeeze(pub Option<Vec<isize>>);

impl Squeeze {
    fn axes(&self, x: &Value) -> Result<Vec<usize>> {
        let rank = x.shape.len();
        let Some(given) = &self.0 else { return Ok((0..rank).filter(|&a| x.shape[a] == 1).collect()) };
        let axes: Vec<usize> = given.iter().map(|&a| axis_in(a, rank)).collect::<Result<_>>()?;
        match axes.iter().find(|&&a| x.shape[a] != 1) {
            None => Ok(axes),
            Some(a) => {
                let valid = format!("one of length 1 of shape {}", text(&x.shape));
                Err(Error::value("axis", a, valid))
            }
        }
    }
}

impl Op for Squeeze {
    fn name(&self) -> &'static str {
        "squeeze"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let axes = self.axes(x)?;
        let kept = |all: &[usize]| {
            all.iter().enumerate().filter(|(a, _)| !axes.contains(a)).map(|(_, &n)| n).collect()
        };
        Ok(Planned::View(Value { ty: x.ty, shape: kept(&x.shape), strides: kept(&x.strides) }, 0))
    }

    fn images(&self, from: &[&Value], made: &Value, _: &[bool]) -> Option<bool> {
        // Without given axes a single image has fewer of them than several have.
        (self.0.is_some() && made.shape.first() == from[0].shape.first()).then_some(true)
    }
}

/// With new axes of one element, counted in the result.
#[derive(Debug)]
pub struct Unsqueeze(pub Vec<isize>);

impl Op for Unsqueeze {
    fn name(&self) -> &'static str {
        "unsqueeze"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let rank = x.shape.len() + self.0.len();
        let mut new: Vec<usize> = self.0.iter().map(|&a| axis_in(a, rank)).collect::<Result<_>>()?;
        new.sort_unstable();
        if new.windows(2).any(|two| two[0] == two[1]) {
            return Err(Error::value("axis", format!("{:?}", self.0), "different axes"));
        }
        let (mut shape, mut strides) = (x.shape.clone(), x.strides.clone());
        for a in new {
            shape.insert(a, 1);
            strides.insert(a, 1);
        }
        Ok(Planned::View(Value { ty: x.ty, shape, strides }, 0))
    }

    fn images(&self, from: &[&Value], made: &Value, _: &[bool]) -> Option<bool> {
        (made.shape.first() == from[0].shape.first()).then_some(true)
    }
}

/// The same elements again along axes of one element, and along new ones before the others; -1 leaves an axis.
#[derive(Debug)]
pub struct Expand(pub Vec<Dim>);

impl Op for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn plan(&self, from: &[&Value], known: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let wrong = |got: &[i64]| {
            let valid =
                format!("a shape that {} broadcasts to, or -1 for an axis that stays", text(&x.shape));
            Error::value("shape", format!("{got:?}"), valid)
        };
        let given: Vec<i64> = self.0.iter().map(|dim| dim.of(known)).collect::<Result<_>>()?;
        let new = given.len().checked_sub(x.shape.len()).ok_or_else(|| wrong(&given))?;
        let mut shape = Vec::with_capacity(given.len());
        for (a, &n) in given.iter().enumerate() {
            let own = a.checked_sub(new).map(|a| x.shape[a]);
            shape.push(match (own, usize::try_from(n)) {
                (Some(own), Err(_)) if n == -1 => own,
                (Some(own), Ok(n)) if own == n || own == 1 => n,
                (None, Ok(n)) => n,
                _ => return Err(wrong(&given)),
            });
        }
        Ok(Planned::View(x.broadcast_to(&shape), 0))
    }

    fn images(&self, from: &[&Value], made: &Value, _: &[bool]) -> Option<bool> {
        (made.shape.len() == from[0].shape.len()).then_some(true)
    }
}

/// More elements, all of one value, before and after each axis; fewer where numbers are negative.
#[derive(Debug)]
pub struct Pad {
    /// For each axis how many before and after it.
    pub sides: Vec<(Dim, Dim)>,
    /// What they stand for.
    pub value: f64,
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn plan(&self, from: &[&Value], known: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        if self.sides.len() != x.shape.len() {
            let valid = format!("a pair for each of {} axes", x.shape.len());
            return Err(Error::value("pairs", format!("{} of them", self.sides.len()), valid));
        }
        let (mut shape, mut inner, mut start, mut place) = (vec![], vec![], 0, vec![]);
        for ((&n, &stride), (before, after)) in x.shape.iter().zip(&x.strides).zip(&self.sides) {
            let (before, after) = (before.of(known)?, after.of(known)?);
            let least = |n: i64| n.abs() < 1 << 40;
            let whole = (n as i64).checked_add(before).and_then(|n| n.checked_add(after)).filter(|&n| n >= 0);
            let whole = whole.filter(|_| least(before) && least(after));
            let cut = (n as i64 + before.min(0) + after.min(0)).max(0);
            let whole = whole.ok_or_else(|| {
                let valid = format!("such that no axis of {} gets shorter than 0", text(&x.shape));
                Error::value("pairs", format!("({before}, {after})"), valid)
            })?;
            shape.push(whole as usize);
            inner.push(cut as usize);
            start += if cut > 0 { (-before).max(0) as usize * stride } else { 0 };
            place.push(before.max(0) as usize);
        }
        let made = x.ordered(shape);
        let first: usize = place
            .iter()
            .zip(&made.strides)
            .fold(0, |sum, (&n, &stride): (&usize, &usize)| n.saturating_mul(stride).saturating_add(sum));
        let strides: Vec<isize> = x.strides.iter().map(|&s| s as isize).collect();
        let copy = Copy::new(&inner, start, &strides, &made.strides);
        let first = if inner.contains(&0) { 0 } else { first };
        let value = match x.ty {
            Type::Codes(grid) => {
                let (least, greatest) = grid.range();
                if self.value.is_nan() {
                    return Err(Error::value("value", self.value, "a number: NaN has no code"));
                }
                let code =
                    quantize_one(self.value as f32, 1.0 / grid.step(), grid.zero_point, least, greatest);
                f64::from(code)
            }
            _ => self.value,
        };
        Ok(Task::new(made, move |io: Io<'_>| {
            pad(&copy, first, value, io.from[0], io.to);
            Ok(())
        })
        .into())
    }

    fn counts(&self) -> Vec<&Dim> {
        self.sides.iter().flat_map(|(before, after)| [before, after]).collect()
    }

    fn images(&self, _: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        (self.sides.first() == Some(&(Dim::Number(0), Dim::Number(0)))).then_some(true)
    }
}

fn pad(copy: &Copy, first: usize, value: f64, from: Memory<'_>, mut to: Room<'_>) {
    match &mut to {
        Room::U8(to) | Room::Bool(to) => to.fill(MaybeUninit::new(value as u8)),
        Room::I8(to) => to.fill(MaybeUninit::new(value as i8)),
        Room::F32(to) => to.fill(MaybeUninit::new(value as f32)),
        Room::I32(to) => to.fill(MaybeUninit::new(value as i32)),
        Room::I64(to) => to.fill(MaybeUninit::new(value as i64)),
    }
    with_bits!(from, to, |x, y| copy.scatter(x, &mut y[first..]));
}
