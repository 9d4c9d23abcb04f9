//! Recurrent layers on every instruction set, with one thread and with two: the same bits, and the formulas of the cells.
//!
//! `QUANTRAY_TEST_REDUCED=1` leaves out the larger sizes: for emulators.

use quantray_core::arch::Isa;
use quantray_core::gemm::{Codes, Matrix, WeightParams, reference};
use quantray_core::qparams::{self, DType, range_to_qparams};
use quantray_core::recurrent::{
    Cell, Float, FloatWeights, Quantized, Shape, States, Tables, float_layer, quantized_layer,
};
use quantray_core::threads;

use crate::common::{Random, turn};

const CELLS: [Cell; 4] = [Cell::Lstm, Cell::Gru, Cell::Tanh, Cell::Relu];

/// Steps, batch, inputs, units, and what the projection makes of those (of an LSTM).
fn sizes() -> Vec<(usize, usize, usize, usize, Option<usize>)> {
    let mut all =
        vec![(1, 1, 1, 1, None), (3, 2, 5, 3, None), (2, 13, 7, 65, None), (4, 3, 20, 70, Some(33))];
    if std::env::var_os("QUANTRAY_TEST_REDUCED").is_none() {
        all.extend([(70, 1, 9, 128, None), (2, 33, 64, 200, Some(66)), (3, 40, 128, 256, None)]);
    }
    all
}

fn floats(n: usize, to: f32, random: &mut Random) -> Vec<f32> {
    (0..n).map(|_| (random.unit() * 2.0 - 1.0) * to).collect()
}

/// A weight of bytes: for each row a scale and a zero point, or one for all.
struct Weight {
    bytes: Vec<u8>,
    signed: bool,
    rows: usize,
    scales: Vec<f32>,
    zero_points: Vec<i32>,
}

impl Weight {
    /// Of either sign, with zero points or without.
    fn new(rows: usize, columns: usize, kind: usize, random: &mut Random) -> Self {
        let bytes = (0..rows * columns).map(|_| random.next() as u8).collect();
        let (signed, n) = (kind != 1, if kind == 0 { 1 } else { rows });
        // Such that no state grows from step to step.
        let unit = 1.0 / 128.0 / (columns as f32).sqrt();
        let scales = (0..n).map(|_| unit * (0.5 + 0.5 * random.unit())).collect();
        let zero_points = match kind {
            0 => vec![0],
            1 => (0..n).map(|_| 100 + random.below(60) as i32).collect(),
            _ => (0..n).map(|_| random.below(9) as i32 - 4).collect(),
        };
        Self { bytes, signed, rows, scales, zero_points }
    }

    fn with<T>(&self, f: impl FnOnce((Matrix<'_>, WeightParams<'_>)) -> T) -> T {
        let columns = self.bytes.len() / self.rows;
        let signed: Vec<i8> = self.bytes.iter().map(|&b| b as i8).collect();
        let codes = if self.signed { Codes::I8(&signed) } else { Codes::U8(&self.bytes) };
        let params = WeightParams { scales: &self.scales, zero_points: &self.zero_points };
        f((Matrix::dense(codes, self.rows, columns), params))
    }

