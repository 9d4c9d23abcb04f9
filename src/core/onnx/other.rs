//! Files that are handed in by mistake.

/// The kinds of files that people have beside ONNX files, by their first bytes, and what to do with each.
const BEGINNINGS: [(&[u8], &str); 12] = [
    (
        b"PK\x03\x04",
        "a zip archive, as torch.save, Keras and numpy.savez write: export the model with torch.onnx.export",
    ),
    (b"\x80\x02", "a pickle, as torch.save wrote once: export the model with torch.onnx.export"),
    (b"\x80\x04", "a pickle: export the model from the program that made it"),
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes: export the model with tf2onnx"),
    (b"GGUF", "a GGUF file"),
    (b"\x1f\x8b", "compressed with gzip: decompress it first"),
    (
        b"version https://git-lfs",
        "a pointer to a file in Git LFS, which was not downloaded: use git lfs pull",
    ),
    (b"<!DOCTYPE", "a page of HTML, as a failed download leaves"),
    (b"<html", "a page of HTML, as a failed download leaves"),
    (b"<?xml", "XML, as OpenVINO's models are described in: hand in the ONNX file that it was made from"),
    (
        b"ir_version",
        "ONNX as text: write it with onnx.save(onnx.load(path, format=\"textproto\"), \"model.onnx\")",
    ),
    (b"<", "text, perhaps ONNX's: onnx.parser.parse_model reads it, onnx.save writes it in binary form"),
];

/// What a file is that is no ONNX file, where its first bytes say so.
pub fn recognized(file: &[u8]) -> Option<&'static str> {
    let text = file.iter().position(|b| !b.is_ascii_whitespace()).map_or(file, |at| &file[at..]);
    let begins = BEGINNINGS.iter().find(|(magic, _)| file.starts_with(magic) || text.starts_with(magic));
    match (begins, file.get(4..8), file.get(8), text.first()) {
        (Some((_, what)), ..) => Some(what),
        (_, Some(b"TFL3"), ..) => Some("a TensorFlow Lite model: convert it with tf2onnx"),
        (_, Some(b"ORTM"), ..) => {
            Some("in onnxruntime's own format: hand in the ONNX file that it was made from")
        }
        (_, _, Some(b'{'), _) => Some("a safetensors file: quantray.load reads it"),
        (.., Some(b'{' | b'[')) => Some("JSON"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::recognized;

    #[test]
    fn others_are_known_by_their_first_bytes() {
        let header = b"\x10\0\0\0\0\0\0\0{\"x\": 1}";
        for (file, word) in [
            (&b"PK\x03\x04rest"[..], "zip"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            (header, "safetensors"),
            (b"\n {\"a\": 1}", "JSON"),
            (b"< ir_version: 8 >", "text"),
            (b"ir_version: 8", "text"),
        ] {
            assert!(recognized(file).unwrap().contains(word));
        }
        for file in [&b""[..], b"\x08\x07", b"\n", b"\x08\x08\x12\x07pytorch"] {
            assert_eq!(recognized(file), None);
        }
    }
}
