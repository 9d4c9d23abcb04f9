//! Codes and floats of the sums of tiles.

use std::arch::x86_64::*;

use super::NR;
use super::bytes::{Start, Sums};
use super::tile::add_products;
use crate::arch::product::codes::{Added, ToBytes};
use crate::arch::product::floats::{LOW, ToNumbers};
use crate::arch::product::{Tile, by_rows};
use crate::arch::x86_64::align_frame;
use crate::arch::x86_64::avx2::write_some;

/// Two vectors of a table of floats.
///
/// # Safety
/// The CPU has AVX2; the table has `NR` elements.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn of_floats(table: &[f32]) -> [__m256; 2] {
    // SAFETY: the caller's promise.
    unsafe { [_mm256_loadu_ps(table.as_ptr()), _mm256_loadu_ps(table.as_ptr().add(8))] }
}

/// Two vectors of integers.
///
/// # Safety
/// The CPU has AVX2; there are `NR` of them.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn of_integers(table: *const i32) -> [__m256i; 2] {
    // SAFETY: the caller's promise.
    unsafe { [_mm256_loadu_si256(table.cast()), _mm256_loadu_si256(table.add(8).cast())] }
}

/// What turns steps into codes.
pub(crate) struct Narrow {
    zero_point: __m256i,
    least: __m256i,
    flip: __m256i,
}

impl Narrow {
    /// # Safety
    /// The CPU has AVX2.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(crate) unsafe fn new(finish: &ToBytes<'_>) -> Self {
        Self {
            zero_point: _mm256_set1_epi16(finish.zero_point),
            least: _mm256_set1_epi8(finish.least as i8),
            flip: _mm256_set1_epi8(finish.flip as i8),
        }
    }

    /// The codes of four vectors: four of each in the lower half, and the other four of each in the upper one.
    ///
    /// # Safety
    /// The CPU has AVX2.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(crate) unsafe fn packed(&self, [a, b, c, d]: [__m256i; 4]) -> __m256i {
        let ab = _mm256_adds_epi16(_mm256_packs_epi32(a, b), self.zero_point);
        let cd = _mm256_adds_epi16(_mm256_packs_epi32(c, d), self.zero_point);
        _mm256_xor_si256(_mm256_max_epu8(_mm256_packus_epi16(ab, cd), self.least), self.flip)
    }

    /// Writes the codes of two rows, or of one where there is no second, as many as are wanted.
    ///
    /// # Safety
    /// The CPU has AVX2; there is room for them.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn write(&self, steps: [__m256i; 4], rows: [Option<*mut u8>; 2], wanted: usize) {
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        // SAFETY: the caller's promise.
        let all = _mm256_permutevar8x32_epi32(unsafe { self.packed(steps) }, order);
        let both = [_mm256_castsi256_si128(all), _mm256_extracti128_si256::<1>(all)];
        for (codes, to) in both.into_iter().zip(rows) {
            let Some(to) = to else { continue };
            // SAFETY: the caller's promise.
            unsafe {
                if wanted == NR {
                    _mm_storeu_si128(to.cast(), codes);
                } else {
                    let mut bytes = [0u8; NR];
                    _mm_storeu_si128(bytes.as_mut_ptr().cast(), codes);
                    std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, wanted);
                }
            }
        }
    }
}

/// Makes the codes of tiles of so many rows.
pub(super) type Codes = unsafe fn(Tile<'_, u8>, usize, Start, &ToBytes<'_>, usize);

/// What makes the codes of tiles of so many rows, to which something may be added before they are rounded.
#[inline]
pub(super) fn codes<const DOT: bool>(rows: usize, is_added: bool) -> Codes {
    match is_added {
        true => by_rows!(6, rows, codes_of, DOT, true),
        false => by_rows!(6, rows, codes_of, DOT, false),
    }
}

/// The codes of some tiles, one below the other, whose sums all start at the same.
///
/// # Safety
/// As [`add_products`] for all tiles; tables have `NR` columns, and the output, of bytes, and what is added all rows of those
/// that are wanted.
#[target_feature(enable = "avx2")]
unsafe fn codes_of<const M: usize, const DOT: bool, const ADDED: bool>(
    t: Tile<'_, u8>,
    tiles: usize,
    (start, apart): Start,
    finish: &ToBytes<'_>,
    wanted: usize,
) {
    align_frame!();
    let added = finish.added.unwrap_or_default();
    // SAFETY: the caller's promise.
    unsafe {
        let narrow = Narrow::new(finish);
        // Tables are read with each row: the registers that they would take are the sums'.
        let of = |table: &[f32], j: usize| _mm256_loadu_ps(table.as_ptr().add(8 * j));
        for first in (0..tiles).map(|i| i * M) {
            let mut sums = [[_mm256_setzero_si256(); 2]; M];
            for (r, sums) in sums.iter_mut().enumerate() {
                *sums = of_integers(start.add(r * apart));
            }
            add_products::<M, DOT>(&t, t.rows.add(first * t.row_stride), &mut sums);
            let mut steps = sums;
            let mut r = 0;
            while r < M {
                let mut j = 0;
                while j < 2 {
                    let (sum, bias) = (_mm256_cvtepi32_ps(sums[r][j]), of(finish.bias, j));
                    let multipliers = of(finish.multipliers, j);
                    let value = if ADDED {
                        let result = _mm256_add_ps(_mm256_mul_ps(sum, multipliers), bias);
                        let value = values(&added, first + r, 8 * j, wanted);
                        _mm256_mul_ps(_mm256_add_ps(result, value), _mm256_set1_ps(added.inv))
                    } else {
                        _mm256_mul_ps(_mm256_add_ps(sum, bias), multipliers)
                    };
                    steps[r][j] = _mm256_cvtps_epi32(value);
                    j += 1;
                }
                r += 1;
            }
            let mut r = 0;
            while r < M {
                // The last one may have none below it.
                let below = (r + 1).min(M - 1);
                let ([a, b], [c, d]) = (steps[r], steps[below]);
                let to = |r: usize| t.out.cast::<u8>().add((first + r) * t.out_stride);
                let second = if below == r { None } else { Some(to(below)) };
                narrow.write([a, b, c, d], [Some(to(r)), second], wanted);
                r += 2;
            }
        }
    }
}

