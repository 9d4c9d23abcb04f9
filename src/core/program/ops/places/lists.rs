//! For each axis a list of the places that its elements come from.

use std::mem::MaybeUninit;

use super::super::super::dims::{Dim, Known};
use super::super::super::memory::{Memory, Room, with_bits};
use super::super::super::op::{Hint, Io, Op, Planned, Task};
use super::super::super::value::{Value, text};
use super::super::axis_in;
use crate::arch::copy_to;
use crate::error::{Error, Result, Stopped};
use crate::threads;

/// What stands beyond the ends of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PadMode {
    /// The elements mirrored, without the last one.
    Reflect,
    /// The elements mirrored, with the last one.
    Symmetric,
    /// The last element.
    Edge,
    /// The other end.
    Wrap,
}

impl PadMode {
    /// The one with NumPy's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "reflect" => Self::Reflect,
            "symmetric" => Self::Symmetric,
            "edge" => Self::Edge,
            "wrap" => Self::Wrap,
            _ => return None,
        })
    }

    /// The place on an axis of length `n`, which is not 0, for one that may lie beyond it.
    fn place(self, i: i64, n: i64) -> i64 {
        match self {
            Self::Edge => i.clamp(0, n - 1),
            Self::Wrap => i.rem_euclid(n),
            Self::Reflect if n == 1 => 0,
            Self::Reflect => {
                let at = i.rem_euclid(2 * (n - 1));
                if at < n { at } else { 2 * (n - 1) - at }
            }
            Self::Symmetric => {
                let at = i.rem_euclid(2 * n);
                if at < n { at } else { 2 * n - 1 - at }
            }
        }
    }
}

/// Elements that are repeated, moved round, or mirrored beyond the ends.
#[derive(Debug)]
pub enum Lists {
    /// The whole again and again, so often along each axis; missing counts are ones for the first axes.
    Tile(Vec<Dim>),
    /// Each element so often along an axis.
    Repeat(Repeated, isize),
    /// Elements go on by so many places, and come back at the other end.
    Roll(Vec<(isize, Dim)>),
    /// More elements before and after each axis.
    Pad(PadMode, Vec<(Dim, Dim)>),
}

/// How often elements are repeated.
#[derive(Debug)]
pub enum Repeated {
    /// All as often.
    All(Dim),
    /// Each by itself.
    Each(Vec<usize>),
}

impl Lists {
    /// For each axis the places; none where all elements stay.
    fn places(&self, x: &Value, known: &Known<'_>) -> Result<Vec<Option<Vec<usize>>>> {
        let rank = x.shape.len();
        let mut all = vec![None; rank];
        match self {
            Self::Tile(counts) => {
                let new = rank - counts.len();
                for (a, count) in counts.iter().enumerate() {
                    let count = length(count, known, "reps")?;
                    let n = x.shape[new + a];
                    if count != 1 {
                        checked(n, count)?;
                        all[new + a] = Some((0..count).flat_map(|_| 0..n).collect());
                    }
                }
            }
            Self::Repeat(repeated, axis) => {
                let a = axis_in(*axis, rank)?;
                let n = x.shape[a];
                all[a] = Some(match repeated {
                    Repeated::All(count) => {
                        let count = length(count, known, "repeats")?;
                        checked(n, count)?;
                        (0..n).flat_map(|i| std::iter::repeat_n(i, count)).collect()
                    }
                    Repeated::Each(counts) if counts.len() == n => {
                        let total = counts.iter().try_fold(0usize, |all, &n| all.checked_add(n));
                        checked(1, total.unwrap_or(usize::MAX))?;
                        counts.iter().enumerate().flat_map(|(i, &n)| std::iter::repeat_n(i, n)).collect()
                    }
                    Repeated::Each(counts) => {
                        let valid = format!("one for each of {n} elements");
                        return Err(Error::value("repeats", format!("{} of them", counts.len()), valid));
                    }
                });
            }
            Self::Roll(shifts) => {
                for (axis, shift) in shifts {
                    let a = axis_in(*axis, rank)?;
                    let n = x.shape[a] as i64;
                    let shift = shift.of(known)?;
                    let before = all[a].take().unwrap_or_else(|| (0..n as usize).collect::<Vec<_>>());
                    let from = |i: i64| before[(i - shift.rem_euclid(n)).rem_euclid(n) as usize];
                    all[a] = Some((0..n).map(from).collect());
                }
            }
            Self::Pad(mode, pairs) => {
                if pairs.len() != rank {
                    let valid = format!("a pair for each of {rank} axes");
                    return Err(Error::value("pairs", format!("{} of them", pairs.len()), valid));
                }
                for (a, (before, after)) in pairs.iter().enumerate() {
                    let (before, after) = (before.of(known)?, after.of(known)?);
                    if (before, after) == (0, 0) {
                        continue;
                    }
                    let n = x.shape[a] as i64;
                    let whole = n.checked_add(before).and_then(|n| n.checked_add(after));
                    let Some(whole) = whole.filter(|&whole| (0..1 << 40).contains(&whole)) else {
                        let valid = format!("such that no axis of {} gets shorter than 0", text(&x.shape));
                        return Err(Error::value("pairs", format!("({before}, {after})"), valid));
                    };
                    if n == 0 && whole > 0 {
                        let valid = "0 for an axis without elements, of which there is nothing to repeat";
                        return Err(Error::value("pairs", format!("({before}, {after})"), valid));
                    }
                    all[a] = Some((0..whole).map(|i| mode.place(i - before, n) as usize).collect());
                }
            }
        }
        Ok(all)
    }
}

