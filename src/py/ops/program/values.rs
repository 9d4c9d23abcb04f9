//! Arrays that go into a program, and those that come out.

use std::sync::Arc;

use numpy::npyffi::NPY_TYPES;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::array::{
    Array, Element, as_array, as_float32, contiguous, data, elements_mut, empty, fresh_view, has_type,
    with_axes,
};
use crate::error::Error;
use crate::ops::matrices::{activation, elements_in_reach};
use crate::ops::order::strided_float32;
use crate::tensor::QTensor;
use quantray_core::program::{Elements, Grid, Kind, Memory, Room, Type, Value};
use quantray_core::qparams::{DType, Quantizer};

/// What an input is declared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    F32,
    I32,
    I64,
    Bool,
    U8,
    I8,
    /// Codes of this dtype, of any grid.
    Codes(DType),
    /// Anything: for calls alone.
    Object,
}

impl Declared {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "float32" => Self::F32,
            "int32" => Self::I32,
            "int64" => Self::I64,
            "bool" => Self::Bool,
            "uint8" => Self::U8,
            "int8" => Self::I8,
            "quint8" => Self::Codes(DType::QUInt8),
            "qint8" => Self::Codes(DType::QInt8),
            "object" => Self::Object,
            _ => return None,
        })
    }

    /// A type that stands for it in reports.
    pub fn ty(self) -> Option<Type> {
        Some(match self {
            Self::F32 => Type::F32,
            Self::I32 => Type::I32,
            Self::I64 => Type::I64,
            Self::Bool => Type::Bool,
            Self::U8 => Type::U8,
            Self::I8 => Type::I8,
            Self::Codes(dtype) => {
                Type::Codes(Grid { signed: dtype == DType::QInt8, scale: 1.0, zero_point: 0 })
            }
            Self::Object => return None,
        })
    }

    /// A caller's argument as it is declared.
    pub fn take<'py>(self, given: &Bound<'py, PyAny>, name: &str) -> PyResult<Held<'py>> {
        let array = match self {
            Self::Object => return Ok(Held::Object(given.clone())),
            Self::Codes(dtype) => {
                let Ok(q) = given.cast::<QTensor>() else {
                    let got = crate::array::describe(given);
                    return Err(Error::type_(name, got, format!("a tensor of {}", dtype.name())).into());
                };
                if q.get().quantizer().dtype() != dtype {
                    let got = format!("a tensor of {}", q.get().quantizer().dtype().name());
                    return Err(Error::type_(name, got, format!("of {}", dtype.name())).into());
                }
                activation(q.get(), name)?;
                return Held::tensor(q);
            }
            Self::F32 => strided_float32(given, name)?,
            Self::I32 | Self::I64 => {
                let array = as_array(given)?;
                let (number, wanted) =
                    if self == Self::I32 { (i32::TYPE, "int32") } else { (i64::TYPE, "int64") };
                if has_type(&array, number) {
                    array
                } else if b"iub".contains(&array.dtype().kind()) {
                    array.call_method1("astype", (wanted,))?.cast_into()?
                } else {
                    let got = format!("dtype {}", array.dtype());
                    return Err(Error::type_(name, got, "an array of integers").into());
                }
            }
            Self::Bool => exactly::<bool>(given, name, "bool")?,
            // Integers of other widths may not fit.
            Self::U8 => exactly::<u8>(given, name, "uint8")?,
            Self::I8 => exactly::<i8>(given, name, "int8")?,
        };
        Held::array(&array)
    }
}

/// An array of one dtype, which others are not turned into.
fn exactly<'py, T: Element>(given: &Bound<'py, PyAny>, name: &str, dtype: &str) -> PyResult<Array<'py>> {
    let array = as_array(given)?;
    if has_type(&array, T::TYPE) {
        return Ok(array);
    }
    let got = format!("dtype {}", array.dtype());
    Err(Error::type_(name, got, format!("an array of {dtype}")).into())
}

/// A value between the parts of a program.
pub enum Held<'py> {
    /// Elements that the core reads.
    Typed(Typed<'py>),
    /// What only calls take.
    Object(Bound<'py, PyAny>),
}

/// An array, and what it is.
pub struct Typed<'py> {
    /// The object that calls and callers get.
    pub object: Bound<'py, PyAny>,
    /// Its elements, without negative strides.
    array: Array<'py>,
    pub value: Value,
}

impl<'py> Held<'py> {
    /// A tensor of 8 bits and one scale.
    fn tensor(q: &Bound<'py, QTensor>) -> PyResult<Self> {
        let inner = q.get();
        let (_, zero_point) = activation(inner, "input")?;
        let quantray_core::qparams::QParams::PerTensor { scale, .. } = *inner.quantizer().params() else {
            unreachable!("one scale, as was checked")
        };
        let signed = inner.quantizer().dtype() == DType::QInt8;
        let ty = Type::Codes(Grid { signed, scale, zero_point });
        let (array, value) = elements_of(inner.codes(q.py()), ty)?;
        Ok(Self::Typed(Typed { object: q.clone().into_any(), array, value }))
    }

