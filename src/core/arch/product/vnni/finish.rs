//! Codes of the sums of tiles.

use std::arch::x86_64::*;

use super::tile::{self, products, step};
use super::{MR, NR};
use crate::arch::product::codes::{Added, ToBytes};
use crate::arch::product::floats::{LOW, ToNumbers};
use crate::arch::product::{Tile, by_rows};

/// What makes the codes of some tiles, one below the other.
type Tiles = unsafe fn(Tile<'_, u8>, usize, &ToBytes<'_>, usize);

/// The function for tiles of so many rows, and for so many columns: [`tiles`].
#[inline]
pub(super) fn codes(rows: usize, columns: usize) -> Tiles {
    match columns {
        16 => by_rows!(12, rows, tiles, 16, true),
        ..=24 => by_rows!(12, rows, tiles, 24, false),
        NR => by_rows!(12, rows, tiles, NR, true),
        _ => by_rows!(12, rows, tiles, NR, false),
    }
}

/// Two vectors of each table.
macro_rules! tables {
    ($finish:ident) => {{
        let (base, bias, multipliers) =
            ($finish.base.as_ptr(), $finish.bias.as_ptr(), $finish.multipliers.as_ptr());
        // SAFETY: the caller's promise.
        unsafe {
            (
                [_mm512_loadu_si512(base.cast()), _mm512_loadu_si512(base.add(16).cast())],
                [_mm512_loadu_ps(bias), _mm512_loadu_ps(bias.add(16))],
                [_mm512_loadu_ps(multipliers), _mm512_loadu_ps(multipliers.add(16))],
            )
        }
    }};
}

/// What turns steps into codes: four bytes of each of four vectors, in order.
macro_rules! narrowing {
    ($finish:ident) => {{
        let zero_point = _mm512_set1_epi16($finish.zero_point);
        let (least, flip) = (_mm512_set1_epi8($finish.least as i8), _mm512_set1_epi8($finish.flip as i8));
        // Packing twice leaves four bytes from each vector in turn.
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        move |[a, b, c, d]: [__m512i; 4]| {
            let ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero_point);
            let cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), zero_point);
            let all = _mm512_max_epu8(_mm512_packus_epi16(ab, cd), least);
            _mm512_permutexvar_epi32(order, _mm512_xor_si512(all, flip))
        }
    }};
}

/// The codes of some tiles, one below the other, of `N` columns, or less where they are not `WHOLE`: 16, 24 or 32. They
/// do not pass through memory.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VL and VNNI; each run of the tiles' `M` rows holds `4 * steps` steps, their panel as many
/// for each run, and there is one at least; the tables have `NR` columns, and the output is bytes, `M` rows of those that
/// are wanted.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tiles<const M: usize, const N: usize, const WHOLE: bool>(
    t: Tile<'_, u8>,
    tiles: usize,
    finish: &ToBytes<'_>,
    wanted: usize,
) {
    const { assert!(M > 0) };
    // SAFETY: the caller's promise. Sums that might stay as they are would be set twice.
    unsafe { std::hint::assert_unchecked(t.steps > 0 && !t.runs.is_empty()) };
    let (base, bias, multipliers) = tables!(finish);
    let narrow = narrowing!(finish);
    let mask = u32::MAX >> (NR - wanted);
    for i in 0..tiles {
        let sides = (if i == 0 { t.sides.0 } else { 0 }, if i + 1 == tiles { t.sides.1 } else { 0 });
        let ahead = if i == 0 { t.ahead } else { 0 };
        // SAFETY: the caller's promise.
        let (rows, out) =
            unsafe { (t.rows.add(i * M * t.row_stride), t.out.cast::<i8>().add(i * M * t.out_stride)) };
        let mut sums = [base; M];
        products!(t, rows, sides, ahead, sums, M, N);
        let step = |r: usize, j: usize| {
            let sum = _mm512_add_ps(_mm512_cvtepi32_ps(sums[r.min(M - 1)][j]), bias[j]);
            _mm512_cvtps_epi32(_mm512_mul_ps(sum, multipliers[j]))
        };
        if N <= 16 {
            for r in (0..M).step_by(4) {
                let all = narrow([step(r, 0), step(r + 1, 0), step(r + 2, 0), step(r + 3, 0)]);
                let lanes = [
                    _mm512_castsi512_si128(all),
                    _mm512_extracti32x4_epi32::<1>(all),
                    _mm512_extracti32x4_epi32::<2>(all),
                    _mm512_extracti32x4_epi32::<3>(all),
                ];
                for (i, lane) in lanes.into_iter().enumerate() {
                    if r + i < M {
                        // SAFETY: the caller's promise.
                        unsafe { _mm_storeu_si128(out.add((r + i) * t.out_stride).cast(), lane) };
                    }
                }
            }
            continue;
        }
        for r in (0..M).step_by(2) {
            let both = narrow([step(r, 0), step(r, 1), step(r + 1, 0), step(r + 1, 1)]);
            let lanes = [_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64::<1>(both)];
            for (i, lane) in lanes.into_iter().enumerate() {
                if r + i < M {
                    // SAFETY: the caller's promise.
                    unsafe {
                        let to = out.add((r + i) * t.out_stride);
                        match WHOLE {
                            true => _mm256_storeu_si256(to.cast(), lane),
                            false => _mm256_mask_storeu_epi8(to, mask, lane),
                        }
                    }
                }
            }
        }
    }
}

