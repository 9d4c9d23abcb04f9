//! Images of floats, read between their elements.

mod resize;
mod sample;

pub use resize::{Coordinates, Resize, Rounding, Sampling, Target};
pub use sample::{Outside, Sample};