/// What eight codes that are added stand for, from a row and a column on, as far as they are wanted.
///
/// # Safety
/// The CPU has AVX2; there are as many.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn values(added: &Added<'_>, row: usize, column: usize, wanted: usize) -> __m256 {
    // It may lie behind the last one, and is not read then.
    let from = added.codes.as_ptr().wrapping_add(row * added.stride + column);
    // SAFETY: the caller's promise.
    let codes = unsafe {
        if wanted >= column + 8 {
            _mm_loadl_epi64(from.cast())
        } else {
            let mut bytes = [0u8; 8];
            std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), wanted.saturating_sub(column));
            _mm_loadl_epi64(bytes.as_ptr().cast())
        }
    };
    let codes = _mm256_cvtepu8_epi32(_mm_xor_si128(codes, _mm_set1_epi8(added.flip as i8)));
    let value = _mm256_cvtepi32_ps(_mm256_sub_epi32(codes, _mm256_set1_epi32(added.zero_point)));
    _mm256_mul_ps(_mm256_set1_ps(added.scale), value)
}

/// The floats of so many rows of sums.
///
/// # Safety
/// The CPU has AVX2; tables of columns have `NR`, those of rows one or so many, and the output and what is added so many
/// rows of those that are wanted.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) unsafe fn floats(
    sums: &Sums,
    count: usize,
    finish: &ToNumbers<'_>,
    (out, stride): (*mut f32, usize),
    wanted: usize,
) {
    let floats = match (finish.added.is_some(), finish.relu) {
        (false, false) => floats_of::<false, false>,
        (false, true) => floats_of::<false, true>,
        (true, false) => floats_of::<true, false>,
        (true, true) => floats_of::<true, true>,
    };
    // SAFETY: the caller's promise.
    unsafe { floats(sums, count, finish, (out, stride), wanted) }
}

/// As [`floats`], where it is known what is done to each.
///
/// # Safety
/// As there.
#[target_feature(enable = "avx2")]
unsafe fn floats_of<const ADDED: bool, const RELU: bool>(
    sums: &Sums,
    count: usize,
    finish: &ToNumbers<'_>,
    (out, stride): (*mut f32, usize),
    wanted: usize,
) {
    // SAFETY: the caller's promise; what masks leave out is not touched.
    unsafe {
        let base = match finish.base.is_empty() {
            true => [_mm256_setzero_si256(); 2],
            false => of_integers(finish.base.as_ptr()),
        };
        let bias = if finish.bias.is_empty() { [_mm256_setzero_ps(); 2] } else { of_floats(finish.bias) };
        let weights = of_floats(finish.weights);
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let zero = _mm256_setzero_ps();
        let (mut halves, mut masks) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
        for j in 0..2 {
            masks[j] = _mm256_cmpgt_epi32(_mm256_set1_epi32(wanted as i32 - 8 * j as i32), lanes);
            let of_weights = _mm256_loadu_si256(finish.sums.as_ptr().add(8 * j).cast());
            let low = _mm256_and_si256(of_weights, _mm256_set1_epi32((1 << LOW) - 1));
            let high = _mm256_slli_epi32::<16>(_mm256_srai_epi32::<{ LOW as i32 }>(of_weights));
            halves[j] = _mm256_or_si256(low, high);
        }
        // Of each row, or of all of them.
        let each = |table: usize| usize::from(table > 1);
        let (of_points, of_scales) = (each(finish.zero_points.len()), each(finish.scales.len()));
        for r in 0..count {
            let zero_point = finish.zero_points.as_ptr().add(of_points * r).cast::<i32>();
            let zero_point = _mm256_set1_epi32(zero_point.read_unaligned());
            let scale = _mm256_set1_ps(*finish.scales.as_ptr().add(of_scales * r));
            for j in 0..2 {
                let sum = _mm256_loadu_si256(sums.as_ptr().add(r * NR + 8 * j).cast());
                let sum = _mm256_add_epi32(
                    _mm256_add_epi32(sum, base[j]),
                    _mm256_madd_epi16(halves[j], zero_point),
                );
                let product = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scale, weights[j]));
                let mut value = _mm256_add_ps(product, bias[j]);
                if let Some((added, apart)) = finish.added
                    && ADDED
                {
                    let added = _mm256_maskload_ps(added.as_ptr().wrapping_add(r * apart + 8 * j), masks[j]);
                    value = _mm256_add_ps(value, added);
                }
                value = match (ADDED, RELU) {
                    (_, false) => value,
                    (false, true) => _mm256_max_ps(value, zero),
                    // NaN stays, as in NumPy.
                    (true, true) => _mm256_max_ps(zero, value),
                };
                let to = out.wrapping_add(r * stride + 8 * j);
                match wanted.saturating_sub(8 * j) {
                    8.. => _mm256_storeu_ps(to, value),
                    n => write_some(value, to, n),
                }
            }
        }
    }
}
