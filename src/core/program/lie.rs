//! How sources that are broadcast lie beside a result, and their elements in its order.

use super::memory::Memory;
use super::value::{Kind, Value};
use crate::arch::Lines;

/// How a source lies beside the result.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Lie {
    /// An element for each one of the result, in its order.
    Same,
    /// One element for all.
    One,
    /// Lengths, and steps in elements, of axes that the result's elements are counted by, the fastest one last.
    Spread(Vec<(usize, usize)>),
}

impl Lie {
    /// Of a value that broadcasts to a dense one.
    pub(super) fn of(value: &Value, made: &Value) -> Self {
        let spread = value.broadcast_to(&made.shape);
        let mut long: Vec<usize> = (0..made.shape.len()).filter(|&a| made.shape[a] != 1).collect();
        long.sort_by_key(|&a| std::cmp::Reverse(made.strides[a]));
        let mut axes: Vec<(usize, usize)> = Vec::with_capacity(long.len());
        for a in long {
            let own = (made.shape[a], spread.strides[a]);
            match axes.last_mut() {
                Some(outer) if own.0.checked_mul(own.1) == Some(outer.1) => *outer = (outer.0 * own.0, own.1),
                _ => axes.push(own),
            }
        }
        match axes[..] {
            [] | [(_, 0)] => Self::One,
            [(_, 1)] => Self::Same,
            _ => Self::Spread(axes),
        }
    }

    /// How many elements follow each other by one step.
    pub(super) fn run(&self, len: usize) -> usize {
        match self {
            Self::Spread(axes) => axes.last().map_or(len, |&(n, _)| n),
            _ => len,
        }
    }
}

/// Elements of a source that has fewer than the result, or other steps: a part of it where that will do, else a copy.
pub(super) fn spread<'a>(
    from: Memory<'a>,
    axes: &[(usize, usize)],
    at: usize,
    n: usize,
    kind: Kind,
    lines: &'a mut Lines,
) -> Memory<'a> {
    let (inner, outer) = axes.split_last().expect("axes");
    let mut places = [0usize; 32];
    let (mut rest, mut start) = (at / inner.0, 0);
    for (place, &(n, step)) in places.iter_mut().zip(outer).rev() {
        *place = rest % n;
        start += *place * step;
        rest /= n;
    }
    let skip = at % inner.0;
    if skip + n <= inner.0 && inner.1 <= 1 {
        let begin = start + skip * inner.1;
        return from.from(begin).first(if inner.1 == 0 { 1 } else { n });
    }
    let bytes = &mut lines.unsigned_mut()[..n * kind.size()];
    macro_rules! kinds {
        ($($kind:ident: $t:ty),*) => {
            match from.bits() {
                $(Memory::$kind(x) => rows::<$t>(x, bytemuck::cast_slice_mut(bytes), inner, outer, (places, start, skip)),)*
                _ => panic!("bits"),
            }
        };
    }
    kinds!(U8: u8, I32: i32, I64: i64);
    let bytes: &'a [u8] = bytes;
    Memory::of(kind, bytes)
}

type Start = ([usize; 32], usize, usize);

fn rows<T: Copy>(
    x: &[T],
    mut to: &mut [T],
    inner: &(usize, usize),
    outer: &[(usize, usize)],
    (mut places, mut start, mut skip): Start,
) {
    let &(n, step) = inner;
    loop {
        let count = (n - skip).min(to.len());
        let (own, rest) = to.split_at_mut(count);
        let begin = start + skip * step;
        match step {
            0 => own.fill(x[begin]),
            1 => own.copy_from_slice(&x[begin..begin + count]),
            _ => own.iter_mut().zip(x[begin..].iter().step_by(step)).for_each(|(to, &x)| *to = x),
        }
        if rest.is_empty() {
            return;
        }
        (to, skip) = (rest, 0);
        for (place, &(n, step)) in places.iter_mut().zip(outer).rev() {
            *place += 1;
            start += step;
            if *place < n {
                break;
            }
            start -= n * step;
            *place = 0;
        }
    }
}
