//! Where the elements of a tensor lie, and whether all of them are there.

use bytes::Bytes;

use super::elements::{Element, Field};
use super::messages::{SparseTensor, Tensor};

/// The elements of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Little-endian and without gaps, in the file.
    Raw(Bytes),
    /// The same, put together from numbers.
    Own(Vec<u8>),
    /// Texts, by the format's word in UTF-8.
    Strings(Vec<Bytes>),
    /// Raw in another file.
    External(External),
}

/// Where in another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// Its path, from the folder of the model.
    pub location: String,
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// `data_location` of tensors in other files.
pub const EXTERNAL: i32 = 1;

/// The element type of a tensor and how many elements its shape means.
fn size(t: &Tensor) -> Result<(Element, u64), String> {
    let element = Element::of(t.data_type)?;
    Ok((element, count(&t.dims)?))
}

/// How many axes a NumPy array can have, in all versions of NumPy.
const AXES: usize = 32;
/// How many bytes an element takes at most, once it is unpacked.
const WIDEST: u64 = 16;

/// How many elements a shape means; the number of their bytes must be one that memory can have.
fn count(dims: &[i64]) -> Result<u64, String> {
    if dims.len() > AXES {
        return Err(format!("has {} axes: valid are at most {AXES}", dims.len()));
    }
    if let Some(d) = dims.iter().find(|&&d| d < 0) {
        return Err(format!("has the length {d} in its shape {dims:?}: valid are 0 and more"));
    }
    // A length of 0 makes the others harmless for the product, but NumPy multiplies those, too.
    let all = dims.iter().filter(|&&d| d > 0).try_fold(1u64, |n, &d| n.checked_mul(d as u64));
    let held = all.and_then(|n| n.checked_mul(WIDEST)).filter(|&n| n <= i64::MAX as u64);
    match (all, held) {
        (Some(_), Some(_)) if dims.contains(&0) => Ok(0),
        (Some(n), Some(_)) => Ok(n),
        _ => Err(format!("has the shape {dims:?}, more elements than memory can have")),
    }
}

/// How many numbers of its typed field so many elements take.
fn numbers(element: Element, count: u64) -> u64 {
    match element.bits {
        4 => count.div_ceil(2),
        2 => count.div_ceil(4),
        64 if element.field == Field::Float => 2 * count,
        128 => 2 * count,
        _ => count,
    }
}

/// Checks that a tensor's elements are there, all of them and no others. Allocates nothing.
///
/// # Errors
/// What is wrong with it.
pub fn check(t: &Tensor) -> Result<(), String> {
    let (element, count) = size(t)?;
    if t.segment.is_some() {
        return Err("is one segment of a tensor: valid are whole tensors".into());
    }
    let lengths = [
        (t.float_data.len(), "float_data", element.field == Field::Float),
        (
            t.int32_data.len(),
            "int32_data",
            matches!(element.field, Field::Int32 | Field::Uint32 | Field::Bits),
        ),
        (t.int64_data.len(), "int64_data", element.field == Field::Int64),
        (t.uint64_data.len(), "uint64_data", element.field == Field::Uint64),
        (t.double_data.len(), "double_data", element.field == Field::Double),
        (t.string_data.len(), "string_data", element.field == Field::Strings),
    ];
    let name = element.name;
    if let Some((_, field, _)) = lengths.iter().find(|(n, _, own)| *n > 0 && !own) {
        let own = lengths.iter().find(|(_, _, own)| *own).map_or("", |(_, field, _)| field);
        return Err(format!("is of {name} and has its elements in {field}: valid are raw_data and {own}"));
    }
    let (there, field, _) = *lengths.iter().find(|(_, _, own)| *own).expect("each element type has a field");
    if t.data_location == EXTERNAL {
        if there > 0 || t.raw_data.is_some() {
            return Err("has its elements in another file and in this one".into());
        }
        return external(t).map(|_| ());
    }
    if t.data_location != 0 {
        let at = t.data_location;
        return Err(format!("has the data_location {at}: valid are 0 (this file) and 1 (another)"));
    }
    if let Some(raw) = &t.raw_data {
        if element.field == Field::Strings {
            return Err("is of texts and has raw_data: valid is string_data".into());
        }
        if there > 0 {
            return Err(format!("has its elements twice, in raw_data and in {field}"));
        }
        let want = element.bytes(count).unwrap_or(u64::MAX);
        if raw.len() as u64 != want {
            let dims = &t.dims;
            return Err(format!("has {} bytes, and {name} of shape {dims:?} takes {want}", raw.len()));
        }
        return Ok(());
    }
    let want = numbers(element, count);
    if there as u64 != want {
        let dims = &t.dims;
        return Err(format!("has {there} elements in {field}, and {name} of shape {dims:?} takes {want}"));
    }
    match element.field {
        Field::Int32 => all_within(&t.int32_data, element, -(1i64 << (element.bits - 1))),
        Field::Uint32 => all_within(&t.int32_data, element, 0),
        Field::Uint64 if element.bits == 32 => {
            let over = t.uint64_data.iter().find(|&&v| v > u64::from(u32::MAX));
            over.map_or(Ok(()), |v| Err(format!("has the element {v}, which is no uint32")))
        }
        _ => Ok(()),
    }
}

