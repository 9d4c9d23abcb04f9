//! The same elements with other strides.

use std::mem::MaybeUninit;

use super::super::memory::{Memory, Room, with_bits};
use super::super::op::Task;
use super::super::value::Value;
use crate::arch::{Isa, copy_to, transpose};
use crate::error::Stopped;
use crate::threads;

/// An axis: its length, and from one of its elements to the next on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Axis {
    n: usize,
    from: isize,
    to: usize,
}

/// Elements that go from one place to another.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    /// The last one is the fastest of where they go.
    axes: Vec<Axis>,
    /// The first element's place.
    start: usize,
}

impl Copy {
    /// Of so many elements along each axis.
    pub(super) fn new(shape: &[usize], start: usize, from: &[isize], to: &[usize]) -> Self {
        let axis = |a: usize| Axis { n: shape[a], from: from[a], to: to[a] };
        let mut long: Vec<Axis> = (0..shape.len()).map(axis).filter(|axis| axis.n != 1).collect();
        long.sort_by_key(|axis| std::cmp::Reverse(axis.to));
        // Two axes that one step runs through on both sides are one.
        let mut axes: Vec<Axis> = Vec::with_capacity(long.len());
        for axis in long {
            match axes.last_mut() {
                Some(outer)
                    if axis.n.checked_mul(axis.to) == Some(outer.to)
                        && (axis.n as isize).checked_mul(axis.from) == Some(outer.from) =>
                {
                    *outer = Axis { n: outer.n * axis.n, ..axis };
                }
                _ => axes.push(axis),
            }
        }
        Self { axes, start }
    }

    /// Fills `to`, which has a place for each element and no others.
    pub(super) fn fill(&self, from: Memory<'_>, to: Room<'_>) -> Result<(), Stopped> {
        match (from.bits(), to.bits()) {
            (Memory::U8(x), Room::U8(y)) => self.dense(x, y, Some(tiles)),
            (from, to) => with_bits!(from, to, |x, y| self.dense(x, y, None)),
        }
    }

    fn dense<T: std::marker::Copy + Send + Sync>(
        &self,
        from: &[T],
        to: &mut [MaybeUninit<T>],
        tiles: Option<Tiles<T>>,
    ) -> Result<(), Stopped> {
        if to.is_empty() {
            return Ok(());
        }
        const ONE: Axis = Axis { n: 1, from: 0, to: 1 };
        let (outer, inner) = self.axes.split_at(self.axes.len().saturating_sub(2));
        let [b, a] = match inner {
            [b, a] => [*b, *a],
            [a] => [ONE, *a],
            _ => [ONE, ONE],
        };
        let bytes = 2 * size_of_val(to);
        let rows = (threads::CHUNK_BYTES / (2 * a.n * size_of::<T>())).clamp(1, b.n);
        let pieces: Vec<_> = to
            .chunks_mut(b.n * a.n)
            .enumerate()
            .flat_map(|(i, to)| to.chunks_mut(rows * a.n).enumerate().map(move |(k, to)| (i, k * rows, to)))
            .collect();
        threads::for_each(bytes, pieces.into_iter(), |(i, first, to)| {
            let mut rest = i;
            let mut start = self.start as isize + first as isize * b.from;
            for axis in outer.iter().rev() {
                start += (rest % axis.n) as isize * axis.from;
                rest /= axis.n;
            }
            plane(from, start, (b.from, a), to, tiles);
            true
        })
    }

    /// Writes the elements to their places among others, the first one to the first place.
    pub(super) fn scatter<T: std::marker::Copy>(&self, from: &[T], to: &mut [MaybeUninit<T>]) {
        if self.axes.iter().any(|axis| axis.n == 0) {
            return;
        }
        let (inner, outer) = match self.axes.split_last() {
            Some((inner, outer)) => (*inner, outer),
            None => (Axis { n: 1, from: 0, to: 1 }, &[][..]),
        };
        let count: usize = outer.iter().map(|axis| axis.n).product();
        for i in 0..count {
            let (mut rest, mut start, mut place) = (i, self.start as isize, 0);
            for axis in outer.iter().rev() {
                start += (rest % axis.n) as isize * axis.from;
                place += rest % axis.n * axis.to;
                rest /= axis.n;
            }
            let start = start as usize;
            if inner.from == 1 && inner.to == 1 {
                copy_to(&from[start..start + inner.n], &mut to[place..place + inner.n]);
            } else {
                for k in 0..inner.n {
                    to[place + k * inner.to].write(from[(start as isize + k as isize * inner.from) as usize]);
                }
            }
        }
    }
}

