//! Places of elements, and boxes, that are as many as there are.

use super::super::find::{Find, Found};
use super::super::memory::Memory;
use super::super::op::Trouble;
use super::super::value::{Value, text};
use super::check_floats;
use crate::error::Error;
use crate::memory::{collected, filled};
use crate::ops::{Counts, Suppression, non_max_suppression};

/// Places of elements that are not 0: a row for each axis. An element without axes counts as a row of one.
#[derive(Debug)]
pub struct NonZero;

impl Find for NonZero {
    fn name(&self) -> &'static str {
        "nonzero"
    }

    fn find(&self, from: &[(&Value, Memory<'_>)]) -> Result<Found, Trouble> {
        let (value, memory) = from[0];
        // NaN is not 0, either.
        let places = match memory {
            Memory::U8(x) | Memory::Bool(x) => places(x, |&x| x != 0),
            Memory::I8(x) => places(x, |&x| x != 0),
            Memory::F32(x) => places(x, |&x| x != 0.0),
            Memory::I32(x) => places(x, |&x| x != 0),
            Memory::I64(x) => places(x, |&x| x != 0),
        };
        let axes = value.shape.len().max(1);
        let count = places.len();
        let mut numbers = filled(axes * count, 0);
        if let [n] | [.., n] = &value.shape[..]
            && axes > 1
        {
            // From the last axis to the first one.
            let mut rest = places;
            let mut length = *n;
            for (a, row) in numbers.chunks_exact_mut(count.max(1)).enumerate().rev() {
                for (to, rest) in row.iter_mut().zip(&mut rest) {
                    *to = (*rest % length) as i64;
                    *rest /= length;
                }
                length = if a > 0 { value.shape[a - 1] } else { 1 };
            }
        } else {
            numbers.iter_mut().zip(places).for_each(|(to, place)| *to = place as i64);
        }
        Ok(Found { shape: vec![axes, count], numbers })
    }
}

/// Places of elements, counted in C order.
fn places<T>(x: &[T], is: impl Fn(&T) -> bool) -> Vec<usize> {
    let count = x.iter().filter(|x| is(x)).count();
    collected(count, x.iter().enumerate().filter(|(_, x)| is(x)).map(|(i, _)| i))
}

/// Boxes, `images x boxes x 4`, that no better one covers, by scores, `images x classes x boxes`: a row of image, class
/// and box for each.
#[derive(Debug)]
pub struct Suppress(pub Suppression);

impl Find for Suppress {
    fn name(&self) -> &'static str {
        "non_max_suppression"
    }

    fn find(&self, from: &[(&Value, Memory<'_>)]) -> Result<Found, Trouble> {
        let ((boxes, own), (scores, of)) = (from[0], from[1]);
        check_floats(boxes)?;
        check_floats(scores)?;
        let &[images, n, 4] = &boxes.shape[..] else {
            let got = text(&boxes.shape);
            return Err(Error::value("boxes", got, "of shape (images, boxes, 4)").into());
        };
        let &[rows, classes, each] = &scores.shape[..] else {
            let got = text(&scores.shape);
            return Err(Error::value("scores", got, "of shape (images, classes, boxes)").into());
        };
        if rows != images || each != n {
            let valid = format!("of shape ({images}, classes, {n}), for boxes {}", text(&boxes.shape));
            return Err(Error::value("scores", text(&scores.shape), valid).into());
        }
        let counts = Counts { images, classes, boxes: n };
        let found = non_max_suppression(own.floats(), of.floats(), counts, &self.0)?;
        Ok(Found {
            shape: vec![found.len(), 3],
            numbers: collected(3 * found.len(), found.into_iter().flatten()),
        })
    }
}
