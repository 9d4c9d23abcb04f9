//! Images that become smaller: means of all elements that fall together.

use std::mem::MaybeUninit;

use super::super::super::op::{Io, Need, Task};
use super::super::super::value::Value;
use super::resize::Sampling;
use super::sample::keys_at;
use crate::arch::{Isa, Kernel, Vector, dispatch};
use crate::error::Stopped;
use crate::memory::{collected, reserve, room};
use crate::threads;

/// What elements of the result are made of: for each the first element of the axis, and where its weights end among all.
pub(super) struct Taps {
    rows: Vec<(usize, usize)>,
    weights: Vec<f32>,
}

/// The weights of elements around places on an axis of length `n`, which becomes so much longer, by kernels that widen
/// where it becomes shorter.
pub(super) fn taps(places: impl ExactSizeIterator<Item = f32>, n: usize, grown: f64, of: Sampling) -> Taps {
    let shrink = grown.min(1.0);
    let reach = if matches!(of, Sampling::Linear) { 1.0 } else { 2.0 };
    // The first one that may count, from the one before a place on; as many follow the place.
    let first = (-reach / shrink).floor().max(-(n as f64) - 2.0) as i64 + 1;
    let last = n as i64 - 1;
    let mut made = Taps { rows: room(places.len()), weights: Vec::new() };
    for at in places {
        let base = at.floor() as i64;
        let ends = (base + first, base - first + 1);
        let weight = |i: i64| {
            let far = (i as f32 - at).abs() * shrink as f32;
            match of {
                Sampling::Cubic(_, true) if !(0..=last).contains(&i) => 0.0,
                Sampling::Cubic(a, _) => keys_at(far, a),
                _ => (1.0 - far).max(0.0),
            }
        };
        let inside = (ends.0.clamp(0, last), ends.1.clamp(0, last));
        let start = made.weights.len();
        reserve(&mut made.weights, (inside.1 - inside.0 + 1) as usize);
        made.weights.extend((inside.0..=inside.1).map(weight));
        // What is beyond the ends counts as these.
        let own = &mut made.weights[start..];
        let beyond = |from: i64, to: i64| (from..to).map(weight).sum::<f32>();
        own[0] += beyond(ends.0, inside.0);
        own[(inside.1 - inside.0) as usize] += beyond(inside.1 + 1, ends.1 + 1);
        let sum: f32 = own.iter().sum();
        own.iter_mut().for_each(|weight| *weight /= sum);
        made.rows.push((inside.0 as usize, made.weights.len()));
    }
    made
}

/// The task that makes `outer x places x inner` of `outer x n x inner`.
pub(super) fn task(n: usize, (need, made, inner): (Option<Need>, Value, usize), taps: Taps) -> Task {
    let each = taps.weights.len() / taps.rows.len().max(1);
    let work = made.bytes().saturating_mul(each + 1);
    let run = move |io: Io<'_>| Ok(mean(io.from[0].floats(), (n, inner), &taps, io.to.floats())?);
    Task::new(made, run).needs(vec![need]).work(work)
}

fn mean(
    x: &[f32],
    (n, inner): (usize, usize),
    taps: &Taps,
    to: &mut [MaybeUninit<f32>],
) -> Result<(), Stopped> {
    let row = taps.rows.len() * inner;
    let lines = (threads::CHUNK_BYTES / (8 * row)).max(1);
    let bytes = size_of_val(x) + size_of_val(to);
    let isa = Isa::current();
    threads::for_each(bytes, to.chunks_mut(lines * row).enumerate(), |(i, to)| {
        let x = &x[i * lines * n * inner..];
        dispatch(isa, Rows { x, n, inner, taps, to });
        true
    })
}

struct Rows<'a> {
    x: &'a [f32],
    n: usize,
    inner: usize,
    taps: &'a Taps,
    to: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { x, n, inner, taps, to } = self;
        let mut sums = collected(inner, (0..inner).map(|_| 0.0f32));
        for (to, x) in to.chunks_exact_mut(taps.rows.len() * inner).zip(x.chunks_exact(n * inner)) {
            let mut start = 0;
            for (to, &(first, end)) in to.chunks_exact_mut(inner).zip(&taps.rows) {
                let weights = &taps.weights[start..end];
                start = end;
                if inner == 1 {
                    let x = &x[first..][..weights.len()];
                    to[0].write(x.iter().zip(weights).fold(0.0, |sum, (x, weight)| sum + x * weight));
                    continue;
                }
                sums.fill(0.0);
                for (x, &weight) in x[first * inner..].chunks_exact(inner).zip(weights) {
                    for (sum, &x) in sums.iter_mut().zip(x) {
                        *sum += x * weight;
                    }
                }
                for (to, &sum) in to.iter_mut().zip(&sums) {
                    to.write(sum);
                }
            }
        }
    }
}
