//! The core's errors as Python's exceptions.
//!
//! Neither `PyErr` nor the core's error is this crate's, so `?` cannot turn the one into the other; a type of our own
//! stands between them: `core_call(...).map_err(Error)?`.

use pyo3::PyErr;
use pyo3::exceptions::{PyIndexError, PyKeyboardInterrupt, PyOSError, PyTypeError, PyValueError};
use quantray_core::error;
pub use quantray_core::error::Stopped;

/// A core's error on its way to Python.
#[derive(Debug)]
pub struct Error(pub error::Error);

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A ValueError: a value out of its valid range.
    pub fn value(arg: impl Into<String>, got: impl ToString, valid: impl Into<String>) -> Self {
        Self(error::Error::value(arg, got, valid))
    }

    /// A TypeError: an object of the wrong kind.
    pub fn type_(arg: impl Into<String>, got: impl ToString, valid: impl Into<String>) -> Self {
        Self(error::Error::type_(arg, got, valid))
    }

    /// An IndexError: a position outside of an array.
    pub fn index(arg: impl Into<String>, got: impl ToString, valid: impl Into<String>) -> Self {
        Self(error::Error::index(arg, got, valid))
    }

    /// A ValueError: something that cannot keep its quantization parameters.
    pub fn unsupported(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self(error::Error::unsupported(what, advice))
    }

    /// An OSError: a file could not be read or written.
    pub fn file(action: &'static str, path: &str, reason: impl ToString) -> Self {
        Self(error::Error::File { action, path: path.into(), reason: reason.to_string() })
    }
}

impl From<error::Error> for Error {
    fn from(error: error::Error) -> Self {
        Self(error)
    }
}

impl From<Error> for PyErr {
    fn from(Error(error): Error) -> Self {
        let text = error.to_string();
        match error {
            error::Error::Type { .. } => PyTypeError::new_err(text),
            error::Error::Index { .. } => PyIndexError::new_err(text),
            error::Error::Interrupted => PyKeyboardInterrupt::new_err(()),
            error::Error::File { .. } => PyOSError::new_err(text),
            error::Error::Value { .. } | error::Error::Unsupported { .. } | error::Error::Nan { .. } => {
                PyValueError::new_err(text)
            }
        }
    }
}
