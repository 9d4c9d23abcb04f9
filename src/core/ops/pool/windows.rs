//! Windows along one axis: what each of them meets.

use crate::error::{Error, Result};
use crate::memory::collected;

/// The elements of one axis that a window meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first one, how many there are, and how far apart.
    pub first: usize,
    /// How many there are.
    pub count: usize,
    /// How far apart.
    pub step: usize,
    /// How many an average divides by: padding may count.
    pub size: usize,
}

impl Window {
    /// The only element of an axis that an image lacks.
    pub const ONLY: Self = Self { first: 0, count: 1, step: 1, size: 1 };
}

/// How windows move along one axis.
#[derive(Debug, Clone, Copy)]
pub struct Moves {
    /// Elements of a window.
    pub kernel: usize,
    /// From one window to the next.
    pub stride: usize,
    /// Elements before and after the axis.
    pub padding: usize,
    /// From one element of a window to the next.
    pub dilation: usize,
    /// Whether a last window may reach over the end.
    pub ceil: bool,
    /// Whether padding counts.
    pub count_padding: bool,
}

impl Moves {
    /// The windows on an axis of this length.
    ///
    /// # Errors
    /// An axis that the window does not fit in.
    pub fn windows(&self, length: usize) -> Result<Vec<Window>> {
        let Self { kernel, stride, padding, dilation, .. } = *self;
        let reach = dilation * (kernel - 1) + 1;
        let padded = length + 2 * padding;
        // A last window that reaches over the end may be the first one, too.
        let more = if self.ceil { stride - 1 } else { 0 };
        let Some(room) = (padded + more).checked_sub(reach).filter(|_| length > 0) else {
            let got = format!("{length} long along an axis, with padding {padded}");
            return Err(Error::value("input", got, format!("as long as the window reaches there: {reach}")));
        };
        let mut n = room / stride + 1;
        // The last window starts inside the image or the padding before it.
        if self.ceil && (n - 1) * stride >= length + padding {
            n -= 1;
        }
        let window = |i: usize| {
            let start = i * stride;
            // In elements of the window: those that lie before the image.
            let before = padding.saturating_sub(start).div_ceil(dilation).min(kernel);
            let first = (start + before * dilation).saturating_sub(padding);
            let count = length.saturating_sub(first).div_ceil(dilation).min(kernel - before);
            let end = (start + kernel).min(length + 2 * padding);
            let size = if self.count_padding { end - start } else { count };
            Window { first, count, step: dilation, size }
        };
        Ok(collected(n, (0..n).map(window)))
    }
}

/// `n` windows that share an axis of this length as evenly as whole elements allow.
pub fn adaptive_windows(length: usize, n: usize) -> Vec<Window> {
    let window = |i: usize| {
        let (first, end) = (i * length / n, ((i + 1) * length).div_ceil(n));
        Window { first, count: end - first, step: 1, size: end - first }
    };
    collected(n, (0..n).map(window))
}
