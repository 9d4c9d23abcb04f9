//! Maxima and averages of windows, moving and adaptive, against their definition.

#![no_main]

use arbitrary::Result;
use quantray_core::conv::Image;
use quantray_core::ops::TargetCodes;
use quantray_core::ops::pool::{Moves, Pool, Window, adaptive_windows, pool};
use quantray_core::qparams::DType;
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, Memory, everywhere, same, target};

fn windows(input: &mut Input<'_>, length: usize) -> Result<Option<Vec<Window>>> {
    if input.flag()? {
        return Ok(Some(adaptive_windows(length, input.from_to(1, 12)?)));
    }
    let kernel = input.from_to(1, 5)?;
    let moves = Moves {
        kernel,
        stride: input.from_to(1, 4)?,
        padding: input.from_to(0, kernel / 2)?,
        dilation: input.from_to(1, 3)?,
        ceil: input.flag()?,
        count_padding: input.flag()?,
    };
    Ok(moves.windows(length).ok())
}

fn run(input: &mut Input<'_>) -> Result<()> {
    let (images, channels) = (input.from_to(0, 2)?, input.from_to(1, 70)?);
    let space = [input.from_to(1, 4)?, input.from_to(1, 9)?, input.from_to(1, 12)?];
    let mut all = Vec::new();
    for length in space {
        let Some(found) = windows(input, length)? else { return Ok(()) };
        all.push(found);
    }
    let windows: [Vec<Window>; 3] = all.try_into().expect("one for each axis");
    let elements = space.iter().product::<usize>();
    let memory = Memory::new(input, images * channels * elements)?;
    let [_, height, width] = space;
    let strides = match input.flag()? {
        true => [channels * elements, 1, height * width * channels, width * channels, channels],
        false => [channels * elements, elements, height * width, width, 1],
    };
    let image = Image { codes: memory.codes(), images, channels, space, strides };
    let zero_point = input.zero_point(memory.dtype)?;
    let divisor = match input.flag()? {
        true => Some(i64::from(input.integer()?)).filter(|&d| d != 0),
        false => None,
    };
    let to = (f64::from(input.from_to(1, 400)? as u32) / 100.0, input.zero_point(memory.dtype)?);
    let kinds = [Pool::Max, Pool::Average(zero_point, divisor), Pool::AverageOn(zero_point, divisor, to)];
    let kind = input.one_of(&kinds)?;
    let shared = input.flag()?;
    let (lo, hi) = (memory.dtype.qmin(), memory.dtype.qmax());
    let mut want = Vec::new();
    for i in 0..images {
        for z in &windows[0] {
            for y in &windows[1] {
                for x in &windows[2] {
                    for c in 0..channels {
                        let (mut best, mut sum) = (lo, 0i64);
                        for a in 0..z.count {
                            for b in 0..y.count {
                                for d in 0..x.count {
                                    let at = [
                                        i,
                                        c,
                                        z.first + a * z.step,
                                        y.first + b * y.step,
                                        x.first + d * x.step,
                                    ];
                                    let code = image.codes.at((0..5).map(|j| at[j] * strides[j]).sum());
                                    best = best.max(code);
                                    sum += i64::from(code - zero_point);
                                }
                            }
                        }
                        let divisor = divisor.unwrap_or((z.size * y.size * x.size) as i64) as f64;
                        let codes = |steps: f32, zero_point: i32| {
                            (steps.round_ties_even() as i32).saturating_add(zero_point).clamp(lo, hi)
                        };
                        want.push(match kind {
                            Pool::Max => best,
                            Pool::Average(zero_point, _) => codes(sum as f32 / divisor as f32, zero_point),
                            Pool::AverageOn(_, _, (ratio, zero_point)) => {
                                codes(sum as f32 * (ratio / divisor) as f32, zero_point)
                            }
                        });
                    }
                }
            }
        }
    }
    everywhere(shared, |_, on| {
        let what = format!("{on}: {kind:?} of {images} x {channels} x {space:?} by {windows:?}");
        let got: Vec<i32> = match memory.dtype {
            DType::QInt8 => {
                let got = collect(want.len(), |to| pool(kind, &image, &windows, TargetCodes::I8(to)));
                got.expect("nothing stops it").into_iter().map(i32::from).collect()
            }
            _ => {
                let got = collect(want.len(), |to| pool(kind, &image, &windows, TargetCodes::U8(to)));
                got.expect("nothing stops it").into_iter().map(i32::from).collect()
            }
        };
        same(&got, &want, &what);
    });
    Ok(())
}

target!(run);
