//! Pooling of 32-bit codes: a window after the other, since speed is nobody's wish there.

use std::mem::MaybeUninit;

use super::{Pool, Window};
use crate::error::Stopped;
use crate::gemm::Space;
use crate::threads;

/// Pools planes of these lengths, in C order, into as many results as there are windows: `planes x windows`.
///
/// Averages are of the values, rounded once in float64, halves to even.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn pool_wide(
    kind: Pool,
    codes: &[i32],
    space: Space,
    windows: &[Vec<Window>; 3],
    to: &mut [MaybeUninit<i32>],
) -> Result<(), Stopped> {
    let [depth, height, width] = space;
    let [planes, lines, along] = windows.each_ref().map(Vec::len);
    let each = planes * lines * along;
    if to.is_empty() {
        return Ok(());
    }
    let work = 8 * (codes.len() + to.len());
    threads::for_each(work, to.chunks_mut(along).enumerate(), |(line, to)| {
        let (plane, rest) = (line * along / each, line % (planes * lines));
        let own = &codes[plane * depth * height * width..][..depth * height * width];
        let (z, y) = (windows[0][rest / lines], windows[1][rest % lines]);
        for (to, &x) in to.iter_mut().zip(&windows[2]) {
            let cells = steps(z).flat_map(|z| steps(y).map(move |y| (z * height + y) * width));
            let cells = cells.flat_map(|row| steps(x).map(move |x| own[row + x]));
            let (zero_point, divisor, (ratio, to_zero)) = match kind {
                Pool::Max => {
                    to.write(cells.max().unwrap_or(i32::MIN));
                    continue;
                }
                Pool::Average(zero_point, divisor) => (zero_point, divisor, (1.0, zero_point)),
                Pool::AverageOn(zero_point, divisor, to) => (zero_point, divisor, to),
            };
            let zero = i64::from(zero_point);
            let sum: i64 = cells.map(|code| i64::from(code) - zero).sum();
            let size = divisor.unwrap_or((z.size * y.size * x.size).max(1) as i64);
            to.write(((sum as f64 / size as f64 * ratio).round_ties_even() + f64::from(to_zero)) as i32);
        }
        true
    })
}

fn steps(window: Window) -> impl Iterator<Item = usize> + Clone {
    (0..window.count).map(move |i| window.first + i * window.step)
}
