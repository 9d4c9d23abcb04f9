//! Parts of images, each of one size: regions of interest.

use std::mem::MaybeUninit;

use super::super::super::dims::Known;
use super::super::super::memory::Memory;
use super::super::super::op::{Hint, Io, Need, Op, Planned, Task, Trouble};
use super::super::super::value::{Type, Value, text};
use super::super::check_floats;
use super::super::float::channels_last;
use crate::arch::{self, Isa, Kernel, Vector};
use crate::error::{Error, Result};
use crate::memory::{filled, room};
use crate::threads;

/// For each box (left, top, right, bottom) of an image that a number names, so many rows and columns of elements: means,
/// or the greatest, of points that lie evenly in each of them, which the four elements around a point give.
///
/// Source: the ONNX operator RoiAlign; "Mask R-CNN", <https://arxiv.org/abs/1703.06870>.
#[derive(Debug, Clone, Copy)]
pub struct Align {
    /// Rows and columns of the result.
    pub size: (usize, usize),
    /// Points in each direction of an element; 0 for as many as there are pixels.
    pub sampling: usize,
    /// What boxes are multiplied by.
    pub scale: f32,
    /// The greatest of each point's weighted elements, and not the mean of the points.
    pub greatest: bool,
    /// Whether the middle of the first pixel is at a half, and not at 0.
    pub half_pixel: bool,
}

/// More points are no resolution that an image has.
const MOST: usize = 1 << 14;

impl Op for Align {
    fn name(&self) -> &'static str {
        "roi_align"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (x, boxes, ids) = (from[0], from[1], from[2]);
        check_floats(x)?;
        check_floats(boxes)?;
        let &[images, channels, height, width] = &x.shape[..] else {
            return Err(Error::value("input", text(&x.shape), "of shape (images, channels, height, width)"));
        };
        let &[count, 4] = &boxes.shape[..] else {
            return Err(Error::value("boxes", text(&boxes.shape), "of shape (boxes, 4)"));
        };
        if ids.ty != Type::I64 {
            return Err(Error::type_("images", ids.ty.name(), "int64"));
        }
        if ids.shape != [count] {
            let valid = format!("of shape ({count},), a number for each box");
            return Err(Error::value("images", text(&ids.shape), valid));
        }
        if height == 0 || width == 0 {
            return Err(Error::value("input", text(&x.shape), "images that have elements"));
        }
        if self.sampling > MOST {
            return Err(Error::value("sampling", self.sampling, format!("at most {MOST}")));
        }
        let (rows, columns) = self.size;
        let made = Value::new(Type::F32, vec![count, channels, rows, columns]);
        let (need, lies) = channels_last(x, 2);
        let image = Strided { images, channels, size: [height, width], strides: lies.strides.clone() };
        let needs = vec![need, Need::contiguous(boxes), Need::contiguous(ids)];
        let (own, work) = (*self, made.bytes().saturating_mul(16));
        let run = move |io: Io<'_>| -> Result<(), Trouble> {
            let Memory::I64(ids) = io.from[2] else { panic!("integers as planned") };
            own.run(io.from[0].floats(), &image, (io.from[1].floats(), ids), io.to.floats())
        };
        Ok(Task::new(made, run).needs(needs).work(work).into())
    }
}

/// Images that lie channels last.
struct Strided {
    images: usize,
    channels: usize,
    size: [usize; 2],
    strides: Vec<usize>,
}

/// A box on the grid of the pixels: where it begins along both axes, how long an element of the result is, and how many
/// points it has.
#[derive(Clone, Copy)]
struct Region {
    image: usize,
    start: [f32; 2],
    step: [f32; 2],
    points: [usize; 2],
}

impl Align {
    fn region(&self, of: &[f32], image: usize, at: usize) -> Result<Region> {
        let shift = if self.half_pixel { 0.5 } else { 0.0 };
        let [left, top, right, bottom] = [0, 1, 2, 3].map(|i| of[i] * self.scale - shift);
        let counts = [self.size.0, self.size.1];
        let lengths = [bottom - top, right - left].map(|n| if self.half_pixel || n > 1.0 { n } else { 1.0 });
        let step: [f32; 2] = std::array::from_fn(|a| lengths[a] / counts[a] as f32);
        // Of a box that is turned around, or has a side that is no number, there are none.
        let points = step.map(|step| if self.sampling > 0 { self.sampling } else { step.ceil() as usize });
        if let Some(points) = points.iter().find(|&&points| points > MOST) {
            let got = format!("{points} pixels for an element of box {at}");
            return Err(Error::value("boxes", got, format!("at most {MOST} of them")));
        }
        Ok(Region { image, start: [top, left], step, points })
    }

