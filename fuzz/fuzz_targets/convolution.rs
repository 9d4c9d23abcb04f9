//! Convolutions and their transposes, by groups of some channels, against their definition.

#![no_main]

use arbitrary::Result;
use quantray_fuzz::convolutions::check;
use quantray_fuzz::{Input, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let groups = input.from_to(1, 3)?;
    let (inputs, outputs) = (input.from_to(1, 9)?, input.from_to(1, if groups == 1 { 40 } else { 9 })?);
    check(input, groups, inputs, outputs)
}

target!(run);
