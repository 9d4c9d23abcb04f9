//! The smallest and the largest value, of all and of each channel.

#![no_main]

use arbitrary::Result;
use quantray_core::observe::{self, MinMax};
use quantray_fuzz::common::channel;
use quantray_fuzz::{Input, everywhere, nan, target};

fn run(input: &mut Input<'_>) -> Result<()> {
    let layout = input.layout()?;
    let (scale, allowed) = (input.scale()?, input.flag()?);
    let x = input.floats(layout.len(), scale, allowed)?;
    let shared = input.flag()?;
    let found = nan(&x);
    let mut each = vec![MinMax::EMPTY; layout.channels];
    for (i, &x) in x.iter().enumerate() {
        let own = &mut each[channel(layout, i)];
        *own = own.merge(MinMax { min: x, max: x });
    }
    let all = each.iter().fold(MinMax::EMPTY, |all, &own| all.merge(own));
    let bits = |all: &MinMax| (all.min.to_bits(), all.max.to_bits());
    everywhere(shared, |_, on| {
        match (observe::min_max(&x), &found) {
            (Ok(got), None) => assert_eq!(bits(&got), bits(&all), "{on}"),
            (got, found) => assert_eq!(got.err(), *found, "{on}"),
        }
        match (observe::min_max_per_channel(&x, layout), &found) {
            (Ok(got), None) => {
                assert_eq!(
                    got.iter().map(bits).collect::<Vec<_>>(),
                    each.iter().map(bits).collect::<Vec<_>>(),
                    "{on} {layout:?}"
                );
            }
            (got, found) => assert_eq!(got.err(), *found, "{on}"),
        }
    });
    Ok(())
}

target!(run);
