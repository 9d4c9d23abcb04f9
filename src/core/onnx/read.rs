//! From a file's bytes to messages.

use std::fmt;

use bytes::Bytes;
use prost::Message;

use super::messages::Model;
use super::{check, fault, other};

/// What is wrong with a file, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// From the inside out.
    places: Vec<String>,
    problem: String,
}

impl Invalid {
    /// Somewhere.
    pub fn new(problem: impl Into<String>) -> Self {
        Self { places: Vec::new(), problem: problem.into() }
    }

    /// Inside of a part.
    pub fn within(mut self, place: impl Into<String>) -> Self {
        self.places.push(place.into());
        self
    }
}

/// How many places are said where many lie in each other.
const INNERMOST: usize = 3;
const OUTERMOST: usize = 2;

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, place) in self.places.iter().enumerate().rev() {
            if i < INNERMOST || i + OUTERMOST >= self.places.len() {
                write!(f, "{place}: ")?;
            } else if i == INNERMOST {
                f.write_str("...: ")?;
            }
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Invalid {}

/// The messages of an ONNX file, whose tensors have been checked.
///
/// Memory: raw data stay where they lie. Messages take at most 2 KiB each, whatever they hold included; numbers that are
/// written one by one, 32 bytes for each byte of the file at most.
///
/// # Errors
/// What the file is, or what is wrong with it and where.
pub fn read(file: &Bytes) -> Result<Model, Invalid> {
    if file.is_empty() {
        return Err(Invalid::new("it is empty"));
    }
    let another = || {
        let what = other::recognized(file)?;
        Some(Invalid::new(format!("it is no ONNX model but {what}")))
    };
    let model =
        Model::decode(file.clone()).map_err(|e| another().unwrap_or_else(|| fault::found(file, &e)))?;
    if model.graph.is_none() {
        let none = || Invalid::new("it holds no graph: it is no ONNX model, or a truncated one");
        return Err(another().unwrap_or_else(none));
    }
    check::check(&model)?;
    Ok(model)
}
