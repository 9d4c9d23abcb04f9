//! Images of floats, read between their elements.

mod align;
mod fold;
mod resize;
mod sample;
mod wide;

pub use align::Align;
pub use fold::Fold;
pub use resize::{Coordinates, Resize, Rounding, Sampling, Target};
pub use sample::{Near, Outside, Sample};