/// A length that a plan has worked out.
fn length(dim: &Dim, known: &Known<'_>, name: &str) -> Result<usize> {
    let n = dim.of(known)?;
    usize::try_from(n).map_err(|_| Error::value(name, n, "at least 0"))
}

/// Refuses lists that no memory holds.
fn checked(n: usize, count: usize) -> Result<()> {
    match n.checked_mul(count) {
        Some(n) if n < 1 << 40 => Ok(()),
        _ => {
            Err(Error::value("the result", format!("{n} times {count} elements"), "small enough for memory"))
        }
    }
}

impl Op for Lists {
    fn name(&self) -> &'static str {
        match self {
            Self::Tile(_) => "tile",
            Self::Repeat(..) => "repeat",
            Self::Roll(_) => "roll",
            Self::Pad(..) => "pad",
        }
    }

    fn plan(&self, from: &[&Value], known: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let mut x = from[0].clone();
        if let Self::Tile(counts) = self {
            // New axes come first.
            for _ in x.shape.len()..counts.len() {
                x.shape.insert(0, 1);
                x.strides.insert(0, 1);
            }
        }
        let places = self.places(&x, known)?;
        Ok(listed(&x, places).into())
    }

    fn counts(&self) -> Vec<&Dim> {
        match self {
            Self::Tile(_) | Self::Repeat(..) => vec![],
            Self::Roll(shifts) => shifts.iter().map(|(_, shift)| shift).collect(),
            Self::Pad(_, pairs) => pairs.iter().flat_map(|(before, after)| [before, after]).collect(),
        }
    }

    fn images(&self, from: &[&Value], made: &Value, _: &[bool]) -> Option<bool> {
        let first = |axis: isize| axis_in(axis, from[0].shape.len()).is_ok_and(|a| a == 0);
        let apart = match self {
            Self::Tile(counts) => counts.len() < made.shape.len() || counts.first() == Some(&Dim::Number(1)),
            Self::Repeat(_, axis) => !first(*axis),
            Self::Roll(shifts) => !shifts.iter().any(|&(axis, _)| first(axis)),
            Self::Pad(_, pairs) => pairs.first() == Some(&(Dim::Number(0), Dim::Number(0))),
        };
        (apart && made.shape.first() == from[0].shape.first()).then_some(true)
    }
}

