//! Lines of bytes, interleaved: transposes of small blocks, with what every CPU of an architecture has.

use super::vector::Byte;

/// Bytes of a line.
pub(crate) const LINE: usize = 16;

/// `a[0], b[0], a[1], b[1], ...`
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn zip<C: Byte>(a: [C; LINE], b: [C; LINE]) -> [[C; LINE]; 2] {
    use std::arch::x86_64::*;
    // SAFETY: every x86-64 CPU has SSE2; a `Byte` is 8 bits, any of which are valid.
    unsafe {
        let (a, b) = (_mm_loadu_si128(a.as_ptr().cast()), _mm_loadu_si128(b.as_ptr().cast()));
        let mut to = [[C::default(); LINE]; 2];
        _mm_storeu_si128(to[0].as_mut_ptr().cast(), _mm_unpacklo_epi8(a, b));
        _mm_storeu_si128(to[1].as_mut_ptr().cast(), _mm_unpackhi_epi8(a, b));
        to
    }
}

/// `a[0], b[0], a[1], b[1], ...`
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn zip<C: Byte>(a: [C; LINE], b: [C; LINE]) -> [[C; LINE]; 2] {
    [0, LINE / 2]
        .map(|from| std::array::from_fn(|i| if i % 2 == 0 { a[from + i / 2] } else { b[from + i / 2] }))
}

/// The first elements of all lines, then the second ones, and so on: for sixteen lines their transpose.
///
/// # Panics
/// Numbers of lines that are not powers of two.
#[inline(always)]
pub(crate) fn interleave<C: Byte, const R: usize>(mut lines: [[C; LINE]; R]) -> [[C; LINE]; R] {
    assert!(R.is_power_of_two());
    for _ in 0..R.ilog2() {
        let mut next = lines;
        for i in 0..R / 2 {
            [next[2 * i], next[2 * i + 1]] = zip(lines[i], lines[i + R / 2]);
        }
        lines = next;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const R: usize>() {
        let lines: [[u8; LINE]; R] = std::array::from_fn(|r| std::array::from_fn(|i| (16 * r + i) as u8));
        let done = interleave(lines);
        for (at, &code) in done.as_flattened().iter().enumerate() {
            assert_eq!(code, lines[at % R][at / R]);
        }
    }

    #[test]
    fn lines_are_interleaved() {
        check::<2>();
        check::<4>();
        check::<16>();
    }
}
