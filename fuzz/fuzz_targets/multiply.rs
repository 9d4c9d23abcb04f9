//! Products on every instruction set against the plain formula: any signs, strides, zero points and results.

#![no_main]

use arbitrary::Result;
use quantray_core::gemm::{
    Activations, Finish, Matrix, PackedWeights, Results, WeightParams, multiply, reference,
};
use quantray_core::qparams::DType;
use quantray_fuzz::common::collect;
use quantray_fuzz::{Input, Memory, bits, everywhere, same, target};

/// Rows and columns in memory, one after the other or with gaps, either way round.
fn matrix<'a>(input: &mut Input<'_>, memory: &'a Memory, rows: usize, columns: usize) -> Result<Matrix<'a>> {
    Ok(match input.from_to(0, 2)? {
        0 => Matrix::dense(memory.codes(), rows, columns),
        1 => Matrix::dense(memory.codes(), columns, rows).transposed(),
        _ => Matrix::new(memory.codes(), rows, columns, 2 * columns + 1, 2),
    })
}

fn of<T: Copy>(table: &[T], i: usize) -> T {
    table[if table.len() == 1 { 0 } else { i }]
}

fn run(input: &mut Input<'_>) -> Result<()> {
    let (m, n) = (input.from_to(0, 70)?, input.from_to(0, 140)?);
    let short = input.flag()?;
    let k = input.from_to(0, if short { 12 } else { 300 })?;
    let (xm, wm) = (Memory::new(input, m * (2 * k + 1))?, Memory::new(input, n * (2 * k + 1))?);
    let (x_codes, weights) = (matrix(input, &xm, m, k)?, matrix(input, &wm, n, k)?);
    let (x_each, w_each) = (input.flag()?, input.flag()?);
    let mut tables = |each: bool, n: usize, dtype: DType, floats: f32| -> Result<(Vec<f32>, Vec<i32>)> {
        let n = if each { n } else { 1 };
        let mut random = input.random()?;
        let middle = if input.flag()? { Some(dtype.symmetric_zero_point()) } else { None };
        let zero = |r: u64| middle.unwrap_or(dtype.qmin() + (r & 255) as i32);
        Ok((0..n).map(|_| (random.unit() * floats + 1e-4, zero(random.next() >> 20))).unzip())
    };
    let (x_scales, x_zeros) = tables(x_each, m, xm.dtype, 0.3)?;
    let (w_scales, w_zeros) = tables(w_each, n, wm.dtype, 0.1)?;
    let bias = input.floats(n, 1.0, false)?;
    let bias: Vec<f32> = bias.into_iter().map(|b| if b.is_finite() { b } else { 3.0 }).collect();
    let mut random = input.random()?;
    let ints: Vec<i32> = (0..n).map(|_| random.next() as i32 >> 8).collect();
    let slopes: Vec<f32> = (0..n).map(|_| random.unit() * 3.0 - 1.0).collect();
    let sums_finish = Finish {
        bias: input.flag()?.then_some(&bias[..]),
        int_bias: input.flag()?.then_some(&ints[..]),
        relu: input.flag()?,
        ..Finish::default()
    };
    let is_bent = input.flag()? && !sums_finish.relu;
    let finish = Finish { slopes: is_bent.then_some(&slopes[..]), ..sums_finish };
    let params = WeightParams { scales: &w_scales, zero_points: &w_zeros };
    let x = Activations { codes: x_codes.into(), scales: &x_scales, zero_points: &x_zeros };
    let y = (input.scale()?, input.zero_point(DType::QUInt8)?);
    let signed = (y.0, y.1 - 128);
    let shared = input.flag()?;
    let at: Vec<_> = (0..m).flat_map(|r| (0..n).map(move |c| (r, c))).collect();
    let sum = |&(r, c): &(usize, usize)| reference::sum(&x_codes, &x_zeros, &weights, params, r, c);
    let sums: Vec<i64> = at.iter().map(sum).collect();
    let all = || at.iter().zip(&sums);
    let wide: Vec<i32> = all().map(|(&(_, c), &s)| reference::to_sum(s, &finish, c) as i32).collect();
    let float = |(&(r, c), &s): (&(usize, usize), &i64)| {
        reference::to_float(s, of(&x_scales, r), of(&w_scales, c), &finish, c)
    };
    let floats: Vec<f32> = all().map(float).collect();
    let code = |y: (f32, i32), range: (i32, i32)| -> Vec<i32> {
        let one = |(&(_, c), &s): (&(usize, usize), &i64)| {
            reference::to_code(s, x_scales[0], of(&w_scales, c), &finish, c, y, range)
        };
        all().map(one).collect()
    };
    let one_scale = x_scales.len() == 1 && x_zeros.len() == 1;
    // A product of scales that is no float32 of its own is refused before it comes here.
    let usable = w_scales.iter().all(|w| {
        let product = x_scales.first().map_or(1.0, |x| x * w);
        product.is_normal() && (product / y.0).is_finite() && bias.iter().all(|b| (b / product).is_finite())
    });
    everywhere(shared, |isa, on| {
        let what = format!("{on}: {m} x {k} {} by {n} {}, {finish:?}", xm.dtype.name(), wm.dtype.name());
        let packed = PackedWeights::new(isa, weights, params).expect("no depth that could overflow");
        let got = collect(m * n, |to| multiply(&x, &packed, &sums_finish, Results::Sums(to)));
        same(&got.expect("nothing stops it"), &wide, &what);
        let got = collect(m * n, |to| multiply(&x, &packed, &finish, Results::Floats(to)));
        same(&bits(&got.expect("nothing stops it")), &bits(&floats), &what);
        if !one_scale || !usable || m == 0 {
            return;
        }
        let got = collect(m * n, |to| multiply(&x, &packed, &finish, Results::U8(to, y.0, y.1)));
        let got: Vec<i32> = got.expect("nothing stops it").into_iter().map(i32::from).collect();
        same(&got, &code(y, (0, 255)), &what);
        let got = collect(m * n, |to| multiply(&x, &packed, &finish, Results::I8(to, signed.0, signed.1)));
        let got: Vec<i32> = got.expect("nothing stops it").into_iter().map(i32::from).collect();
        same(&got, &code(signed, (-128, 127)), &what);
        same(
            &packed.unpack(i32::from),
            &(0..n)
                .flat_map(|c| (0..k).map(move |i| (c, i)))
                .map(|(c, i)| weights.at(c, i) - if wm.dtype == DType::QUInt8 { 128 } else { 0 })
                .collect::<Vec<_>>(),
            &what,
        );
    });
    Ok(())
}

target!(run);
