//! Codes of floats by scales and zero points from their own range, on every instruction set, with one thread and with
//! two, against the plain formulas.

use std::ops::Range;

use quantray_core::arch::Isa;
use quantray_core::error::Stopped;
use quantray_core::gemm::{Floats, Formula, dynamic_codes};
use quantray_core::qparams::{DType, quantize_one, range_to_qparams};
use quantray_core::threads;

use crate::common::{Random, collect, floats, reduced, turn};

/// Floats that are made in the room that is given, as those of a function are.
struct Made<'a>(&'a [f32]);

impl Floats for Made<'_> {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn get<'a>(&'a self, range: Range<usize>, room: &'a mut Vec<f32>) -> &'a [f32] {
        room.clear();
        room.extend_from_slice(&self.0[range]);
        room
    }
}

/// Rows, and floats of each, around the edges of vectors, of what is made at once, and of what a thread takes.
fn sizes() -> Vec<(usize, usize)> {
    let mut all = vec![(1, 1), (3, 7), (2, 64), (5, 65), (17, 127), (1, 1000), (4, 0), (0, 4)];
    if !reduced() {
        all.extend([
            (300, 384),
            (7, 1536),
            (3, 4096),
            (2, 4097),
            (40, 1024),
            (3, 16384),
            (2, 16385),
            (1, 70_000),
        ]);
    }
    all
}

fn everywhere(mut check: impl FnMut(&str)) {
    let best = Isa::current();
    for &isa in Isa::available() {
        Isa::set_current(isa).unwrap();
        for count in [1, 2] {
            threads::set_num_threads(count).unwrap();
            check(&format!("{} x {count}", isa.name()));
        }
    }
    Isa::set_current(best).unwrap();
}

/// Scales, zero points and codes.
type Found = (Vec<f32>, Vec<i32>, Vec<u8>);

fn found(x: &dyn Floats, rows: usize, per_row: bool, reduce: bool) -> Result<Result<Found, String>, Stopped> {
    let formula = if reduce { Formula::SevenBits } else { Formula::Contract };
    let mut params = Ok((vec![], vec![]));
    let codes = collect(x.count(), |out| {
        params = dynamic_codes(x, rows, per_row, formula, out)?.map_err(|error| error.to_string());
        if params.is_err() {
            // They mean nothing.
            out.fill(std::mem::MaybeUninit::new(0));
        }
        Ok(())
    })?;
    Ok(params.map(|(scales, zero_points)| (scales, zero_points, codes)))
}

#[test]
fn codes_are_those_of_the_range() {
    let _turn = turn();
    let random = &mut Random(11);
    for (rows, n) in sizes() {
        for (per_row, reduce) in [(true, false), (false, false), (false, true)] {
            let x = floats(rows * n, 0.5, random);
            let x: Vec<f32> = x.iter().map(|&x| if x.is_finite() { x } else { 1.5 }).collect();
            let count = if per_row { rows } else { 1 };
            let mut want: Found = (vec![], vec![], vec![]);
            for r in 0..count {
                let row = if per_row { &x[r * n..][..n] } else { &x[..] };
                let (low, high) = row.iter().fold((0f32, 0f32), |(a, b), &x| (a.min(x), b.max(x)));
                let (scale, zero_point) = range_to_qparams(low, high, DType::QUInt8, reduce).unwrap();
                want.0.push(scale as f32);
                want.1.push(zero_point);
                let inv = 1.0 / scale as f32;
                want.2.extend(row.iter().map(|&x| quantize_one(x, inv, zero_point, 0, 255) as u8));
            }
            everywhere(|on| {
                assert_eq!(found(&&x[..], rows, per_row, reduce), Ok(Ok(want.clone())), "{on}: {rows} x {n}");
                assert_eq!(
                    found(&Made(&x), rows, per_row, reduce),
                    Ok(Ok(want.clone())),
                    "{on}: {rows} x {n}"
                );
            });
        }
    }
}

#[test]
fn what_has_no_range_is_refused() {
    let _turn = turn();
    for (rows, n) in [(40, 384), (3, 16400)] {
        for per_row in [true, false] {
            let mut x = floats(rows * n, 0.5, &mut Random(3));
            x.iter_mut().for_each(|x| *x = if x.is_finite() { *x } else { 0.0 });
            x[n + 5] = f32::INFINITY;
            everywhere(|on| {
                let error = found(&&x[..], rows, per_row, false).unwrap().unwrap_err();
                assert!(error.contains("finite"), "{on}: {error}");
                assert_eq!(found(&Made(&x), rows, per_row, false), Ok(Err(error)), "{on}");
            });
            x[2 * n + 7] = f32::NAN;
            x[2 * n + 9] = f32::NAN;
            let nan = Stopped::Nan { count: 2, first: 2 * n + 7 };
            everywhere(|on| {
                assert_eq!(found(&&x[..], rows, per_row, false), Err(nan), "{on}");
                assert_eq!(found(&Made(&x), rows, per_row, false), Err(nan), "{on}");
            });
        }
    }
}
