//! Convolutions as their definitions write them, element by element.

use super::{Geometry, Image};
use crate::gemm::Codes;

/// Where an element of a kernel lies in the weights: for a convolution they are
/// `outputs x inputs / groups x kernel`, for a transposed one `inputs x outputs / groups x kernel`.
pub fn weight_at(
    geometry: &Geometry,
    (inputs, outputs): (usize, usize),
    output: usize,
    input: usize,
    tap: [usize; 3],
) -> usize {
    let (inputs, outputs) = (inputs / geometry.groups, outputs / geometry.groups);
    let [_, height, width] = geometry.kernel;
    let [z, y, x] = tap;
    let pair = match geometry.transposed {
        None => output * inputs + input,
        Some(_) => (output / outputs * inputs + input) * outputs + output % outputs,
    };
    ((pair * geometry.kernel[0] + z) * height + y) * width + x
}

/// `sum((x - zx) * (w - zw))` of one element of the output; `input` counts from 0 in each group.
pub fn sum(
    geometry: &Geometry,
    (image, x_zero): (&Image<'_>, i32),
    (weights, w_zero): (Codes<'_>, i32),
    outputs: usize,
    (i, output, place): (usize, usize, [usize; 3]),
) -> i64 {
    let inputs = image.channels / geometry.groups;
    let group = output / (outputs / geometry.groups);
    let mut sum = 0;
    for tap in 0..geometry.kernel.iter().product::<usize>() {
        let [_, height, width] = geometry.kernel;
        let tap = [tap / width / height, tap / width % height, tap % width];
        let at = |a: usize| {
            let (stride, reach) = (geometry.stride[a], tap[a] * geometry.dilation[a]);
            let at = match geometry.transposed {
                None => (place[a] * stride + reach).checked_sub(geometry.padding[a].0),
                Some(_) => (place[a] + geometry.padding[a].0)
                    .checked_sub(reach)
                    .filter(|at| at % stride == 0)
                    .map(|at| at / stride),
            };
            at.filter(|&at| at < image.space[a])
        };
        let (Some(z), Some(y), Some(x)) = (at(0), at(1), at(2)) else { continue };
        for input in 0..inputs {
            let at = [i, group * inputs + input, z, y, x];
            let code = image.codes.at(at.iter().zip(image.strides).map(|(i, s)| i * s).sum());
            let weight = weights.at(weight_at(geometry, (image.channels, outputs), output, input, tap));
            sum += i64::from(code - x_zero) * i64::from(weight - w_zero);
        }
    }
    sum
}
