//! Random convolutions, of one to three axes, plain and transposed.

use quantray_core::conv::Geometry;

use crate::common::Random;

/// A convolution and its images.
#[derive(Debug, Clone)]
pub struct Case {
    pub geometry: Geometry,
    /// Inputs and outputs.
    pub channels: (usize, usize),
    pub images: usize,
    pub space: [usize; 3],
}

/// A convolution of images up to so long, by the number of axes; `groups` says for each of some
/// kinds how many groups there are, and the inputs and outputs of each.
pub fn random_case(
    random: &mut Random,
    case: usize,
    lengths: [usize; 3],
    kinds: usize,
    groups: impl Fn(&mut Random, usize) -> (usize, usize, usize),
) -> Case {
    loop {
        let dims = 1 + case % 3;
        let mut axis = |most: usize, least: usize| {
            let mut one = |a: usize| if a + dims < 3 { least } else { least + random.below(most) };
            [one(0), one(1), one(2)]
        };
        let (kernel, stride, dilation) = (axis(4, 1), axis(3, 1), axis(2, 1));
        let (before, after, extra) = (axis(3, 0), axis(3, 0), axis(2, 0));
        let space = axis(lengths[dims - 1], 1);
        let (groups, inputs, outputs) = groups(random, case % kinds);
        let transposed = (case / kinds % 3 == 2).then(|| [0, 1, 2].map(|a| extra[a].min(stride[a] - 1)));
        let padding = [0, 1, 2].map(|a| (before[a], after[a]));
        let geometry = Geometry { kernel, stride, dilation, padding, groups, transposed };
        let (channels, images) = ((groups * inputs, groups * outputs), 1 + case % 2);
        // Images that the kernel does not fit in are not for this test.
        if geometry.output(space).is_ok_and(|output| !output.contains(&0)) {
            return Case { geometry, channels, images, space };
        }
    }
}
