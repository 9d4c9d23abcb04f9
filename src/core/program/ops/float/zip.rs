//! Functions of two or three numbers, which are broadcast.

use std::mem::MaybeUninit;

use super::super::super::dims::Known;
use super::super::super::memory::{Memory, Room};
use super::super::super::op::{Hint, Io, Op, Planned, Task, Trouble};
use super::super::super::value::{Type, Value, broadcast};
use super::super::each_element;
use crate::arch::{Isa, Kernel, Vector, dispatch};
use crate::error::{Error, Result, Stopped};
use crate::threads;

/// What two numbers become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as NumPy names them")]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Maximum,
    Minimum,
    Power,
}

/// How two numbers stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as NumPy names them")]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// What two truth values become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as NumPy names them")]
pub enum Logic {
    And,
    Or,
    Xor,
}

/// A function of two numbers of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "said by what they hold")]
pub enum Zip {
    Arithmetic(Arithmetic),
    Compare(Compare),
    Logic(Logic),
}

impl Zip {
    /// The one with NumPy's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "add" => Self::Arithmetic(Arithmetic::Add),
            "sub" | "subtract" => Self::Arithmetic(Arithmetic::Sub),
            "mul" | "multiply" => Self::Arithmetic(Arithmetic::Mul),
            "div" | "divide" => Self::Arithmetic(Arithmetic::Div),
            "maximum" => Self::Arithmetic(Arithmetic::Maximum),
            "minimum" => Self::Arithmetic(Arithmetic::Minimum),
            "pow" | "power" => Self::Arithmetic(Arithmetic::Power),
            "equal" => Self::Compare(Compare::Equal),
            "not_equal" => Self::Compare(Compare::NotEqual),
            "less" => Self::Compare(Compare::Less),
            "less_equal" => Self::Compare(Compare::LessEqual),
            "greater" => Self::Compare(Compare::Greater),
            "greater_equal" => Self::Compare(Compare::GreaterEqual),
            "logical_and" => Self::Logic(Logic::And),
            "logical_or" => Self::Logic(Logic::Or),
            "logical_xor" => Self::Logic(Logic::Xor),
            _ => return None,
        })
    }
}

/// An axis of the result: its length, and from one element to the next in each operand.
#[derive(Debug, Clone, Copy)]
struct Axis<const N: usize> {
    n: usize,
    from: [usize; N],
}

/// How operands meet: the result has no gaps in the order of the axes.
#[derive(Debug)]
struct Walk<const N: usize> {
    axes: Vec<Axis<N>>,
}

impl<const N: usize> Walk<N> {
    /// The result, of a type of its own, and the way to it.
    fn new(from: [&Value; N], ty: Type) -> Result<(Value, Self)> {
        let mut shape = from[0].shape.clone();
        for x in &from[1..] {
            shape = broadcast(&shape, &x.shape)?;
        }
        let like = from.iter().find(|x| x.shape == shape);
        let made = like.map_or_else(|| Value::new(ty, shape.clone()), |like| like.dense(ty));
        let spread = from.map(|x| x.broadcast_to(&shape));
        let mut long: Vec<usize> = (0..shape.len()).filter(|&a| shape[a] != 1).collect();
        long.sort_by_key(|&a| std::cmp::Reverse(made.strides[a]));
        let mut axes: Vec<Axis<N>> = Vec::with_capacity(long.len());
        for a in long {
            let own = Axis { n: shape[a], from: spread.each_ref().map(|x| x.strides[a]) };
            match axes.last_mut() {
                Some(outer) if (0..N).all(|k| outer.from[k] == own.n * own.from[k]) => {
                    *outer = Axis { n: outer.n * own.n, ..own };
                }
                _ => axes.push(own),
            }
        }
        Ok((made, Self { axes }))
    }

    /// Calls `row` for each run along the fastest axis, with where it starts in each operand.
    fn for_each<T: Send>(
        &self,
        to: &mut [MaybeUninit<T>],
        row: impl Fn([usize; N], [usize; N], &mut [MaybeUninit<T>]) + Sync,
    ) -> Result<(), Stopped> {
        let one = Axis { n: 1, from: [0; N] };
        let (inner, outer) = self.axes.split_last().unwrap_or((&one, &[]));
        let bytes = (N + 1) * size_of_val(to);
        let step = (threads::CHUNK_BYTES / 4 / size_of::<T>()).max(1);
        // Long runs are cut, short ones go together.
        let (cut, together) = (inner.n.min(step), (step / inner.n.max(1)).max(1));
        let pieces: Vec<_> = match together {
            1 => to
                .chunks_mut(inner.n)
                .enumerate()
                .flat_map(|(i, to)| to.chunks_mut(cut).enumerate().map(move |(k, to)| (i, k * cut, to)))
                .collect(),
            n => to.chunks_mut(n * inner.n).enumerate().map(|(i, to)| (i * n, 0, to)).collect(),
        };
        threads::for_each(bytes, pieces.into_iter(), |(first, skip, to)| {
            for (i, to) in to.chunks_mut(inner.n).enumerate() {
                let (mut rest, mut starts) = (first + i, inner.from.map(|step| step * skip));
                for axis in outer.iter().rev() {
                    let at = rest % axis.n;
                    rest /= axis.n;
                    starts.iter_mut().zip(axis.from).for_each(|(start, step)| *start += at * step);
                }
                row(starts, inner.from, to);
            }
            true
        })
    }
}