    /// The rounding contract's product with floats that are quantized on the way.
    fn times(&self, x: &[f32], batch: usize, bias: Option<&[f32]>) -> Vec<f64> {
        let (min, max) =
            x.iter().fold((0f32, 0f32), |(min, max), &x| (if x < min { x } else { min }, max.max(x)));
        let (scale, zero_point) = range_to_qparams(min, max, DType::QUInt8, false).unwrap();
        let scale = scale as f32;
        let codes: Vec<u8> =
            x.iter().map(|&x| qparams::quantize_one(x, 1.0 / scale, zero_point, 0, 255) as u8).collect();
        let x = Matrix::dense(Codes::U8(&codes), batch, x.len() / batch);
        self.with(|(weights, params)| {
            (0..batch)
                .flat_map(|r| (0..self.rows).map(move |n| (r, n)))
                .map(|(r, n)| {
                    let sum = reference::sum(&x, &[zero_point], &weights, params, r, n);
                    let w = self.scales[n % self.scales.len()];
                    f64::from(sum as f32 * (scale * w) + bias.map_or(0.0, |bias| bias[n]))
                })
                .collect()
        })
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The cells as papers have them: from the two parts of one row's gates to its new states.
fn step(cell: Cell, x: &[f64], h: &[f64], old_h: &[f32], c: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let units = x.len() / cell.gates();
    let unit = |i: usize| {
        let both = |g: usize| x[g * units + i] + h[g * units + i];
        match cell {
            Cell::Lstm => {
                let new = sigmoid(both(1)) * f64::from(c[i]) + sigmoid(both(0)) * both(2).tanh();
                (sigmoid(both(3)) * new.tanh(), new)
            }
            Cell::Gru => {
                let new = (x[2 * units + i] + sigmoid(both(0)) * h[2 * units + i]).tanh();
                let update = sigmoid(both(1));
                ((1.0 - update) * new + update * f64::from(old_h[i]), 0.0)
            }
            Cell::Tanh => (both(0).tanh(), 0.0),
            Cell::Relu => (both(0).max(0.0), 0.0),
        }
    };
    (0..units).map(unit).unzip()
}

/// A step of all rows.
fn steps(cell: Cell, x: &[f64], h: &[f64], old_h: &[f32], c: &[f32], batch: usize) -> [Vec<f64>; 2] {
    let (gates, outputs, units) = (x.len() / batch, old_h.len() / batch, c.len() / batch);
    let mut new = [Vec::new(), Vec::new()];
    for r in 0..batch {
        let row = |all: &[f64]| all[r * gates..][..gates].to_vec();
        let (h, c) = step(cell, &row(x), &row(h), &old_h[r * outputs..][..outputs], &c[r * units..][..units]);
        new[0].extend(h);
        new[1].extend(c);
    }
    new
}

#[track_caller]
fn near(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs() / want.abs().max(1.0);
        assert!(error <= tolerance, "{what}: {got}, not {want}, at {i}");
    }
}

/// The output, and the last states.
type Found = (Vec<f32>, Vec<f32>, Vec<f32>);

struct Case {
    cell: Cell,
    shape: Shape,
    units: usize,
    outputs: usize,
    weights: [Weight; 2],
    projection: Option<Weight>,
    biases: [Vec<f32>; 2],
    x: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
}

impl Case {
    fn new(
        cell: Cell,
        (steps, batch, inputs, units, projected): (usize, usize, usize, usize, Option<usize>),
        kind: usize,
        random: &mut Random,
    ) -> Self {
        let projected = projected.filter(|_| cell == Cell::Lstm);
        let (gates, outputs) = (cell.gates() * units, projected.unwrap_or(units));
        let mut x = floats(steps * batch * inputs, 1.0, random);
        // Each step has the range of all, so that steps on their own have the scale of the sequence.
        for step in x.chunks_exact_mut(batch * inputs) {
            step[0] = 2.0;
            if let Some(last) = step[1..].last_mut() {
                *last = -2.0;
            }
        }
        Self {
            cell,
            shape: Shape { steps, batch, batch_first: false },
            units,
            outputs,
            weights: [inputs, outputs].map(|depth| Weight::new(gates, depth, kind, random)),
            projection: projected.map(|outputs| Weight::new(outputs, units, kind, random)),
            biases: [0, 1].map(|_| floats(gates, 0.5, random)),
            x,
            h: floats(batch * outputs, 0.9, random),
            c: floats(batch * units, 1.5, random),
        }
    }

    fn packed(&self, isa: Isa) -> Quantized {
        let [ih, hh] = &self.weights;
        let pack = |w_hr: Option<(Matrix<'_>, WeightParams<'_>)>| {
            ih.with(|w_ih| {
                hh.with(|w_hh| {
                    let [b_ih, b_hh] = self.biases.each_ref().map(|bias| Some(&bias[..]));
                    Quantized::new(isa, self.cell, Tables { w_ih, w_hh, w_hr, b_ih, b_hh }).unwrap()
                })
            })
        };
        match &self.projection {
            Some(weight) => weight.with(|w_hr| pack(Some(w_hr))),
            None => pack(None),
        }
    }

