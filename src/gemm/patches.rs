//! The patches of an image that a convolution multiplies, as rows of a matrix that is never made.

use super::Codes;

/// Three spatial axes; those that an image lacks have length 1.
pub type Space = [usize; 3];

/// The patches of images that lie channels last, with their padding already around them.
#[derive(Debug, Clone, Copy)]
pub struct Patches<'a> {
    /// `images x padded space x channels`.
    pub codes: Codes<'a>,
    /// Number of images.
    pub images: usize,
    /// Lengths of an image, its padding included.
    pub padded: Space,
    /// Channels of an image.
    pub channels: usize,
    /// The channels of a patch: the first one, and how many.
    pub group: (usize, usize),
    /// Lengths of a patch.
    pub kernel: Space,
    /// Where the first patch starts.
    pub origin: Space,
    /// From one patch to the next.
    pub stride: Space,
    /// From one element of a patch to the next.
    pub dilation: Space,
    /// How many patches there are along each axis.
    pub output: Space,
}

impl Patches<'_> {
    /// Number of patches.
    pub fn rows(&self) -> usize {
        self.images * self.output.iter().product::<usize>()
    }

    /// Elements of a patch.
    pub fn depth(&self) -> usize {
        self.kernel.iter().product::<usize>() * self.group.1
    }

    /// Calls `f` with each run of neighbours of a patch: where it starts, how many there are, and where they go.
    #[inline]
    pub(super) fn each_run(&self, row: usize, mut f: impl FnMut(usize, usize, usize)) {
        let [_, out_y, out_x] = self.output;
        let (x, rest) = (row % out_x, row / out_x);
        let (y, rest) = (rest % out_y, rest / out_y);
        let (z, image) = (rest % self.output[0], rest / self.output[0]);
        let at = [z, y, x];
        let corner: Space = std::array::from_fn(|a| self.origin[a] + at[a] * self.stride[a]);
        let [_, height, width] = self.padded;
        let (first, channels) = self.group;
        // With all channels and no holes a line of the patch is one run.
        let (runs, length) = match channels == self.channels && self.dilation[2] == 1 {
            true => (1, self.kernel[2] * channels),
            false => (self.kernel[2], channels),
        };
        let mut at = 0;
        for kz in 0..self.kernel[0] {
            for ky in 0..self.kernel[1] {
                let z = image * self.padded[0] + corner[0] + kz * self.dilation[0];
                let y = corner[1] + ky * self.dilation[1];
                let line = ((z * height + y) * width + corner[2]) * self.channels + first;
                for kx in 0..runs {
                    f(line + kx * self.dilation[2] * self.channels, length, at);
                    at += length;
                }
            }
        }
    }
}
