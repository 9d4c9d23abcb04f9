//! NumPy arrays of codes as images: channels first at the API, channels last in memory.

use numpy::PyUntypedArrayMethods;
use pyo3::prelude::*;
use quantray_core::conv::Image;

use super::axes::space;
use super::matrices::codes_of;
use crate::array::{Array, as_array, contiguous, strides_that_matter, tuple_text, with_moved_axis};
use crate::error::Error;

/// The array, or a copy where it has negative strides.
pub fn without_negative_strides<'py>(array: &Array<'py>) -> PyResult<Array<'py>> {
    if strides_that_matter(array).iter().all(|&s| s >= 0) { Ok(array.clone()) } else { contiguous(array) }
}

/// An array of codes, (N, C, lengths) or without N, as images.
pub fn image<'a>(codes: &'a Array<'_>, dims: usize, batch: bool) -> Image<'a> {
    let (n, shape) = (codes.ndim(), codes.shape());
    let strides: Vec<usize> = strides_that_matter(codes).iter().map(|&s| s as usize).collect();
    let [z, y, x] = space(&strides[n - dims..], 0);
    Image {
        codes: codes_of(codes),
        images: if batch { shape[0] } else { 1 },
        channels: shape[n - dims - 1],
        space: space(&shape[n - dims..], 1),
        strides: [if batch { strides[0] } else { 0 }, strides[n - dims - 1], z, y, x],
    }
}

/// Images whose planes of single channels lie one after the other, and not channels last, as images of one channel.
pub fn planes<'a>(image: &Image<'a>) -> Option<Image<'a>> {
    let Image { codes, images, channels, space, .. } = *image;
    let apart = image.lies(Image::first(space, channels)) && !image.lies(Image::last(space, channels));
    let (images, strides) = (images * channels, Image::last(space, 1));
    apart.then_some(Image { codes, images, channels: 1, space, strides })
}

/// A shape with one of its axes moved to its end.
pub fn moved_last(shape: &[usize], axis: usize) -> Vec<usize> {
    shape[..axis].iter().chain(&shape[axis + 1..]).chain([&shape[axis]]).copied().collect()
}

/// A caller's `out` of this shape as a kernel fills it: with its axis of channels last.
pub fn channels_last<'py>(
    out: Option<&Bound<'py, PyAny>>,
    shape: &[usize],
    axis: usize,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(out) = out else { return Ok(None) };
    let array = as_array(out)?;
    if array.shape() != shape {
        let valid = format!("of shape {}", tuple_text(shape));
        return Err(Error::value("out", tuple_text(array.shape()), valid).into());
    }
    with_moved_axis(&array, axis, shape.len() - 1).map(|moved| Some(moved.into_any()))
}

/// What a kernel has filled as the caller sees it: their `out`, or a view with the channels at `axis`.
pub fn channels_first<'py>(
    made: Array<'py>,
    out: Option<&Bound<'py, PyAny>>,
    axis: usize,
) -> PyResult<Array<'py>> {
    match out {
        Some(out) => as_array(out),
        None => with_moved_axis(&made, made.ndim() - 1, axis),
    }
}
