//! Running sums and products.

use std::mem::MaybeUninit;

use super::super::super::dims::Known;
use super::super::super::memory::{Memory, Room};
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Type, Value};
use super::super::axis_in;
use crate::error::{Error, Result, Stopped};
use crate::threads;

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as they are called")]
pub enum Scanned {
    Sum,
    Product,
}

/// For each element the sum, or the product, of those up to it, one after the other.
#[derive(Debug)]
pub struct Scan {
    /// What runs.
    pub of: Scanned,
    /// Along which axis.
    pub axis: isize,
    /// Whether an element itself does not count.
    pub exclusive: bool,
    /// Whether it runs from the last element to the first.
    pub reverse: bool,
}

impl Op for Scan {
    fn name(&self) -> &'static str {
        match self.of {
            Scanned::Sum => "cumsum",
            Scanned::Product => "cumprod",
        }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        if !matches!(x.ty, Type::F32 | Type::I64 | Type::I32) {
            return Err(Error::type_("input", x.ty.name(), "float32, int64 or int32"));
        }
        let axis = axis_in(self.axis, x.shape.len())?;
        let (n, inner) = (x.shape[axis], x.shape[axis + 1..].iter().product());
        let way = Way { of: self.of, n, inner, exclusive: self.exclusive, reverse: self.reverse };
        let made = Value::new(x.ty, x.shape.clone());
        let (needs, work) = (vec![Need::contiguous(x)], 4 * made.bytes());
        let run = move |io: Io<'_>| {
            match (io.from[0], io.to) {
                (Memory::F32(x), Room::F32(to)) => way.run(x, to, (0.0, 1.0), |a, b| a + b, |a, b| a * b)?,
                (Memory::I64(x), Room::I64(to)) => {
                    way.run(x, to, (0, 1), i64::wrapping_add, i64::wrapping_mul)?;
                }
                (Memory::I32(x), Room::I32(to)) => {
                    way.run(x, to, (0, 1), i32::wrapping_add, i32::wrapping_mul)?;
                }
                _ => panic!("numbers as planned"),
            }
            Ok(())
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        (axis_in(self.axis, from[0].shape.len()).ok()? > 0).then_some(true)
    }
}

struct Way {
    of: Scanned,
    n: usize,
    inner: usize,
    exclusive: bool,
    reverse: bool,
}

impl Way {
    fn run<T: Copy + Send + Sync>(
        &self,
        x: &[T],
        to: &mut [MaybeUninit<T>],
        (zero, one): (T, T),
        add: impl Fn(T, T) -> T + Sync,
        mul: impl Fn(T, T) -> T + Sync,
    ) -> Result<(), Stopped> {
        match self.of {
            Scanned::Sum => self.each(x, to, zero, add),
            Scanned::Product => self.each(x, to, one, mul),
        }
    }

    fn each<T: Copy + Send + Sync>(
        &self,
        x: &[T],
        to: &mut [MaybeUninit<T>],
        start: T,
        add: impl Fn(T, T) -> T + Sync,
    ) -> Result<(), Stopped> {
        let (n, inner) = (self.n, self.inner);
        let pieces = x.chunks(n * inner).zip(to.chunks_mut(n * inner));
        threads::for_each(4 * size_of_val(x), pieces, |(x, to)| {
            let mut sums = vec![start; inner];
            for k in 0..n {
                let k = if self.reverse { n - 1 - k } else { k };
                let (row, to) = (&x[k * inner..][..inner], &mut to[k * inner..][..inner]);
                for ((sum, &x), to) in sums.iter_mut().zip(row).zip(to) {
                    let next = add(*sum, x);
                    to.write(if self.exclusive { *sum } else { next });
                    *sum = next;
                }
            }
            true
        })
    }
}
