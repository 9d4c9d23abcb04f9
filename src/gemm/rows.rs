//! Activations, stored as an instruction set multiplies them.

use std::borrow::Cow;

use super::{Codes, Matrix};
use crate::arch::Byte;
use crate::arch::product::{Product, Rows, Stored};
use crate::error::Stopped;
use crate::threads;

/// Rows whose distance is a multiple of this compete for the same few lines of the first cache.
const CONFLICT: usize = 4096;

/// Rows of activations: the caller's memory where it will do, a copy otherwise.
pub(super) struct Prepared<'a, A: Stored> {
    data: Cow<'a, [A]>,
    stride: usize,
    count: usize,
    /// What was added to each code.
    pub(super) offset: i32,
    /// The sum of each row as it is stored, where it was asked for.
    pub(super) sums: Vec<i32>,
}

impl<'a, A: Stored> Prepared<'a, A> {
    pub(super) fn new<P: Product<A = A>>(x: Matrix<'a>, sums: bool) -> Result<Self, Stopped> {
        match x.codes {
            Codes::U8(codes) => Self::of::<P, u8>(codes, x, sums),
            Codes::I8(codes) => Self::of::<P, i8>(codes, x, sums),
        }
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
            return Ok(Self { data: Cow::Borrowed(data), stride: row_stride, count, offset, sums });
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
        Ok(Self { data: Cow::Owned(data), stride, count, offset, sums })
    }

    pub(super) fn rows(&self) -> Rows<'_, A> {
        Rows { data: &self.data, stride: self.stride, count: self.count }
    }
}
