//! Elements by numbers of their places.

use std::mem::MaybeUninit;

use super::super::super::dims::Known;
use super::super::super::memory::{Memory, Room, with_bits};
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task, Trouble};
use super::super::super::value::{Value, broadcast};
use super::super::axis_in;
use super::{check_numbers, number, place, wrong_shape};
use crate::arch::copy_to;
use crate::error::{Result, Stopped};
use crate::memory::collected;
use crate::threads;

/// The elements of the first source along an axis, at the places that the second one numbers: its axes take the place of
/// that one.
#[derive(Debug)]
pub struct Take(pub isize);

impl Op for Take {
    fn name(&self) -> &'static str {
        "take"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (x, ids) = (from[0], from[1]);
        check_numbers(ids, "index")?;
        let axis = axis_in(self.0, x.shape.len())?;
        let n = x.shape[axis];
        let inner: usize = x.shape[axis + 1..].iter().product();
        let shape = [&x.shape[..axis], &ids.shape, &x.shape[axis + 1..]].concat();
        let made = Value::new(x.ty, shape);
        let (needs, work) = (vec![Need::contiguous(x), Need::contiguous(ids)], 3 * made.bytes());
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            let places = places(io.from[1], n)?;
            with_bits!(io.from[0], io.to, |x, to| take(x, (n, inner), &places, to)?);
            Ok(())
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, images: &[bool]) -> Option<bool> {
        let axis = axis_in(self.0, from[0].shape.len()).ok()?;
        match images {
            [true, false] if axis > 0 => Some(true),
            [false, true] if axis == 0 && !from[1].shape.is_empty() => Some(true),
            _ => None,
        }
    }
}

/// Places, all of which there are.
fn places(ids: Memory<'_>, n: usize) -> Result<Vec<usize>> {
    fn all<T: Copy + Into<i64>>(ids: &[T], n: usize) -> Option<Vec<usize>> {
        let n = n as i64;
        let mut inside = true;
        let made = collected(
            ids.len(),
            ids.iter().map(|&id| {
                let id: i64 = id.into();
                let found = if id < 0 { id.wrapping_add(n) } else { id };
                inside &= (0..n).contains(&found);
                found as usize
            }),
        );
        inside.then_some(made)
    }
    let made = match ids {
        Memory::I64(ids) => all(ids, n),
        Memory::I32(ids) => all(ids, n),
        _ => panic!("integers as planned"),
    };
    // The first one that there is not is named.
    made.map_or_else(|| (0..ids.len()).map(|i| place(number(ids, i), n, i)).collect(), Ok)
}

fn take<T: Copy + Send + Sync>(
    x: &[T],
    (n, inner): (usize, usize),
    places: &[usize],
    to: &mut [MaybeUninit<T>],
) -> Result<(), Stopped> {
    // Pieces are some places each of one outer part.
    let step = (threads::CHUNK_BYTES / (2 * inner * size_of::<T>())).clamp(1, places.len());
    let bytes = 2 * size_of_val(to);
    let pieces: Vec<_> = to
        .chunks_mut(places.len() * inner)
        .enumerate()
        .flat_map(|(o, to)| {
            places.chunks(step).zip(to.chunks_mut(step * inner)).map(move |(p, to)| (o, p, to))
        })
        .collect();
    threads::for_each(bytes, pieces.into_iter(), |(o, places, to)| {
        let x = &x[o * n * inner..][..n * inner];
        if inner == 1 {
            for (to, &p) in to.iter_mut().zip(places) {
                to.write(x[p]);
            }
        } else {
            for (to, &p) in to.chunks_exact_mut(inner).zip(places) {
                copy_to(&x[p * inner..][..inner], to);
            }
        }
        true
    })
}

/// For each number of the second source, of as many axes, the element at that place along an axis; others broadcast.
#[derive(Debug)]
pub struct TakeAlong(pub isize);

