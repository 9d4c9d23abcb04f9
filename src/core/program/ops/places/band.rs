//! Arrays that lengths alone decide, and diagonals.

use std::mem::MaybeUninit;

use super::super::super::dims::{Dim, Known};
use super::super::super::memory::Room;
use super::super::super::op::{Hint, Io, Op, Planned, Task};
use super::super::super::value::{Type, Value};
use super::super::axis_in;
use crate::error::{Error, Result};

fn length(dim: &Dim, known: &Known<'_>) -> Result<usize> {
    checked(dim.of(known)?)
}

/// How many numbers a range has: none, where it ends before it begins, as in Python.
fn count(dim: &Dim, known: &Known<'_>) -> Result<usize> {
    checked(dim.of(known)?.max(0))
}

fn checked(n: i64) -> Result<usize> {
    let found = usize::try_from(n).ok().filter(|&n| n < 1 << 40);
    found.ok_or_else(|| Error::value("length", n, "at least 0, and small enough for memory"))
}

/// For rows and columns whether one is on a diagonal, or on and below it: the diagonal's elements have so much larger
/// columns than rows.
#[derive(Debug)]
pub struct Band {
    /// How many rows there are.
    pub rows: Dim,
    /// How many columns.
    pub columns: Dim,
    /// The diagonal.
    pub k: i64,
    /// Whether what is below it counts.
    pub below: bool,
}

impl Op for Band {
    fn name(&self) -> &'static str {
        "band"
    }

    fn plan(&self, _: &[&Value], known: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (rows, columns) = (length(&self.rows, known)?, length(&self.columns, known)?);
        let made = Value::new(Type::Bool, vec![rows, columns]);
        let (k, below) = (self.k, self.below);
        let run = move |io: Io<'_>| {
            let Room::Bool(to) = io.to else { panic!("truth values as planned") };
            for (i, to) in to.chunks_exact_mut(columns).enumerate() {
                let first = (i as i64).saturating_add(k).saturating_add(1).clamp(0, columns as i64) as usize;
                to[..first].fill(MaybeUninit::new(u8::from(below)));
                to[first..].fill(MaybeUninit::new(0));
                let on = i as i64 + k;
                if !below && (0..columns as i64).contains(&on) {
                    to[on as usize].write(1);
                }
            }
            Ok(())
        };
        Ok(Task::new(made, run).into())
    }
}

/// `start + step * i`, for i from 0 on.
#[derive(Debug)]
pub enum Ramp {
    /// Of integers, which a type of integers, or of floats, then holds.
    Integers(Dim, Dim, Dim, Type),
    /// Worked out in float64.
    Floats(Dim, f64, f64),
}

impl Op for Ramp {
    fn name(&self) -> &'static str {
        "ramp"
    }

    fn counts(&self) -> Vec<&Dim> {
        match self {
            Self::Integers(_, start, step, _) => vec![start, step],
            Self::Floats(..) => vec![],
        }
    }

    fn plan(&self, _: &[&Value], known: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        match self {
            Self::Integers(n, start, step, ty) => {
                let (n, start, step) = (count(n, known)?, start.of(known)?, step.of(known)?);
                let of = move |i: usize| start.wrapping_add(step.wrapping_mul(i as i64));
                let run = move |io: Io<'_>| {
                    match io.to {
                        Room::I64(to) => fill(to, of),
                        Room::I32(to) => fill(to, |i| of(i) as i32),
                        Room::U8(to) => fill(to, |i| of(i) as u8),
                        Room::I8(to) => fill(to, |i| of(i) as i8),
                        Room::F32(to) => fill(to, |i| of(i) as f32),
                        Room::Bool(to) => fill(to, |i| u8::from(of(i) != 0)),
                    }
                    Ok(())
                };
                Ok(Task::new(Value::new(*ty, vec![n]), run).into())
            }
            &Self::Floats(ref n, start, step) => {
                let run = move |io: Io<'_>| {
                    fill(io.to.floats(), |i| (start + step * i as f64) as f32);
                    Ok(())
                };
                Ok(Task::new(Value::new(Type::F32, vec![count(n, known)?]), run).into())
            }
        }
    }
}

fn fill<T>(to: &mut [MaybeUninit<T>], of: impl Fn(usize) -> T) {
    for (i, to) in to.iter_mut().enumerate() {
        to.write(of(i));
    }
}

/// The elements of two axes whose places differ by a number, as a last axis.
#[derive(Debug)]
pub struct Diagonal {
    /// The second place less the first one.
    pub offset: i64,
    /// The axes.
    pub axes: (isize, isize),
}

impl Op for Diagonal {
    fn name(&self) -> &'static str {
        "diagonal"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let rank = x.shape.len();
        let (a, b) = (axis_in(self.axes.0, rank)?, axis_in(self.axes.1, rank)?);
        if a == b {
            return Err(Error::value("axes", format!("{:?}", self.axes), "two different axes"));
        }
        let skip = usize::try_from(self.offset.unsigned_abs()).unwrap_or(usize::MAX);
        let (down, right) = if self.offset < 0 { (skip, 0) } else { (0, skip) };
        let n = x.shape[a].saturating_sub(down).min(x.shape[b].saturating_sub(right));
        let kept = |all: &[usize], last: usize| -> Vec<usize> {
            let others = (0..rank).filter(|&k| k != a && k != b).map(|k| all[k]);
            others.chain([last]).collect()
        };
        let strides = kept(&x.strides, x.strides[a] + x.strides[b]);
        let value = Value { ty: x.ty, shape: kept(&x.shape, n), strides };
        let at = if value.is_empty() { 0 } else { down * x.strides[a] + right * x.strides[b] };
        Ok(Planned::View(value, at))
    }
}
