//! From exact sums to results.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::columns::{Columns, PADDED, padded};
use super::corrections::{CorrectGroup, Corrections, ZerosOfRows};
use crate::arch::product::{ToBytes, ToNumbers};
use crate::arch::{Byte, Isa, Kernel, Slot, Vector, Window, dispatch, map};
use crate::memory::filled;

/// What corrected sums become.
pub(crate) trait Epilogue: Sync {
    /// A result.
    type Out: Slot<Item = Self::Out> + Copy + Default + Send + Sync;

    /// What a group of columns needs, in registers while its rows pass.
    type Group<V: Vector>;

    /// Whether rows have values of their own.
    fn of_rows(&self) -> bool {
        false
    }

    /// That, from the column `at` on.
    fn group<V: Vector>(&self, v: V, at: usize) -> Self::Group<V>;

    /// Finishes a group of the sums of a row.
    fn finish<V: Vector, S: Slot<Item = Self::Out>>(
        &self,
        v: V,
        row: usize,
        group: &Self::Group<V>,
        sums: [V::I; 4],
        to: &mut [S],
    );

    /// The same for an instruction set that does it before sums leave the registers, and results as bytes; or none.
    /// `base` is what is added to the sums of each column.
    fn to_bytes<'a>(&'a self, _base: &'a [i32]) -> Option<(ToBytes<'a>, AsBytes<Self::Out>)> {
        None
    }

    /// Likewise, and results as floats: what is left to be done after zero points and an integer bias.
    fn to_floats<'a>(&'a self, _zeros: &ZerosOfRows<'a>) -> Option<(ToNumbers<'a>, AsFloats<Self::Out>)> {
        None
    }
}

/// Room for results as room for bytes.
pub(crate) type AsBytes<T> = for<'w> fn(Window<'w, MaybeUninit<T>>) -> Window<'w, MaybeUninit<u8>>;

/// Room for results as room for floats.
pub(crate) type AsFloats<T> = for<'w> fn(Window<'w, MaybeUninit<T>>) -> Window<'w, MaybeUninit<f32>>;

/// Whether rows of so many columns that follow each other without a gap can be finished as one long row, in whole groups.
pub(super) fn finish_as_one<E: Epilogue>(corrections: &Corrections<'_>, epilogue: &E) -> bool {
    !corrections.of_rows() && !epilogue.of_rows()
}

/// A block of sums, corrected and finished with an instruction set's vectors.
pub(crate) struct FinishBlock<'a, 'b, E: Epilogue> {
    pub(crate) corrections: &'a Corrections<'a>,
    pub(crate) epilogue: &'a E,
    /// `stride` apart, one row for each of `to`; there are more, up to a group.
    pub(crate) sums: &'a [i32],
    pub(crate) stride: usize,
    pub(crate) first_row: usize,
    pub(crate) first_column: usize,
    /// Where results go. Where sums of whole rows follow each other as they do, `finish_as_one` must hold.
    pub(crate) to: Window<'b, MaybeUninit<E::Out>>,
}

impl<E: Epilogue> FinishBlock<'_, '_, E> {
    /// Finishes a group, or what there is of it.
    #[inline(always)]
    fn finish<V: Vector>(
        &self,
        v: V,
        row: usize,
        correct: &CorrectGroup<V>,
        group: &E::Group<V>,
        at: usize,
        to: &mut [MaybeUninit<E::Out>],
    ) {
        let sums = self.corrections.apply(v, row, correct, v.load32(&self.sums[at..]));
        let mut some = [MaybeUninit::uninit(); PADDED];
        // One of the two, so that the epilogue is compiled once here.
        let is_whole = to.len() == V::GROUP;
        self.epilogue.finish(v, row, group, sums, if is_whole { &mut *to } else { &mut some });
        if !is_whole {
            to.copy_from_slice(&some[..to.len()]);
        }
    }
}

impl<E: Epilogue> Kernel for FinishBlock<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self, v: V) {
        let (rows, columns) = (self.to.rows(), self.to.columns());
        let groups = |at: usize| (self.corrections.group(v, at), self.epilogue.group(v, at));
        let mut to = std::mem::take(&mut self.to);
        if self.stride == columns
            && !columns.is_multiple_of(V::GROUP)
            && let Some(all) = to.dense()
        {
            let (mut column, step) = (0, V::GROUP % columns);
            let (mut correct, mut group) = groups(column);
            for (i, to) in all.chunks_mut(V::GROUP).enumerate() {
                self.finish(v, self.first_row, &correct, &group, i * V::GROUP, to);
                if step > 0 {
                    column += step;
                    column -= if column < columns { 0 } else { columns };
                    (correct, group) = groups(column);
                }
            }
            return;
        }
        for start in (0..columns).step_by(V::GROUP) {
            let (correct, group) = groups(self.first_column + start);
            let own = start..columns.min(start + V::GROUP);
            for r in 0..rows {
                let to = &mut to.row(r)[own.clone()];
                self.finish(v, self.first_row + r, &correct, &group, r * self.stride + start, to);
            }
        }
    }
}