    /// An array of a type that the core knows.
    fn array(array: &Array<'py>) -> PyResult<Self> {
        let types = [
            (f32::TYPE, Type::F32),
            (i32::TYPE, Type::I32),
            (i64::TYPE, Type::I64),
            (<bool as Element>::TYPE, Type::Bool),
            (u8::TYPE, Type::U8),
            (i8::TYPE, Type::I8),
        ];
        let Some((_, ty)) = types.into_iter().find(|(number, _)| has_type(array, *number)) else {
            return Ok(Self::Object(array.clone().into_any()));
        };
        let (own, value) = elements_of(array, ty)?;
        Ok(Self::Typed(Typed { object: array.clone().into_any(), array: own, value }))
    }

    /// What a part has made.
    pub fn made(object: Bound<'py, PyAny>) -> PyResult<Self> {
        match object.cast::<QTensor>() {
            Ok(q) => Self::tensor(q),
            Err(_) => Self::array(object.cast()?),
        }
    }

    /// What a call returned.
    pub fn returned(object: Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(q) = object.cast::<QTensor>() {
            return match activation(q.get(), "result") {
                Ok(_) => Self::tensor(q),
                Err(_) => Ok(Self::Object(object)),
            };
        }
        let array = as_array(&object)?;
        match array.dtype().kind() {
            b'f' => Self::array(&as_float32(array.as_any(), "result")?),
            b'i' | b'u' if ![i32::TYPE, u8::TYPE, i8::TYPE].iter().any(|&ty| has_type(&array, ty)) => {
                Self::array(&array.call_method1("astype", ("int64",))?.cast_into()?)
            }
            b'i' | b'u' | b'b' => Self::array(&array),
            _ => Ok(Self::Object(object)),
        }
    }

    /// The object.
    pub fn object(&self) -> &Bound<'py, PyAny> {
        match self {
            Self::Typed(typed) => &typed.object,
            Self::Object(object) => object,
        }
    }

    /// The object; floats in place of a tensor.
    pub fn plain(&self) -> PyResult<Bound<'py, PyAny>> {
        match self.object().cast::<QTensor>() {
            Ok(q) => Ok(q.get().dequantized(q.py())?.into_any()),
            Err(_) => Ok(self.object().clone()),
        }
    }

    /// Its shape.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Typed(typed) => typed.value.shape.clone(),
            Self::Object(object) => {
                object.getattr("shape").and_then(|shape| shape.extract()).unwrap_or_default()
            }
        }
    }
}

/// Memory that the core reads: the array's own where its strides allow that.
fn elements_of<'py>(array: &Array<'py>, ty: Type) -> PyResult<(Array<'py>, Value)> {
    let size = ty.kind().size();
    let fits =
        |(&n, &stride): (&usize, &isize)| n <= 1 || (stride >= 0 && (stride as usize).is_multiple_of(size));
    let aligned = (data(array) as usize).is_multiple_of(size);
    let plain = aligned && array.shape().iter().zip(array.strides()).all(fits);
    let array = if plain { array.clone() } else { contiguous(array)? };
    let strides = array.shape().iter().zip(array.strides());
    let strides = strides.map(|(&n, &stride)| if n <= 1 { 1 } else { stride as usize / size }).collect();
    let value = Value { ty, shape: array.shape().to_vec(), strides };
    Ok((array, value))
}

impl<'py> Typed<'py> {
    /// The same in C order, a copy where it lies otherwise.
    pub fn in_order(&self) -> PyResult<Typed<'py>> {
        let array = if self.value.is_contiguous() { self.array.clone() } else { contiguous(&self.array)? };
        let value = Value::new(self.value.ty, self.value.shape.clone());
        Ok(Typed { object: self.object.clone(), array, value })
    }
}

impl Typed<'_> {
    /// Its elements.
    pub fn memory(&self) -> Memory<'_> {
        let n = self.value.reach();
        match self.value.ty {
            Type::Codes(Grid { signed: false, .. }) | Type::U8 => {
                Memory::U8(elements_in_reach(&self.array, n))
            }
            Type::Codes(Grid { signed: true, .. }) | Type::I8 => {
                Memory::I8(elements_in_reach(&self.array, n))
            }
            Type::F32 => Memory::F32(elements_in_reach(&self.array, n)),
            Type::I32 => Memory::I32(elements_in_reach(&self.array, n)),
            Type::I64 => Memory::I64(elements_in_reach(&self.array, n)),
            Type::Bool => Memory::Bool(elements_in_reach(&self.array, n)),
        }
    }
}

/// A NumPy array's elements, for as long as a program lives.
#[derive(Debug)]
pub struct HeldElements {
    array: Py<PyUntypedArray>,
    start: usize,
    n: usize,
    kind: Kind,
}