/// One run: operands go on by one element, or stay.
struct Run<'a, A, B, F> {
    a: &'a [A],
    b: &'a [A],
    steps: [usize; 2],
    to: &'a mut [MaybeUninit<B>],
    f: F,
}

impl<A: Copy, B, F: Fn(A, A) -> B> Kernel for Run<'_, A, B, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self, _: V) {
        let Self { a, b, steps, to, f } = self;
        match steps {
            [1, 1] => to.iter_mut().zip(a).zip(b).for_each(|((to, &a), &b)| _ = to.write(f(a, b))),
            [1, 0] => {
                let b = b[0];
                to.iter_mut().zip(a).for_each(|(to, &a)| _ = to.write(f(a, b)));
            }
            [0, 1] => {
                let a = a[0];
                to.iter_mut().zip(b).for_each(|(to, &b)| _ = to.write(f(a, b)));
            }
            [m, n] => {
                for (i, to) in to.iter_mut().enumerate() {
                    to.write(f(a[i * m], b[i * n]));
                }
            }
        }
    }
}

fn two<A: Copy + Sync, B: Send>(
    walk: &Walk<2>,
    (a, b): (&[A], &[A]),
    to: &mut [MaybeUninit<B>],
    f: impl Fn(A, A) -> B + Sync,
) -> Result<(), Stopped> {
    let isa = Isa::current();
    walk.for_each(to, |starts, steps, to| {
        dispatch(isa, Run { a: &a[starts[0]..], b: &b[starts[1]..], steps, to, f: &f });
    })
}

/// The larger one, or the smaller one; NaN where one is NaN.
fn extreme(a: f32, b: f32, first: bool) -> f32 {
    if first || a.is_nan() { a } else { b }
}

fn arithmetic(op: Arithmetic, walk: &Walk<2>, io: Io<'_>) -> Result<(), Trouble> {
    match (io.from, io.to) {
        (&[Memory::F32(a), Memory::F32(b)], Room::F32(to)) => match op {
            Arithmetic::Add => two(walk, (a, b), to, |a, b| a + b)?,
            Arithmetic::Sub => two(walk, (a, b), to, |a, b| a - b)?,
            Arithmetic::Mul => two(walk, (a, b), to, |a, b| a * b)?,
            Arithmetic::Div => two(walk, (a, b), to, |a, b| a / b)?,
            Arithmetic::Maximum => two(walk, (a, b), to, |a, b| extreme(a, b, a > b))?,
            Arithmetic::Minimum => two(walk, (a, b), to, |a, b| extreme(a, b, a < b))?,
            Arithmetic::Power => two(walk, (a, b), to, libm::powf)?,
        },
        (&[Memory::I64(a), Memory::I64(b)], Room::I64(to)) => match op {
            Arithmetic::Add => two(walk, (a, b), to, i64::wrapping_add)?,
            Arithmetic::Sub => two(walk, (a, b), to, i64::wrapping_sub)?,
            Arithmetic::Mul => two(walk, (a, b), to, i64::wrapping_mul)?,
            Arithmetic::Maximum => two(walk, (a, b), to, i64::max)?,
            _ => two(walk, (a, b), to, i64::min)?,
        },
        (&[Memory::I32(a), Memory::I32(b)], Room::I32(to)) => match op {
            Arithmetic::Add => two(walk, (a, b), to, i32::wrapping_add)?,
            Arithmetic::Sub => two(walk, (a, b), to, i32::wrapping_sub)?,
            Arithmetic::Mul => two(walk, (a, b), to, i32::wrapping_mul)?,
            Arithmetic::Maximum => two(walk, (a, b), to, i32::max)?,
            _ => two(walk, (a, b), to, i32::min)?,
        },
        _ => panic!("numbers as planned"),
    }
    Ok(())
}

fn compare(op: Compare, walk: &Walk<2>, io: Io<'_>) -> Result<(), Trouble> {
    let Room::Bool(to) = io.to else { panic!("truth values as planned") };
    macro_rules! with {
        ($a:ident, $b:ident) => {
            match op {
                Compare::Equal => two(walk, ($a, $b), to, |a, b| u8::from(a == b))?,
                Compare::NotEqual => two(walk, ($a, $b), to, |a, b| u8::from(a != b))?,
                Compare::Less => two(walk, ($a, $b), to, |a, b| u8::from(a < b))?,
                Compare::LessEqual => two(walk, ($a, $b), to, |a, b| u8::from(a <= b))?,
                Compare::Greater => two(walk, ($a, $b), to, |a, b| u8::from(a > b))?,
                Compare::GreaterEqual => two(walk, ($a, $b), to, |a, b| u8::from(a >= b))?,
            }
        };
    }
    match *io.from {
        [Memory::F32(a), Memory::F32(b)] => with!(a, b),
        [Memory::I64(a), Memory::I64(b)] => with!(a, b),
        [Memory::I32(a), Memory::I32(b)] => with!(a, b),
        [Memory::Bool(a), Memory::Bool(b)] => with!(a, b),
        _ => panic!("numbers as planned"),
    }
    Ok(())
}