/// Writes rows of bytes, of which each column's lie side by side and columns are so far apart.
type Tiles<T> = fn(&[T], (usize, usize), &mut [MaybeUninit<T>]);

/// Bytes of rows that are transposed at once.
const TILE: usize = 4096;

fn tiles(from: &[u8], (columns, stride): (usize, usize), to: &mut [MaybeUninit<u8>]) {
    let mut tile = [0; TILE];
    let step = TILE / columns * columns;
    for (k, to) in to.chunks_mut(step).enumerate() {
        let tile = &mut tile[..to.len()];
        transpose(Isa::current(), &from[k * step / columns..], (columns, stride), tile);
        copy_to(tile, to);
    }
}

/// Rows of neighbours: `step` from one to the next.
fn plane<T: std::marker::Copy>(
    from: &[T],
    start: isize,
    (step, a): (isize, Axis),
    to: &mut [MaybeUninit<T>],
    tiles: Option<Tiles<T>>,
) {
    if let (Some(tiles), 1, 1.., 2..=TILE) = (tiles, step, a.from, a.n)
        && a.from > 1
    {
        return tiles(&from[start as usize..], (a.n, a.from as usize), to);
    }
    let at = |r: usize| start + r as isize * step;
    match a.from {
        1 => {
            for (r, to) in to.chunks_exact_mut(a.n).enumerate() {
                copy_to(&from[at(r) as usize..][..a.n], to);
            }
        }
        0 => {
            for (r, to) in to.chunks_exact_mut(a.n).enumerate() {
                to.fill(MaybeUninit::new(from[at(r) as usize]));
            }
        }
        _ if step == 1 && a.from > 1 => turned(&from[start as usize..], (a.n, a.from as usize), to),
        _ => {
            // Squares, so that lines of the caches are used as a whole on both sides.
            const SIDE: usize = 16;
            let rows = to.len() / a.n;
            for r in (0..rows).step_by(SIDE) {
                for c in (0..a.n).step_by(SIDE) {
                    for r in r..rows.min(r + SIDE) {
                        let end = a.n.min(c + SIDE);
                        for (c, to) in (c..end).zip(&mut to[r * a.n + c..r * a.n + end]) {
                            to.write(from[(at(r) + c as isize * a.from) as usize]);
                        }
                    }
                }
            }
        }
    }
}

/// Streams so many bytes apart meet in a few lines of the first cache.
const CONFLICT: usize = 2048;
/// Rows whose elements are read together.
const ROWS: usize = 8;

/// Writes rows of which each column's elements lie side by side, and columns are so far apart: some columns at a time, of
/// which as many are streams that are read on and on, and as many elements lines of the caches that are written at once.
fn turned<T: std::marker::Copy>(from: &[T], (columns, stride): (usize, usize), to: &mut [MaybeUninit<T>]) {
    // So many streams that lie in the same lines of the first cache throw each other out.
    let conflict = (stride * size_of::<T>()).is_multiple_of(CONFLICT);
    let mut c = 0;
    while c < columns {
        let from = &from[c * stride..];
        let some = match columns - c {
            16.. if !conflict => some_columns::<T, 16>,
            8.. => some_columns::<T, 8>,
            4.. => some_columns::<T, 4>,
            3 => some_columns::<T, 3>,
            2 => some_columns::<T, 2>,
            _ => some_columns::<T, 1>,
        };
        c += some(from, stride, &mut to[c..], columns);
    }
}

/// Writes the first `N` elements of each row; gives how many that are.
fn some_columns<T: std::marker::Copy, const N: usize>(
    from: &[T],
    stride: usize,
    to: &mut [MaybeUninit<T>],
    row: usize,
) -> usize {
    let rows = to.len().div_ceil(row);
    let whole = rows / ROWS * ROWS;
    for r in (0..whole).step_by(ROWS) {
        let lines: [&[T; ROWS]; N] =
            std::array::from_fn(|j| from[j * stride + r..].first_chunk().expect("elements of each row"));
        for i in 0..ROWS {
            let to: &mut [_; N] = to[(r + i) * row..].first_chunk_mut().expect("a row's room");
            for j in 0..N {
                to[j].write(lines[j][i]);
            }
        }
    }
    for r in whole..rows {
        for j in 0..N {
            to[r * row + j].write(from[j * stride + r]);
        }
    }
    N
}

/// A task that lays a value out as another one, of its shape and without gaps.
pub(in super::super) fn copy_task(from: &Value, to: Value) -> Task {
    let strides: Vec<isize> = from.strides.iter().map(|&s| s as isize).collect();
    let copy = Copy::new(&to.shape, 0, &strides, &to.strides);
    Task::new(to, move |io| Ok(copy.fill(io.from[0], io.to)?))
}
