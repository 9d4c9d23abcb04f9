//! Sums, means and extremes over axes.

use std::mem::MaybeUninit;

use super::super::super::dims::Known;
use super::super::super::memory::{Memory, Room};
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task, Trouble};
use super::super::super::value::{Type, Value, text};
use super::super::axis_in;
use super::strides_in;
use crate::error::{Error, Result, Stopped};
use crate::threads;

/// What becomes of the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum, of floats added up in float64.
    Sum,
    /// That by their number.
    Mean,
    /// The greatest one; NaN where there is one.
    Max,
    /// The least one; NaN where there is one.
    Min,
}

/// A reduction over axes, or over all where none is given.
#[derive(Debug)]
pub struct Reduce {
    /// What becomes of the elements.
    pub of: Reduction,
    /// Which axes.
    pub axes: Option<Vec<isize>>,
    /// Whether they stay, with one element each.
    pub keep: bool,
}

impl Reduce {
    fn axes(&self, rank: usize) -> Result<Vec<bool>> {
        let mut gone = vec![self.axes.is_none(); rank];
        for &axis in self.axes.iter().flatten() {
            let a = axis_in(axis, rank)?;
            if std::mem::replace(&mut gone[a], true) {
                return Err(Error::value("axes", format!("{:?}", self.axes), "different axes"));
            }
        }
        Ok(gone)
    }
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        match self.of {
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
            Reduction::Max => "max",
            Reduction::Min => "min",
        }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let valid = match self.of {
            Reduction::Mean => x.ty == Type::F32,
            _ => matches!(x.ty, Type::F32 | Type::I64),
        };
        if !valid {
            return Err(Error::type_("input", x.ty.name(), "float32, or int64 but for a mean"));
        }
        let rank = x.shape.len();
        let gone = self.axes(rank)?;
        let n: usize = (0..rank).filter(|&a| gone[a]).map(|a| x.shape[a]).product();
        if n == 0 && matches!(self.of, Reduction::Max | Reduction::Min) {
            let valid = "with at least one element along the axes of a maximum or a minimum";
            return Err(Error::value("input", text(&x.shape), valid));
        }
        // Axes that go stand side by side, and where they do not, they are laid out as the fastest ones.
        let side: Vec<usize> = (0..rank).filter(|&a| gone[a] && x.shape[a] != 1).collect();
        let apart = match (side.first(), side.last()) {
            (Some(&first), Some(&last)) => (first..last).any(|a| !gone[a] && x.shape[a] != 1),
            _ => false,
        };
        let mut order: Vec<usize> = (0..rank).collect();
        if apart {
            order.sort_by_key(|&a| gone[a]);
        }
        let need = Need { shape: x.shape.clone(), strides: strides_in(&x.shape, &order) };
        let inner: usize = match side.last() {
            Some(&last) if !apart => x.shape[last + 1..].iter().product(),
            _ => 1,
        };
        let shape =
            (0..rank).filter(|&a| self.keep || !gone[a]).map(|a| if gone[a] { 1 } else { x.shape[a] });
        let made = Value::new(x.ty, shape.collect());
        // Nothing is gone: each element is a sum.
        let (of, work) = (self.of, 2 * x.bytes() + made.bytes());
        let run = move |io: Io<'_>| reduce(of, n, inner.max(1), io);
        Ok(Task::new(made, run).needs(vec![Some(need)]).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        (!*self.axes(from[0].shape.len()).ok()?.first()?).then_some(true)
    }
}

fn reduce(of: Reduction, n: usize, inner: usize, io: Io<'_>) -> Result<(), Trouble> {
    let add = |sum: f64, x: f32| sum + f64::from(x);
    match (io.from[0], io.to) {
        (Memory::F32(x), Room::F32(to)) => match of {
            Reduction::Sum => each(x, n, inner, to, 0f64, (add, |a, b| a + b), |sum| sum as f32)?,
            Reduction::Mean => {
                let by = n as f64;
                each(x, n, inner, to, 0f64, (add, |a, b| a + b), |sum| (sum / by) as f32)?;
            }
            Reduction::Max => {
                let of = |a: f32, b: f32| if a > b || a.is_nan() { a } else { b };
                each(x, n, inner, to, f32::NEG_INFINITY, (of, of), |a| a)?;
            }
            Reduction::Min => {
                let of = |a: f32, b: f32| if a < b || a.is_nan() { a } else { b };
                each(x, n, inner, to, f32::INFINITY, (of, of), |a| a)?;
            }
        },
        (Memory::I64(x), Room::I64(to)) => match of {
            Reduction::Max => each(x, n, inner, to, i64::MIN, (i64::max, i64::max), |a| a)?,
            Reduction::Min => each(x, n, inner, to, i64::MAX, (i64::min, i64::min), |a| a)?,
            _ => each(x, n, inner, to, 0, (i64::wrapping_add, i64::wrapping_add), |a| a)?,
        },
        _ => panic!("numbers as planned"),
    }
    Ok(())
}

/// `outer x n x inner` elements to `outer x inner`.
fn each<T: Copy + Send + Sync, S: Copy + Send + Sync>(
    x: &[T],
    n: usize,
    inner: usize,
    to: &mut [MaybeUninit<T>],
    start: S,
    (add, join): (impl Fn(S, T) -> S + Sync, impl Fn(S, S) -> S + Sync),
    end: impl Fn(S) -> T + Sync,
) -> Result<(), Stopped> {
    /// Sums that run side by side.
    const LANES: usize = 16;
    let lines = (threads::CHUNK_BYTES / (size_of::<T>() * (n * inner).max(1))).max(1);
    threads::for_each(size_of_val(x), to.chunks_mut(lines * inner).enumerate(), |(i, to)| {
        let mut sums = vec![start; if inner == 1 { 0 } else { inner }];
        for (k, to) in to.chunks_mut(inner).enumerate() {
            let x = &x[(i * lines + k) * n * inner..][..n * inner];
            if inner == 1 {
                let (mut lanes, (whole, rest)) = ([start; LANES], x.as_chunks::<LANES>());
                for some in whole {
                    lanes.iter_mut().zip(some).for_each(|(sum, &x)| *sum = add(*sum, x));
                }
                lanes.iter_mut().zip(rest).for_each(|(sum, &x)| *sum = add(*sum, x));
                to[0].write(end(lanes.into_iter().fold(start, &join)));
                continue;
            }
            sums.fill(start);
            for row in x.chunks_exact(inner) {
                sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum = add(*sum, x));
            }
            to.iter_mut().zip(&sums).for_each(|(to, &sum)| _ = to.write(end(sum)));
        }
        true
    })
}
