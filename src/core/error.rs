//! The one error type. Every message names the argument, its value and what would be valid.

use thiserror::Error;

/// What can go wrong.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum Error {
    /// A value out of its valid range (Python's ValueError).
    #[error("{arg} must be {valid}, got {got}")]
    Value {
        /// The argument's name.
        arg: String,
        /// What it was.
        got: String,
        /// What it may be.
        valid: String,
    },
    /// An object of the wrong kind (Python's TypeError).
    #[error("{arg} must be {valid}, got {got}")]
    Type {
        /// The argument's name.
        arg: String,
        /// What it was.
        got: String,
        /// What it may be.
        valid: String,
    },
    /// A position outside of an array (Python's IndexError).
    #[error("{arg} must be {valid}, got {got}")]
    Index {
        /// The argument's name.
        arg: String,
        /// What it was.
        got: String,
        /// What it may be.
        valid: String,
    },
    /// What was asked for cannot keep its quantization parameters; `advice` says what to do instead.
    #[error("{what}; {advice}")]
    Unsupported {
        /// What was asked for, and why it cannot be had.
        what: String,
        /// What to do.
        advice: String,
    },
    /// NaN has no code.
    #[error(
        "{arg} must not hold NaN, which has no integer code: found {count}, the first at index {first}; \
         replace them first, for example with numpy.nan_to_num"
    )]
    Nan {
        /// The argument's name.
        arg: String,
        /// How many there are.
        count: usize,
        /// Where the first one is, as Python writes an index.
        first: String,
    },
    /// A signal (Ctrl-C) stopped the work.
    #[error("interrupted")]
    Interrupted,
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {reason}")]
    File {
        /// "read" or "write".
        action: &'static str,
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// A value out of its valid range.
    pub fn value(arg: impl Into<String>, got: impl ToString, valid: impl Into<String>) -> Self {
        Self::Value { arg: arg.into(), got: got.to_string(), valid: valid.into() }
    }

    /// An object of the wrong kind.
    pub fn type_(arg: impl Into<String>, got: impl ToString, valid: impl Into<String>) -> Self {
        Self::Type { arg: arg.into(), got: got.to_string(), valid: valid.into() }
    }

    /// A position outside of an array.
    pub fn index(arg: impl Into<String>, got: impl ToString, valid: impl Into<String>) -> Self {
        Self::Index { arg: arg.into(), got: got.to_string(), valid: valid.into() }
    }

    /// The same, said of one of several places where it can happen.
    pub fn within(self, place: &str) -> Self {
        let named = |arg: String| format!("{place}: {arg}");
        match self {
            Self::Value { arg, got, valid } => Self::Value { arg: named(arg), got, valid },
            Self::Type { arg, got, valid } => Self::Type { arg: named(arg), got, valid },
            Self::Index { arg, got, valid } => Self::Index { arg: named(arg), got, valid },
            Self::Unsupported { what, advice } => Self::Unsupported { what: named(what), advice },
            Self::Nan { arg, count, first } => Self::Nan { arg: named(arg), count, first },
            other => other,
        }
    }

    /// Something that cannot keep its quantization parameters.
    pub fn unsupported(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), advice: advice.into() }
    }
}

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a kernel stopped: it knows positions, not names or shapes, which its caller adds with [`Stopped::named`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The input holds `count` NaN, the first at the flat position `first`.
    Nan {
        /// How many.
        count: usize,
        /// The first one's flat (C order) position.
        first: usize,
    },
    /// A signal arrived.
    Interrupted,
}

impl Stopped {
    /// The error that a user reads.
    pub fn named(self, arg: &str, shape: &[usize]) -> Error {
        match self {
            Self::Nan { count, first } => {
                Error::Nan { arg: arg.into(), count, first: index_text(first, shape) }
            }
            Self::Interrupted => Error::Interrupted,
        }
    }
}

/// A flat position in an array of a shape, as Python writes an index: `(1, 4)`, `7`, `()`.
fn index_text(mut flat: usize, shape: &[usize]) -> String {
    let mut index: Vec<String> = Vec::with_capacity(shape.len());
    for &n in shape.iter().rev() {
        index.push((flat % n.max(1)).to_string());
        flat /= n.max(1);
    }
    index.reverse();
    match index.len() {
        1 => index.swap_remove(0),
        _ => format!("({})", index.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_written_as_python_indices() {
        assert_eq!(index_text(7, &[10]), "7");
        assert_eq!(index_text(7, &[2, 5]), "(1, 2)");
        assert_eq!(index_text(0, &[]), "()");
    }
}
