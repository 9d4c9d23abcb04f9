//! Files in the safetensors format: codes as tensors, schemes in the metadata, and there a scale and a zero point too;
//! those of channels are tensors of their own, which take a fifth of the room that text does. The core reads and writes
//! the header; the data are mapped, not read.

mod parameters;
mod reading;
mod writing;

use pyo3::prelude::*;
use quantray_core::safetensors::Element;

pub use reading::*;
pub use writing::*;

use super::array::describe;
use crate::error::Error;

/// The metadata key that holds the parameters of all quantized tensors of a file, as JSON.
const KEY: &str = "quantray";
/// The metadata key that other readers look at.
const FORMAT: &str = "format";
/// Of what stands under [`KEY`].
const VERSION: u64 = 2;
/// The name of the one tensor of a file that `QTensor.save` wrote.
const ONLY: &str = "tensor";

/// What the elements of each NumPy dtype that can be stored are.
const ELEMENTS: [(&str, Element); 12] = [
    ("float64", Element::F64),
    ("float32", Element::F32),
    ("float16", Element::F16),
    ("int64", Element::I64),
    ("int32", Element::I32),
    ("int16", Element::I16),
    ("int8", Element::I8),
    ("uint64", Element::U64),
    ("uint32", Element::U32),
    ("uint16", Element::U16),
    ("uint8", Element::U8),
    ("bool", Element::BOOL),
];

fn file_error(action: &'static str, path: &str, reason: impl ToString) -> PyErr {
    Error::file(action, path, reason).into()
}

fn path_text(path: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = path.py().import("os")?.call_method1("fspath", (path,));
    let text = text.map_err(|_| Error::type_("path", describe(path), "a str or a path"))?;
    text.extract().map_err(|_| Error::type_("path", describe(path), "a str or a path, not bytes").into())
}
