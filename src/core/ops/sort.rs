//! Sorting bytes along rows, by counting: two passes over each row, and equal ones keep their order.

use std::mem::MaybeUninit;

use crate::arch::Byte;
use crate::error::Stopped;
use crate::gemm::Codes;
use crate::threads::{self, Poll};

/// The positions that sort each row of `n` codes, smallest first, or largest first where `descending`.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree.
pub fn argsort(
    codes: Codes<'_>,
    n: usize,
    descending: bool,
    to: &mut [MaybeUninit<i64>],
) -> Result<(), Stopped> {
    match codes {
        Codes::U8(codes) => rows(codes, n, descending, to),
        Codes::I8(codes) => rows(codes, n, descending, to),
    }
}

fn rows<C: Byte>(
    codes: &[C],
    n: usize,
    descending: bool,
    to: &mut [MaybeUninit<i64>],
) -> Result<(), Stopped> {
    assert_eq!(codes.len(), to.len(), "a position for each code");
    if n == 0 {
        return Ok(());
    }
    // From 0 to 255, in the order that is wanted.
    let flip = if C::SIGNED { 0x80 } else { 0 } ^ if descending { 0xff } else { 0 };
    let rank = |code: C| usize::from(code.widened() as u8 ^ flip);
    let rows = codes.chunks_exact(n).zip(to.chunks_exact_mut(n));
    threads::for_each(9 * codes.len(), rows, |(row, to)| {
        let (mut poll, mut places) = (Poll::new(), [0usize; 256]);
        for part in row.chunks(PIECE) {
            poll.end_if_interrupted();
            part.iter().for_each(|&code| places[rank(code)] += 1);
        }
        let mut sum = 0;
        for place in &mut places {
            sum += std::mem::replace(place, sum);
        }
        for (k, part) in row.chunks(PIECE).enumerate() {
            poll.end_if_interrupted();
            for (i, &code) in part.iter().enumerate() {
                let place = &mut places[rank(code)];
                to[*place].write((k * PIECE + i) as i64);
                *place += 1;
            }
        }
        true
    })
}

/// The codes of each row of `n` at these positions of it.
///
/// # Errors
/// Only an interrupt.
///
/// # Panics
/// Lengths that disagree, and positions beyond a row.
pub fn gather<C: Copy + Send + Sync>(
    codes: &[C],
    n: usize,
    positions: &[i64],
    to: &mut [MaybeUninit<C>],
) -> Result<(), Stopped> {
    assert!(codes.len() == to.len() && codes.len() == positions.len(), "a position for each code");
    if n == 0 {
        return Ok(());
    }
    let rows = codes.chunks_exact(n).zip(positions.chunks_exact(n)).zip(to.chunks_exact_mut(n));
    threads::for_each(10 * codes.len(), rows, |((row, positions), to)| {
        let mut poll = Poll::new();
        for (to, positions) in to.chunks_mut(PIECE).zip(positions.chunks(PIECE)) {
            poll.end_if_interrupted();
            to.iter_mut().zip(positions).for_each(|(to, &at)| {
                to.write(row[at as usize]);
            });
        }
        true
    })
}

/// Codes between two looks at the clock.
const PIECE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(codes: Codes<'_>, n: usize, descending: bool) -> Vec<i64> {
        let mut to = vec![MaybeUninit::uninit(); 6];
        argsort(codes, n, descending, &mut to).unwrap();
        // SAFETY: all were written.
        to.into_iter().map(|at| unsafe { at.assume_init() }).collect()
    }

    #[test]
    fn equal_codes_keep_their_order_in_both_directions() {
        let signed = [3i8, -1, 3, -128, 127, -1];
        assert_eq!(sorted(Codes::I8(&signed), 6, false), [3, 1, 5, 0, 2, 4]);
        assert_eq!(sorted(Codes::I8(&signed), 6, true), [4, 0, 2, 1, 5, 3]);
        assert_eq!(sorted(Codes::U8(&[2, 200, 2, 0, 0, 255]), 3, false), [0, 2, 1, 0, 1, 2]);
    }
}