/// Whether all are integers of their type, whose least is given.
fn all_within(values: &[i32], element: Element, least: i64) -> Result<(), String> {
    let most = match element.name {
        "bool" => 1,
        _ => least + (1i64 << element.bits) - 1,
    };
    let out = values.iter().find(|&&v| !(least..=most).contains(&i64::from(v)));
    out.map_or(Ok(()), |v| Err(format!("has the element {v}, which is no {}", element.name)))
}

/// Where in another file.
fn external(t: &Tensor) -> Result<External, String> {
    let (element, count) = size(t)?;
    if element.field == Field::Strings {
        return Err("is of texts and has its elements in another file: valid is string_data".into());
    }
    let want = element.bytes(count).unwrap_or(u64::MAX);
    let find = |key: &str| t.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let number = |key: &str| match find(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
            format!("has the {key} {text:?} in its external data: valid is a number of bytes, at least 0")
        }),
    };
    let location =
        find("location").filter(|l| !l.is_empty()).ok_or("has external data without a location")?;
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(want);
    if length != want {
        let (name, dims) = (element.name, &t.dims);
        return Err(format!(
            "has {length} bytes of external data, and {name} of shape {dims:?} takes {want}"
        ));
    }
    match offset.checked_add(length) {
        Some(_) => Ok(External { location: location.into(), offset, length }),
        None => Err(format!("has the offset {offset} in its external data, which no file can have")),
    }
}

/// The elements of a tensor.
///
/// # Errors
/// What [`check`] finds.
pub fn data(t: &Tensor) -> Result<Data, String> {
    check(t)?;
    if t.data_location == EXTERNAL {
        return external(t).map(Data::External);
    }
    if let Some(raw) = &t.raw_data {
        return Ok(Data::Raw(raw.clone()));
    }
    let (element, count) = size(t)?;
    Ok(Data::Own(match element.field {
        Field::Strings => return Ok(Data::Strings(t.string_data.clone())),
        Field::Float => joined(&t.float_data, f32::to_le_bytes),
        Field::Double => joined(&t.double_data, f64::to_le_bytes),
        Field::Int64 => joined(&t.int64_data, i64::to_le_bytes),
        Field::Uint64 if element.bits == 32 => joined(&t.uint64_data, |v| (v as u32).to_le_bytes()),
        Field::Uint64 => joined(&t.uint64_data, u64::to_le_bytes),
        Field::Int32 | Field::Uint32 | Field::Bits => match element.bits {
            32 => joined(&t.int32_data, i32::to_le_bytes),
            16 => joined(&t.int32_data, |v| (v as u16).to_le_bytes()),
            6 => six_bits(&t.int32_data, element.bytes(count).unwrap_or(0)),
            _ => joined(&t.int32_data, |v| [v as u8]),
        },
    }))
}

/// The bytes of numbers.
fn joined<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut made = crate::memory::room(values.len() * N);
    values.iter().for_each(|&v| made.extend(bytes(v)));
    made
}

