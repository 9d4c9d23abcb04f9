//! float32 to codes and back: quantize, dequantize, fake_quantize.

/// How an array, seen as `[outer, channels, inner]` in C order, is cut into channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Product of the lengths before the channel axis.
    pub outer: usize,
    /// Length of the channel axis.
    pub channels: usize,
    /// Product of the lengths after it.
    pub inner: usize,
}

impl Channels {
    /// The cut of an array of this shape along `axis`.
    pub fn of(shape: &[usize], axis: usize) -> Self {
        Self {
            outer: shape[..axis].iter().product(),
            channels: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        }
    }
}