    /// Both the forward and, where there are two, the backward direction with the same weights and states.
    fn run(&self, directions: &[&Quantized], shape: Shape, x: &[f32], h: &[f32], c: &[f32]) -> Found {
        let n = directions.len();
        let mut y = vec![0.0; shape.rows() * n * self.outputs];
        let (mut h, mut c) = (h.repeat(n), c.repeat(n));
        let states = h
            .chunks_exact_mut(shape.batch * self.outputs)
            .zip(c.chunks_exact_mut(shape.batch * self.units))
            .map(|(h, c)| States { h, c })
            .collect();
        quantized_layer(directions, x, shape, states, &mut y, false).unwrap().unwrap();
        (y, h, c)
    }
}

fn each_case(mut f: impl FnMut(&Case, &str)) {
    let random = &mut Random(11);
    for cell in CELLS {
        for (i, size) in sizes().into_iter().enumerate() {
            let case = Case::new(cell, size, i % 3, random);
            f(&case, &format!("{cell:?} {size:?} {}", i % 3));
        }
    }
}

#[test]
fn every_instruction_set_and_number_of_threads_gives_the_same_bits() {
    let _turn = turn();
    each_case(|case, what| {
        let mut first: Option<Found> = None;
        for &isa in Isa::available() {
            let packed = case.packed(isa);
            assert_eq!(packed.isa(), isa);
            for n in [1, 2] {
                threads::set_num_threads(n).unwrap();
                let found = case.run(&[&packed, &packed], case.shape, &case.x, &case.h, &case.c);
                match &first {
                    Some(first) => assert!(*first == found, "{what} on {} with {n} threads", isa.name()),
                    None => first = Some(found),
                }
            }
        }
    });
}

#[test]
fn a_step_is_the_formula_and_a_sequence_is_its_steps() {
    each_case(|case, what| {
        let packed = case.packed(Isa::Scalar);
        let (y, last_h, last_c) = case.run(&[&packed], case.shape, &case.x, &case.h, &case.c);
        let Shape { steps: count, batch, .. } = case.shape;
        let one = Shape { steps: 1, ..case.shape };
        let (mut h, mut c) = (case.h.clone(), case.c.clone());
        for (t, x) in case.x.chunks_exact(case.x.len() / count).enumerate() {
            let found = case.run(&[&packed], one, x, &h, &c);
            let parts = [(0, x), (1, &h[..])]
                .map(|(i, values)| case.weights[i].times(values, batch, Some(&case.biases[i])));
            let [new_h, new_c] = steps(case.cell, &parts[0], &parts[1], &h, &c, batch);
            if case.cell == Cell::Lstm {
                near(&found.2, &new_c, 1e-6, what);
            }
            // What is projected is quantized: a unit that is rounded another way changes all outputs by a step.
            match &case.projection {
                None => near(&found.1, &new_h, 1e-6, what),
                Some(weight) => {
                    let units: Vec<f32> = new_h.iter().map(|&h| h as f32).collect();
                    near(&found.1, &weight.times(&units, batch, None), 0.02, what);
                }
            }
            assert_eq!(found.0, found.1, "{what}: the output is the hidden state");
            if case.x.len() / count > 1 {
                assert_eq!(found.0, y[t * found.0.len()..][..found.0.len()], "{what}: step {t}");
            }
            (h, c) = (found.1, found.2);
        }
        if case.x.len() / count > 1 {
            assert_eq!((h, c), (last_h, last_c), "{what}");
        }
    });
}

#[test]
fn the_way_back_is_the_way_there_of_reversed_steps() {
    each_case(|case, what| {
        let packed = case.packed(Isa::current());
        let Shape { steps, batch, .. } = case.shape;
        let (both, ..) = case.run(&[&packed, &packed], case.shape, &case.x, &case.h, &case.c);
        let size = case.x.len() / steps;
        let reversed: Vec<f32> = case.x.chunks_exact(size).rev().flatten().copied().collect();
        let (there, ..) = case.run(&[&packed], case.shape, &case.x, &case.h, &case.c);
        let (back, ..) = case.run(&[&packed], case.shape, &reversed, &case.h, &case.c);
        let n = case.outputs;
        for t in 0..steps {
            for r in 0..batch {
                let row = &both[(t * batch + r) * 2 * n..][..2 * n];
                assert_eq!(row[..n], there[(t * batch + r) * n..][..n], "{what}");
                assert_eq!(row[n..], back[((steps - 1 - t) * batch + r) * n..][..n], "{what}");
            }
        }
        let first = Shape { batch_first: true, ..case.shape };
        let (y, ..) = case.run(&[&packed], first, &case.x, &case.h, &case.c);
        for t in 0..steps {
            for r in 0..batch {
                assert_eq!(y[(r * steps + t) * n..][..n], there[(t * batch + r) * n..][..n], "{what}");
            }
        }
    });
}

#[test]
fn weights_come_back_as_they_were() {
    each_case(|case, what| {
        for &isa in Isa::available() {
            let packed = case.packed(isa);
            let bytes = |w: i8, weight: &Weight| if weight.signed { w as u8 } else { (w as u8) ^ 0x80 };
            for (found, weight) in packed.unpack(|w| w).iter().zip(&case.weights) {
                assert!(found.iter().map(|&w| bytes(w, weight)).eq(weight.bytes.iter().copied()), "{what}");
            }
            assert_eq!(packed.biases(), case.biases.clone().map(Some), "{what}");
            assert_eq!(packed.unpack_projection(|w| w).is_some(), case.projection.is_some());
        }
    });
}

#[test]
fn states_that_have_no_scale_are_errors() {
    let random = &mut Random(5);
    let mut case = Case::new(Cell::Relu, (60, 1, 2, 2, None), 0, random);
    case.weights[1] =
        Weight { bytes: vec![127; 4], signed: true, rows: 2, scales: vec![1e3], zero_points: vec![0] };
    let packed = case.packed(Isa::current());
    let (mut y, mut h) = (vec![0.0; 120], vec![1.0; 2]);
    let states = vec![States { h: &mut h, c: &mut [] }];
    let found = quantized_layer(&[&packed], &case.x, case.shape, states, &mut y, false).unwrap();
    let message = found.unwrap_err().to_string();
    assert!(message.contains("hidden state") && message.contains("step"), "{message}");
}

#[test]
fn floats_are_the_formula_on_every_instruction_set_and_the_same_with_any_number_of_threads() {
    let _turn = turn();
    let random = &mut Random(21);
    for cell in CELLS {
        for (count, batch, _, units, projected) in sizes() {
            let projected = projected.filter(|_| cell == Cell::Lstm);
            let (columns, outputs) = (cell.gates() * units, projected.unwrap_or(units));
            let bound = 1.0 / (units as f32).sqrt();
            let gates = floats(count * batch * columns, 2.0, random);
            let w_hh = floats(columns * outputs, bound, random);
            let w_hr = projected.map(|outputs| floats(outputs * units, bound, random));
            let b_hh = floats(columns, 0.5, random);
            let first = (floats(batch * outputs, 1.0, random), floats(batch * units, 1.0, random));
            let shape = Shape { steps: count, batch, batch_first: false };

            let (mut h, mut c) = first.clone();
            let mut want = Vec::new();
            for x in gates.chunks_exact(batch * columns) {
                let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                let hidden = dense(&h, &w_hh, outputs, Some(&b_hh));
                let [new_h, new_c] = steps(cell, &x, &hidden, &h, &c, batch);
                c = new_c.iter().map(|&c| c as f32).collect();
                let new_h: Vec<f32> = new_h.iter().map(|&h| h as f32).collect();
                h = match &w_hr {
                    Some(w) => dense(&new_h, w, units, None).iter().map(|&h| h as f32).collect(),
                    None => new_h,
                };
                want.extend(h.iter().map(|&h| f64::from(h)));
            }
            let before = Isa::current();
            for &isa in Isa::available() {
                Isa::set_current(isa).unwrap();
                let w_hr = w_hr.as_ref().map(|w| FloatWeights::new(isa, (1, outputs), w, None));
                let w_hh = FloatWeights::new(isa, (cell.gates(), units), &w_hh, Some(&b_hh));
                let direction = Float { cell, units, gates: &gates, w_hh: &w_hh, w_hr: w_hr.as_ref() };
                // Products may be fused or not: instruction sets differ in last bits.
                let mut bits: Option<Found> = None;
                for n in [1, 2] {
                    threads::set_num_threads(n).unwrap();
                    let mut y = vec![0.0; want.len()];
                    let (mut h, mut c) = first.clone();
                    let states = vec![States { h: &mut h, c: &mut c }];
                    float_layer(&[direction], shape, states, &mut y).unwrap();
                    near(&y, &want, 1e-5, &format!("{cell:?} {units} on {}", isa.name()));
                    assert_eq!(y[y.len() - h.len()..], h[..]);
                    let found = (y, h, c);
                    match &bits {
                        Some(bits) => assert!(*bits == found, "{cell:?} {units} on {}", isa.name()),
                        None => bits = Some(found),
                    }
                }
            }
            Isa::set_current(before).unwrap();
        }
    }
}

/// Rows times the transpose of weights, in float64.
fn dense(x: &[f32], weights: &[f32], depth: usize, bias: Option<&[f32]>) -> Vec<f64> {
    let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum::<f64>();
    x.chunks_exact(depth)
        .flat_map(|x| weights.chunks_exact(depth).enumerate().map(move |(n, w)| (n, dot(x, w))))
        .map(|(n, sum)| sum + bias.map_or(0.0, |bias| f64::from(bias[n])))
        .collect()
}