impl Op for TakeAlong {
    fn name(&self) -> &'static str {
        "take_along_axis"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (x, ids) = (from[0], from[1]);
        check_numbers(ids, "index")?;
        let rank = x.shape.len();
        let axis = axis_in(self.0, rank)?;
        if ids.shape.len() != rank {
            return Err(wrong_shape("index", ids, format!("of {rank} axes, as the input has")));
        }
        let n = x.shape[axis];
        let mut own = x.shape.clone();
        own[axis] = ids.shape[axis];
        let shape = broadcast(&own, &ids.shape)?;
        let mut whole = shape.clone();
        whole[axis] = n;
        let spread = x.broadcast_to(&whole);
        let made = Value::new(x.ty, shape.clone());
        let along = Along { shape, strides: spread.strides.clone(), axis, n };
        let need = Need { shape: along.shape.clone(), strides: made.strides.clone() };
        let work = 8 * made.bytes();
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            let places = places(io.from[1], along.n)?;
            with_bits!(io.from[0], io.to, |x, to| along.take(x, &places, to)?);
            Ok(())
        };
        Ok(Task::new(made, run).needs(vec![None, Some(need)]).work(work).into())
    }

    fn images(&self, from: &[&Value], _: &Value, images: &[bool]) -> Option<bool> {
        (axis_in(self.0, from[0].shape.len()).ok()? > 0 && images.iter().all(|&images| images))
            .then_some(true)
    }
}

struct Along {
    shape: Vec<usize>,
    strides: Vec<usize>,
    axis: usize,
    n: usize,
}

impl Along {
    fn take<T: Copy + Send + Sync>(
        &self,
        x: &[T],
        places: &[usize],
        to: &mut [MaybeUninit<T>],
    ) -> Result<(), Stopped> {
        let last = self.shape.len() - 1;
        let row = self.shape[last];
        let step = if self.axis == last { 0 } else { self.strides[last] };
        let along = self.strides[self.axis];
        let lines = (threads::CHUNK_BYTES / (8 * row * size_of::<T>())).max(1);
        let pieces = to.chunks_mut(lines * row).zip(places.chunks(lines * row)).enumerate();
        threads::for_each(8 * size_of_val(x), pieces, |(i, (to, places))| {
            for (k, (to, places)) in to.chunks_exact_mut(row).zip(places.chunks_exact(row)).enumerate() {
                let (mut rest, mut start) = (i * lines + k, 0);
                for a in (0..last).rev() {
                    let at = rest % self.shape[a];
                    rest /= self.shape[a];
                    start += if a == self.axis { 0 } else { at * self.strides[a] };
                }
                if self.axis == last && along == 1 {
                    let x = &x[start..][..self.n];
                    for (to, &p) in to.iter_mut().zip(places) {
                        to.write(x[p]);
                    }
                    continue;
                }
                for (c, (to, &p)) in to.iter_mut().zip(places).enumerate() {
                    to.write(x[start + c * step + p * along]);
                }
            }
            true
        })
    }
}

/// Parts of the first source by tuples of numbers along the last axis of the second one, after some axes that both have.
#[derive(Debug)]
pub struct GatherNd(pub usize);

impl Op for GatherNd {
    fn name(&self) -> &'static str {
        "gather_nd"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (x, ids) = (from[0], from[1]);
        check_numbers(ids, "index")?;
        let batch = self.0;
        let depth = ids.shape.last().copied().unwrap_or(0);
        let fits = ids.shape.len() > batch
            && x.shape.len() >= batch + depth
            && x.shape[..batch] == ids.shape[..batch];
        if !fits || ids.shape.is_empty() {
            let valid = format!(
                "of shape (..., numbers for at most {} axes), the first {batch} lengths those of the input",
                x.shape.len().saturating_sub(batch)
            );
            return Err(wrong_shape("index", ids, valid));
        }
        let leading = &ids.shape[..ids.shape.len() - 1];
        let inner = &x.shape[batch + depth..];
        let made = Value::new(x.ty, [leading, inner].concat());
        let (lengths, inner) = (x.shape[batch..batch + depth].to_vec(), inner.iter().product::<usize>());
        let batches: usize = x.shape[..batch].iter().product();
        let tuples = leading.iter().product::<usize>() / batches.max(1);
        let part: usize = lengths.iter().product();
        let (needs, work) = (vec![Need::contiguous(x), Need::contiguous(ids)], 3 * made.bytes());
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            let count = batches * tuples;
            let mut starts = Vec::with_capacity(count);
            for t in 0..count {
                starts.push(start(io.from[1], t, &lengths)? + t / tuples.max(1) * part);
            }
            with_bits!(io.from[0], io.to, |x, to| {
                for (to, start) in to.chunks_exact_mut(inner).zip(starts) {
                    copy_to(&x[start * inner..][..inner], to);
                }
            });
            Ok(())
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }
}

/// The place that a tuple of numbers stands for.
pub(super) fn start(ids: Memory<'_>, tuple: usize, lengths: &[usize]) -> Result<usize> {
    let mut at = 0;
    for (k, &n) in lengths.iter().enumerate() {
        let i = tuple * lengths.len() + k;
        at = at * n + place(number(ids, i), n, i)?;
    }
    Ok(at)
}
