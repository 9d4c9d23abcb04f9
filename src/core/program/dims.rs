//! Lengths that are numbers, those of an array, or computed from such.

use crate::error::{Error, Result};

/// A length.
#[derive(Debug, Clone, PartialEq)]
pub enum Dim {
    /// A number.
    Number(i64),
    /// Of the whole program's input: which one, and its axis.
    Input(usize, isize),
    /// Of a value: its number, and its axis.
    Value(usize, isize),
    /// Computed from two others.
    Of(Function, Box<Dim>, Box<Dim>),
    /// Less than nothing.
    Negative(Box<Dim>),
}

/// How two lengths make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as Python names them")]
pub enum Function {
    Add,
    Sub,
    Mul,
    FloorDiv,
    Mod,
    Min,
    Max,
}

impl Function {
    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "add" => Self::Add,
            "sub" => Self::Sub,
            "mul" => Self::Mul,
            "floordiv" => Self::FloorDiv,
            "mod" => Self::Mod,
            "min" | "minimum" => Self::Min,
            "max" | "maximum" => Self::Max,
            _ => return None,
        })
    }

    fn of(self, a: i64, b: i64) -> Option<i64> {
        match self {
            Self::Add => a.checked_add(b),
            Self::Sub => a.checked_sub(b),
            Self::Mul => a.checked_mul(b),
            // Rounded down, as Python does.
            Self::FloorDiv => {
                let whole = a.checked_div(b)?;
                Some(if a % b != 0 && (a < 0) != (b < 0) { whole - 1 } else { whole })
            }
            Self::Mod => {
                let rest = a.checked_rem(b)?;
                Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
            }
            Self::Min => Some(a.min(b)),
            Self::Max => Some(a.max(b)),
        }
    }
}

/// The shapes that lengths may ask for.
pub struct Known<'a> {
    /// Of the whole program's inputs.
    pub inputs: &'a [Vec<usize>],
    /// Of the values that there are already.
    pub values: &'a [Option<Vec<usize>>],
}

impl Dim {
    /// The length.
    ///
    /// # Errors
    /// An array or an axis that there is not, a division by 0, a number beyond 64 bits.
    pub fn of(&self, known: &Known<'_>) -> Result<i64> {
        match self {
            Self::Number(n) => Ok(*n),
            Self::Input(i, axis) => along(known.inputs.get(*i), "input", *i, *axis),
            Self::Value(i, axis) => along(known.values.get(*i).and_then(Option::as_ref), "value", *i, *axis),
            Self::Negative(a) => {
                let a = a.of(known)?;
                a.checked_neg().ok_or_else(|| Error::value("a length", a, "one that has a negative"))
            }
            Self::Of(function, a, b) => {
                let (a, b) = (a.of(known)?, b.of(known)?);
                let wrong = || {
                    Error::value("a length", format!("{function:?} of {a} and {b}"), "one that 64 bits hold")
                };
                function.of(a, b).ok_or_else(wrong)
            }
        }
    }

    /// The numbers of the values that it asks for.
    pub fn values(&self, into: &mut Vec<usize>) {
        match self {
            Self::Value(i, _) => into.push(*i),
            Self::Negative(a) => a.values(into),
            Self::Of(_, a, b) => {
                a.values(into);
                b.values(into);
            }
            Self::Number(_) | Self::Input(..) => {}
        }
    }

    /// The same with other numbers of values.
    pub fn renumbered(&self, of: &impl Fn(usize) -> usize) -> Self {
        match self {
            Self::Value(i, axis) => Self::Value(of(*i), *axis),
            Self::Negative(a) => Self::Negative(Box::new(a.renumbered(of))),
            Self::Of(function, a, b) => {
                Self::Of(*function, Box::new(a.renumbered(of)), Box::new(b.renumbered(of)))
            }
            Self::Number(_) | Self::Input(..) => self.clone(),
        }
    }
}

fn along(shape: Option<&Vec<usize>>, what: &str, i: usize, axis: isize) -> Result<i64> {
    let shape =
        shape.ok_or_else(|| Error::value("a length", format!("{what} {i}"), "of an array that there is"))?;
    let n = shape.len() as isize;
    let found = usize::try_from(if axis < 0 { axis + n } else { axis }).ok().and_then(|a| shape.get(a));
    let wrong =
        || Error::value("a length", format!("axis {axis} of {what} {i}"), format!("of one of its {n} axes"));
    found.map(|&n| n as i64).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_python() {
        let inputs = [vec![7, 3]];
        let known = Known { inputs: &inputs, values: &[None, Some(vec![5])] };
        let of = |function, a, b| Dim::Of(function, Box::new(a), Box::new(b)).of(&known);
        assert_eq!(of(Function::FloorDiv, Dim::Input(0, -2), Dim::Number(-2)).unwrap(), -4);
        assert_eq!(of(Function::Mod, Dim::Number(-7), Dim::Input(0, 1)).unwrap(), 2);
        assert_eq!(of(Function::Mul, Dim::Value(1, 0), Dim::Number(2)).unwrap(), 10);
        assert!(of(Function::Mod, Dim::Number(1), Dim::Number(0)).is_err());
        assert!(Dim::Value(0, 0).of(&known).is_err() && Dim::Input(0, 2).of(&known).is_err());
    }
}
