//! Convolutions whose groups have one channel, which have a kernel of their own, against their definition.

#![no_main]

use arbitrary::Result;
use quantray_fuzz::convolutions::check;
use quantray_fuzz::{Input, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let (groups, outputs) = (input.from_to(2, 70)?, input.from_to(1, 3)?);
    check(input, groups, 1, outputs)
}

target!(run);
