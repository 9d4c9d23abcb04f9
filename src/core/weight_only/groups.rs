//! Codes in groups, as a user has them.

use crate::error::{Error, Result};

/// The sizes that a group may have. Sums of larger ones could leave 32 bits.
const GROUP_SIZES: [usize; 5] = [16, 32, 64, 128, 256];

/// How codes lie, and what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Number of outputs: rows of codes.
    pub columns: usize,
    /// Number of inputs: codes of a row.
    pub depth: usize,
    /// Codes that share a scale; the last group of a row may be shorter.
    pub group: usize,
    /// 4 or 8.
    pub bits: usize,
}

impl Layout {
    /// Checks the numbers.
    ///
    /// # Errors
    /// Bits or a group size that there is none of.
    pub fn new(columns: usize, depth: usize, group: isize, bits: isize) -> Result<Self> {
        if ![4, 8].contains(&bits) {
            return Err(Error::value("bits", bits, "4 or 8"));
        }
        let group_size = GROUP_SIZES.into_iter().find(|&size| size as isize == group);
        let none = || Error::value("group_size", group, "16, 32, 64, 128 or 256");
        Ok(Self { columns, depth, group: group_size.ok_or_else(none)?, bits: bits as usize })
    }

    /// Groups of a row.
    pub fn groups(&self) -> usize {
        self.depth.div_ceil(self.group)
    }

    /// Where a group's codes are in a row.
    pub fn part(&self, group: usize) -> std::ops::Range<usize> {
        let first = group * self.group;
        first..(first + self.group).min(self.depth)
    }

    /// The greatest code.
    pub fn greatest(&self) -> u8 {
        ((1u32 << self.bits) - 1) as u8
    }

    /// The code that stands for 0 in a symmetric scheme.
    pub fn middle(&self) -> u8 {
        1 << (self.bits - 1)
    }
}

/// Codes, from 0 on, and what they stand for.
#[derive(Debug, Clone, Copy)]
pub struct Groups<'a> {
    /// A row for each output.
    pub codes: &'a [u8],
    /// One for each group of each row.
    pub scales: &'a [f32],
    /// The codes that stand for 0, one for each group of each row; or the middle everywhere.
    pub zero_points: Option<&'a [u8]>,
}

impl Groups<'_> {
    /// The code that stands for 0 in the group `i`, counted over all rows.
    pub fn zero_point(&self, layout: &Layout, i: usize) -> u8 {
        self.zero_points.map_or(layout.middle(), |z| z[i])
    }
}
