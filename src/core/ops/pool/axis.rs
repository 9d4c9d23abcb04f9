//! One axis at a time: what the elements of each window along it come to.
//!
//! Maxima and sums may be taken along one axis after the other. Elements of an axis are runs of `inner` codes side by
//! side: whole lines along the height of an image, channels along its width.

use std::ops::Range;

use super::Window;
use crate::arch::{Kernel, Slot, Vector, copy_to};

/// What codes are collected in.
pub(super) trait Total: Slot<Item = Self> + Copy + Send + Sync + 'static {
    /// What a window that meets nothing has.
    const NONE: Self;
    /// Both of them.
    fn with(self, other: Self) -> Self;
}

/// The greatest one.
macro_rules! maximum {
    ($($code:ty),*) => {$(
        impl Total for $code {
            const NONE: Self = <$code>::MIN;
            #[inline(always)]
            fn with(self, other: Self) -> Self {
                if other > self { other } else { self }
            }
        }
    )*};
}
maximum!(u8, i8);

/// A sum of codes.
pub(super) trait Sum: Total {
    /// What is left without `zeros`, the sum of as many zero points.
    fn less(self, zeros: i64) -> f32;
}

macro_rules! sum {
    ($($sum:ty, $wide:ty;)*) => {$(
        impl Total for $sum {
            const NONE: Self = 0;
            #[inline(always)]
            fn with(self, other: Self) -> Self {
                self + other
            }
        }
        impl Sum for $sum {
            #[inline(always)]
            fn less(self, zeros: i64) -> f32 {
                (<$wide>::from(self) - zeros as $wide) as f32
            }
        }
    )*};
}
sum! {
    i16, i32;
    i32, i32;
    i64, i64;
}

/// Joins what windows along an axis meet: `from` is `outer x length x inner`, `to` is `outer x windows x inner`.
/// `spare` is memory that calls share.
///
/// What stands here is compiled without an instruction set's instructions; the loops over elements are kernels of their
/// own, each of which is compiled once. Inlined wherever they are called, they were a third of the crate.
pub(super) fn along<V: Vector, F: Copy, S: Slot>(
    v: V,
    windows: &[Window],
    from: &[F],
    (length, inner): (usize, usize),
    to: &mut [S],
    spare: &mut Vec<S::Item>,
) where
    S::Item: Total + From<F>,
{
    let even = match inner < NARROW {
        true => Even::of(windows, length),
        false => Even::NONE,
    };
    let line = windows.len() * inner;
    if even.range.is_empty() {
        for (from, to) in from.chunks_exact(length * inner).zip(to.chunks_exact_mut(line)) {
            each(v, windows, from, inner, to);
        }
        return;
    }
    let (by, stride) = (even.step * inner, even.stride);
    spare.clear();
    spare.resize(from.len() - (even.count - 1) * by, S::Item::NONE);
    v.run(Shift { from, count: even.count, by, to: &mut *spare });
    let Range { start, end } = even.range;
    let first = windows[start].first;
    if end - start == windows.len() && stride * windows.len() == length {
        // The windows of the next line go on as those of this one.
        return v.run(Pick { from: &spare[first * inner..], inner, stride, to });
    }
    for (row, (from, to)) in from.chunks_exact(length * inner).zip(to.chunks_exact_mut(line)).enumerate() {
        each(v, &windows[..start], from, inner, &mut to[..start * inner]);
        each(v, &windows[end..], from, inner, &mut to[end * inner..]);
        let from = &spare[(row * length + first) * inner..];
        v.run(Pick { from, inner, stride, to: &mut to[start * inner..end * inner] });
    }
}

/// Runs shorter than this waste vectors: many elements are joined at once, those between windows too.
pub(super) const NARROW: usize = 16;

/// Windows that meet as many elements, equally far apart.
struct Even {
    range: Range<usize>,
    stride: usize,
    count: usize,
    step: usize,
}

impl Even {
    const NONE: Self = Self { range: 0..0, stride: 1, count: 1, step: 1 };

    /// Those of the fullest windows that follow each other so.
    fn of(windows: &[Window], length: usize) -> Self {
        let most = windows.iter().map(|w| w.count).max().unwrap_or(0);
        let Some(start) = windows.iter().position(|w| w.count == most) else { return Self::NONE };
        // Where windows are dilated, the next one may begin before one that padding cuts.
        let stride = windows.get(start + 1).map_or(length, |w| w.first.saturating_sub(windows[start].first));
        // As many passes over everything as a window has elements pay where windows are close to each other.
        if most == 0 || stride == 0 || most > 3 * stride + 5 || most > 16 {
            return Self::NONE;
        }
        let goes_on = |two: &&[Window]| two[1].count == most && two[1].first == two[0].first + stride;
        let more = windows[start..].windows(2).take_while(goes_on).count();
        Self { range: start..start + 1 + more, stride, count: most, step: windows[start].step }
    }
}

