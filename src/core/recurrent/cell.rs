//! Cells: from the gates of a step to its new state, by vectors.

use crate::arch::{Kernel, Vector};
use crate::float::math::{Map, Sigmoid, Tanh};
use crate::float::rows;
use crate::gemm::WIDE;

/// A kind of recurrent cell. `x` is the input's part of a gate (weights times input, plus bias), `h` the hidden state's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Long short-term memory, gates i, f, g, o: `c' = sigmoid(f) c + sigmoid(i) tanh(g)`, `h' = sigmoid(o) tanh(c')`.
    Lstm,
    /// Gated recurrent unit, gates r, z, n: `n = tanh(xn + sigmoid(r) hn)`, `h' = (h - n) sigmoid(z) + n`.
    Gru,
    /// Elman's: `h' = tanh(x + h)`.
    Tanh,
    /// `h' = max(x + h, 0)`
    Relu,
}

impl Cell {
    /// How many gates a unit has.
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
            Self::Tanh | Self::Relu => 1,
        }
    }

    /// Whether there is a cell state beside the hidden one.
    pub fn has_memory(self) -> bool {
        self == Self::Lstm
    }
}

/// Gates of some units, for some rows.
#[derive(Clone, Copy)]
pub(super) struct Gates<'a> {
    /// From the first row on, and from there to the next one.
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
    /// From a gate to the next one.
    pub(super) apart: usize,
}

impl<'a> Gates<'a> {
    /// From a row on.
    pub(super) fn row(self, row: usize) -> Self {
        Self { values: &self.values[row * self.stride..], ..self }
    }
}

/// The gates of a group of units.
struct Parts<'a> {
    hidden: Gates<'a>,
    input: Gates<'a>,
    /// The first unit, and how many.
    at: usize,
    len: usize,
}

impl Parts<'_> {
    #[inline(always)]
    fn hidden<V: Vector>(&self, v: V, gate: usize) -> [V::F; 4] {
        rows::load(v, &self.hidden.values[gate * self.hidden.apart..], self.at, self.len)
    }

    #[inline(always)]
    fn input<V: Vector>(&self, v: V, gate: usize) -> [V::F; 4] {
        rows::load(v, &self.input.values[gate * self.input.apart..], self.at, self.len)
    }

    #[inline(always)]
    fn sum<V: Vector>(&self, v: V, gate: usize) -> [V::F; 4] {
        add(v, self.hidden(v, gate), self.input(v, gate))
    }
}

/// One step of some rows and at most `WIDE` units, whose states are replaced.
pub(super) struct Step<'a> {
    pub(super) hidden: Gates<'a>,
    pub(super) input: Gates<'a>,
    pub(super) units: usize,
    /// Rows of `WIDE`, with zeros behind the last unit.
    pub(super) h: &'a mut [f32],
    pub(super) c: &'a mut [f32],
}

impl Step<'_> {
    /// Takes it.
    pub(super) fn run(self, cell: Cell, v: impl Vector) {
        match cell {
            Cell::Lstm => v.run(Of::<Lstm>(self, Lstm)),
            Cell::Gru => v.run(Of::<Gru>(self, Gru)),
            Cell::Tanh => v.run(Of::<Plain<Tanh>>(self, Plain(Tanh))),
            Cell::Relu => v.run(Of::<Plain<Relu>>(self, Plain(Relu))),
        }
    }
}

/// What a cell does with a group of units. All of it is `#[inline(always)]`.
trait Formula {
    /// The new states, from the gates and the old ones.
    fn group<V: Vector>(v: V, gates: &Parts<'_>, h: [V::F; 4], c: [V::F; 4]) -> [[V::F; 4]; 2];
}

/// A step by a formula.
struct Of<'a, F>(Step<'a>, #[allow(dead_code, reason = "names the formula")] F);

impl<F: Formula> Kernel for Of<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, v: V) {
        let Step { hidden, input, units, h, c } = self.0;
        for (r, (h, c)) in h.chunks_exact_mut(WIDE).zip(c.chunks_exact_mut(WIDE)).enumerate() {
            let (hidden, input) = (hidden.row(r), input.row(r));
            for at in (0..units).step_by(V::GROUP) {
                let len = V::GROUP.min(units - at);
                let parts = Parts { hidden, input, at, len };
                let [new_h, new_c] = F::group(v, &parts, v.load(&h[at..]), v.load(&c[at..]));
                rows::store(v, new_h, h, at, len);
                rows::store(v, new_c, c, at, len);
            }
        }
    }
}

#[inline(always)]
fn add<V: Vector>(v: V, a: [V::F; 4], b: [V::F; 4]) -> [V::F; 4] {
    rows::zip::<V>(a, b, |a, b| v.add(a, b))
}

#[inline(always)]
fn mul<V: Vector>(v: V, a: [V::F; 4], b: [V::F; 4]) -> [V::F; 4] {
    rows::zip::<V>(a, b, |a, b| v.mul(a, b))
}

struct Lstm;

impl Formula for Lstm {
    #[inline(always)]
    fn group<V: Vector>(v: V, gates: &Parts<'_>, _: [V::F; 4], c: [V::F; 4]) -> [[V::F; 4]; 2] {
        let new = mul(v, Sigmoid::group(v, gates.sum(v, 0)), Tanh::group(v, gates.sum(v, 2)));
        let kept = mul(v, Sigmoid::group(v, gates.sum(v, 1)), c);
        let c = add(v, kept, new);
        [mul(v, Sigmoid::group(v, gates.sum(v, 3)), Tanh::group(v, c)), c]
    }
}

struct Gru;

impl Formula for Gru {
    #[inline(always)]
    fn group<V: Vector>(v: V, gates: &Parts<'_>, h: [V::F; 4], c: [V::F; 4]) -> [[V::F; 4]; 2] {
        let reset = Sigmoid::group(v, gates.sum(v, 0));
        let new = Tanh::group(v, add(v, gates.input(v, 2), mul(v, gates.hidden(v, 2), reset)));
        let update = Sigmoid::group(v, gates.sum(v, 1));
        let change = rows::zip::<V>(h, new, |h, new| v.sub(h, new));
        [add(v, mul(v, change, update), new), c]
    }
}

/// A function of the sum.
struct Plain<F>(#[allow(dead_code, reason = "names the function")] F);

impl<F: Activation> Formula for Plain<F> {
    #[inline(always)]
    fn group<V: Vector>(v: V, gates: &Parts<'_>, _: [V::F; 4], c: [V::F; 4]) -> [[V::F; 4]; 2] {
        [F::of(v, gates.sum(v, 0)), c]
    }
}

/// A function of one number.
trait Activation {
    fn of<V: Vector>(v: V, x: [V::F; 4]) -> [V::F; 4];
}

impl Activation for Tanh {
    #[inline(always)]
    fn of<V: Vector>(v: V, x: [V::F; 4]) -> [V::F; 4] {
        Self::group(v, x)
    }
}

struct Relu;

impl Activation for Relu {
    #[inline(always)]
    fn of<V: Vector>(v: V, mut x: [V::F; 4]) -> [V::F; 4] {
        for x in &mut x {
            // NaN is less than nothing, and stays.
            *x = v.select(v.less(*x, v.splat(0.0)), v.splat(0.0), *x);
        }
        x
    }
}
