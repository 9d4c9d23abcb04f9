//! Streaming statistics, each a small state that merges with others of its kind in any order.

mod histogram;
mod min_max;
mod power_sums;

pub use histogram::{Bins, histogram};
pub(crate) use min_max::range_and_zero;
pub use min_max::{MinMax, min_max, min_max_per_channel};
pub use power_sums::{EXPONENTS, PowerSums, power_sums};
