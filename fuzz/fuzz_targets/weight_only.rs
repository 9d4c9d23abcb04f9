//! Products of floats and groups of codes of 4 and 8 bits, against the plain formula; those of many rows against float64.

#![no_main]

use std::mem::MaybeUninit;

use arbitrary::Result;
use quantray_core::weight_only::{
    Finish, Groups, InputBits, Layout, PackedGroups, floats_from, multiply, reference,
};
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, bits, everywhere, same, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let (rows, columns, depth) = (input.from_to(1, 20)?, input.from_to(1, 140)?, input.from_to(0, 300)?);
    let (group, of_codes) = (input.one_of(&[16, 32, 64, 128, 256])?, input.one_of(&[4, 8])?);
    let input_bits = input.one_of(&InputBits::ALL)?;
    let layout = Layout::new(columns, depth, group, of_codes).expect("one of those that there are");
    let scale = input.scale()?;
    let x = input.floats(rows * depth, scale, true)?;
    let below = |codes: Vec<u8>| codes.into_iter().map(|c| c & layout.greatest()).collect::<Vec<_>>();
    let codes = below(input.bytes(columns * depth)?);
    let affine = input.flag()?;
    let zero_points = below(input.bytes(columns * layout.groups())?);
    let scales = (0..columns * layout.groups()).map(|_| input.finite()).collect::<Result<Vec<_>>>()?;
    let bias = (0..columns).map(|_| input.finite()).collect::<Result<Vec<_>>>()?;
    let finish = Finish { bias: input.flag()?.then_some(&bias[..]), relu: input.flag()? };
    let groups = Groups { codes: &codes, scales: &scales, zero_points: affine.then_some(&zero_points[..]) };
    let plain = |i: usize| {
        let row = &x[i / columns * depth..][..depth];
        reference::output(row, input_bits, &layout, &groups, &finish, i % columns)
    };
    // One NaN is as good as another.
    let own = |y: &[f32]| bits(&y.iter().map(|&y| if y.is_nan() { f32::NAN } else { y }).collect::<Vec<_>>());
    let want = own(&(0..rows * columns).map(plain).collect::<Vec<_>>());
    everywhere(true, |isa, on| {
        let packed = PackedGroups::new(isa, layout, groups);
        let product = |to: &mut [MaybeUninit<f32>]| multiply(&x, input_bits, &packed, &finish, to);
        let got = collect(rows * columns, product).expect("no interrupt");
        if input_bits == InputBits::TwentyFour && rows >= floats_from(packed.isa()) {
            for (i, &got) in got.iter().enumerate() {
                let x = &x[i / columns * depth..][..depth];
                assert!(
                    reference::is_near(got, x, &layout, &groups, &finish, i % columns),
                    "{on}: {got} at {i}"
                );
            }
            return;
        }
        same(&own(&got), &want, on);
    });
    Ok(())
}

target!(run);
