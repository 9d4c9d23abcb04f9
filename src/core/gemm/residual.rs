//! Results plus what lies beside them, and PReLU, while they are still in registers.

use std::borrow::Cow;
use std::marker::PhantomData;

use super::columns;
use super::corrections::ZerosOfRows;
use super::epilogue::{AsBytes, AsFloats, Epilogue, ToFloats};
use super::multiply::Finish;
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

/// What becomes of results after the bias: something is added, and negative ones are bent or become 0.
pub(crate) struct Then<'a> {
    residual: Option<Residual<'a>>,
    /// Padded, or empty.
    slopes: Cow<'a, [f32]>,
    relu: bool,
}

impl<'a> Then<'a> {
    pub(super) fn new(finish: &Finish<'a>) -> Self {
        let slopes = columns::padded(finish.slopes.unwrap_or_default());
        Self { residual: finish.residual, slopes, relu: finish.relu }
    }

    #[inline(always)]
    fn slopes<V: Vector>(&self, v: V, at: usize) -> [V::F; 4] {
        match self.slopes.is_empty() {
            true => [v.splat(1.0); 4],
            false => v.load(&self.slopes[at..]),
        }
    }

    /// A group of a row, from the column on that the group of columns begins with.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "adaptors of iterators are not always inlined here")]
    fn apply<V: Vector>(&self, v: V, row: usize, group: &SumGroup<V>, mut values: [V::F; 4]) -> [V::F; 4] {
        let zero = v.splat(0.0);
        if let Some(residual) = self.residual {
            let residual = residual.group(v, row, group.at);
            for j in 0..4 {
                values[j] = v.add(values[j], residual[j]);
            }
        }
        if !self.slopes.is_empty() {
            for j in 0..4 {
                let bent = v.mul(values[j], group.slopes[j]);
                values[j] = v.select(v.less(zero, values[j]), values[j], bent);
            }
        }
        if self.relu {
            for value in &mut values {
                // As NumPy: NaN stays.
                *value = v.select(v.less(*value, zero), zero, *value);
            }
        }
        values
    }
}

/// What a group of columns needs, and its first column.
pub(crate) struct SumGroup<V: Vector> {
    floats: [[V::F; 4]; 2],
    slopes: [V::F; 4],
    at: usize,
}

/// `quantize(what becomes of the float result)`, as `crate::ops` adds floats and codes.
pub(crate) struct SumToCodes<'a, C> {
    floats: ToFloats<'a>,
    /// `scale * weight scale` and the bias for each column, padded, where residuals are codes and nothing is bent.
    tables: Option<[Vec<f32>; 2]>,
    then: Then<'a>,
    inv: f32,
    zero_point: i32,
    codes: PhantomData<C>,
}

impl<'a, C: Byte> SumToCodes<'a, C> {
    pub(super) fn new(floats: ToFloats<'a>, then: Then<'a>, (y_scale, zero_point): (f32, i32)) -> Self {
        let inv = 1.0 / y_scale;
        // What codes stand for: at most so far from 0.
        let reach = match then.residual.map(|residual| residual.values) {
            None | Some(Addend::Floats(_)) => f32::INFINITY,
            Some(Addend::U8(_, scale, _) | Addend::I8(_, scale, _)) => 255.0 * scale,
        };
        let tables = if then.slopes.is_empty() { floats.tables() } else { None };
        let tables = tables.filter(|[multipliers, bias]| {
            // As for codes without a residual; half of what fits, since the sum is rounded three times.
            let limit = 2f32.powi(31);
            let greatest = |(multiplier, bias): (&f32, &f32)| limit * multiplier + bias.abs() + reach;
            let all = multipliers.iter().zip(bias).map(greatest);
            all.fold(true, |all, greatest| all & (greatest * inv < limit / 2.0))
        });
        Self { floats, tables, then, inv, zero_point, codes: PhantomData }
    }
}

impl<C: Byte> Epilogue for SumToCodes<'_, C> {
    type Out = C;
    type Group<V: Vector> = SumGroup<V>;

    fn of_rows(&self) -> bool {
        self.then.residual.is_some() || self.floats.of_rows()
    }

    #[inline(always)]
    fn group<V: Vector>(&self, v: V, at: usize) -> SumGroup<V> {
        SumGroup { floats: self.floats.group(v, at), slopes: self.then.slopes(v, at), at }
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
        let mut steps = self.then.apply(v, row, group, self.floats.values(v, row, &group.floats, sums));
        for step in &mut steps {
            *step = v.mul(*step, v.splat(self.inv));
        }
        v.store_bytes::<C, S, false>(v.narrow::<C>(steps, v.splat16(self.zero_point as i16)), to);
    }

    fn to_bytes<'b>(&'b self, base: &'b [i32]) -> Option<(ToBytes<'b>, AsBytes<C>)> {
        let ([multipliers, bias], residual) = (self.tables.as_ref()?, self.then.residual?);
        let (codes, scale, zero_point, lowest) = match residual.values {
            Addend::Floats(_) => return None,
            Addend::U8(all, scale, zero_point) => (bytes(all), scale, zero_point, 0),
            Addend::I8(all, scale, zero_point) => (bytes(all), scale, zero_point, i32::from(i8::MIN)),
        };
        let added = Added {
            codes: &codes[residual.first..],
            stride: residual.columns,
            scale,
            zero_point: zero_point - lowest,
            flip: lowest.unsigned_abs() as u8,
            inv: self.inv,
        };
        let lowest = C::saturated(i32::MIN).widened();
        let least = if self.then.relu { self.zero_point - lowest } else { 0 };
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

/// What becomes of the float result.
pub(crate) struct SumToFloats<'a> {
    floats: ToFloats<'a>,
    then: Then<'a>,
}

impl<'a> SumToFloats<'a> {
    pub(super) fn new(floats: ToFloats<'a>, then: Then<'a>) -> Self {
        Self { floats, then }
    }
}

impl Epilogue for SumToFloats<'_> {
    type Out = f32;
    type Group<V: Vector> = SumGroup<V>;

    fn of_rows(&self) -> bool {
        self.then.residual.is_some() || self.floats.of_rows()
    }

    #[inline(always)]
    fn group<V: Vector>(&self, v: V, at: usize) -> SumGroup<V> {
        SumGroup { floats: self.floats.group(v, at), slopes: self.then.slopes(v, at), at }
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
        let values = self.floats.values(v, row, &group.floats, sums);
        v.store::<S, false>(self.then.apply(v, row, group, values), to);
    }

    fn to_floats<'b>(&'b self, zeros: &ZerosOfRows<'b>) -> Option<(ToNumbers<'b>, AsFloats<f32>)> {
        let Some(Residual { values: Addend::Floats(all), first, columns }) = self.then.residual else {
            return None;
        };
        if !self.then.slopes.is_empty() {
            return None;
        }
        let added = Some((&all[first..], columns));
        Some((ToNumbers { added, relu: self.then.relu, ..self.floats.numbers(zeros) }, |to| to))
    }
}
