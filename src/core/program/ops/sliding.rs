//! Windows that slide along an axis, with padding and gaps of any kind.

use crate::memory::collected;

/// How windows lie along one axis: their elements, the way from one window to the next, padding before and after the axis,
/// and the way from one element of a window to the next.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "said above")]
pub struct Sliding {
    pub kernel: usize,
    pub stride: usize,
    pub before: usize,
    pub after: usize,
    pub dilation: usize,
}

/// One axis, its length, and how many windows there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Along {
    pub(super) of: Sliding,
    pub(super) length: usize,
    pub(super) windows: usize,
}

impl Sliding {
    /// The windows on an axis of this length; with `ceil` also those that end beyond it, but begin in it or before it. None
    /// where not one fits.
    pub(super) fn along(self, length: usize, ceil: bool) -> Option<Along> {
        let reach = self.kernel.checked_sub(1)?.checked_mul(self.dilation)?.checked_add(1)?;
        let padded = length.checked_add(self.before)?.checked_add(self.after)?;
        let more = if ceil { self.stride - 1 } else { 0 };
        let mut windows = padded.checked_add(more)?.checked_sub(reach)? / self.stride + 1;
        if ceil && (windows - 1).checked_mul(self.stride)? >= length + self.before {
            windows -= 1;
        }
        Some(Along { of: self, length, windows })
    }
}

impl Along {
    /// An axis that images lack.
    pub(super) const NONE: Self = Self {
        of: Sliding { kernel: 1, stride: 1, before: 0, after: 0, dilation: 1 },
        length: 1,
        windows: 1,
    };

    /// Where an element of a window lies; none in the padding.
    #[inline]
    pub(super) fn at(&self, element: usize, window: usize) -> Option<usize> {
        let at = (element * self.of.dilation + window * self.of.stride).checked_sub(self.of.before)?;
        (at < self.length).then_some(at)
    }

    /// The first window whose element of this number lies on the axis.
    pub(super) fn first(&self, element: usize) -> Option<usize> {
        let first = self.of.before.saturating_sub(element * self.of.dilation).div_ceil(self.of.stride);
        (first < self.windows && self.at(element, first).is_some()).then_some(first)
    }

    /// For each window the first element of the axis that it meets, and how many it meets.
    pub(super) fn met(&self) -> Vec<(usize, usize)> {
        let Sliding { kernel, stride, before, dilation, .. } = self.of;
        let met = |window: usize| {
            let start = window * stride;
            let skipped = before.saturating_sub(start).div_ceil(dilation).min(kernel);
            let first = (start + skipped * dilation).saturating_sub(before);
            (first, self.length.saturating_sub(first).div_ceil(dilation).min(kernel - skipped))
        };
        collected(self.windows, (0..self.windows).map(met))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_meet_what_their_elements_say() {
        for (kernel, stride, before, after, dilation, length) in [
            (3, 2, 1, 0, 1, 7),
            (2, 1, 3, 2, 4, 1),
            (3, 3, 0, 1, 2, 9),
            (1, 2, 0, 0, 1, 1),
            (4, 1, 5, 0, 1, 3),
        ] {
            for ceil in [false, true] {
                let of = Sliding { kernel, stride, before, after, dilation };
                let Some(axis) = of.along(length, ceil) else { continue };
                for (window, (first, count)) in axis.met().into_iter().enumerate() {
                    let want: Vec<usize> = (0..kernel).filter_map(|i| axis.at(i, window)).collect();
                    let met: Vec<usize> = (0..count).map(|i| first + i * dilation).collect();
                    assert_eq!(met, want, "{of:?} at {window}");
                }
                for element in 0..kernel {
                    let want = (0..axis.windows).find(|&window| axis.at(element, window).is_some());
                    assert_eq!(axis.first(element), want, "{of:?}, {element}");
                }
            }
        }
        let none = Sliding { kernel: 3, stride: 1, before: 0, after: 0, dilation: 1 };
        assert!(none.along(2, false).is_none());
    }
}
