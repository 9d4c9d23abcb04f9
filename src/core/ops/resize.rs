//! Images of another size: the elements nearest to positions, or means of their neighbours weighted by distance.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::TargetCodes;
use crate::arch::{Byte, Isa, Kernel, Vector, copy_to, dispatch};
use crate::conv::{Image, channels_last};
use crate::error::Stopped;
use crate::gemm::{Codes, Space};
use crate::memory::filled;
use crate::threads;

/// Where the elements of a result lie on an axis of the image.
#[derive(Debug, Clone)]
pub struct Places {
    /// The element at or before each.
    pub low: Vec<usize>,
    /// How far each lies on the way to the next element; none where the elements themselves are taken.
    pub part: Vec<f32>,
}

impl Places {
    /// Two elements, and how much of the second one.
    #[inline(always)]
    fn at(&self, i: usize, length: usize) -> (usize, usize, f32) {
        (self.low[i], (self.low[i] + 1).min(length - 1), self.part[i])
    }
}

/// Writes images with as many elements as there are places, `images x places x channels`. Means are taken along the
/// last axis first, of codes less their zero point.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree; results of another type than the codes.
pub fn resize(
    image: &Image<'_>,
    places: &[Places; 3],
    zero_point: i32,
    to: TargetCodes<'_>,
) -> Result<(), Stopped> {
    match (image.codes, to) {
        (Codes::U8(codes), TargetCodes::U8(to)) => share(codes, image, places, zero_point, to),
        (Codes::I8(codes), TargetCodes::I8(to)) => share(codes, image, places, zero_point, to),
        _ => panic!("results of the codes' type"),
    }
}

fn share<C: Byte>(
    codes: &[C],
    image: &Image<'_>,
    places: &[Places; 3],
    zero_point: i32,
    to: &mut [MaybeUninit<C>],
) -> Result<(), Stopped> {
    let Image { space, channels, images, .. } = *image;
    let codes = &channels_last(Isa::current(), codes, image)?[..];
    if to.is_empty() {
        return Ok(());
    }
    let [planes, lines, along] = places.each_ref().map(|p| p.low.len());
    let (plane, line) = (space.iter().product::<usize>() * channels, along * channels);
    assert_eq!(to.len(), images * planes * lines * line, "as many results as places");
    let isa = Isa::current();
    let work = 8 * to.len();
    let step = (threads::CHUNK_BYTES / (8 * line)).clamp(1, lines);
    let pieces: Vec<_> = to
        .chunks_mut(lines * line)
        .enumerate()
        .flat_map(|(i, to)| to.chunks_mut(step * line).enumerate().map(move |(j, to)| (i, j * step, to)))
        .collect();
    threads::for_each(work, pieces.into_iter(), |(i, y, to)| {
        let codes = &codes[i / planes * plane..][..plane];
        let (z, lines) = (i % planes, y..y + to.len() / line);
        dispatch(isa, Piece { codes, space, channels, places, z, lines, zero_point, to });
        true
    })
}

/// Some lines of a plane of the result.
struct Piece<'a, C> {
    /// Of one image.
    codes: &'a [C],
    space: Space,
    channels: usize,
    places: &'a [Places; 3],
    z: usize,
    lines: Range<usize>,
    zero_point: i32,
    to: &'a mut [MaybeUninit<C>],
}