/// Elements of 6 bits, one after the other, the first in the lowest bits.
fn six_bits(values: &[i32], len: u64) -> Vec<u8> {
    let mut made = crate::memory::filled(len as usize, 0u8);
    for (i, &v) in values.iter().enumerate() {
        let (at, shift) = (6 * i / 8, 6 * i % 8);
        let [low, high] = (((v as u16) & 63) << shift).to_le_bytes();
        made[at] |= low;
        if high > 0 {
            made[at + 1] |= high;
        }
    }
    made
}

/// Checks the parts of a sparse tensor: as many positions as values, of one axis or of all.
///
/// # Errors
/// What is wrong with it.
pub fn check_sparse(t: &SparseTensor) -> Result<(), String> {
    let (Some(values), Some(indices)) = (&t.values, &t.indices) else {
        return Err("is sparse and lacks its values or its indices".into());
    };
    check(values).map_err(|e| format!("{e} (its values)"))?;
    check(indices).map_err(|e| format!("{e} (its indices)"))?;
    count(&t.dims)?;
    let held = match (&values.dims[..], &indices.dims[..]) {
        ([n], [m]) => n == m,
        ([n], [m, axes]) => n == m && *axes == t.dims.len() as i64,
        _ => false,
    };
    if !held || indices.data_type != 7 {
        return Err(format!(
            "is sparse, of shape {:?}, with values of shape {:?} and indices of shape {:?}: valid are [n], and [n] or \
             [n, axes] of int64",
            t.dims, values.dims, indices.dims
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(data_type: i32, dims: &[i64]) -> Tensor {
        Tensor { data_type, dims: dims.into(), ..Tensor::default() }
    }

    #[test]
    fn numbers_become_bytes() {
        let half = Tensor { int32_data: vec![0x3c00, 0xc000], ..tensor(10, &[2]) };
        assert_eq!(data(&half), Ok(Data::Own(vec![0, 0x3c, 0, 0xc0])));
        let nibbles = Tensor { int32_data: vec![0x21, 0x03], ..tensor(21, &[3]) };
        assert_eq!(data(&nibbles), Ok(Data::Own(vec![0x21, 3])));
        // onnx.proto: byte0 = x0 | (x1 & 3) << 6, byte1 = x1 >> 2 | (x2 & 15) << 4, byte2 = x2 >> 4 | x3 << 2.
        let [a, b, c, d, e] = [1, 63, 37, 22, 42];
        let six = Tensor { int32_data: vec![a, b, c, d, e], ..tensor(27, &[5]) };
        let want = [a | (b & 3) << 6, b >> 2 | (c & 15) << 4, c >> 4 | d << 2, e];
        assert_eq!(data(&six), Ok(Data::Own(want.map(|v| v as u8).to_vec())));
    }

    #[test]
    fn sizes_are_compared_before_anything_is_allocated() {
        let huge = Tensor { raw_data: Some(Bytes::from_static(&[0; 8])), ..tensor(1, &[1 << 40, 1 << 20]) };
        assert!(check(&huge).unwrap_err().contains("more elements than memory can have"));
        let large = Tensor { dims: vec![1 << 40, 1 << 10], ..huge };
        assert!(check(&large).unwrap_err().contains("takes 4503599627370496"));
        assert!(check(&tensor(1, &[1; 33])).unwrap_err().contains("33 axes"));
        for dims in [&[i64::MAX, 2][..], &[i64::MAX], &[0, i64::MAX, i64::MAX], &[-1]] {
            assert!(check(&tensor(1, dims)).unwrap_err().contains("shape"), "{dims:?}");
        }
        assert_eq!(check(&tensor(1, &[3, 0])), Ok(()));
    }

    #[test]
    fn integers_lie_within_their_type() {
        for (code, value) in [(3, 128), (3, -129), (2, -1), (2, 256), (9, 2), (5, 1 << 15), (4, 1 << 16)] {
            let t = Tensor { int32_data: vec![0, value], ..tensor(code, &[2]) };
            assert!(check(&t).unwrap_err().contains(&value.to_string()));
        }
    }
}