/// For each place what a window that begins there meets, `count` elements so far apart; not for the last ones, where
/// none does. The room holds what changes nothing.
struct Shift<'a, F, T> {
    from: &'a [F],
    count: usize,
    by: usize,
    to: &'a mut [T],
}

impl<F: Copy, T: Total + From<F>> Kernel for Shift<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { from, count, by, to } = self;
        if count == 2 {
            for ((to, &a), &b) in to.iter_mut().zip(from).zip(&from[by..]) {
                *to = T::from(a).with(T::from(b));
            }
            return;
        }
        for i in 0..count {
            for (to, &code) in to.iter_mut().zip(&from[i * by..]) {
                *to = to.with(T::from(code));
            }
        }
    }
}

/// The first run of each `stride` runs.
struct Pick<'a, T, S> {
    from: &'a [T],
    inner: usize,
    stride: usize,
    to: &'a mut [S],
}

impl<T: Copy, S: Slot<Item = T>> Kernel for Pick<'_, T, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { from, inner, stride, to } = self;
        match (inner, stride) {
            (_, 1) => copy_to(&from[..to.len()], to),
            (1, 2) => pick_ones::<T, S, 2>(from, to),
            (1, 3) => pick_ones::<T, S, 3>(from, to),
            (1, 4) => pick_ones::<T, S, 4>(from, to),
            _ => {
                // As many as fit a constant are copied, those of the next run with them: it is written after this one.
                let whole = to.len().saturating_sub(NARROW - 1).div_ceil(inner);
                let mut i = 0;
                while i < whole {
                    let Some(run) = from[i * stride * inner..].first_chunk::<NARROW>() else { break };
                    copy_to(run, &mut to[i * inner..][..NARROW]);
                    i += 1;
                }
                while i * inner < to.len() {
                    copy_to(&from[i * stride * inner..][..inner], &mut to[i * inner..][..inner]);
                    i += 1;
                }
            }
        }
    }
}

/// The same for runs of one.
#[inline(always)]
fn pick_ones<T: Copy, S: Slot<Item = T>, const STRIDE: usize>(from: &[T], to: &mut [S]) {
    let groups = from.as_chunks::<STRIDE>().0;
    let whole = groups.len().min(to.len());
    for (to, group) in to.iter_mut().zip(groups) {
        *to = S::of(group[0]);
    }
    // The last one may begin a group that is not whole.
    if let Some(last) = to.get_mut(whole) {
        *last = S::of(from[whole * STRIDE]);
    }
}

/// Windows of any kind along one line.
pub(super) fn each<V: Vector, F: Copy, S: Slot>(
    v: V,
    windows: &[Window],
    from: &[F],
    inner: usize,
    to: &mut [S],
) where
    S::Item: Total + From<F>,
{
    if !windows.is_empty() {
        v.run(Each { windows, from, inner, to });
    }
}

struct Each<'a, F, S> {
    windows: &'a [Window],
    from: &'a [F],
    inner: usize,
    to: &'a mut [S],
}

impl<F: Copy, T: Total + From<F>, S: Slot<Item = T>> Kernel for Each<'_, F, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { windows, from, inner, to } = self;
        for (&window, to) in windows.iter().zip(to.chunks_exact_mut(inner)) {
            let mut at = 0;
            while inner - at >= 64 {
                copy_to(&block::<F, T, 64>(window, from, inner, at), &mut to[at..]);
                at += 64;
            }
            if inner - at >= 32 {
                copy_to(&block::<F, T, 32>(window, from, inner, at), &mut to[at..]);
                at += 32;
            }
            if inner >= 16 && at < inner {
                if inner - at > 16 {
                    copy_to(&block::<F, T, 16>(window, from, inner, at), &mut to[at..]);
                }
                // The last ones together with some that are done already.
                copy_to(&block::<F, T, 16>(window, from, inner, inner - 16), &mut to[inner - 16..]);
                continue;
            }
            if inner == 1 && window.step == 1 {
                let codes = &from[window.first..][..window.count];
                let mut all = T::NONE;
                for &code in codes {
                    all = all.with(T::from(code));
                }
                to[0] = S::of(all);
                continue;
            }
            for (i, to) in to.iter_mut().enumerate().skip(at) {
                *to = S::of(block::<F, T, 1>(window, from, inner, i)[0]);
            }
        }
    }
}

/// What a window meets in `N` of the places of its runs, from `at` on.
#[inline(always)]
fn block<F: Copy, T: Total + From<F>, const N: usize>(
    window: Window,
    from: &[F],
    inner: usize,
    at: usize,
) -> [T; N] {
    let mut all = [T::NONE; N];
    for i in 0..window.count {
        let place = (window.first + i * window.step) * inner + at;
        let run: &[F; N] = from[place..].first_chunk().expect("windows lie in their line");
        for j in 0..N {
            all[j] = all[j].with(T::from(run[j]));
        }
    }
    all
}