impl<C: Byte> Piece<'_, C> {
    /// A line of the image.
    #[inline(always)]
    fn line(&self, z: usize, y: usize) -> &[C] {
        let length = self.space[2] * self.channels;
        &self.codes[(z * self.space[1] + y) * length..][..length]
    }

    /// The elements of a line that are the nearest.
    #[inline(always)]
    fn nearest(&self, line: &[C], to: &mut [MaybeUninit<C>]) {
        let low = &self.places[2].low;
        if self.channels == 1 {
            for (to, &at) in to.iter_mut().zip(low) {
                to.write(line[at]);
            }
            return;
        }
        for (to, &at) in to.chunks_exact_mut(self.channels).zip(low) {
            copy_to(&line[at * self.channels..][..self.channels], to);
        }
    }

    /// Means along a line.
    #[inline(always)]
    fn means(&self, line: &[C], to: &mut [f32]) {
        let (channels, zero, along) = (self.channels, self.zero_point as f32, &self.places[2]);
        if channels == 1 {
            for (x, to) in to[..along.low.len()].iter_mut().enumerate() {
                let (low, high, part) = along.at(x, self.space[2]);
                let (a, b) = (line[low].widened() as f32 - zero, line[high].widened() as f32 - zero);
                *to = a * (1.0 - part) + b * part;
            }
            return;
        }
        for (x, to) in to.chunks_exact_mut(channels).take(along.low.len()).enumerate() {
            let (low, high, part) = along.at(x, self.space[2]);
            let (low, high) = (&line[low * channels..][..channels], &line[high * channels..][..channels]);
            for c in 0..channels {
                let (a, b) = (low[c].widened() as f32 - zero, high[c].widened() as f32 - zero);
                to[c] = a * (1.0 - part) + b * part;
            }
        }
    }
}

/// A mean of two groups, `part` of the second one.
#[inline(always)]
fn between<V: Vector>(v: V, a: [V::F; 4], b: [V::F; 4], part: f32) -> [V::F; 4] {
    let (rest, part) = (v.splat(1.0 - part), v.splat(part));
    [
        v.add(v.mul(a[0], rest), v.mul(b[0], part)),
        v.add(v.mul(a[1], rest), v.mul(b[1], part)),
        v.add(v.mul(a[2], rest), v.mul(b[2], part)),
        v.add(v.mul(a[3], rest), v.mul(b[3], part)),
    ]
}

impl<C: Byte> Kernel for Piece<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self, v: V) {
        let to = std::mem::take(&mut self.to);
        let line = self.places[2].low.len() * self.channels;
        let [depth, height, _] = self.space;
        if self.places[2].part.is_empty() {
            for (y, to) in self.lines.clone().zip(to.chunks_exact_mut(line)) {
                self.nearest(self.line(self.places[0].low[self.z], self.places[1].low[y]), to);
            }
            return;
        }
        // Means of lines of the image, of one plane and of the next, are kept until a line needs others. Neighbours
        // have places of their own: the even and the odd ones.
        let room = line.next_multiple_of(64);
        let mut kept = filled(4 * room, 0f32);
        let mut holds = [usize::MAX; 4];
        let (z0, z1, z_part) = self.places[0].at(self.z, depth);
        let flat = z0 == z1;
        for (y, to) in self.lines.clone().zip(to.chunks_exact_mut(line)) {
            let (y0, y1, y_part) = self.places[1].at(y, height);
            for (side, z) in [z0, z1].into_iter().take(if flat { 1 } else { 2 }).enumerate() {
                for y in [y0, y1] {
                    let slot = 2 * side + y % 2;
                    if holds[slot] != y {
                        self.means(self.line(z, y), &mut kept[slot * room..][..room]);
                        holds[slot] = y;
                    }
                }
            }
            let slots = [y0 % 2, y1 % 2, 2 + y0 % 2, 2 + y1 % 2];
            let [a, b, c, d] = [
                &kept[slots[0] * room..][..room],
                &kept[slots[1] * room..][..room],
                &kept[slots[2] * room..][..room],
                &kept[slots[3] * room..][..room],
            ];
            let mut at = 0;
            while at < line {
                let mut value = between(v, v.load(&a[at..]), v.load(&b[at..]), y_part);
                if !flat {
                    let next = between(v, v.load(&c[at..]), v.load(&d[at..]), y_part);
                    value = between(v, value, next, z_part);
                }
                let codes = v.narrow::<C>(value, v.splat16(self.zero_point as i16));
                if line - at >= V::GROUP {
                    v.store_bytes::<C, _, false>(codes, &mut to[at..]);
                } else {
                    let mut some = [C::default(); 64];
                    v.store_bytes::<C, C, false>(codes, &mut some);
                    copy_to(&some[..line - at], &mut to[at..]);
                }
                at += V::GROUP;
            }
        }
    }
}
