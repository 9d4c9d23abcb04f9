//! Results plus what lies beside them, while they are still in registers: the sums of residual networks.

use std::marker::PhantomData;

use super::columns::Columns;
use super::corrections::ZerosOfRows;
use super::epilogue::{AsBytes, AsFloats, Epilogue, ToFloats};
use crate::arch::product::{Added, ToBytes, ToNumbers};
use crate::arch::{Byte, Slot, Vector, bytes};

/// Numbers that are added to results before they are rounded, in rows as results are.
#[derive(Debug, Clone, Copy)]
pub struct Residual<'a> {
    /// The numbers.
    pub values: Addend<'a>,
    /// Of a row, as many as results have.
    pub(crate) columns: usize,
    /// The first column of a product that makes some of them.
    pub(crate) first: usize,
}

/// Numbers, or codes of a scale and a zero point.
#[derive(Debug, Clone, Copy)]
pub enum Addend<'a> {
    /// Themselves.
    Floats(&'a [f32]),
    /// Unsigned codes.
    U8(&'a [u8], f32, i32),
    /// Signed codes.
    I8(&'a [i8], f32, i32),
}

impl<'a> Residual<'a> {
    /// Rows of so many columns.
    pub fn new(values: Addend<'a>, columns: usize) -> Self {
        Self { values, columns, first: 0 }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self.values {
            Addend::Floats(all) => all.len(),
            Addend::U8(all, ..) => all.len(),
            Addend::I8(all, ..) => all.len(),
        }
    }

    /// Those of the columns from one of them on.
    pub(crate) fn behind(self, first: usize) -> Self {
        Self { first: self.first + first, ..self }
    }

    /// Those of some rows, which start at these places.
    pub(crate) fn of_rows<T>(
        self,
        starts: impl Iterator<Item = usize>,
        f: impl FnOnce(Residual<'_>) -> T,
    ) -> T {
        fn rows<C: Copy>(all: &[C], columns: usize, starts: impl Iterator<Item = usize>) -> Vec<C> {
            starts.flat_map(|start| &all[start..start + columns]).copied().collect()
        }
        match self.values {
            Addend::Floats(all) => {
                f(Residual { values: Addend::Floats(&rows(all, self.columns, starts)), ..self })
            }
            Addend::U8(all, scale, zero_point) => f(Residual {
                values: Addend::U8(&rows(all, self.columns, starts), scale, zero_point),
                ..self
            }),
            Addend::I8(all, scale, zero_point) => f(Residual {
                values: Addend::I8(&rows(all, self.columns, starts), scale, zero_point),
                ..self
            }),
        }
    }

    /// A group of them; zeros behind the last one.
    #[inline(always)]
    fn group<V: Vector>(&self, v: V, row: usize, column: usize) -> [V::F; 4] {
        let at = row * self.columns + self.first + column;
        match self.values {
            Addend::Floats(all) => match all.len() - at >= V::GROUP {
                true => v.load(&all[at..]),
                false => v.load(&padded(&all[at..])),
            },
            Addend::U8(all, scale, zero_point) => numbers(v, &all[at..], scale, zero_point),
            Addend::I8(all, scale, zero_point) => numbers(v, &all[at..], scale, zero_point),
        }
    }
}

/// As many as any instruction set has in a group.
const MOST: usize = 64;

#[inline(always)]
fn padded<T: Copy + Default>(some: &[T]) -> [T; MOST] {
    let mut all = [T::default(); MOST];
    let n = some.len().min(MOST);
    all[..n].copy_from_slice(&some[..n]);
    all
}

/// What a group of codes stands for.
#[inline(always)]
fn numbers<V: Vector, C: Byte>(v: V, codes: &[C], scale: f32, zero_point: i32) -> [V::F; 4] {
    let (scale, zero_point) = (v.splat(scale), v.splat(zero_point as f32));
    let mut values = match codes.len() >= V::GROUP {
        true => v.widen::<C>(codes),
        false => v.widen::<C>(&padded(codes)),
    };
    for value in &mut values {
        *value = v.mul(scale, v.sub(*value, zero_point));
    }
    values
}

/// What a group of columns needs, and its first column.
pub(crate) struct SumGroup<V: Vector> {
    floats: [[V::F; 4]; 2],
    at: usize,
}

/// `quantize(float result + residual)`, as `crate::ops` adds floats and codes.
pub(crate) struct SumToCodes<'a, C> {
    floats: ToFloats<'a>,
    /// `scale * weight scale` and the bias for each column, padded, where residuals are codes.
    tables: Option<[Vec<f32>; 2]>,
    residual: Residual<'a>,
    relu: bool,
    inv: f32,
    zero_point: i32,
    codes: PhantomData<C>,
}

impl<'a, C: Byte> SumToCodes<'a, C> {
    pub(super) fn new(
        columns: &'a Columns,
        scales: &'a [f32],
        bias: Option<&'a [f32]>,
        (residual, relu): (Residual<'a>, bool),
        (y_scale, zero_point): (f32, i32),
    ) -> Self {
        let floats = ToFloats::new(columns, scales, bias, false);
        let inv = 1.0 / y_scale;
        // What codes stand for: at most so far from 0.
        let reach = match residual.values {
            Addend::Floats(_) => f32::INFINITY,
            Addend::U8(_, scale, _) | Addend::I8(_, scale, _) => 255.0 * scale,
        };
        let tables = floats.tables().filter(|[multipliers, bias]| {
            // As for codes without a residual; half of what fits, since the sum is rounded three times.
            let limit = 2f32.powi(31);
            let greatest = |(multiplier, bias): (&f32, &f32)| limit * multiplier + bias.abs() + reach;
            let all = multipliers.iter().zip(bias).map(greatest);
            all.fold(true, |all, greatest| all & (greatest * inv < limit / 2.0))
        });
        Self { floats, tables, residual, relu, inv, zero_point, codes: PhantomData }
    }
}

impl<C: Byte> Epilogue for SumToCodes<'_, C> {
    type Out = C;
    type Group<V: Vector> = SumGroup<V>;

    fn of_rows(&self) -> bool {
        true
    }

    #[inline(always)]
    fn group<V: Vector>(&self, v: V, at: usize) -> SumGroup<V> {
        SumGroup { floats: self.floats.group(v, at), at }
    }

    #[inline(always)]
    fn finish<V: Vector, S: Slot<Item = C>>(
        &self,
        v: V,
        row: usize,
        group: &SumGroup<V>,
        sums: [V::I; 4],
        to: &mut [S],
    ) {
        let mut steps = self.floats.values(v, row, &group.floats, sums);
        let residual = self.residual.group(v, row, group.at);
        for j in 0..4 {
            let sum = v.add(steps[j], residual[j]);
            let sum = if self.relu { v.max(sum, v.splat(0.0)) } else { sum };
            steps[j] = v.mul(sum, v.splat(self.inv));
        }
        v.store_bytes::<C, S, false>(v.narrow::<C>(steps, v.splat16(self.zero_point as i16)), to);
    }

    fn to_bytes<'b>(&'b self, base: &'b [i32]) -> Option<(ToBytes<'b>, AsBytes<C>)> {
        let [multipliers, bias] = self.tables.as_ref()?;
        let (codes, scale, zero_point, lowest) = match self.residual.values {
            Addend::Floats(_) => return None,
            Addend::U8(all, scale, zero_point) => (bytes(all), scale, zero_point, 0),
            Addend::I8(all, scale, zero_point) => (bytes(all), scale, zero_point, i32::from(i8::MIN)),
        };
        let added = Added {
            codes: &codes[self.residual.first..],
            stride: self.residual.columns,
            scale,
            zero_point: zero_point - lowest,
            flip: lowest.unsigned_abs() as u8,
            inv: self.inv,
        };
        let lowest = C::saturated(i32::MIN).widened();
        let least = if self.relu { self.zero_point - lowest } else { 0 };
        let finish = ToBytes {
            base,
            bias,
            multipliers,
            zero_point: (self.zero_point - lowest) as i16,
            least: least as u8,
            flip: lowest.unsigned_abs() as u8,
            added: Some(added),
        };
        Some((finish, |to| to.bytes()))
    }
}

/// `float result + residual`.
pub(crate) struct SumToFloats<'a> {
    floats: ToFloats<'a>,
    residual: Residual<'a>,
    relu: bool,
}