/// The sums themselves.
pub(crate) struct ToSums;

impl Epilogue for ToSums {
    type Out = i32;
    type Group<V: Vector> = ();

    #[inline(always)]
    fn group<V: Vector>(&self, _: V, _: usize) {}

    #[inline(always)]
    fn finish<V: Vector, S: Slot<Item = i32>>(&self, v: V, _: usize, (): &(), sums: [V::I; 4], to: &mut [S]) {
        v.store32(sums, to);
    }
}

/// `f32(sum) * (sx * sw) + bias`, with ReLU or without.
pub(crate) struct ToFloats<'a> {
    columns: &'a Columns,
    /// One, or one for each row.
    scales: &'a [f32],
    /// Padded, or empty.
    bias: Cow<'a, [f32]>,
    relu: bool,
}

impl<'a> ToFloats<'a> {
    /// Of activations with these scales, times these columns.
    pub(crate) fn new(columns: &'a Columns, scales: &'a [f32], bias: Option<&'a [f32]>, relu: bool) -> Self {
        Self { columns, scales, bias: padded(bias.unwrap_or_default()), relu }
    }

    /// The scale of the products of each column, and its bias, padded; where all rows have one scale.
    pub(super) fn tables(&self) -> Option<[Vec<f32>; 2]> {
        let &[scale] = self.scales else { return None };
        let scales: Vec<f32> = self.columns.scales.iter().map(|weight| scale * weight).collect();
        let bias = if self.bias.is_empty() { filled(scales.len(), 0.0) } else { self.bias.to_vec() };
        Some([scales, bias])
    }

    /// What makes results before sums leave the registers.
    pub(super) fn numbers<'b>(&'b self, zeros: &ZerosOfRows<'b>) -> ToNumbers<'b> {
        ToNumbers {
            base: zeros.bias,
            sums: &self.columns.sums,
            weights: &self.columns.scales,
            bias: &self.bias,
            zero_points: zeros.zero_points,
            scales: self.scales,
            added: None,
            relu: self.relu,
        }
    }

    /// A group of results of a row, before ReLU.
    #[inline(always)]
    pub(super) fn values<V: Vector>(
        &self,
        v: V,
        row: usize,
        [weights, bias]: &[[V::F; 4]; 2],
        sums: [V::I; 4],
    ) -> [V::F; 4] {
        let scale = v.splat(if self.scales.len() > 1 { self.scales[row] } else { self.scales[0] });
        let mut values = *bias;
        for j in 0..4 {
            values[j] = v.add(v.mul(v.to_float(sums[j]), v.mul(scale, weights[j])), bias[j]);
        }
        values
    }
}

impl Epilogue for ToFloats<'_> {
    type Out = f32;
    /// Scales of weights, and the bias.
    type Group<V: Vector> = [[V::F; 4]; 2];

    fn of_rows(&self) -> bool {
        self.scales.len() != 1
    }

    #[inline(always)]
    fn group<V: Vector>(&self, v: V, at: usize) -> [[V::F; 4]; 2] {
        let bias = if self.bias.is_empty() { [v.splat(0.0); 4] } else { v.load(&self.bias[at..]) };
        [v.load(&self.columns.scales[at..]), bias]
    }

    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "adaptors of iterators are not always inlined here")]
    fn finish<V: Vector, S: Slot<Item = f32>>(
        &self,
        v: V,
        row: usize,
        group: &[[V::F; 4]; 2],
        sums: [V::I; 4],
        to: &mut [S],
    ) {
        let mut values = self.values(v, row, group, sums);
        if self.relu {
            for j in 0..4 {
                values[j] = at_least(v, values[j], 0.0);
            }
        }
        v.store::<S, false>(values, to);
    }

    fn to_floats<'b>(&'b self, zeros: &ZerosOfRows<'b>) -> Option<(ToNumbers<'b>, AsFloats<f32>)> {
        Some((self.numbers(zeros), |to| to))
    }
}

/// The larger one; of NaN and a number the number.
#[inline(always)]
fn at_least<V: Vector>(v: V, value: V::F, least: f32) -> V::F {
    let least = v.splat(least);
    v.select(v.less(least, value), value, least)
}

