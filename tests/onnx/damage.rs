//! Models to be damaged, and ways to damage them, from numbers: those of a generator, or a fuzzer's.

use bytes::Bytes;
use quantray_core::onnx::messages::{
    Attribute, Dimension, Entry, Function, Graph, Kind, Length, MapType, Model, Node, OperatorSetId,
    SequenceType, Shape, SparseTensor, Tensor, TensorType, Type, ValueInfo,
};
use quantray_core::onnx::{ELEMENTS, write};

fn tensor(name: &str, data_type: i32, dims: &[i64], raw: &'static [u8]) -> Tensor {
    let raw_data = Some(Bytes::from_static(raw));
    Tensor { name: name.into(), data_type, dims: dims.into(), raw_data, ..Tensor::default() }
}

fn value(name: &str, value: Kind) -> ValueInfo {
    let kind = Type { value: Some(value), denotation: "IMAGE".into() };
    let metadata_props = vec![Entry { key: "k".into(), value: "v".into() }];
    ValueInfo { name: name.into(), kind: Some(kind), doc_string: "doc".into(), metadata_props }
}

fn image() -> TensorType {
    let dim = |value| Dimension { value, denotation: "DATA".into() };
    let dims = vec![dim(None), dim(Some(Length::Value(3))), dim(Some(Length::Param("n".into())))];
    TensorType { elem_type: 1, shape: Some(Shape { dim: dims }) }
}

/// One attribute of each type.
fn attributes(inner: &Graph) -> Vec<Attribute> {
    let one = || Tensor { float_data: vec![0.5; 6], raw_data: None, ..tensor("t", 1, &[2, 3], &[]) };
    let sparse = || SparseTensor {
        values: Some(Tensor { double_data: vec![1.0], raw_data: None, ..tensor("s", 11, &[1], &[]) }),
        indices: Some(Tensor { int64_data: vec![7], raw_data: None, ..tensor("", 7, &[1], &[]) }),
        dims: vec![3, 3],
    };
    let type_ = || Type { value: Some(Kind::Tensor(image())), ..Type::default() };
    let named = |kind: i32| Attribute { name: format!("a{kind}"), kind, ..Attribute::default() };
    vec![
        Attribute { f: Some(0.5), ..named(1) },
        Attribute { i: Some(-1), ..named(2) },
        Attribute { s: Some(Bytes::from_static(b"NOTSET")), ..named(3) },
        Attribute { t: Some(Box::new(one())), ..named(4) },
        Attribute { g: Some(Box::new(inner.clone())), ..named(5) },
        Attribute { floats: vec![1.0, f32::NAN], ..named(6) },
        Attribute { ints: vec![1, -1, i64::MAX], ..named(7) },
        Attribute { strings: vec![Bytes::from_static(b"a"), Bytes::from_static(b"\xff")], ..named(8) },
        Attribute { tensors: vec![one(), one()], ..named(9) },
        Attribute { graphs: vec![inner.clone(), inner.clone()], ..named(10) },
        Attribute { sparse_tensor: Some(Box::new(sparse())), ..named(11) },
        Attribute { sparse_tensors: vec![sparse()], ..named(12) },
        Attribute { tp: Some(Box::new(type_())), ..named(13) },
        Attribute { type_protos: vec![type_()], ..named(14) },
        Attribute { name: "untyped".into(), ints: vec![3], ..Attribute::default() },
        Attribute { ref_attr_name: "alpha".into(), kind: 1, name: "r".into(), ..Attribute::default() },
    ]
}

fn node(op: &str, input: &[&str], output: &[&str], attribute: Vec<Attribute>) -> Node {
    let texts = |all: &[&str]| all.iter().map(|&s| s.to_owned()).collect();
    Node {
        name: format!("the {op}"),
        op_type: op.into(),
        input: texts(input),
        output: texts(output),
        attribute,
        device_configurations: vec![Bytes::from_static(b"\x0a\x01c")],
        ..Node::default()
    }
}