    fn run(
        &self,
        x: &[f32],
        image: &Strided,
        (boxes, ids): (&[f32], &[i64]),
        to: &mut [MaybeUninit<f32>],
    ) -> Result<(), Trouble> {
        let mut regions = room(ids.len());
        for (at, (of, &id)) in boxes.chunks_exact(4).zip(ids).enumerate() {
            let Some(id) = usize::try_from(id).ok().filter(|&id| id < image.images) else {
                let valid = format!("from 0 to {}", image.images - 1);
                return Err(Error::index("images", format!("{id} at {at}"), valid).into());
            };
            regions.push(self.region(of, id, at)?);
        }
        let (isa, each) = (Isa::current(), image.channels * self.size.0 * self.size.1);
        let (bytes, pieces) = (16 * size_of_val(to), to.chunks_exact_mut(each));
        threads::for_each(bytes, regions.into_iter().zip(pieces), |(region, to)| {
            let (rows, columns) = (self.axis(&region, 0, image), self.axis(&region, 1, image));
            let x = &x[region.image * image.strides[0]..];
            let count = (region.points[0] * region.points[1]).max(1);
            arch::dispatch(isa, Run { x, image, rows, columns, count, greatest: self.greatest, to });
            true
        })?;
        Ok(())
    }

    /// The points of each element along an axis.
    fn axis(&self, region: &Region, a: usize, image: &Strided) -> Vec<Vec<Point>> {
        let n = image.size[a];
        let (count, points) = (if a == 0 { self.size.0 } else { self.size.1 }, region.points[a]);
        let element = |b: usize| {
            let at = |i: usize| {
                region.start[a]
                    + b as f32 * region.step[a]
                    + (i as f32 + 0.5) * region.step[a] / points as f32
            };
            (0..points).filter_map(|i| Point::of(at(i), n)).collect()
        };
        (0..count).map(element).collect()
    }
}

/// A place between two elements of an axis.
#[derive(Clone, Copy)]
struct Point {
    places: [usize; 2],
    weights: [f32; 2],
}

impl Point {
    /// None where it is outside.
    fn of(at: f32, n: usize) -> Option<Self> {
        if !(at >= -1.0 && at <= n as f32) {
            return None;
        }
        let at = at.max(0.0);
        let low = at as usize;
        if low >= n - 1 {
            return Some(Self { places: [n - 1; 2], weights: [1.0, 0.0] });
        }
        let part = at - low as f32;
        Some(Self { places: [low, low + 1], weights: [1.0 - part, part] })
    }
}

/// One box.
struct Run<'a> {
    x: &'a [f32],
    image: &'a Strided,
    rows: Vec<Vec<Point>>,
    columns: Vec<Vec<Point>>,
    /// Points of an element, those outside among them.
    count: usize,
    greatest: bool,
    to: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { x, image, rows, columns, count, greatest, to } = self;
        let (n, step) = (image.channels, [image.strides[2], image.strides[3]]);
        let places = rows.len() * columns.len();
        let mut sums = filled(n, 0.0f32);
        let elements = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
        for (place, (row, column)) in elements.enumerate() {
            // What is outside is 0, also among what the greatest is of.
            let inside = row.len() * column.len();
            let first = if greatest && inside == count { f32::NEG_INFINITY } else { 0.0 };
            sums.fill(if inside == 0 { 0.0 } else { first });
            for (y, x_at) in row.iter().flat_map(|y| column.iter().map(move |x| (y, x))) {
                let corner = |i: usize, j: usize| {
                    let start = y.places[i] * step[0] + x_at.places[j] * step[1];
                    (&x[start..][..n], y.weights[i] * x_at.weights[j])
                };
                let [a, b, c, d] = [corner(0, 0), corner(0, 1), corner(1, 0), corner(1, 1)];
                for ((((sum, &p), &q), &r), &s) in sums.iter_mut().zip(a.0).zip(b.0).zip(c.0).zip(d.0) {
                    let each = [a.1 * p, b.1 * q, c.1 * r, d.1 * s];
                    *sum = match greatest {
                        true => each.into_iter().fold(*sum, |most, one| if one > most { one } else { most }),
                        false => *sum + (each[0] + each[1] + each[2] + each[3]),
                    };
                }
            }
            let by = if greatest { 1.0 } else { count as f32 };
            for (sum, to) in sums.iter().zip(to[place..].iter_mut().step_by(places)) {
                to.write(sum / by);
            }
        }
    }
}
