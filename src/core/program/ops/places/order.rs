//! Elements in order.

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

/// Numbers as integers in the same order, so that those of all types are sorted by the same code. NaN is the greatest.
trait Ranked: Copy + Send + Sync {
    fn rank(self) -> i64;
}

impl Ranked for f32 {
    #[inline]
    fn rank(self) -> i64 {
        if self.is_nan() {
            return i64::MAX;
        }
        // -0 is 0. Of negative numbers, those with more bits are less.
        let bits = (self + 0.0).to_bits().cast_signed();
        i64::from(if bits < 0 { bits ^ i32::MAX } else { bits })
    }
}

macro_rules! ranked {
    ($($t:ty),*) => {$(
        impl Ranked for $t {
            #[inline]
            fn rank(self) -> i64 {
                i64::from(self)
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
                    Memory::F32(x) => rows(x, n, count, descending, to, places)?,
                    Memory::I64(x) => rows(x, n, count, descending, to, places)?,
                    Memory::I32(x) => rows(x, n, count, descending, to, places)?,
                    Memory::U8(x) => rows(x, n, count, descending, to, places)?,
                    Memory::I8(x) => rows(x, n, count, descending, to, places)?,
                    Memory::Bool(_) => panic!("numbers as planned"),
                },
                (_, Memory::F32(x), Room::F32(to)) => rows(x, n, count, descending, to, elements)?,
                (_, Memory::I64(x), Room::I64(to)) => rows(x, n, count, descending, to, elements)?,
                (_, Memory::I32(x), Room::I32(to)) => rows(x, n, count, descending, to, elements)?,
                (_, Memory::U8(x), Room::U8(to)) => rows(x, n, count, descending, to, elements)?,
                (_, Memory::I8(x), Room::I8(to)) => rows(x, n, count, descending, to, elements)?,
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

/// A rank, and its place in the row: of equal ones the first comes first.
type Found = (i64, i64);

fn places<T>(_: &[T], found: &[Found], to: &mut [MaybeUninit<i64>]) {
    for (to, &(_, i)) in to.iter_mut().zip(found) {
        to.write(i);
    }
}

fn elements<T: Copy>(x: &[T], found: &[Found], to: &mut [MaybeUninit<T>]) {
    for (to, &(_, i)) in to.iter_mut().zip(found) {
        to.write(x[i as usize]);
    }
}

/// One more among the best ones, of which `count` are kept.
fn insert(best: &mut Vec<Found>, own: Found, count: usize) {
    let at = best.partition_point(|&other| other < own);
    best.insert(at, own);
    best.truncate(count);
}

/// The first `count` in order, and no others.
fn sort(all: &mut Vec<Found>, count: usize) {
    if count < all.len() {
        all.select_nth_unstable(count);
        all.truncate(count);
    }
    all.sort_unstable();
}

/// So many are kept in order while the others pass.
const FEW: usize = 64;

fn rows<T: Ranked, O: Send>(
    x: &[T],
    n: usize,
    count: usize,
    descending: bool,
    to: &mut [MaybeUninit<O>],
    put: fn(&[T], &[Found], &mut [MaybeUninit<O>]),
) -> Result<(), Stopped> {
    let rank = |x: &T| if descending { !x.rank() } else { x.rank() };
    let pieces = x.chunks_exact(n).zip(to.chunks_exact_mut(count));
    threads::for_each(32 * size_of_val(x), pieces, |(x, to)| {
        if count <= FEW && count < n {
            // The best ones so far, in order: most others are not among them.
            let mut best = Vec::with_capacity(count + 1);
            let mut last = None;
            for (rank, i) in x.iter().map(rank).zip(0..) {
                if last.is_some_and(|last| rank >= last) {
                    continue;
                }
                insert(&mut best, (rank, i), count);
                last = best.get(count - 1).map(|&(rank, _)| rank);
            }
            put(x, &best, to);
            return true;
        }
        let mut all: Vec<_> = x.iter().map(rank).zip(0..).collect();
        sort(&mut all, count);
        put(x, &all, to);
        true
    })
}
