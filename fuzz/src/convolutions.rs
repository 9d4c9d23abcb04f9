//! Convolutions against their definition.

use arbitrary::Result;
use quantray_core::conv::{Geometry, Image, PackedConv, reference};
use quantray_core::gemm::{Finish, Results, WeightParams, reference as products};
use quantray_core::qparams::DType;

use crate::common::collect;
use crate::{Input, Memory, everywhere, same};

/// One of them, with these numbers of groups, and of inputs and outputs of a group.
pub fn check(input: &mut Input<'_>, groups: usize, inputs: usize, outputs: usize) -> Result<()> {
    let dims = input.from_to(1, 3)?;
    let mut axis = |least: usize, most: usize| -> Result<[usize; 3]> {
        let mut all = [least; 3];
        for length in &mut all[3 - dims..] {
            *length = input.from_to(least, most)?;
        }
        Ok(all)
    };
    let (kernel, stride, dilation) = (axis(1, 4)?, axis(1, 3)?, axis(1, 3)?);
    let (before, after, extra) = (axis(0, 3)?, axis(0, 3)?, axis(0, 2)?);
    let space = axis(1, [40, 12, 6][dims - 1])?;
    let transposed = input.flag()?.then(|| [0, 1, 2].map(|a| extra[a].min(stride[a] - 1)));
    let padding = [0, 1, 2].map(|a| (before[a], after[a]));
    let geometry = Geometry { kernel, stride, dilation, padding, groups, transposed };
    // What does not fit is an error of its own.
    let Ok(output) = geometry.output(space) else { return Ok(()) };
    let (inputs, outputs) = (groups * inputs, groups * outputs);
    let images = input.from_to(0, 2)?;
    let elements = space.iter().product::<usize>();
    let xm = Memory::new(input, images * inputs * elements)?;
    let [_, height, width] = space;
    let strides = match input.flag()? {
        true => [inputs * elements, 1, height * width * inputs, width * inputs, inputs],
        false => [inputs * elements, elements, height * width, width, 1],
    };
    let image = Image { codes: xm.codes(), images, channels: inputs, space, strides };
    let taps = kernel.iter().product::<usize>();
    let wm = Memory::new(input, outputs * (inputs / groups) * taps)?;
    let mut random = input.random()?;
    let n = if input.flag()? { outputs } else { 1 };
    let scales: Vec<f32> = (0..n).map(|_| random.unit() * 0.1 + 0.001).collect();
    let zeros: Vec<i32> = (0..n).map(|_| wm.dtype.qmin() + random.below(256) as i32).collect();
    let bias: Vec<f32> = (0..outputs).map(|_| (random.unit() - 0.5) * 9.0).collect();
    let ints: Vec<i32> = (0..outputs).map(|_| random.next() as i32 >> 10).collect();
    let params = WeightParams { scales: &scales, zero_points: &zeros };
    let x_zero = input.zero_point(xm.dtype)?;
    let slopes: Vec<f32> = (0..outputs).map(|_| random.unit() * 3.0 - 1.0).collect();
    let sums_finish = Finish {
        bias: input.flag()?.then_some(&bias[..]),
        int_bias: input.flag()?.then_some(&ints[..]),
        relu: input.flag()?,
        ..Finish::default()
    };
    let is_bent = input.flag()? && !sums_finish.relu;
    let finish = Finish { slopes: is_bent.then_some(&slopes[..]), ..sums_finish };
    let y = (0.5 + input.from_to(0, 100)? as f32, input.zero_point(DType::QUInt8)?);
    let shared = input.flag()?;
    let of = |o: usize| if n == 1 { 0 } else { o };
    let (mut sums, mut codes) = (Vec::new(), Vec::new());
    for at in 0..images * output.iter().product::<usize>() * outputs {
        let (o, rest) = (at % outputs, at / outputs);
        let (x, rest) = (rest % output[2], rest / output[2]);
        let (y_, rest) = (rest % output[1], rest / output[1]);
        let (z, i) = (rest % output[0], rest / output[0]);
        let place = (i, o, [z, y_, x]);
        let sum = reference::sum(&geometry, (&image, x_zero), (wm.codes(), zeros[of(o)]), outputs, place);
        sums.push(products::to_sum(sum, &finish, o) as i32);
        codes.push(products::to_code(sum, 0.02, scales[of(o)], &finish, o, y, (0, 255)) as u8);
    }
    everywhere(shared, |isa, on| {
        let packed = PackedConv::new(isa, geometry.clone(), (inputs, outputs), wm.codes(), params);
        let packed = packed.expect("no depth that could overflow");
        let what = format!("{on}: {geometry:?}, {inputs} to {outputs}, {images} of {space:?}");
        let run =
            |finish: &Finish<'_>, results: Results<'_>| packed.run(&image, (0.02, x_zero), finish, results);
        let got = collect(sums.len(), |to| run(&sums_finish, Results::Sums(to)));
        same(&got.expect("nothing stops it"), &sums, &what);
        let got = collect(codes.len(), |to| run(&finish, Results::U8(to, y.0, y.1)));
        same(&got.expect("nothing stops it"), &codes, &what);
    });
    Ok(())
}