/// `clamp(rint((f32(sum) + bias / sxw) * (sxw / sy)) + zy)`.
pub(crate) struct ToCodes<C> {
    /// `sxw / sy` for each column; padded.
    multipliers: Vec<f32>,
    /// `bias / sxw` for each column; padded.
    bias: Vec<f32>,
    /// Whether no sum, whatever it is, becomes a step beyond 31 bits.
    small: bool,
    zero_point: i32,
    /// The least code.
    least: i32,
    codes: PhantomData<C>,
}

impl<C: Byte> ToCodes<C> {
    /// Of activations of this scale, times these columns, as codes of the scale and the zero point `y`.
    pub(crate) fn new(
        columns: &Columns,
        scale: f32,
        bias: Option<&[f32]>,
        relu: bool,
        (y_scale, zero_point): (f32, i32),
    ) -> Self {
        let mut multipliers = columns.scales.clone();
        let mut bias = match bias {
            Some(bias) => padded(bias).into_owned(),
            None => filled(multipliers.len(), 0.0),
        };
        dispatch(Isa::current(), Divide { scale, y_scale, multipliers: &mut multipliers, bias: &mut bias });
        let least = C::saturated(i32::MIN).widened();
        let least = if relu { least.max(zero_point) } else { least };
        // Sums stay within 2^31; a step beyond that is one that `narrow` clamps before it becomes an integer.
        let limit = 2f32.powi(31);
        let is_small = |(bias, multiplier): (&f32, &f32)| (bias.abs() + limit) * multiplier < limit;
        let small = bias.iter().zip(&multipliers).fold(true, |all, one| all & is_small(one));
        Self { multipliers, bias, small, zero_point, least, codes: PhantomData }
    }
}

/// Turns scales of weights into multipliers, and the bias into steps.
struct Divide<'a> {
    scale: f32,
    y_scale: f32,
    multipliers: &'a mut [f32],
    bias: &'a mut [f32],
}

impl Kernel for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let (scale, y_scale) = (v.splat(self.scale), v.splat(self.y_scale));
        let mut biases = self.bias.chunks_exact_mut(V::GROUP);
        for weights in self.multipliers.chunks_exact_mut(V::GROUP) {
            let products = map(v.load(weights), |weight| v.mul(scale, weight));
            v.store::<_, false>(map(products, |product| v.div(product, y_scale)), weights);
            if let Some(bias) = biases.next() {
                let mut steps = v.load(bias);
                for j in 0..4 {
                    steps[j] = v.div(steps[j], products[j]);
                }
                v.store::<_, false>(steps, bias);
            }
        }
    }
}

/// What a group of columns needs to become codes.
pub(crate) struct CodesGroup<V: Vector> {
    multipliers: [V::F; 4],
    bias: [V::F; 4],
    /// The least code, from the zero point on.
    least: V::F,
    zero_point: V::Z,
}

impl<C: Byte> Epilogue for ToCodes<C> {
    type Out = C;
    type Group<V: Vector> = CodesGroup<V>;

    #[inline(always)]
    fn group<V: Vector>(&self, v: V, at: usize) -> CodesGroup<V> {
        CodesGroup {
            multipliers: v.load(&self.multipliers[at..]),
            bias: v.load(&self.bias[at..]),
            least: v.splat((self.least - self.zero_point) as f32),
            zero_point: v.splat16(self.zero_point as i16),
        }
    }

    #[inline(always)]
    fn finish<V: Vector, S: Slot<Item = C>>(
        &self,
        v: V,
        _: usize,
        group: &CodesGroup<V>,
        sums: [V::I; 4],
        to: &mut [S],
    ) {
        let mut steps = group.bias;
        for j in 0..4 {
            let step = v.mul(v.add(v.to_float(sums[j]), group.bias[j]), group.multipliers[j]);
            // Clamped before rounding, at an integer: the same. At the other end `narrow` clamps.
            steps[j] = v.max(step, group.least);
        }
        v.store_bytes::<C, S, false>(v.narrow::<C>(steps, group.zero_point), to);
    }

    fn to_bytes<'a>(&'a self, base: &'a [i32]) -> Option<(ToBytes<'a>, AsBytes<C>)> {
        let least = C::saturated(i32::MIN).widened();
        let finish = ToBytes {
            base,
            bias: &self.bias,
            multipliers: &self.multipliers,
            zero_point: (self.zero_point - least) as i16,
            least: (self.least - least) as u8,
            flip: least.unsigned_abs() as u8,
            added: None,
        };
        self.small.then_some((finish, |to| to.bytes()))
    }
}

/// Marks that `MaybeUninit` of a result is a slot for it.
const _: () = {
    const fn slot<S: Slot>() {}
    slot::<MaybeUninit<i32>>();
};