impl<'a> SumToFloats<'a> {
    pub(super) fn new(
        columns: &'a Columns,
        scales: &'a [f32],
        bias: Option<&'a [f32]>,
        (residual, relu): (Residual<'a>, bool),
    ) -> Self {
        Self { floats: ToFloats::new(columns, scales, bias, false), residual, relu }
    }
}

impl Epilogue for SumToFloats<'_> {
    type Out = f32;
    type Group<V: Vector> = SumGroup<V>;

    fn of_rows(&self) -> bool {
        true
    }

    #[inline(always)]
    fn group<V: Vector>(&self, v: V, at: usize) -> SumGroup<V> {
        SumGroup { floats: self.floats.group(v, at), at }
    }

    #[inline(always)]
    fn finish<V: Vector, S: Slot<Item = f32>>(
        &self,
        v: V,
        row: usize,
        group: &SumGroup<V>,
        sums: [V::I; 4],
        to: &mut [S],
    ) {
        let mut values = self.floats.values(v, row, &group.floats, sums);
        let residual = self.residual.group(v, row, group.at);
        let zero = v.splat(0.0);
        for j in 0..4 {
            let sum = v.add(values[j], residual[j]);
            // As NumPy: NaN stays.
            values[j] = if self.relu { v.select(v.less(sum, zero), zero, sum) } else { sum };
        }
        v.store::<S, false>(values, to);
    }

    fn to_floats<'b>(&'b self, zeros: &ZerosOfRows<'b>) -> Option<(ToNumbers<'b>, AsFloats<f32>)> {
        let Addend::Floats(all) = self.residual.values else { return None };
        let added = Some((&all[self.residual.first..], self.residual.columns));
        Some((ToNumbers { added, relu: self.relu, ..self.floats.numbers(zeros) }, |to| to))
    }
}
