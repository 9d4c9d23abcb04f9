//! The steps, a file for each family.

mod affine;
mod constant;
mod copy;
mod dynamic;
mod elementwise;
mod find;
mod float;
mod image;
mod join;
mod layer;
mod limit;
mod movement;
mod places;
mod pool;
mod pool_places;
mod product;
mod reduce;
mod reshape;
mod resize;
mod slice;
mod sliding;

pub use affine::{Dequantize, IntRepr, Quantize, Requantize};
pub use constant::Given;
pub(super) use copy::copy_task;
pub use dynamic::Dynamic;
pub use elementwise::{Binary, Clamp, Table};
pub use find::{NonZero, Suppress};
pub use float::{
    Arithmetic, Attention, Cast, Compare, Direction, Embedding, FloatConv, FloatLayer, FloatLinear, Function,
    GroupNorm, LayerNorm, LogSoftmax, Logic, Recurrent, Rows, Softmax, Test, Unary, WeightOnlyLinear, Where,
    Zip,
};
pub use image::{Align, Coordinates, Fold, Near, Outside, Resize, Rounding, Sample, Sampling, Target};
pub use join::Cat;
pub use layer::{Conv, Layer, Linear};
pub use limit::AtMost;
pub use movement::{Expand, Flip, Pad, Squeeze, Transpose, Unsqueeze};
pub use places::{
    Band, Combine, Diagonal, GatherNd, Lists, Order, PadMode, Put, Ramp, Repeated, ScatterAlong, ScatterNd,
    Sorted, Take, TakeAlong,
};
pub use pool::{Pool, Windows};
pub use pool_places::PoolPlaces;
pub use product::Matmul;
pub use reduce::{Reduce, Reduction, Scan, Scanned};
pub use reshape::{Flatten, Reshape};
pub use resize::{Interpolate, Mode, Size};
pub use slice::{Item, Slice};
pub use sliding::Sliding;

use super::value::{Grid, Type, Value};
use crate::error::{Error, Result};

/// The grid of a value that must be quantized.
fn grid_of(value: &Value) -> Result<Grid> {
    match value.ty {
        Type::Codes(grid) => Ok(grid),
        other => Err(Error::type_("input", other.name(), "quantized: a quantize step makes it so")),
    }
}

/// Refuses what is not real numbers.
fn check_floats(value: &Value) -> Result<()> {
    match value.ty {
        Type::F32 => Ok(()),
        other => Err(Error::type_("input", other.name(), "float32")),
    }
}

/// Of functions of each element: whatever holds images keeps them.
fn each_element(from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
    let rank = made.shape.len();
    let whole = |(value, &images): (&&Value, &bool)| match images {
        true => value.shape.len() == rank,
        // The same for all images.
        false => value.shape.len() < rank || value.shape.first().is_none_or(|&n| n == 1),
    };
    from.iter().zip(images).all(whole).then_some(true)
}

/// An axis counted from the end where negative.
fn axis_in(axis: isize, rank: usize) -> Result<usize> {
    let n = rank as isize;
    match (-n..n).contains(&axis) {
        true => Ok(if axis < 0 { axis + n } else { axis } as usize),
        false => Err(Error::value("axis", axis, format!("from {} to {} for {rank} axes", -n, n - 1))),
    }
}