fn logic(op: Logic, walk: &Walk<2>, io: Io<'_>) -> Result<(), Trouble> {
    let (&[Memory::Bool(a), Memory::Bool(b)], Room::Bool(to)) = (io.from, io.to) else {
        panic!("truth values as planned")
    };
    match op {
        Logic::And => two(walk, (a, b), to, |a, b| u8::from(a != 0 && b != 0))?,
        Logic::Or => two(walk, (a, b), to, |a, b| u8::from(a != 0 || b != 0))?,
        Logic::Xor => two(walk, (a, b), to, |a, b| u8::from((a != 0) != (b != 0)))?,
    }
    Ok(())
}

impl Op for Zip {
    fn name(&self) -> &'static str {
        match self {
            Self::Arithmetic(Arithmetic::Add) => "add",
            Self::Arithmetic(Arithmetic::Sub) => "sub",
            Self::Arithmetic(Arithmetic::Mul) => "mul",
            Self::Arithmetic(Arithmetic::Div) => "div",
            Self::Arithmetic(Arithmetic::Maximum) => "maximum",
            Self::Arithmetic(Arithmetic::Minimum) => "minimum",
            Self::Arithmetic(Arithmetic::Power) => "pow",
            Self::Compare(_) => "compare",
            Self::Logic(_) => "logic",
        }
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (a, b) = (from[0], from[1]);
        if a.ty != b.ty {
            let got = format!("{} and {}", a.ty.name(), b.ty.name());
            return Err(Error::type_(
                "inputs",
                got,
                "of one dtype, not quantized: cast and dequantize steps make it so",
            ));
        }
        let known = match (self, a.ty) {
            (Self::Arithmetic(_), Type::F32) | (Self::Logic(_), Type::Bool) => true,
            (Self::Arithmetic(op), Type::I32 | Type::I64) => {
                !matches!(op, Arithmetic::Div | Arithmetic::Power)
            }
            (Self::Compare(_), ty) => !matches!(ty, Type::Codes(_)),
            _ => false,
        };
        if !known {
            return Err(Error::type_(
                "inputs",
                a.ty.name(),
                format!("of a dtype that {} takes", self.name()),
            ));
        }
        let ty = if matches!(self, Self::Arithmetic(_)) { a.ty } else { Type::Bool };
        let (made, walk) = Walk::new([a, b], ty)?;
        let (op, work) = (*self, 3 * made.bytes());
        let run = move |io: Io<'_>| match op {
            Self::Arithmetic(op) => arithmetic(op, &walk, io),
            Self::Compare(op) => compare(op, &walk, io),
            Self::Logic(op) => logic(op, &walk, io),
        };
        Ok(Task::new(made, run).work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

/// The second source where the first one holds, else the third one.
#[derive(Debug)]
pub struct Where;

impl Op for Where {
    fn name(&self) -> &'static str {
        "where"
    }

    fn plan(&self, from: &[&Value], _: &Known<'_>, _: Hint<'_>) -> Result<Planned> {
        let (condition, a, b) = (from[0], from[1], from[2]);
        if condition.ty != Type::Bool {
            return Err(Error::type_("condition", condition.ty.name(), "bool"));
        }
        if a.ty != b.ty {
            let got = format!("{} and {}", a.ty.name(), b.ty.name());
            return Err(Error::type_("inputs", got, "of one dtype and grid"));
        }
        let (made, walk) = Walk::new([condition, a, b], a.ty)?;
        let work = 4 * made.bytes();
        Ok(Task::new(made, move |io: Io<'_>| choose(&walk, io)).work(work).into())
    }

    fn images(&self, from: &[&Value], made: &Value, images: &[bool]) -> Option<bool> {
        each_element(from, made, images)
    }
}

fn choose(walk: &Walk<3>, io: Io<'_>) -> Result<(), Trouble> {
    fn all<T: Copy + Send + Sync>(
        walk: &Walk<3>,
        (condition, a, b): (&[u8], &[T], &[T]),
        to: &mut [MaybeUninit<T>],
    ) -> Result<(), Stopped> {
        walk.for_each(to, |[c, x, y], [cs, xs, ys], to| {
            for (i, to) in to.iter_mut().enumerate() {
                to.write(if condition[c + i * cs] != 0 { a[x + i * xs] } else { b[y + i * ys] });
            }
        })
    }
    macro_rules! kinds {
        ($($kind:ident),*) => {
            match (io.from, io.to) {
                $((&[Memory::Bool(c), Memory::$kind(a), Memory::$kind(b)], Room::$kind(to)) => {
                    all(walk, (c, a, b), to)?
                })*
                _ => panic!("elements as planned"),
            }
        };
    }
    kinds!(U8, I8, F32, I32, I64, Bool);
    Ok(())
}
