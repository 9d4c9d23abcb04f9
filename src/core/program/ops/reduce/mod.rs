//! Many elements become one: sums, means, extremes and norms over axes, and where extremes are.

mod extreme;
mod fold;
mod scan;

pub use scan::{Scan, Scanned};

use std::mem::MaybeUninit;

use super::super::dims::Known;
use super::super::memory::{Memory, Room};
use super::super::op::{Hint, Io, Need, Op, Planned, Task, Trouble};
use super::super::value::{Type, Value, text};
use super::axis_in;
use super::float::strides_in;
use crate::error::{Error, Result, Stopped};
use crate::threads;

/// What becomes of the elements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reduction {
    /// Their sum, of floats added up in float64.
    Sum,
    /// That by their number.
    Mean,
    /// The greatest one; NaN where there is one.
    Max,
    /// The least one; NaN where there is one.
    Min,
    /// Their product.
    Prod,
    /// The sum of their squares.
    SumSquare,
    /// The sum of their magnitudes.
    L1,
    /// The square root of the sum of their squares.
    L2,
    /// `log(sum(exp(x)))`
    LogSumExp,
    /// The mean of squared distances from the mean; from the number of elements so many are taken off.
    Variance(f64),
    /// The square root of that.
    Deviation(f64),
    /// Whether one holds.
    Any,
    /// Whether all hold.
    All,
    /// The place of the first greatest one; NaN is greater than all.
    ArgMax,
    /// The place of the first least one; NaN is less than all.
    ArgMin,
}

impl Reduction {
    /// The one with this name; variances take nothing off.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "sum" => Self::Sum,
            "mean" => Self::Mean,
            "max" => Self::Max,
            "min" => Self::Min,
            "prod" => Self::Prod,
            "sum_square" => Self::SumSquare,
            "l1" => Self::L1,
            "l2" => Self::L2,
            "logsumexp" => Self::LogSumExp,
            "var" => Self::Variance(0.0),
            "std" => Self::Deviation(0.0),
            "any" => Self::Any,
            "all" => Self::All,
            "argmax" => Self::ArgMax,
            "argmin" => Self::ArgMin,
            _ => return None,
        })
    }

    /// The type of what it makes, and what it takes where that is something else.
    fn makes(self, ty: Type) -> std::result::Result<Type, &'static str> {
        let integer = matches!(ty, Type::I64 | Type::I32);
        // Greater codes of a grid stand for greater numbers.
        let byte = matches!(ty, Type::U8 | Type::I8 | Type::Codes(_));
        match self {
            Self::Any | Self::All if ty == Type::Bool => Ok(Type::Bool),
            Self::Any | Self::All => Err("bool"),
            Self::Sum | Self::Prod if ty == Type::F32 || integer => Ok(ty),
            Self::Sum | Self::Prod => Err("float32, int64 or int32"),
            Self::ArgMax | Self::ArgMin if ty == Type::F32 || integer || byte => Ok(Type::I64),
            Self::Max | Self::Min if ty == Type::F32 || integer || byte => Ok(ty),
            Self::ArgMax | Self::ArgMin | Self::Max | Self::Min => Err("of numbers"),
            _ if ty == Type::F32 => Ok(ty),
            _ => Err("float32"),
        }
    }

    fn is_place(self) -> bool {
        matches!(self, Self::ArgMax | Self::ArgMin)
    }

    /// Whether there must be an element.
    fn needs_one(self) -> bool {
        self.is_place() || matches!(self, Self::Max | Self::Min)
    }
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

/// How elements lie for a reduction: `outer x n x inner`.
pub(super) struct Shape {
    pub(super) n: usize,
    pub(super) inner: usize,
}

