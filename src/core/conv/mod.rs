//! Convolutions of 8-bit images in one, two and three dimensions, and their transposes.
//!
//! Images are laid out channels last with their padding around them; then the patch of each position is a few runs of
//! neighbours, and a convolution is a product of patches and weights ([`crate::gemm`]), which reads the runs where they
//! lie, or puts patches together block by block of rows where the instruction set wants that: the matrix of all patches
//! never exists. Convolutions whose groups have one channel have a kernel of their own.
//!
//! Results lie channels last too: `images x lengths x outputs`.

mod depthwise;
mod geometry;
mod image;
mod packed;
pub mod reference;

pub use geometry::Geometry;
pub(crate) use geometry::Piece;
pub use image::Image;
pub(crate) use image::channels_last;
pub use packed::PackedConv;
pub(crate) use packed::taps;
pub(crate) use reference::weight_at;