/// The codes of some tiles of so many rows, one below the other, with what is added to them. A tile's sums go through
/// memory that stays in the first cache: registers do not hold them and all that they need.
///
/// # Safety
/// As [`tiles`]; of what is added, there are as many rows and columns.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn with_added(
    t: Tile<'_, u8>,
    (tiles, count): (usize, usize),
    finish: &ToBytes<'_>,
    added: &Added<'_>,
    wanted: usize,
) {
    let mut room = [_mm512_setzero_si512(); 2 * MR];
    let make = tile::sums(count);
    let add = match (added.flip == 0, wanted == NR) {
        (true, true) => add::<false, true>,
        (true, false) => add::<false, false>,
        (false, true) => add::<true, true>,
        (false, false) => add::<true, false>,
    };
    for i in 0..tiles {
        let sides = (if i == 0 { t.sides.0 } else { 0 }, if i + 1 == tiles { t.sides.1 } else { 0 });
        let ahead = if i == 0 { t.ahead } else { 0 };
        // SAFETY: the caller's promise; the room has `MR` rows of `NR`.
        unsafe {
            let rows = t.rows.add(i * count * t.row_stride);
            make(Tile { rows, sides, ahead, out: room.as_mut_ptr().cast(), out_stride: NR, ..t });
            let codes = added.codes.as_ptr().add(i * count * added.stride);
            let out = t.out.cast::<i8>().add(i * count * t.out_stride);
            add((&room, count), finish, added, codes.cast(), (out, t.out_stride), wanted);
        }
    }
}

/// The codes of so many rows of sums, two vectors each, with what is added to them: `SIGNED` codes or not. `WHOLE` says that
/// all columns are wanted.
///
/// # Safety
/// The CPU has AVX-512 F, BW and VL; tables have `NR` columns; of what is added, from `codes` on, and of the output there
/// are as many rows and columns as are wanted.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn add<const SIGNED: bool, const WHOLE: bool>(
    (sums, count): (&[__m512i; 2 * MR], usize),
    finish: &ToBytes<'_>,
    added: &Added<'_>,
    codes: *const i8,
    (out, stride): (*mut i8, usize),
    wanted: usize,
) {
    let (base, bias, multipliers) = tables!(finish);
    let narrow = narrowing!(finish);
    let (scale, inv) = (_mm512_set1_ps(added.scale), _mm512_set1_ps(added.inv));
    let of_added = _mm512_set1_epi32(added.zero_point - i32::from(added.flip));
    let mask = u32::MAX >> (NR - wanted);
    let masks = [mask as u16, (mask >> 16) as u16];
    for r in (0..count).step_by(2) {
        let step = |i: usize, j: usize| {
            let row = (r + i).min(count - 1);
            // SAFETY: the caller's promise; of a row no more is read than is wanted.
            let codes = unsafe {
                let codes = codes.add(row * added.stride + 16 * j);
                match WHOLE {
                    true => _mm_loadu_si128(codes.cast()),
                    false => _mm_maskz_loadu_epi8(masks[j], codes),
                }
            };
            let codes = if SIGNED { _mm512_cvtepi8_epi32(codes) } else { _mm512_cvtepu8_epi32(codes) };
            let value = _mm512_mul_ps(scale, _mm512_cvtepi32_ps(_mm512_sub_epi32(codes, of_added)));
            let sum = _mm512_cvtepi32_ps(_mm512_add_epi32(sums[2 * row + j], base[j]));
            let result = _mm512_add_ps(_mm512_mul_ps(sum, multipliers[j]), bias[j]);
            _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_add_ps(result, value), inv))
        };
        let both = narrow([step(0, 0), step(0, 1), step(1, 0), step(1, 1)]);
        let lanes = [_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64::<1>(both)];
        for (i, lane) in lanes.into_iter().enumerate() {
            if r + i < count {
                // SAFETY: the caller's promise.
                unsafe {
                    let to = out.add((r + i) * stride);
                    match WHOLE {
                        true => _mm256_storeu_si256(to.cast(), lane),
                        false => _mm256_mask_storeu_epi8(to, mask, lane),
                    }
                }
            }
        }
    }
}

