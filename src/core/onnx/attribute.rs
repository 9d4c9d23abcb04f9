//! What an attribute's value is.

use bytes::Bytes;

use super::messages::{Attribute, Graph, SparseTensor, Tensor, Type};

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `FLOAT`.
    Float(f32),
    /// `INT`.
    Int(i64),
    /// `STRING`, by the format's word in UTF-8.
    Text(&'a [u8]),
    /// `TENSOR`.
    Tensor(&'a Tensor),
    /// `GRAPH`.
    Graph(&'a Graph),
    /// `FLOATS`.
    Floats(&'a [f32]),
    /// `INTS`.
    Ints(&'a [i64]),
    /// `STRINGS`.
    Texts(&'a [Bytes]),
    /// `TENSORS`.
    Tensors(&'a [Tensor]),
    /// `GRAPHS`.
    Graphs(&'a [Graph]),
    /// `SPARSE_TENSOR`.
    Sparse(&'a SparseTensor),
    /// `SPARSE_TENSORS`.
    Sparses(&'a [SparseTensor]),
    /// `TYPE_PROTO`.
    Type(&'a Type),
    /// `TYPE_PROTOS`.
    Types(&'a [Type]),
    /// The value of an attribute of the function that the node is part of, with the number of its type.
    Reference(&'a str, i32),
}

/// The names of types, by their numbers in `AttributeType`.
pub const TYPES: [&str; 15] = [
    "UNDEFINED",
    "FLOAT",
    "INT",
    "STRING",
    "TENSOR",
    "GRAPH",
    "FLOATS",
    "INTS",
    "STRINGS",
    "TENSORS",
    "GRAPHS",
    "SPARSE_TENSOR",
    "SPARSE_TENSORS",
    "TYPE_PROTO",
    "TYPE_PROTOS",
];

/// The value of an attribute, by its type, or, in files that do not say types, by what is there.
///
/// # Errors
/// What is wrong with it.
pub fn value(a: &Attribute) -> Result<Value<'_>, String> {
    if !a.ref_attr_name.is_empty() {
        return Ok(Value::Reference(&a.ref_attr_name, a.kind));
    }
    let lacking = |what: &str| format!("is of type {what} and lacks its value");

    Ok(match if a.kind == 0 { inferred(a)? } else { a.kind } {
        // A number, or a text, that is not there is 0, or empty: some writers leave those out.
        1 => Value::Float(a.f.unwrap_or(0.0)),
        2 => Value::Int(a.i.unwrap_or(0)),
        3 => Value::Text(a.s.as_deref().unwrap_or_default()),
        4 => Value::Tensor(a.t.as_deref().ok_or_else(|| lacking("TENSOR"))?),
        5 => Value::Graph(a.g.as_deref().ok_or_else(|| lacking("GRAPH"))?),
        6 => Value::Floats(&a.floats),
        7 => Value::Ints(&a.ints),
        8 => Value::Texts(&a.strings),
        9 => Value::Tensors(&a.tensors),
        10 => Value::Graphs(&a.graphs),
        11 => Value::Sparse(a.sparse_tensor.as_deref().ok_or_else(|| lacking("SPARSE_TENSOR"))?),
        12 => Value::Sparses(&a.sparse_tensors),
        13 => Value::Type(a.tp.as_deref().ok_or_else(|| lacking("TYPE_PROTO"))?),
        14 => Value::Types(&a.type_protos),
        other => {
            return Err(format!(
                "has the type {other}, which is unknown: valid are 1 (FLOAT) to 14 (TYPE_PROTOS)"
            ));
        }
    })
}

/// The type of an attribute that does not say it: the one whose field is there.
fn inferred(a: &Attribute) -> Result<i32, String> {
    let there = [
        (1, a.f.is_some()),
        (2, a.i.is_some()),
        (3, a.s.is_some()),
        (4, a.t.is_some()),
        (5, a.g.is_some()),
        (6, !a.floats.is_empty()),
        (7, !a.ints.is_empty()),
        (8, !a.strings.is_empty()),
        (9, !a.tensors.is_empty()),
        (10, !a.graphs.is_empty()),
        (11, a.sparse_tensor.is_some()),
        (12, !a.sparse_tensors.is_empty()),
        (13, a.tp.is_some()),
        (14, !a.type_protos.is_empty()),
    ];
    let mut found = there.iter().filter(|(_, is)| *is).map(|(kind, _)| *kind);
    match (found.next(), found.next()) {
        (Some(kind), None) => Ok(kind),
        (None, _) => Err("has neither a type nor a value".into()),
        _ => Err("has several values and does not say which of them counts".into()),
    }
}
