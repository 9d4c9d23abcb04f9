//! Convolutions of floats.

use std::sync::Arc;

use super::super::super::dims::Known;
use super::super::super::op::{Hint, Io, Need, Op, Planned};
use super::super::super::value::{Type, Value, last_strides, text};
use super::super::check_floats;
use super::super::layer::{Images, by_image};
use super::layer::FloatLayer;
use crate::error::{Error, Result};
use crate::float::conv::{FloatConv as Packed, FloatImage};
use crate::float::product::PER_BYTE;

/// A convolution of floats, of any kind.
#[derive(Debug)]
pub struct FloatConv {
    /// The weights.
    pub conv: Arc<Packed>,
    /// Axes of images, of which kernels have three.
    pub dims: usize,
    /// What else there is.
    pub layer: FloatLayer,
}

/// Images as kernels of floats take them: what they need, and how they lie then. Channels follow each other; else any
/// strides will do.
pub(in super::super) fn channels_last(value: &Value, dims: usize) -> (Option<Need>, Value) {
    let channel = value.shape.len() - dims - 1;
    if value.shape[channel] == 1 || value.strides[channel] == 1 {
        return (None, value.clone());
    }
    let mut shape = value.shape.clone();
    if channel == 0 {
        shape.insert(0, 1);
    }
    let strides = last_strides(&shape)[1 - channel..].to_vec();
    let lies = Value { ty: value.ty, shape: value.shape.clone(), strides };
    (Need::like(&lies), lies)
}

impl Op for FloatConv {
    fn name(&self) -> &'static str {
        "float conv"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let x = from[0];
        check_floats(x)?;
        let (dims, (inputs, outputs)) = (self.dims, self.conv.channels());
        let asked = Images::new(x, dims)?;
        if asked.channels != inputs {
            let valid = format!("with {inputs} channels, as many as the weight's");
            return Err(Error::value("input", text(&x.shape), valid));
        }
        let output = self.conv.geometry().output(asked.space)?;
        let made = asked.made(Type::F32, outputs, &output[3 - dims..]);
        let (need, lies) = channels_last(x, dims);
        let Images { images, channels, space, strides, .. } = Images::new(&lies, dims)?;
        let strides = [strides[0], strides[2], strides[3], strides[4]];
        let work = images.saturating_mul(self.conv.work(output)) / PER_BYTE;
        let conv = Arc::clone(&self.conv);
        let task = self.layer.task(from, made, need, move |io: Io<'_>, finish| {
            let image = FloatImage { x: io.from[0].floats(), images, channels, space, strides };
            conv.run(&image, finish, io.to.floats())
        })?;
        Ok(task.work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        (from[0].shape.len() == self.dims + 2).then(|| by_image(from, made, images)).flatten()
    }

    fn weights(&self) -> usize {
        self.conv.bytes()
    }
}