/// What makes the floats of some tiles, one below the other.
type FloatTiles = unsafe fn(Tile<'_, u8>, usize, &ToNumbers<'_>, usize);

/// The function for tiles of so many rows, and whether something is added: [`float_tiles`].
#[inline]
pub(super) fn floats(rows: usize, has_added: bool) -> FloatTiles {
    match has_added {
        true => by_rows!(12, rows, float_tiles, true),
        false => by_rows!(12, rows, float_tiles, false),
    }
}

/// The floats of some tiles, one below the other. Their sums do not pass through memory.
///
/// # Safety
/// As [`tiles`], but the output is floats; of what is added, there are as many rows and columns as are wanted.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn float_tiles<const M: usize, const ADDED: bool>(
    t: Tile<'_, u8>,
    tiles: usize,
    finish: &ToNumbers<'_>,
    wanted: usize,
) {
    const { assert!(M > 0 && M <= MR) };
    // SAFETY: the caller's promise. Sums that might stay as they are would be set twice.
    unsafe { std::hint::assert_unchecked(t.steps > 0 && !t.runs.is_empty()) };
    let mut base = [_mm512_setzero_si512(); 2];
    let mut bias = [_mm512_setzero_ps(); 2];
    let (mut sums_of_weights, mut weights) = (base, bias);
    // SAFETY: the caller's promise: tables have `NR` columns, or none.
    unsafe {
        for j in 0..2 {
            if !finish.base.is_empty() {
                base[j] = _mm512_loadu_si512(finish.base.as_ptr().add(16 * j).cast());
            }
            if !finish.bias.is_empty() {
                bias[j] = _mm512_loadu_ps(finish.bias.as_ptr().add(16 * j));
            }
            weights[j] = _mm512_loadu_ps(finish.weights.as_ptr().add(16 * j));
            let sums = _mm512_loadu_si512(finish.sums.as_ptr().add(16 * j).cast());
            let low = _mm512_and_si512(sums, _mm512_set1_epi32((1 << LOW) - 1));
            let high = _mm512_slli_epi32::<16>(_mm512_srai_epi32::<LOW>(sums));
            sums_of_weights[j] = _mm512_or_si512(low, high);
        }
    }
    let of_row = (usize::from(finish.zero_points.len() > 1), usize::from(finish.scales.len() > 1));
    let (added, apart) = finish.added.map_or((std::ptr::null(), 0), |(all, stride)| (all.as_ptr(), stride));
    let (zero_points, scales) = (finish.zero_points.as_ptr(), finish.scales.as_ptr());
    let (zero, relu) = (_mm512_setzero_ps(), if finish.relu { u16::MAX } else { 0 });
    let mask = u32::MAX >> (NR - wanted);
    let masks = [mask as u16, (mask >> 16) as u16];
    for i in 0..tiles {
        let sides = (if i == 0 { t.sides.0 } else { 0 }, if i + 1 == tiles { t.sides.1 } else { 0 });
        let ahead = if i == 0 { t.ahead } else { 0 };
        let first = i * M;
        // SAFETY: the caller's promise.
        let (rows, out) =
            unsafe { (t.rows.add(first * t.row_stride), t.out.cast::<f32>().add(first * t.out_stride)) };
        let mut sums = [base; M];
        products!(t, rows, sides, ahead, sums, M, NR);
        macro_rules! row {
            ($($r:literal)*) => {$(
                if $r < M {
                    // SAFETY: the caller's promise: a row of each table of rows, and of the output and of what is added as
                    // many columns as are wanted.
                    unsafe {
                        let zero_point = zero_points.add((first + $r) * of_row.0).cast::<i32>();
                        let zero_point = _mm512_set1_epi32(*zero_point);
                        let scale = _mm512_set1_ps(*scales.add((first + $r) * of_row.1));
                        for j in 0..2 {
                            let sum = sums[if $r < M { $r } else { 0 }][j];
                            let sum = _mm512_dpwssd_epi32(sum, sums_of_weights[j], zero_point);
                            let product = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scale, weights[j]));
                            let mut value = _mm512_add_ps(product, bias[j]);
                            if ADDED {
                                let added = added.add((first + $r) * apart + 16 * j);
                                value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(masks[j], added));
                                // NaN stays, as in NumPy.
                                value = _mm512_mask_max_ps(value, relu, zero, value);
                            } else {
                                value = _mm512_mask_max_ps(value, relu, value, zero);
                            }
                            _mm512_mask_storeu_ps(out.add($r * t.out_stride + 16 * j), masks[j], value);
                        }
                    }
                }
            )*};
        }
        // Each row by its number: in a loop, which would be too long to be unrolled, sums would lie in memory.
        row!(0 1 2 3 4 5 6 7 8 9 10 11);
    }
}
