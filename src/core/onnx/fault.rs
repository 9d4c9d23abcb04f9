//! Where in a file that cannot be decoded the fault is: its parts are decoded one by one.

use bytes::Bytes;
use prost::{DecodeError, Message};

use super::check::{node_text, numbered};
use super::messages::{Attribute, Function, Graph, Node, SparseTensor, Tensor, ValueInfo};
use super::read::Invalid;

/// The parts of a model, as they are encoded. What is before a fault is read all the same.
#[derive(Clone, PartialEq, Message)]
struct ModelParts {
    #[prost(bytes = "bytes", repeated, tag = "7")]
    graph: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "25")]
    functions: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphParts {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    node: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    initializer: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "15")]
    sparse_initializer: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    input: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "12")]
    output: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "13")]
    value_info: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionParts {
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "7")]
    node: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeParts {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    output: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "3")]
    name: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    op_type: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    attribute: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeParts {
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    g: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "11")]
    graphs: Vec<Bytes>,
}

/// The name of a value.
#[derive(Clone, PartialEq, Message)]
struct ValueName {
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
}

/// The name of a tensor.
#[derive(Clone, PartialEq, Message)]
struct TensorName {
    #[prost(bytes = "bytes", tag = "8")]
    name: Bytes,
}

/// How deep subgraphs are looked into.
const DEPTH: usize = 40;

/// What is there before the first fault.
fn parts<M: Message + Default>(encoded: &Bytes) -> M {
    let mut made = M::default();
    let _ = made.merge(encoded.clone()); // The fault is known; what counts is what precedes it.
    made
}

/// The fault of a part that cannot be decoded.
fn fault<M: Message + Default>(encoded: &Bytes) -> Option<Invalid> {
    M::decode(encoded.clone()).err().map(|e| explained(&e))
}

/// What is wrong, in words of this package.
fn explained(error: &DecodeError) -> Invalid {
    let text = error.to_string();
    let text = text.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&text);
    let (field, problem) = match (text.split_once(": "), text.rsplit_once(".")) {
        (Some((first, _)), Some((_, rest))) if first.contains('.') => {
            (Some(first), rest.split_once(": ").map_or(rest, |(_, problem)| problem))
        }
        _ => (None, text),
    };
    let problem = match problem {
        p if p.contains("recursion limit") => {
            "subgraphs or types are nested too deep: valid are 100 messages inside of each other, some 30 subgraphs".into()
        }
        p if p.contains("underflow") || p.contains("length exceeded") || p.contains("delimiter") => {
            "the data end before they should: the file is truncated or corrupt".into()
        }
        p if p.contains("UTF-8") => "a text is not UTF-8".into(),
        p => format!("no valid protobuf message: {p}"),
    };
    let found = Invalid::new(problem);
    if let Some(field) = field { found.within(format!("field {field}")) } else { found }
}

/// Where the fault of a file is that was not decoded, and what it is.
pub fn found(file: &Bytes, error: &DecodeError) -> Invalid {
    let model: ModelParts = parts(file);
    let in_graph = model.graph.iter().find_map(|g| graph(g, 0));
    let in_function = || {
        model.functions.iter().find_map(|encoded| {
            fault::<Function>(encoded)?;
            let f: FunctionParts = parts(encoded);
            let inner = nodes(&f.node, 0).or_else(|| fault::<Function>(encoded))?;
            Some(inner.within(format!("function {:?}", String::from_utf8_lossy(&f.name))))
        })
    };
    in_graph.or_else(in_function).unwrap_or_else(|| explained(error))
}

fn graph(encoded: &Bytes, depth: usize) -> Option<Invalid> {
    let whole = fault::<Graph>(encoded)?;
    if depth > DEPTH {
        return Some(whole);
    }
    let g: GraphParts = parts(encoded);
    let tensors = |all: &[Bytes], what: &str, find: fn(&Bytes) -> Option<Invalid>| {
        all.iter().enumerate().find_map(|(i, encoded)| {
            let name: TensorName = parts(encoded);
            let name = numbered(i, &String::from_utf8_lossy(&name.name));
            find(encoded).map(|e| e.within(format!("{what} {name}")))
        })
    };
    let values = |all: &[Bytes], what: &str| {
        all.iter().enumerate().find_map(|(i, encoded)| {
            let name: ValueName = parts(encoded);
            let name = numbered(i, &String::from_utf8_lossy(&name.name));
            fault::<ValueInfo>(encoded).map(|e| e.within(format!("{what} {name}")))
        })
    };
    nodes(&g.node, depth)
        .or_else(|| tensors(&g.initializer, "initializer", fault::<Tensor>))
        .or_else(|| tensors(&g.sparse_initializer, "sparse initializer", fault::<SparseTensor>))
        .or_else(|| values(&g.input, "input"))
        .or_else(|| values(&g.output, "output"))
        .or_else(|| values(&g.value_info, "value"))
        .or(Some(whole))
}

fn nodes(all: &[Bytes], depth: usize) -> Option<Invalid> {
    all.iter().enumerate().find_map(|(i, encoded)| {
        let whole = fault::<Node>(encoded)?;
        let n: NodeParts = parts(encoded);
        let inner = n.attribute.iter().find_map(|a| attribute(a, depth)).unwrap_or(whole);
        let text = |b: &Bytes| String::from_utf8_lossy(b).into_owned();
        let output = n.output.first().map_or(String::new(), text);
        Some(inner.within(node_text(i, &text(&n.name), &output, &text(&n.op_type))))
    })
}

fn attribute(encoded: &Bytes, depth: usize) -> Option<Invalid> {
    let whole = fault::<Attribute>(encoded)?;
    let a: AttributeParts = parts(encoded);
    let inner = a.g.iter().chain(&a.graphs).find_map(|g| graph(g, depth + 1)).unwrap_or(whole);
    Some(inner.within(format!("attribute {:?}", String::from_utf8_lossy(&a.name))))
}