/// Some rows at a time, and where they go.
fn pieces<T: Sync, O: Send>(
    &Shape { n, inner }: &Shape,
    x: &[T],
    to: &mut [MaybeUninit<O>],
    run: impl Fn(&[T], &mut [MaybeUninit<O>]) + Sync,
) -> Result<(), Stopped> {
    let lines = (threads::CHUNK_BYTES / (size_of::<T>() * (n * inner).max(1))).max(1);
    threads::for_each(size_of_val(x), to.chunks_mut(lines * inner).enumerate(), |(i, to)| {
        run(&x[i * lines * n * inner..][..to.len() * n], to);
        true
    })
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        match self.of {
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
            Reduction::Max => "max",
            Reduction::Min => "min",
            Reduction::Prod => "prod",
            Reduction::SumSquare => "sum_square",
            Reduction::L1 => "l1",
            Reduction::L2 => "l2",
            Reduction::LogSumExp => "logsumexp",
            Reduction::Variance(_) => "var",
            Reduction::Deviation(_) => "std",
            Reduction::Any => "any",
            Reduction::All => "all",
            Reduction::ArgMax => "argmax",
            Reduction::ArgMin => "argmin",
        }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        let ty = self.of.makes(x.ty).map_err(|valid| Error::type_("input", x.ty.name(), valid))?;
        let rank = x.shape.len();
        let gone = self.axes(rank)?;
        let n: usize = (0..rank).filter(|&a| gone[a]).map(|a| x.shape[a]).product();
        if n == 0 && self.of.needs_one() && (0..rank).all(|a| gone[a] || x.shape[a] > 0) {
            let valid = format!("with at least one element along the axes of {}", self.name());
            return Err(Error::value("input", text(&x.shape), valid));
        }
        // Axes in their order in memory; places among several axes are counted in C order.
        let mut order: Vec<usize> = (0..rank).collect();
        let single = gone.iter().filter(|&&gone| gone).count() <= 1;
        if x.is_dense() && (single || !self.of.is_place()) {
            order
                .sort_by_key(|&a| std::cmp::Reverse(if x.shape[a] == 1 { usize::MAX } else { x.strides[a] }));
        }
        // Those that go stand side by side, and where they do not, they are laid out as the fastest ones.
        let long = |&i: &usize| gone[order[i]] && x.shape[order[i]] != 1;
        let side: Vec<usize> = (0..rank).filter(long).collect();
        let apart = match (side.first(), side.last()) {
            (Some(&first), Some(&last)) => (first..last).any(|i| !gone[order[i]] && x.shape[order[i]] != 1),
            _ => false,
        };
        let inner: usize = match side.last() {
            Some(&last) if !apart => order[last + 1..].iter().map(|&a| x.shape[a]).product(),
            _ => 1,
        };
        if apart {
            order.sort_by_key(|&a| gone[a]);
        }
        let need = Need { shape: x.shape.clone(), strides: strides_in(&x.shape, &order) };
        let kept = |all: &[usize], one: usize| -> Vec<usize> {
            (0..rank).filter(|&a| self.keep || !gone[a]).map(|a| if gone[a] { one } else { all[a] }).collect()
        };
        let lengths: Vec<usize> = (0..rank).map(|a| if gone[a] { 1 } else { x.shape[a] }).collect();
        let strides = strides_in(&lengths, &order);
        let made = Value { ty, shape: kept(&x.shape, 1), strides: kept(&strides, 1) };
        let (of, work, shape) = (self.of, 2 * x.bytes() + made.bytes(), Shape { n, inner: inner.max(1) });
        let run = move |io: Io<'_>| reduce(of, &shape, io);
        Ok(Task::new(made, run).needs(vec![Some(need)]).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, _: &[bool]) -> Option<bool> {
        (!*self.axes(from[0].shape.len()).ok()?.first()?).then_some(true)
    }
}

fn reduce(of: Reduction, shape: &Shape, io: Io<'_>) -> Result<(), Trouble> {
    if of.is_place() {
        return extreme::places(of == Reduction::ArgMax, shape, io.from[0], io.to);
    }
    match (io.from[0], io.to) {
        (Memory::F32(x), Room::F32(to)) => fold::floats(of, shape, x, to)?,
        (Memory::I64(x), Room::I64(to)) => fold::integers_of_64(of, shape, x, to)?,
        (Memory::I32(x), Room::I32(to)) => fold::integers_of_32(of, shape, x, to)?,
        (Memory::U8(x), Room::U8(to)) => fold::bytes(of, shape, x, to)?,
        (Memory::Bool(x), Room::Bool(to)) => fold::bytes(of, shape, x, to)?,
        (Memory::I8(x), Room::I8(to)) => fold::signed_bytes(of, shape, x, to)?,
        _ => panic!("numbers as planned"),
    }
    Ok(())
}
