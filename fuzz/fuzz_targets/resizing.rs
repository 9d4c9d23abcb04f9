//! Images of another size, nearest elements and means of neighbours, against their definition.

#![no_main]

use arbitrary::Result;
use quantray_core::conv::Image;
use quantray_core::ops::TargetCodes;
use quantray_core::ops::resize::{Places, resize};
use quantray_core::qparams::DType;
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, Memory, everywhere, same, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let (images, channels) = (input.from_to(0, 2)?, input.from_to(1, 70)?);
    let space = [input.from_to(1, 3)?, input.from_to(1, 6)?, input.from_to(1, 9)?];
    let means = input.flag()?;
    let mut all = Vec::new();
    for length in space {
        let n = input.from_to(1, 12)?;
        let low = (0..n).map(|_| input.from_to(0, length - 1)).collect::<Result<_>>()?;
        let part = (0..if means { n } else { 0 }).map(|_| Ok(input.from_to(0, 64)? as f32 / 65.0));
        all.push(Places { low, part: part.collect::<Result<_>>()? });
    }
    let places: [Places; 3] = all.try_into().expect("one for each axis");
    let elements = space.iter().product::<usize>();
    let memory = Memory::new(input, images * channels * elements)?;
    let [_, height, width] = space;
    let strides = match input.flag()? {
        true => [channels * elements, 1, height * width * channels, width * channels, channels],
        false => [channels * elements, elements, height * width, width, 1],
    };
    let image = Image { codes: memory.codes(), images, channels, space, strides };
    let zero_point = input.zero_point(memory.dtype)?;
    let shared = input.flag()?;
    let mut want = Vec::new();
    let [depths, lines, columns] = places.each_ref().map(|p| p.low.len());
    for i in 0..images {
        for at in 0..depths * lines * columns {
            let at = [at / columns / lines, at / columns % lines, at % columns];
            for c in 0..channels {
                let low: [usize; 3] = std::array::from_fn(|a| places[a].low[at[a]]);
                let code = |e: [usize; 3]| {
                    let e = [i, c, e[0], e[1], e[2]];
                    image.codes.at((0..5).map(|j| e[j] * strides[j]).sum())
                };
                if !means {
                    want.push(code(low));
                    continue;
                }
                // The eight neighbours, halved axis after axis, the last one first.
                let mut values: Vec<f32> = (0..8)
                    .map(|n| {
                        let next = |a: usize| (low[a] + (n >> (2 - a) & 1)).min(space[a] - 1);
                        (code([next(0), next(1), next(2)]) - zero_point) as f32
                    })
                    .collect();
                for a in [2, 1, 0] {
                    let part = places[a].part[at[a]];
                    let pairs = values.chunks(2).map(|two| two[0] * (1.0 - part) + two[1] * part);
                    values = pairs.collect();
                }
                want.push(values[0].round_ties_even() as i32 + zero_point);
            }
        }
    }
    everywhere(shared, |_, on| {
        let what = format!("{on}: {images} x {channels} x {space:?} at {places:?}");
        let got: Vec<i32> = match memory.dtype {
            DType::QInt8 => {
                let got = collect(want.len(), |to| resize(&image, &places, zero_point, TargetCodes::I8(to)));
                got.expect("nothing stops it").into_iter().map(i32::from).collect()
            }
            _ => {
                let got = collect(want.len(), |to| resize(&image, &places, zero_point, TargetCodes::U8(to)));
                got.expect("nothing stops it").into_iter().map(i32::from).collect()
            }
        };
        same(&got, &want, &what);
    });
    Ok(())
}

target!(run);