impl HeldElements {
    /// Of a contiguous array of a type that the core knows.
    pub fn new(array: Array<'_>) -> PyResult<Self> {
        let kinds = [
            (u8::TYPE, Kind::U8),
            (i8::TYPE, Kind::I8),
            (f32::TYPE, Kind::F32),
            (i32::TYPE, Kind::I32),
            (i64::TYPE, Kind::I64),
            (<bool as Element>::TYPE, Kind::Bool),
        ];
        let Some((_, kind)) = kinds.into_iter().find(|(number, _)| has_type(&array, *number)) else {
            let got = format!("dtype {}", array.dtype());
            return Err(Error::type_(
                "value",
                got,
                "of float32, int32, int64, uint8, int8, bool, or quantized",
            )
            .into());
        };
        // A view of our own, which no one reshapes, that keeps the memory.
        let array = fresh_view(&contiguous(&array)?)?;
        let (start, n) = (data(&array) as usize, array.shape().iter().product());
        Ok(Self { array: array.unbind(), start, n, kind })
    }

    fn all<T>(&self) -> &[T] {
        if self.n == 0 {
            return &[];
        }
        // SAFETY: `n` elements of the array's type from `start` on, contiguous and aligned, in memory that `array`, which
        // lives as long as `self`, keeps. Python code that writes to it meanwhile races, as with NumPy's own functions.
        unsafe { std::slice::from_raw_parts(self.start as *const T, self.n) }
    }
}

impl Elements for HeldElements {
    fn memory(&self) -> Memory<'_> {
        let _ = &self.array;
        match self.kind {
            Kind::U8 => Memory::U8(self.all()),
            Kind::I8 => Memory::I8(self.all()),
            Kind::F32 => Memory::F32(self.all()),
            Kind::I32 => Memory::I32(self.all()),
            Kind::I64 => Memory::I64(self.all()),
            Kind::Bool => Memory::Bool(self.all()),
        }
    }
}

/// A value that is part of a program, and its elements.
pub fn constant(given: &Bound<'_, PyAny>, arg: &str) -> PyResult<(Value, Arc<dyn Elements>)> {
    let held = match given.cast::<QTensor>() {
        Ok(q) => {
            activation(q.get(), arg)?;
            Held::tensor(q)?
        }
        Err(_) => Held::returned(given.clone())?,
    };
    let Held::Typed(typed) = held else {
        let got = crate::array::describe(given);
        return Err(Error::type_(arg, got, "an array of numbers or of bool, or a QTensor").into());
    };
    let value = Value::new(typed.value.ty, typed.value.shape.clone());
    Ok((value, Arc::new(HeldElements::new(typed.array)?)))
}

/// A fresh array for what comes out.
pub struct Fresh<'py> {
    /// In the order of memory.
    made: Array<'py>,
    /// The axes of the result, in that of `made`; none where they are the same.
    axes: Option<Vec<usize>>,
    ty: Type,
}

impl<'py> Fresh<'py> {
    /// For a value without gaps.
    pub fn new(py: Python<'py>, value: &Value) -> PyResult<Self> {
        let number: NPY_TYPES = match value.ty {
            Type::Codes(Grid { signed: true, .. }) | Type::I8 => i8::TYPE,
            Type::Codes(_) | Type::Bool | Type::U8 => u8::TYPE,
            Type::F32 => f32::TYPE,
            Type::I32 => i32::TYPE,
            Type::I64 => i64::TYPE,
        };
        if value.is_contiguous() {
            return Ok(Self { made: empty(py, number, &value.shape)?, axes: None, ty: value.ty });
        }
        let mut order: Vec<usize> = (0..value.shape.len()).collect();
        order.sort_by_key(|&a| {
            // Axes of one element go first, where they disturb no one.
            std::cmp::Reverse(if value.shape[a] == 1 { usize::MAX } else { value.strides[a] })
        });
        let shape: Vec<usize> = order.iter().map(|&a| value.shape[a]).collect();
        let mut axes = vec![0; order.len()];
        order.iter().enumerate().for_each(|(to, &from)| axes[from] = to);
        Ok(Self { made: empty(py, number, &shape)?, axes: Some(axes), ty: value.ty })
    }

    /// Room for its elements.
    pub fn room(&self) -> Room<'_> {
        match self.ty {
            Type::Codes(Grid { signed: true, .. }) | Type::I8 => Room::I8(elements_mut(&self.made)),
            Type::Codes(_) | Type::U8 => Room::U8(elements_mut(&self.made)),
            Type::Bool => Room::Bool(elements_mut(&self.made)),
            Type::F32 => Room::F32(elements_mut(&self.made)),
            Type::I32 => Room::I32(elements_mut(&self.made)),
            Type::I64 => Room::I64(elements_mut(&self.made)),
        }
    }

    /// The array, or the tensor, once it is filled.
    pub fn finish(self) -> PyResult<Bound<'py, PyAny>> {
        let array = match &self.axes {
            Some(axes) => with_axes(&self.made, axes)?,
            None => self.made,
        };
        match self.ty {
            Type::Codes(grid) => {
                let dtype = if grid.signed { DType::QInt8 } else { DType::QUInt8 };
                let quantizer = Quantizer::per_tensor(dtype, grid.scale, i64::from(grid.zero_point), false)
                    .map_err(Error)?;
                let tensor = QTensor::from_parts(array.clone(), Arc::new(quantizer), None);
                Ok(Bound::new(array.py(), tensor)?.into_any())
            }
            Type::Bool => array.call_method1("view", ("bool",)),
            _ => Ok(array.into_any()),
        }
    }
}
