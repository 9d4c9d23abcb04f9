//! Elements in order.

use std::cmp::Ordering;
use std::mem::MaybeUninit;

use super::super::super::dims::{Dim, Known};
use super::super::super::memory::{Memory, Room};
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Type, Value};
use super::super::axis_in;
use super::super::float::strides_in;
use crate::error::{Error, Result, Stopped};
use crate::threads;

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sorted {
    /// The elements.
    Elements,
    /// Their places, as int64.
    Places,
}

/// Elements along an axis, or their places, in order; of equal ones the first comes first. NaN comes last in ascending
/// order, and first in descending order.
#[derive(Debug)]
pub struct Order {
    /// The axis.
    pub axis: isize,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// What comes out.
    pub what: Sorted,
    /// How many; all where nothing is said.
    pub count: Option<Dim>,
}

/// Numbers in an order in which NaN is the greatest.
trait Ranked: Copy + Send + Sync {
    fn rank(self, other: Self) -> Ordering;
    /// Whether it certainly does not come first: what is often asked, and quickly answered.
    fn is_behind(self, other: Self, descending: bool) -> bool;
}

impl Ranked for f32 {
    fn rank(self, other: Self) -> Ordering {
        self.partial_cmp(&other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
    }
    fn is_behind(self, other: Self, descending: bool) -> bool {
        if descending { self <= other } else { self >= other }
    }
}

macro_rules! ranked {
    ($($t:ty),*) => {$(
        impl Ranked for $t {
            fn rank(self, other: Self) -> Ordering {
                self.cmp(&other)
            }
            fn is_behind(self, other: Self, descending: bool) -> bool {
                if descending { self <= other } else { self >= other }
            }
        }
    )*};
}
ranked!(i64, i32, u8, i8);

impl Op for Order {
    fn name(&self) -> &'static str {
        match (self.what, &self.count) {
            (_, Some(_)) => "topk",
            (Sorted::Elements, None) => "sort",
            (Sorted::Places, None) => "argsort",
        }
    }

    fn plan(&self, from: &[&Value], known: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        if matches!(x.ty, Type::Codes(_) | Type::Bool) {
            return Err(Error::type_("input", x.ty.name(), "of numbers"));
        }
        let rank = x.shape.len();
        let axis = axis_in(self.axis, rank)?;
        let n = x.shape[axis];
        let count = match &self.count {
            None => n,
            Some(count) => {
                let count = count.of(known)?;
                let valid = || format!("from 0 to {n}, the elements along axis {axis}");
                let found = usize::try_from(count).ok().filter(|&count| count <= n);
                found.ok_or_else(|| Error::value("k", count, valid()))?
            }
        };
        // The axis is the fastest one in memory.
        let mut order: Vec<usize> = (0..rank).filter(|&a| a != axis).collect();
        order.push(axis);
        let need = Need { shape: x.shape.clone(), strides: strides_in(&x.shape, &order) };
        let mut shape = x.shape.clone();
        shape[axis] = count;
        let ty = if self.what == Sorted::Places { Type::I64 } else { x.ty };
        let made = Value { ty, strides: strides_in(&shape, &order), shape };
        let (descending, work) = (self.descending, 32 * x.bytes());
        let what = self.what;
        let run = move |io: Io<'_>| {
            match (what, io.from[0], io.to) {
                (Sorted::Places, from, Room::I64(to)) => match from {
                    Memory::F32(x) => rows(x, n, count, descending, to, |_, i| i)?,
                    Memory::I64(x) => rows(x, n, count, descending, to, |_, i| i)?,
                    Memory::I32(x) => rows(x, n, count, descending, to, |_, i| i)?,
                    Memory::U8(x) => rows(x, n, count, descending, to, |_, i| i)?,
                    Memory::I8(x) => rows(x, n, count, descending, to, |_, i| i)?,
                    Memory::Bool(_) => panic!("numbers as planned"),
                },
                (_, Memory::F32(x), Room::F32(to)) => rows(x, n, count, descending, to, |x, _| x)?,
                (_, Memory::I64(x), Room::I64(to)) => rows(x, n, count, descending, to, |x, _| x)?,
                (_, Memory::I32(x), Room::I32(to)) => rows(x, n, count, descending, to, |x, _| x)?,
                (_, Memory::U8(x), Room::U8(to)) => rows(x, n, count, descending, to, |x, _| x)?,
                (_, Memory::I8(x), Room::I8(to)) => rows(x, n, count, descending, to, |x, _| x)?,
                _ => panic!("numbers as planned"),
            }
            Ok(())
        };
        Ok(Task::new(made, run).needs(vec![Some(need)]).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        (axis_in(self.axis, from[0].shape.len()).ok()? > 0).then_some(true)
    }
}

/// So many are kept in order while the others pass.
const FEW: usize = 64;

fn rows<T: Ranked, O: Send>(
    x: &[T],
    n: usize,
    count: usize,
    descending: bool,
    to: &mut [MaybeUninit<O>],
    of: impl Fn(T, i64) -> O + Sync,
) -> Result<(), Stopped> {
    let compare = |a: &(T, i64), b: &(T, i64)| {
        let order = a.0.rank(b.0);
        (if descending { order.reverse() } else { order }).then(a.1.cmp(&b.1))
    };
    let pieces = x.chunks_exact(n).zip(to.chunks_exact_mut(count));
    threads::for_each(32 * size_of_val(x), pieces, |(x, to)| {
        if count <= FEW && count < n {
            // The best ones so far, in order: most others are not among them.
            let mut best: Vec<(T, i64)> = Vec::with_capacity(count + 1);
            for own in x.iter().copied().zip(0..) {
                if let Some(last) = best.get(count - 1)
                    && (own.0.is_behind(last.0, descending) || compare(&own, last) != Ordering::Less)
                {
                    continue;
                }
                let at = best.partition_point(|other| compare(other, &own) == Ordering::Less);
                best.insert(at, own);
                best.truncate(count);
            }
            for (to, (x, i)) in to.iter_mut().zip(best) {
                to.write(of(x, i));
            }
            return true;
        }
        let mut pairs: Vec<(T, i64)> = x.iter().copied().zip(0..).collect();
        if count < n {
            pairs.select_nth_unstable_by(count, compare);
            pairs.truncate(count);
        }
        pairs.sort_unstable_by(compare);
        for (to, (x, i)) in to.iter_mut().zip(pairs) {
            to.write(of(x, i));
        }
        true
    })
}
