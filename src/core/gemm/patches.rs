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
    /// Where the image lies in that, along each axis: its first element and the one behind its last.
    pub inside: [(usize, usize); 3],
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

    /// The runs of neighbours that make a patch.
    pub(super) fn runs(&self) -> Runs {
        let [_, height, width] = self.padded;
        let channels = self.group.1;
        let length = run(self.kernel, (channels, self.channels), self.dilation);
        let runs = self.kernel[2] * channels / length.max(1);
        let mut starts = Vec::with_capacity(self.kernel[0] * self.kernel[1] * runs);
        for z in 0..self.kernel[0] {
            for y in 0..self.kernel[1] {
                let line = (z * self.dilation[0] * height + y * self.dilation[1]) * width;
                starts.extend((0..runs).map(|x| (line + x * self.dilation[2]) * self.channels));
            }
        }
        Runs { length, starts }
    }

    /// The patches of a line lie as far from each other as the next one does: where each line starts, how many patches
    /// it has, and how far they are apart.
    pub(super) fn lines(&self) -> Lines {
        let Self { images, padded: [depth, height, width], stride, output, .. } = *self;
        // From one patch to the next along each axis, the last one that of the channels.
        let steps = [
            depth * height * width * self.channels,
            stride[0] * height * width * self.channels,
            stride[1] * width * self.channels,
            stride[2] * self.channels,
        ];
        let counts = [images, output[0], output[1], output[2]];
        let along = self.along();
        let [z, y, x] = self.origin;
        let mut starts = vec![((z * height + y) * width + x) * self.channels + self.group.0];
        for a in 0..along {
            let next = |start: &usize| {
                let start = *start;
                (0..counts[a]).map(move |i| start + i * steps[a])
            };
            starts = starts.iter().flat_map(next).collect();
        }
        Lines { starts, count: counts[along], step: steps[along] }
    }

    /// What of patches lies on padding, in runs of so many elements with what pads them: for each of `lines` the runs that
    /// do not, and how much of all runs of a line's first and last patch does.
    pub(super) fn zeros(&self, padded_run: usize) -> (Vec<(usize, usize)>, (usize, usize)) {
        let Self { images, inside, kernel, origin, stride, dilation, output, .. } = *self;
        // Along an axis, the elements of the kernel that meet the image.
        let meets = |a: usize, position: usize| {
            let start = origin[a] + position * stride[a];
            let (first, end) = inside[a];
            let first = first.saturating_sub(start).div_ceil(dilation[a]).min(kernel[a]);
            (first, end.saturating_sub(start).div_ceil(dilation[a]).clamp(first, kernel[a]))
        };
        let along = self.along();
        let count = |a: usize| if a < along { output[a - 1] } else { 1 };
        let mut runs = Vec::new();
        // Where lines of the kernel are several runs, or patches follow each other along another axis, all count.
        if self.runs().length != kernel[2] * self.group.1 || along != 3 {
            return (runs, (0, 0));
        }
        for _ in 0..images {
            for z in (0..count(1)).map(|z| meets(0, z)) {
                for y in (0..count(2)).map(|y| meets(1, y)) {
                    let some = z.0 < z.1 && y.0 < y.1;
                    let all = || (z.0 * kernel[1] + y.0, (z.1 - 1) * kernel[1] + y.1);
                    runs.push(if some { all() } else { (0, 0) });
                }
            }
        }
        let ((first, _), (_, end)) = (meets(2, 0), meets(2, output[2] - 1));
        let last = if end == kernel[2] { 0 } else { padded_run - end * self.group.1 };
        (runs, (first * self.group.1, last))
    }

    /// The last axis that has more than one patch, from 1 on, or 0 where images follow each other.
    fn along(&self) -> usize {
        (0..3).rev().find(|&a| self.output[a] > 1).map_or(0, |a| a + 1)
    }

    /// Where patches start, from one of them on.
    pub(super) fn starts(&self, first: usize) -> impl Iterator<Item = usize> {
        let ([depth, height, width], [out_z, out_y, out_x]) = (self.padded, self.output);
        let (mut x, rest) = (first % out_x, first / out_x);
        let (mut y, rest) = (rest % out_y, rest / out_y);
        let (mut z, mut image) = (rest % out_z, rest / out_z);
        let (origin, stride, group, channels) = (self.origin, self.stride, self.group.0, self.channels);
        let line = move |image: usize, z: usize, y: usize| {
            let plane = image * depth + origin[0] + z * stride[0];
            ((plane * height + origin[1] + y * stride[1]) * width + origin[2]) * channels + group
        };
        let mut start = line(image, z, y);
        std::iter::from_fn(move || {
            if x == out_x {
                (x, y) = (0, y + 1);
                if y == out_y {
                    (y, z) = (0, z + 1);
                }
                if z == out_z {
                    (z, image) = (0, image + 1);
                }
                start = line(image, z, y);
            }
            x += 1;
            Some(start + (x - 1) * stride[2] * channels)
        })
    }
}

/// The runs of a patch, which follow each other in its row.
#[derive(Debug, Clone)]
pub(super) struct Runs {
    /// Elements of a run.
    pub(super) length: usize,
    /// Where each lies, from the start of the patch.
    pub(super) starts: Vec<usize>,
}

/// Patches that lie evenly.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    /// Where the first patch of each line starts.
    pub(super) starts: Vec<usize>,
    /// Patches of a line.
    pub(super) count: usize,
    /// From one patch to the next.
    pub(super) step: usize,
}

/// Neighbours of a patch, `channels` for each element of the kernel out of `all`: with all channels and no holes a line of
/// the kernel is one run.
pub(crate) fn run(kernel: Space, (channels, all): (usize, usize), dilation: Space) -> usize {
    match channels == all && dilation[2] == 1 {
        true => kernel[2] * channels,
        false => channels,
    }
}
