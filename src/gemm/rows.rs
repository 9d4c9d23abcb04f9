//! Activations, stored as an instruction set multiplies them.

use std::borrow::Cow;

use super::patches::Runs;
use super::{Codes, Matrix, Patches, Source};
use crate::arch::product::{Product, Rows, Stored};
use crate::arch::{Byte, Kernel, Vector};
use crate::error::Stopped;
use crate::threads;

/// Rows whose distance is a multiple of this compete for the same few lines of the first cache.
const CONFLICT: usize = 4096;

/// Rows of activations: the caller's memory where it will do, a copy otherwise; rows that are put together from
/// pieces of an image are made block by block, when they are needed.
pub(super) struct Prepared<'a, A: Stored> {
    data: Cow<'a, [A]>,
    pieces: Option<(Patches<'a>, Runs)>,
    stride: usize,
    count: usize,
    /// What was added to each code.
    pub(super) offset: i32,
    /// The sum of each row as it is stored, where it was asked for.
    pub(super) sums: Vec<i32>,
}

impl<'a, A: Stored> Prepared<'a, A> {
    pub(super) fn new<P: Product<A = A>>(x: Source<'a>, sums: bool) -> Result<Self, Stopped> {
        match x {
            Source::Matrix(x) => match x.codes {
                Codes::U8(codes) => Self::of::<P, u8>(codes, x, sums),
                Codes::I8(codes) => Self::of::<P, i8>(codes, x, sums),
            },
            Source::Patches(x) => Ok(match x.codes {
                Codes::U8(_) => Self::of_patches::<P, u8>(x, sums),
                Codes::I8(_) => Self::of_patches::<P, i8>(x, sums),
            }),
        }
    }

    fn of_patches<P: Product<A = A>, C: Byte>(x: Patches<'a>, sums: bool) -> Self {
        let stride = x.depth().next_multiple_of(P::DEPTH);
        let offset = A::offset::<C>();
        let runs = x.runs();
        let sum = |start: usize| {
            let all = runs.starts.iter().flat_map(|run| start + run..start + run + runs.length);
            x.depth() as i32 * offset + all.map(|i| x.codes.at(i)).sum::<i32>()
        };
        let sums = if sums { x.starts(0).take(x.rows()).map(sum).collect() } else { Vec::new() };
        Self { data: Cow::Borrowed(&[]), pieces: Some((x, runs)), stride, count: x.rows(), offset, sums }
    }

    fn of<P: Product<A = A>, C: Byte>(codes: &'a [C], x: Matrix<'a>, sums: bool) -> Result<Self, Stopped> {
        let Matrix { rows: count, columns: depth, row_stride, column_stride, .. } = x;
        let offset = A::offset::<C>();
        let source = |r: usize| (0..depth).map(move |k| codes[r * row_stride + k * column_stride]);
        let sums = match sums {
            true => (0..count).map(|r| source(r).map(|c| c.widened() + offset).sum()).collect(),
            false => Vec::new(),
        };
        let fits = column_stride == 1 && depth.is_multiple_of(P::DEPTH) && depth > 0;
        let conflicts = count > 1 && row_stride.is_multiple_of(CONFLICT / size_of::<A>());
        if fits
            && !conflicts
            && let Some(data) = A::as_is(codes)
        {
            return Ok(Self {
                data: Cow::Borrowed(data),
                pieces: None,
                stride: row_stride,
                count,
                offset,
                sums,
            });
        }
        let padded = depth.next_multiple_of(P::DEPTH);
        let conflicts = padded > 0 && padded.is_multiple_of(CONFLICT / size_of::<A>());
        let stride = if conflicts { padded + 64 } else { padded };
        let mut data = vec![A::default(); count * stride];
        let per_piece = (threads::CHUNK_BYTES / stride.max(1)).max(1);
        let bytes = count * depth * (1 + size_of::<A>());
        let pieces = data.chunks_mut((per_piece * stride).max(1)).enumerate();
        threads::for_each(bytes, pieces, |(i, piece)| {
            for (r, to) in piece.chunks_exact_mut(stride).enumerate() {
                let r = i * per_piece + r;
                if column_stride == 1 {
                    for (to, &code) in to.iter_mut().zip(&codes[r * row_stride..][..depth]) {
                        *to = A::of(code);
                    }
                } else {
                    to.iter_mut().zip(source(r)).for_each(|(to, code)| *to = A::of(code));
                }
            }
            true
        })?;
        Ok(Self { data: Cow::Owned(data), pieces: None, stride, count, offset, sums })
    }

    /// Rows from `first` on, in `room` where they have to be made.
    pub(super) fn rows<'r, V: Vector>(
        &'r self,
        v: V,
        first: usize,
        count: usize,
        room: &'r mut Vec<A>,
    ) -> Rows<'r, A> {
        let Some((patches, runs)) = &self.pieces else {
            return Rows { data: &self.data, stride: self.stride, count: self.count }.part(first, count);
        };
        room.resize(count * self.stride + MOST_AT_ONCE, A::default());
        match patches.codes {
            Codes::U8(codes) => v.run(Fill { patches, runs, codes, first, count, stride: self.stride, room }),
            Codes::I8(codes) => v.run(Fill { patches, runs, codes, first, count, stride: self.stride, room }),
        }
        Rows { data: room, stride: self.stride, count }
    }
}

/// Elements that are copied at once, at most.
const MOST_AT_ONCE: usize = 64;

/// Puts rows together, one after the other. What lies behind each of them may be anything: it meets weights of 0.
struct Fill<'a, A, C> {
    patches: &'a Patches<'a>,
    runs: &'a Runs,
    codes: &'a [C],
    first: usize,
    count: usize,
    stride: usize,
    /// There is more of it, by `MOST_AT_ONCE`.
    room: &'a mut [A],
}

impl<A: Stored, C: Byte> Kernel for Fill<'_, A, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        match self.runs.length {
            0 => {}
            1..=4 => self.copy::<4>(),
            5..=16 => self.copy::<16>(),
            17..=32 => self.copy::<32>(),
            _ => self.copy::<MOST_AT_ONCE>(),
        }
    }
}

impl<A: Stored, C: Byte> Fill<'_, A, C> {
    /// Copies `N` elements at once, also where a run has less: the next one, or the next row, is written over the rest.
    #[inline(always)]
    fn copy<const N: usize>(self) {
        let Runs { length, ref starts } = *self.runs;
        let whole = length.next_multiple_of(N);
        let last = starts.iter().max().map_or(0, |run| run + whole);
        for (r, start) in self.patches.starts(self.first).take(self.count).enumerate() {
            let to = &mut self.room[r * self.stride..];
            if start + last > self.codes.len() {
                for (run, to) in starts.iter().zip(to.chunks_exact_mut(length)) {
                    to.iter_mut().zip(&self.codes[start + run..]).for_each(|(to, &code)| *to = A::of(code));
                }
                continue;
            }
            for (i, run) in starts.iter().enumerate() {
                let from = &self.codes[start + run..][..whole];
                let to = &mut to[i * length..][..whole];
                for (to, from) in to.as_chunks_mut::<N>().0.iter_mut().zip(from.as_chunks::<N>().0) {
                    *to = from.map(A::of);
                }
            }
        }
    }
}