/// A task that takes elements from these places along each axis.
pub(in super::super) fn listed(x: &Value, places: Vec<Option<Vec<usize>>>) -> Task {
    let shape: Vec<usize> =
        x.shape.iter().zip(&places).map(|(&n, places)| places.as_ref().map_or(n, Vec::len)).collect();
    let made = x.ordered(shape);
    // The slowest axis of the result first; runs of elements that stay together are one copy.
    let mut order: Vec<usize> =
        (0..made.shape.len()).filter(|&a| made.shape[a] != 1 || places[a].is_some()).collect();
    order.sort_by_key(|&a| std::cmp::Reverse(made.strides[a]));
    let mut inner = 1;
    while let Some(&a) = order.last() {
        if places[a].is_some() || (x.strides[a] != inner && x.shape[a] != 1) {
            break;
        }
        inner *= x.shape[a];
        order.pop();
    }
    let axes: Vec<Vec<usize>> = order
        .iter()
        .map(|&a| match &places[a] {
            Some(places) => places.iter().map(|&i| i * x.strides[a]).collect(),
            None => (0..x.shape[a]).map(|i| i * x.strides[a]).collect(),
        })
        .collect();
    let work = 3 * made.bytes();
    Task::new(made, move |io: Io<'_>| Ok(run(&axes, inner, io.from[0], io.to)?)).work(work)
}

fn run(axes: &[Vec<usize>], inner: usize, from: Memory<'_>, to: Room<'_>) -> Result<(), Stopped> {
    with_bits!(from, to, |x, y| copy(axes, inner, x, y))
}

/// How the elements of a row follow each other.
enum Row {
    /// Each so often.
    Repeats(usize),
    /// Neighbours, from a place on, so many.
    Runs(Vec<(usize, usize)>),
    /// Any way.
    Any,
}

/// Shorter runs are not worth a copy of their own.
const RUN: usize = 8;

impl Row {
    fn of(last: &[usize]) -> Self {
        let first = last.first().copied().unwrap_or(0);
        let times = last.iter().take_while(|&&at| at == first).count().max(1);
        let is_repeated = first == 0 && last.len().is_multiple_of(times);
        if times > 1 && is_repeated && last.iter().enumerate().all(|(i, &at)| at == i / times) {
            return Self::Repeats(times);
        }
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for &at in last {
            match runs.last_mut() {
                Some((start, n)) if *start + *n == at => *n += 1,
                _ => runs.push((at, 1)),
            }
        }
        if runs.len() * RUN <= last.len() { Self::Runs(runs) } else { Self::Any }
    }

    fn copy<T: Copy>(&self, last: &[usize], x: &[T], to: &mut [MaybeUninit<T>]) {
        match self {
            Self::Repeats(2) => {
                for (to, &x) in to.as_chunks_mut::<2>().0.iter_mut().zip(x) {
                    to[0].write(x);
                    to[1].write(x);
                }
            }
            Self::Repeats(n) => {
                for (to, &x) in to.chunks_exact_mut(*n).zip(x) {
                    to.fill(MaybeUninit::new(x));
                }
            }
            Self::Runs(runs) => {
                let mut rest = to;
                for &(at, n) in runs {
                    let (own, more) = rest.split_at_mut(n);
                    copy_to(&x[at..at + n], own);
                    rest = more;
                }
            }
            Self::Any => {
                for (to, &at) in to.iter_mut().zip(last) {
                    to.write(x[at]);
                }
            }
        }
    }
}

fn copy<T: Copy + Send + Sync>(
    axes: &[Vec<usize>],
    inner: usize,
    x: &[T],
    to: &mut [MaybeUninit<T>],
) -> Result<(), Stopped> {
    let one = vec![0];
    let (last, outer) = axes.split_last().map_or((&one, &[][..]), |(last, outer)| (last, outer));
    let row = last.len() * inner;
    let kind = if inner == 1 { Row::of(last) } else { Row::Any };
    let lines = (threads::CHUNK_BYTES / (2 * row.max(1) * size_of::<T>())).max(1);
    threads::for_each(2 * size_of_val(to), to.chunks_mut((lines * row).max(1)).enumerate(), |(i, to)| {
        let mut before = usize::MAX;
        for k in 0..to.len() / row {
            let (mut rest, mut start) = (i * lines + k, 0);
            for axis in outer.iter().rev() {
                start += axis[rest % axis.len()];
                rest /= axis.len();
            }
            let (made, to) = to.split_at_mut(k * row);
            let to = &mut to[..row];
            if start == before {
                // The same row again.
                to.copy_from_slice(&made[(k - 1) * row..]);
                continue;
            }
            before = start;
            if inner == 1 {
                kind.copy(last, &x[start..], to);
            } else {
                for (to, &at) in to.chunks_exact_mut(inner).zip(last) {
                    copy_to(&x[start + at..][..inner], to);
                }
            }
        }
        true
    })
}
