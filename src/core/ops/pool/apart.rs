//! Windows of two axes that share so little that each is joined by itself: what lines of windows come to, kept for those that
//! share it, would be written and read once more.

use super::Window;
use super::axis::Total;
use crate::arch::{Kernel, Slot, Vector, copy_to};

/// Whether windows of images so wide do.
pub(super) fn are_apart([lines, windows]: [&[Window]; 2], width: usize) -> bool {
    let [high, wide] = [lines, windows].map(|all| all.iter().map(|w| w.count).sum::<usize>());
    high * wide <= high * width + lines.len() * (wide + width)
}

/// What they meet, of images that follow each other; `inner` is [`NARROW`](super::axis::NARROW) at least.
pub(super) fn apart<V: Vector, F: Copy, S: Slot>(
    v: V,
    [lines, windows]: [&[Window]; 2],
    from: &[F],
    (height, width, inner): (usize, usize, usize),
    to: &mut [S],
) where
    S::Item: Total + From<F>,
{
    v.run(Apart { lines, windows, from, height, width, inner, to });
}

struct Apart<'a, F, S> {
    lines: &'a [Window],
    windows: &'a [Window],
    from: &'a [F],
    height: usize,
    width: usize,
    inner: usize,
    to: &'a mut [S],
}

impl<F: Copy, T: Total + From<F>, S: Slot<Item = T>> Kernel for Apart<'_, F, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { lines, windows, from, height, width, inner, to } = self;
        let mut rows = to.chunks_exact_mut(windows.len() * inner);
        for from in from.chunks_exact(height * width * inner) {
            for (&line, to) in lines.iter().zip(&mut rows) {
                let mut to = &mut to[..];
                for windows in windows.chunk_by(|a, b| a.count == b.count) {
                    let own;
                    (own, to) = to.split_at_mut(windows.len() * inner);
                    let strips = Strips { line, windows, from, width, inner };
                    match windows[0].count {
                        2 => strips.join::<2, S>(own),
                        3 => strips.join::<3, S>(own),
                        _ => strips.join::<0, S>(own),
                    }
                }
            }
        }
    }
}

/// Windows of a line that meet as many elements each, some places of all of them at a time.
struct Strips<'a, F> {
    line: Window,
    windows: &'a [Window],
    from: &'a [F],
    width: usize,
    inner: usize,
}

impl<F: Copy> Strips<'_, F> {
    /// What they meet: `WIDE` elements of each line, or, for 0, as many as they say.
    #[inline(always)]
    fn join<const WIDE: usize, S: Slot>(&self, to: &mut [S])
    where
        S::Item: Total + From<F>,
    {
        let (inner, mut at) = (self.inner, 0);
        while inner - at >= 64 {
            self.strip::<WIDE, 64, S>(at, to);
            at += 64;
        }
        if inner - at >= 32 {
            self.strip::<WIDE, 32, S>(at, to);
            at += 32;
        }
        if inner - at > 16 {
            self.strip::<WIDE, 16, S>(at, to);
        }
        if inner > at {
            // The last ones together with some that are done already.
            self.strip::<WIDE, 16, S>(inner - 16, to);
        }
    }

    /// `N` places, from `at` on.
    #[inline(always)]
    fn strip<const WIDE: usize, const N: usize, S: Slot>(&self, at: usize, to: &mut [S])
    where
        S::Item: Total + From<F>,
    {
        let Self { line, windows, from, width, inner } = *self;
        for (i, window) in windows.iter().enumerate() {
            let wide = if WIDE == 0 { window.count } else { WIDE };
            let mut all = [S::Item::NONE; N];
            for y in 0..line.count {
                let first = ((line.first + y * line.step) * width + window.first) * inner + at;
                for x in 0..wide {
                    let run: &[F; N] = from[first + x * window.step * inner..]
                        .first_chunk()
                        .expect("windows lie in their image");
                    for j in 0..N {
                        all[j] = all[j].with(S::Item::from(run[j]));
                    }
                }
            }
            copy_to(&all, &mut to[i * inner + at..]);
        }
    }
}
