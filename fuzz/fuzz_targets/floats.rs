//! Functions of floats: within 4e-7 of the plain ones, and the same bits on every instruction set, at every position,
//! in place or not.

#![no_main]

use arbitrary::Result;
use quantray_core::float::{Function, Place, apply};
use quantray_core::ops::Function as Plain;
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, bits, everywhere, same, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let function = input.one_of(&Function::ALL)?;
    let short = input.flag()?;
    let n = input.from_to(0, if short { 200 } else { 20_000 })?;
    let (scale, shared) = (input.scale()?, input.flag()?);
    let x = input.floats(n, scale, true)?;
    let plain = match function {
        Function::Gelu => Plain::Gelu,
        Function::GeluTanh => Plain::GeluTanh,
        Function::Silu => Plain::Silu,
        Function::Sigmoid => Plain::Sigmoid,
        Function::Tanh => Plain::Tanh,
    };
    let mut first: Option<Vec<u32>> = None;
    everywhere(shared, |_, on| {
        let got = collect(n, |out| apply(function, Place::Apart(&x, out))).expect("nothing stops it");
        let mut over = x.clone();
        apply(function, Place::Over(&mut over)).expect("nothing stops it");
        same(&bits(&over), &bits(&got), on);
        match &first {
            Some(first) => same(&bits(&got), first, on),
            None => {
                for (&x, &y) in x.iter().zip(&got) {
                    let want = if x.is_nan() { f32::NAN } else { plain.of(x) };
                    let near =
                        (f64::from(y) - f64::from(want)).abs() <= 5e-7 * f64::from(want.abs()).max(1.0);
                    assert!(
                        y == want || near || want.is_nan() || x.is_infinite(),
                        "{function:?} of {x}: {y}, {want}"
                    );
                    assert!(!x.is_nan() || y.is_nan(), "{function:?} of NaN: {y}");
                }
                first = Some(bits(&got));
            }
        }
    });
    Ok(())
}

target!(run);
