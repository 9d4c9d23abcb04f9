//! The tensors and names of a model, before anything is made of them.

use std::collections::HashSet;

use super::attribute::{Value, value};
use super::messages::{Attribute, Function, Graph, Model, Node, SparseTensor, Tensor};
use super::read::Invalid;
use super::tensor;

/// Checks that each tensor of a model, also of its subgraphs and functions, has the elements that its shape wants, and that
/// initializers, attributes and functions have names of their own.
///
/// # Errors
/// The first that is wrong, and where it is.
pub fn check(model: &Model) -> Result<(), Invalid> {
    // Some exporters import a domain twice, in one version, which says the same.
    let imports: HashSet<_> = model
        .opset_import
        .iter()
        .map(|o| (if o.domain == "ai.onnx" { "" } else { &o.domain }, o.version))
        .collect();
    if let Some(twice) = repeated(imports.iter().map(|&(domain, _)| domain)) {
        return Err(Invalid::new(format!(
            "it imports the operators of {twice:?} twice, in different versions"
        )));
    }
    if let Some(g) = &model.graph {
        graph(g)?;
    }
    let names = model.functions.iter().map(|f| (&f.domain, &f.name, &f.overload));
    if let Some((domain, name, _)) = repeated(names) {
        return Err(Invalid::new(format!("it has two functions {name:?} of domain {domain:?}")));
    }
    model
        .functions
        .iter()
        .try_for_each(|f| function(f).map_err(|e| e.within(format!("function {:?}", f.name))))
}

/// The first that occurs twice.
fn repeated<T: Eq + std::hash::Hash + Copy>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = HashSet::new();
    let mut all = all;
    all.find(|&one| !seen.insert(one))
}

fn function(f: &Function) -> Result<(), Invalid> {
    f.attribute_proto.iter().try_for_each(attribute)?;
    nodes(&f.node)
}

fn graph(g: &Graph) -> Result<(), Invalid> {
    for (i, t) in g.initializer.iter().enumerate() {
        one_tensor(t).map_err(|e| e.within(format!("initializer {}", numbered(i, &t.name))))?;
    }
    for (i, t) in g.sparse_initializer.iter().enumerate() {
        let name = sparse_name(t);
        one_sparse(t).map_err(|e| e.within(format!("sparse initializer {}", numbered(i, name))))?;
    }
    let names =
        || g.initializer.iter().map(|t| &t.name[..]).chain(g.sparse_initializer.iter().map(sparse_name));
    if let Some(i) = names().position(str::is_empty) {
        return Err(Invalid::new("it has no name").within(format!("initializer {i}")));
    }
    if let Some(name) = repeated(names()) {
        return Err(Invalid::new("the graph has two of this name").within(format!("initializer {name:?}")));
    }
    nodes(&g.node)
}

/// The name of a sparse tensor is that of its values.
fn sparse_name(t: &SparseTensor) -> &str {
    t.values.as_ref().map_or("", |v| &v.name)
}

/// A position, and a name where there is one.
pub(super) fn numbered(i: usize, name: &str) -> String {
    if name.is_empty() { i.to_string() } else { format!("{name:?}") }
}

/// A node, by its position, its name or else its first output, and its operator.
pub(super) fn node_text(i: usize, name: &str, output: &str, op: &str) -> String {
    match (name.is_empty(), output.is_empty()) {
        (false, _) => format!("node {i} {name:?} ({op})"),
        (true, false) => format!("node {i} of output {output:?} ({op})"),
        _ => format!("node {i} ({op})"),
    }
}

fn nodes(all: &[Node]) -> Result<(), Invalid> {
    for (i, n) in all.iter().enumerate() {
        let checked = || {
            if let Some(name) = repeated(n.attribute.iter().map(|a| &a.name)) {
                return Err(Invalid::new(format!("it has two attributes {name:?}")));
            }
            n.attribute.iter().try_for_each(attribute)
        };
        let output = n.output.first().map_or("", |o| o);
        checked().map_err(|e: Invalid| e.within(node_text(i, &n.name, output, &n.op_type)))?;
    }
    Ok(())
}

fn attribute(a: &Attribute) -> Result<(), Invalid> {
    let checked = || match value(a).map_err(Invalid::new)? {
        Value::Tensor(t) => one_tensor(t),
        Value::Tensors(many) => many.iter().try_for_each(one_tensor),
        Value::Sparse(t) => one_sparse(t),
        Value::Sparses(many) => many.iter().try_for_each(one_sparse),
        Value::Graph(g) => graph(g),
        Value::Graphs(many) => many.iter().try_for_each(graph),
        _ => Ok(()),
    };
    checked().map_err(|e| e.within(format!("attribute {:?}", a.name)))
}

fn one_tensor(t: &Tensor) -> Result<(), Invalid> {
    tensor::check(t).map_err(|e| Invalid::new(format!("the tensor {e}")))
}

fn one_sparse(t: &SparseTensor) -> Result<(), Invalid> {
    tensor::check_sparse(t).map_err(|e| Invalid::new(format!("the tensor {e}")))
}
