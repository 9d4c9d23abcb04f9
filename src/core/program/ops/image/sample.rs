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

/// Images, `N x C x H x W`, read at places, `N x height x width x 2`, from -1 to 1: the means of four elements around
/// each, weighted by distance.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The nearest element instead.
    pub nearest: bool,
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
        // What is far outside, or no number, lies outside.
        if at.abs() < 16_777_216.0 { at } else { -100.0 }
    }
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
                if self.nearest {
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
