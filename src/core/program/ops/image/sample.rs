//! Images read at given places.

use std::mem::MaybeUninit;

use super::super::super::dims::Known;
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task};
use super::super::super::value::{Type, Value, text};
use super::super::check_floats;
use crate::error::{Error, Result, Stopped};
use crate::threads;

/// What lies outside of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as torch names them")]
pub enum Outside {
    Zeros,
    Border,
    Reflection,
}

/// What is read around a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Near {
    /// The nearest element.
    One,
    /// The mean of the four around it, weighted by distance.
    Four,
    /// That of sixteen, by Keys' kernel at -0.75.
    Sixteen,
}

/// Images, `N x C x H x W`, read at places, `N x height x width x 2`, from -1 to 1.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// What is read.
    pub near: Near,
    /// What lies outside.
    pub outside: Outside,
    /// Whether -1 and 1 are the middle of the outer elements, or their outer edge.
    pub align_corners: bool,
}

impl Sample {
    /// A place from -1 to 1 as one in elements.
    fn source(self, at: f32, n: usize) -> f32 {
        let length = n as f32;
        let mut at = match self.align_corners {
            true => (at + 1.0) * 0.5 * (length - 1.0),
            false => ((at + 1.0) * length - 1.0) * 0.5,
        };
        if self.near == Near::Sixteen {
            // Its neighbours are turned back one by one.
            return far_is_outside(at);
        }
        if self.outside == Outside::Reflection {
            let (low, span) = if self.align_corners { (0.0, length - 1.0) } else { (-0.5, length) };
            at = if span == 0.0 {
                0.0
            } else {
                let far = (at - low).abs();
                let (rest, turns) = (far % span, (far / span).floor());
                if turns % 2.0 == 0.0 { rest + low } else { span - rest + low }
            };
        }
        if self.outside != Outside::Zeros {
            at = if at < 0.0 { 0.0 } else { at };
            at = if at > length - 1.0 { length - 1.0 } else { at };
        }
        far_is_outside(at)
    }

    /// An element of an axis of length `n` by its number, of which there may be none.
    fn element(self, i: i64, n: usize) -> Option<usize> {
        let last = n as i64 - 1;
        match self.outside {
            Outside::Zeros => (0..=last).contains(&i).then_some(i as usize),
            Outside::Border => Some(i.clamp(0, last) as usize),
            Outside::Reflection if self.align_corners => {
                // There and back, the outer elements once each.
                let at = i.rem_euclid((2 * last).max(1));
                Some(at.min(2 * last - at).clamp(0, last) as usize)
            }
            Outside::Reflection => {
                let at = i.rem_euclid(2 * (last + 1));
                Some(at.min(2 * last + 1 - at) as usize)
            }
        }
    }
}

/// What is far outside, or no number, lies outside.
fn far_is_outside(at: f32) -> f32 {
    if at.abs() < 16_777_216.0 { at } else { -100.0 }
}

/// Keys' kernel, by a distance that is not negative.
#[inline]
pub(super) fn keys_at(d: f32, a: f32) -> f32 {
    match d {
        d if d <= 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
        d if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
        _ => 0.0,
    }
}

/// The weights of the two elements up to a place and of the two behind it, by how far it is from the second one.
#[inline]
pub(super) fn keys(part: f32, a: f32) -> [f32; 4] {
    [part + 1.0, part, 1.0 - part, 2.0 - part].map(|d| keys_at(d, a))
}

impl Op for Sample {
    fn name(&self) -> &'static str {
        "grid_sample"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (x, grid) = (from[0], from[1]);
        check_floats(x)?;
        check_floats(grid)?;
        let (&[images, channels, height, width], &[n, rows, columns, 2]) = (&x.shape[..], &grid.shape[..])
        else {
            let valid =
                format!("of shape (N, height, width, 2) for an input (N, C, H, W), {}", text(&x.shape));
            return Err(Error::value("grid", text(&grid.shape), valid));
        };
        if n != images || height == 0 || width == 0 {
            let valid =
                format!("for as many images as there are in {}, none without elements", text(&x.shape));
            return Err(Error::value("grid", text(&grid.shape), valid));
        }
        let made = Value::new(Type::F32, vec![images, channels, rows, columns]);
        let (needs, work) = (vec![Need::contiguous(x), Need::contiguous(grid)], 16 * made.bytes());
        let (own, shape) = (*self, [channels, height, width, rows * columns]);
        let run =
            move |io: Io<'_>| Ok(own.run(io.from[0].floats(), io.from[1].floats(), shape, io.to.floats())?);
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }

    fn images(&self, _: &[&Value], _: &Value, images: &[bool]) -> Option<bool> {
        images.iter().all(|&images| images).then_some(true)
    }
}

impl Sample {
    fn run(
        self,
        x: &[f32],
        grid: &[f32],
        [channels, height, width, places]: [usize; 4],
        to: &mut [MaybeUninit<f32>],
    ) -> Result<(), Stopped> {
        let plane = height * width;
        let pieces = x.chunks_exact(channels * plane).zip(grid.chunks_exact(2 * places));
        let bytes = 16 * size_of_val(to);
        let pieces: Vec<_> = pieces.zip(to.chunks_exact_mut(channels * places)).collect();
        threads::for_each(bytes, pieces.into_iter(), |((x, grid), to)| {
            for (p, place) in grid.chunks_exact(2).enumerate() {
                let (column, row) = (self.source(place[0], width), self.source(place[1], height));
                let at = |row: f32, column: f32| -> Option<usize> {
                    let inside = row >= 0.0 && row < height as f32 && column >= 0.0 && column < width as f32;
                    inside.then(|| row as usize * width + column as usize)
                };
                if self.near == Near::Sixteen {
                    let taps = |at: f32, n: usize| {
                        let (low, weights) = (at.floor(), keys(at - at.floor(), -0.75));
                        weights.map({
                            let mut i = low as i64 - 2;
                            move |weight| {
                                i += 1;
                                (self.element(i, n), weight)
                            }
                        })
                    };
                    let (rows, columns) = (taps(row, height), taps(column, width));
                    for c in 0..channels {
                        let mut sum = 0.0;
                        for (row, y) in rows {
                            for (column, x_weight) in columns {
                                let at = row.zip(column).map(|(row, column)| row * width + column);
                                sum += at.map_or(0.0, |at| x[c * plane + at]) * (y * x_weight);
                            }
                        }
                        to[c * places + p].write(sum);
                    }
                    continue;
                }
                if self.near == Near::One {
                    let at = at(row.round_ties_even(), column.round_ties_even());
                    for c in 0..channels {
                        to[c * places + p].write(at.map_or(0.0, |at| x[c * plane + at]));
                    }
                    continue;
                }
                let (left, top) = (column.floor(), row.floor());
                let (right, bottom) = (left + 1.0, top + 1.0);
                let corners = [
                    (at(top, left), (right - column) * (bottom - row)),
                    (at(top, right), (column - left) * (bottom - row)),
                    (at(bottom, left), (right - column) * (row - top)),
                    (at(bottom, right), (column - left) * (row - top)),
                ];
                for c in 0..channels {
                    let mut sum = 0.0;
                    for (at, weight) in corners {
                        sum += at.map_or(0.0, |at| x[c * plane + at]) * weight;
                    }
                    to[c * places + p].write(sum);
                }
            }
            true
        })
    }
}