/// A model with a message of each kind, a field of each kind and a tensor of each element type.
pub fn sample() -> Vec<u8> {
    let typed =
        |code: usize| Tensor { int32_data: vec![1; 4], raw_data: None, ..tensor("", code as i32, &[4], &[]) };
    let raw = ELEMENTS.iter().filter(|e| e.bits > 0).map(|e| {
        let len = e.bytes(5).unwrap() as usize;
        tensor(e.name, e.code, &[5, 1], &[1; 80][..len])
    });
    let numbers = [2, 3, 4, 5, 6, 9, 10, 16, 17, 27, 28];
    let numbers = numbers.map(|code| Tensor { name: format!("typed {code}"), ..typed(code) });
    let outside = Tensor {
        raw_data: None,
        data_location: 1,
        external_data: [("location", "w.bin"), ("offset", "4096"), ("length", "24")]
            .map(|(key, value)| Entry { key: key.into(), value: value.into() })
            .into(),
        ..tensor("outside", 1, &[2, 3], &[])
    };
    let texts = Tensor {
        raw_data: None,
        string_data: vec![Bytes::from_static(b"a"), Bytes::new()],
        ..tensor("texts", 8, &[2], &[])
    };
    let wide = Tensor { uint64_data: vec![1, 2], raw_data: None, ..tensor("wide", 13, &[2], &[]) };
    let inner = Graph {
        name: "inner".into(),
        node: vec![node("Identity", &["x"], &["z"], vec![])],
        initializer: vec![tensor("c", 1, &[1], &[0; 4])],
        output: vec![value("z", Kind::Tensor(image()))],
        ..Graph::default()
    };
    let middle = Graph { node: vec![node("If", &["x"], &["z"], attributes(&inner))], ..inner.clone() };
    let list = || Box::new(Type { value: Some(Kind::Tensor(image())), ..Type::default() });
    let graph = Graph {
        name: "graph".into(),
        node: vec![
            node("Conv", &["x", "w", ""], &["y"], attributes(&middle)),
            node("Relu", &["y"], &["out"], vec![]),
        ],
        initializer: raw.chain(numbers).chain([outside, texts, wide]).collect(),
        sparse_initializer: vec![SparseTensor {
            values: Some(tensor("sparse", 1, &[2], &[0; 8])),
            indices: Some(tensor("", 7, &[2, 2], &[0; 32])),
            dims: vec![4, 4],
        }],
        doc_string: "doc".into(),
        input: vec![
            value("x", Kind::Tensor(image())),
            value("list", Kind::Sequence(Box::new(SequenceType { elem_type: Some(list()) }))),
            value("maybe", Kind::Optional(Box::new(SequenceType { elem_type: Some(list()) }))),
            value("map", Kind::Map(Box::new(MapType { key_type: 8, value_type: Some(list()) }))),
            value("some", Kind::SparseTensor(image())),
            value("other", Kind::Opaque(Bytes::from_static(b"\x0a\x01d"))),
        ],
        output: vec![value("out", Kind::Tensor(image()))],
        value_info: vec![value("y", Kind::Tensor(image()))],
        quantization_annotation: vec![Bytes::from_static(b"\x0a\x01x")],
        metadata_props: vec![Entry { key: "k".into(), value: "v".into() }],
    };
    let opsets = || vec![OperatorSetId { domain: String::new(), version: 20 }];
    let function = Function {
        name: "f".into(),
        domain: "local".into(),
        input: vec!["a".into()],
        output: vec!["b".into()],
        attribute: vec!["alpha".into()],
        attribute_proto: vec![Attribute {
            name: "beta".into(),
            kind: 1,
            f: Some(2.0),
            ..Attribute::default()
        }],
        node: vec![node("Scale", &["a"], &["b"], vec![])],
        opset_import: opsets(),
        ..Function::default()
    };
    let model = Model {
        ir_version: 10,
        opset_import: opsets(),
        producer_name: "quantray".into(),
        graph: Some(graph),
        functions: vec![function],
        training_info: vec![Bytes::from_static(b"\x0a\x00")],
        ..Model::default()
    };
    let mut made = Vec::new();
    write(model, &mut made).unwrap();
    made
}

/// A source of numbers below a limit.
pub trait Numbers {
    fn below(&mut self, limit: usize) -> usize;
}

/// Bytes that mean something to protobuf: lengths and numbers that end or do not end, keys of each wire type.
const BYTES: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x0b, 0x0c, 0x0d, 0x0f, 0x3a, 0x2a];
/// Numbers as protobuf writes them: the greatest, negative ones, those that overflow what is added to them.
const VARINTS: [&[u8]; 6] = [
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\xff\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x10",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
];

/// A model with a few damages; parts may come from another one.
pub fn damaged(model: &[u8], other: &[u8], numbers: &mut impl Numbers) -> Vec<u8> {
    let mut made = model.to_vec();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(made.len().max(1));
        let part = at..(at + 1 + numbers.below(40)).min(made.len());
        if part.is_empty() {
            return made;
        }
        match numbers.below(10) {
            0 => made[at] ^= 1 << numbers.below(8),
            1 => made[at] = numbers.below(256) as u8,
            2 => made[at] = BYTES[numbers.below(BYTES.len())],
            3 => made.truncate(at),
            4 => drop(made.drain(part)),
            5 => {
                let copy = made[part].to_vec();
                let to = numbers.below(made.len());
                made.splice(to..to, copy);
            }
            6 => {
                let varint = VARINTS[numbers.below(VARINTS.len())];
                made.splice(at..at + 1, varint.iter().copied());
            }
            7 => {
                let from = numbers.below(other.len().max(1));
                let piece = other[from..(from + numbers.below(60)).min(other.len())].to_vec();
                made.splice(at..at, piece);
            }
            8 => made[at] = made[at].wrapping_add(1),
            _ => made.swap(at, part.end - 1),
        }
    }
    made
}
