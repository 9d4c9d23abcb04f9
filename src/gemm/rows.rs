//! Activations, stored as an instruction set multiplies them.

use std::borrow::Cow;

use super::{Codes, Matrix, Patches, Source};
use crate::arch::Byte;
use crate::arch::product::{Product, Rows, Stored};
use crate::error::Stopped;
use crate::threads;

/// Rows whose distance is a multiple of this compete for the same few lines of the first cache.
const CONFLICT: usize = 4096;

/// Rows of activations: the caller's memory where it will do, a copy otherwise; rows that are put together from
/// pieces of an image are made block by block, when they are needed.
pub(super) struct Prepared<'a, A: Stored> {
    data: Cow<'a, [A]>,
    pieces: Option<Patches<'a>>,
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
        let sum = |r: usize| {
            let mut sum = x.depth() as i32 * offset;
            x.each_run(r, |from, n, _| sum += (from..from + n).map(|i| x.codes.at(i)).sum::<i32>());
            sum
        };
        let sums = if sums { (0..x.rows()).map(sum).collect() } else { Vec::new() };
        Self { data: Cow::Borrowed(&[]), pieces: Some(x), stride, count: x.rows(), offset, sums }
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
    pub(super) fn rows<'r>(&'r self, first: usize, count: usize, room: &'r mut Vec<A>) -> Rows<'r, A> {
        let Some(pieces) = &self.pieces else {
            return Rows { data: &self.data, stride: self.stride, count: self.count }.part(first, count);
        };
        room.resize(count * self.stride, A::default());
        for (r, to) in room.chunks_exact_mut(self.stride.max(1)).enumerate() {
            match pieces.codes {
                Codes::U8(codes) => fill(pieces, codes, first + r, to),
                Codes::I8(codes) => fill(pieces, codes, first + r, to),
            }
        }
        Rows { data: room, stride: self.stride, count }
    }
}

/// Puts a row together; what lies behind it stays 0.
fn fill<A: Stored, C: Byte>(pieces: &Patches<'_>, codes: &[C], row: usize, to: &mut [A]) {
    pieces.each_run(row, |from, n, at| {
        let (from, to) = (&codes[from..from + n], &mut to[at..at + n]);
        match A::as_is(from) {
            Some(from) => to.copy_from_slice(from),
            None => to.iter_mut().zip(from).for_each(|(to, &code)| *to = A::of(code)),
        }
    });
}
