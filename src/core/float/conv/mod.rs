//! Convolutions of images of floats in one, two and three dimensions, and their transposes.
//!
//! Images lie channels last, and so do results. A convolution is a product of patches and weights
//! ([`crate::float::product`]) that reads patches where they lie, as runs of channels; short runs are put together first,
//! some rows at a time. Where groups have one channel there is a kernel of its own. No zeros are laid around images.

mod depthwise;
mod packed;
mod rows;

pub use packed::FloatConv;

use crate::gemm::Space;

/// Images of floats in the caller's memory.
#[derive(Debug, Clone, Copy)]
pub struct FloatImage<'a> {
    /// From the first number on.
    pub x: &'a [f32],
    /// Number of images.
    pub images: usize,
    /// Channels, which follow each other.
    pub channels: usize,
    /// Lengths.
    pub space: Space,
    /// From one image, and from one element of each axis, to the next.
    pub strides: [usize; 4],
}
