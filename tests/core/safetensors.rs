//! Headers of safetensors files: what is written is read, what is damaged is refused in words.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quantray_core::safetensors::{Element, Header, widened};

/// A file of this header and these data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn refused(bytes: &[u8], why: &str) {
    let error = Header::read(bytes).unwrap_err();
    assert!(error.contains(why), "{error}");
}

#[test]
fn a_file_of_others_is_read() {
    let header = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[],"data_offsets":[3,5]},
        "a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]},"none":{"dtype":"F32","shape":[0,9],"data_offsets":[5,5]},
        "half":{"dtype":"F4","shape":[2,3],"data_offsets":[5,8]}}  "#;
    let bytes = file(header, &[1, 2, 3, 0, 0x3c, 9, 9, 9]);
    let found = Header::read(&bytes).unwrap();
    assert_eq!(found.metadata["format"], "pt");
    assert_eq!(found.tensors.keys().collect::<Vec<_>>(), ["a", "b", "half", "none"]);
    assert_eq!(bytes[found.tensors["a"].range.clone()], [1, 2, 3]);
    assert_eq!(bytes[found.tensors["b"].range.clone()], [0, 0x3c]);
    assert_eq!((found.tensors["b"].element, found.tensors["b"].shape.len()), (Element::F16, 0));
    assert!(found.tensors["none"].range.is_empty());
    assert_eq!(Header::read(&file("{}", &[])).unwrap().tensors.len(), 0);
}

#[test]
fn what_is_wrong_is_said() {
    let one = |dtype: &str, shape: &str, ends: &str| {
        format!(r#"{{"x":{{"dtype":{dtype},"shape":{shape},"data_offsets":{ends}}}}}"#)
    };
    let good = one(r#""I8""#, "[2]", "[0,2]");
    assert!(Header::read(&file(&good, &[0; 2])).is_ok());
    refused(b"short", "5 bytes are too few");
    refused(
        &[&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
        "18446744073709551615 bytes, of 2 that are there",
    );
    refused(&[&3u64.to_le_bytes()[..], b"{}"].concat(), "its header would have 3 bytes");
    refused(&file("[1]", &[]), "no JSON object");
    refused(&file("{\"x\":", &[]), "no JSON object");
    refused(&file("{\"\u{0}\"}", &[]), "no JSON object");
    refused(&[&1u64.to_le_bytes()[..], &[0xff]].concat(), "no JSON object");
    refused(&file(&"[".repeat(100_000), &[]), "no JSON object");
    refused(&file(r#"{"__metadata__":{"a":1}}"#, &[]), "must map texts to texts");
    refused(&file(r#"{"x":3}"#, &[]), r#"tensor "x": its "dtype" is none of the format, got null"#);
    refused(&file(&one(r#""I9""#, "[2]", "[0,2]"), &[0; 2]), r#"got "I9""#);
    for shape in ["[-1]", "[1.5]", "2", "null", "[\"2\"]", "[18446744073709551616]"] {
        refused(&file(&one(r#""I8""#, shape, "[0,2]"), &[0; 2]), r#"its "shape" must be made of lengths"#);
    }
    for ends in ["[0]", "[0,1,2]", "[2,0]", "[18446744073709551615,18446744073709551615]"] {
        refused(&file(&one(r#""I8""#, "[2]", ends), &[0; 2]), "a beginning and an end");
    }
    refused(&file(&one(r#""I8""#, "[3]", "[0,2]"), &[0; 2]), "2 bytes are not what I8 of shape [3] needs");
    refused(&file(&one(r#""F4""#, "[3]", "[0,2]"), &[0; 2]), "2 bytes are not what F4");
    let large = "[4611686018427387904,4611686018427387904]";
    refused(&file(&one(r#""I8""#, large, "[0,2]"), &[0; 2]), "are not what I8 of shape");
    refused(
        &file(&one(r#""I8""#, "[2]", "[1,3]"), &[0; 3]),
        "its data must begin at 0, where others end, got 1",
    );
    refused(&file(&good, &[0; 3]), "its tensors have 2 bytes, and 3 are there");
    refused(&file(&good, &[0; 1]), "its tensors have 2 bytes, and 1 are there");
    let twice = r#"{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},
        "b":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}"#;
    refused(&file(twice, &[0; 2]), "must begin at 2");
}

#[test]
fn what_has_no_size_is_not_written() {
    let none = BTreeMap::new();
    for (element, shape) in [(Element::F4, vec![3]), (Element::F32, vec![usize::MAX, 2])] {
        let error = Header::write(&[("x".into(), element, shape)], &none).unwrap_err();
        assert!(error.contains("tensor \"x\""), "{error}");
    }
}

#[test]
fn floats_that_numpy_lacks_are_what_their_formats_say() {
    let one = |element, bytes: &[u8]| widened(element, bytes).unwrap()()[0];
    assert_eq!(one(Element::F8_E4M3, &[0x7e]), 448.0);
    assert_eq!(one(Element::F8_E4M3, &[0x01]), 2f32.powi(-9));
    assert!(one(Element::F8_E4M3, &[0xff]).is_nan());
    assert_eq!(one(Element::F8_E5M2, &[0x7b]), 57344.0);
    assert_eq!(one(Element::F8_E5M2, &[0xfc]), f32::NEG_INFINITY);
    assert_eq!(one(Element::F8_E5M2, &[0x01]), 2f32.powi(-16));
    assert_eq!(one(Element::BF16, &[0x80, 0xbf]), -1.0);
    assert!(widened(Element::F32, &[0; 4]).is_none());
}

/// An element and its size in bytes.
const WHOLE: [(Element, usize); 4] =
    [(Element::BOOL, 1), (Element::I8, 1), (Element::BF16, 2), (Element::F64, 8)];

proptest! {
    #[test]
    fn what_is_written_is_read(
        tensors in prop::collection::btree_map(".*", (0usize..4, prop::collection::vec(0usize..4, 0..3)), 0..6),
        metadata in prop::collection::btree_map(".*", ".*", 0..3),
        damage in any::<(prop::sample::Index, u8)>(),
    ) {
        let named: Vec<_> = tensors
            .into_iter()
            .filter(|(name, _)| name != "__metadata__")
            .map(|(name, (kind, shape))| (name, WHOLE[kind].0, shape))
            .collect();
        let (mut bytes, order) = Header::write(&named, &metadata).unwrap();
        prop_assert_eq!(bytes.len() % 8, 0);
        for &i in &order {
            let (_, element, shape) = &named[i];
            let width = WHOLE.iter().find(|(e, _)| e == element).unwrap().1;
            bytes.resize(bytes.len() + width * shape.iter().product::<usize>(), i as u8);
        }
        let found = Header::read(&bytes).unwrap();
        prop_assert_eq!(&found.metadata, &metadata);
        prop_assert_eq!(found.tensors.len(), named.len());
        for (i, (name, element, shape)) in named.iter().enumerate() {
            let tensor = &found.tensors[name];
            prop_assert_eq!((&tensor.element, &tensor.shape), (element, shape));
            prop_assert!(bytes[tensor.range.clone()].iter().all(|&b| b == i as u8));
        }
        // A damaged file is refused, or its tensors still lie in it.
        let at = damage.0.index(bytes.len());
        bytes[at] = damage.1;
        if let Ok(found) = Header::read(&bytes) {
            prop_assert!(found.tensors.values().all(|t| bytes.get(t.range.clone()).is_some()));
        }
    }
}
