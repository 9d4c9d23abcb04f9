//! Streaming range statistics, each a small state that merges with others of its kind in any order.

mod min_max;

pub use min_max::{MinMax, min_max, min_max_per_channel};
