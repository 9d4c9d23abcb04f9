//! The element types of tensors.

/// An element type of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Its number in `TensorProto.DataType`.
    pub code: i32,
    /// NumPy's name of it, or the one that NumPy's conventions would give.
    pub name: &'static str,
    /// How many bits an element takes in raw data; 0 for texts.
    pub bits: u64,
    /// Where elements lie that are not raw.
    pub field: Field,
}

/// The field of a tensor that holds its elements as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `float_data`; complex64 takes two.
    Float,
    /// `int32_data`, each a signed integer.
    Int32,
    /// `int32_data`, each an unsigned integer.
    Uint32,
    /// `int32_data`, each the bits of an element, or of as many small ones as fit a byte.
    Bits,
    /// `int64_data`.
    Int64,
    /// `uint64_data`.
    Uint64,
    /// `double_data`; complex128 takes two.
    Double,
    /// `string_data`.
    Strings,
}

const fn element(code: i32, name: &'static str, bits: u64, field: Field) -> Element {
    Element { code, name, bits, field }
}

/// All of them, by their numbers, which begin at 1.
pub const ELEMENTS: [Element; 28] = [
    element(1, "float32", 32, Field::Float),
    element(2, "uint8", 8, Field::Uint32),
    element(3, "int8", 8, Field::Int32),
    element(4, "uint16", 16, Field::Uint32),
    element(5, "int16", 16, Field::Int32),
    element(6, "int32", 32, Field::Int32),
    element(7, "int64", 64, Field::Int64),
    element(8, "string", 0, Field::Strings),
    element(9, "bool", 8, Field::Uint32),
    element(10, "float16", 16, Field::Bits),
    element(11, "float64", 64, Field::Double),
    element(12, "uint32", 32, Field::Uint64),
    element(13, "uint64", 64, Field::Uint64),
    element(14, "complex64", 64, Field::Float),
    element(15, "complex128", 128, Field::Double),
    element(16, "bfloat16", 16, Field::Bits),
    element(17, "float8e4m3fn", 8, Field::Bits),
    element(18, "float8e4m3fnuz", 8, Field::Bits),
    element(19, "float8e5m2", 8, Field::Bits),
    element(20, "float8e5m2fnuz", 8, Field::Bits),
    element(21, "uint4", 4, Field::Bits),
    element(22, "int4", 4, Field::Bits),
    element(23, "float4e2m1", 4, Field::Bits),
    element(24, "float8e8m0", 8, Field::Bits),
    element(25, "uint2", 2, Field::Bits),
    element(26, "int2", 2, Field::Bits),
    element(27, "float6e2m3", 6, Field::Bits),
    element(28, "float6e3m2", 6, Field::Bits),
];

impl Element {
    /// The one with a number.
    ///
    /// # Errors
    /// What is wrong with the number.
    pub fn of(code: i32) -> Result<Self, String> {
        let found = usize::try_from(code).ok().and_then(|c| ELEMENTS.get(c.wrapping_sub(1)));
        found.copied().ok_or_else(|| match code {
            0 => "has no element type".to_owned(),
            _ => format!(
                "has the element type {code}, which is unknown: valid are 1 (float32) to {} ({})",
                ELEMENTS.len(),
                ELEMENTS[ELEMENTS.len() - 1].name
            ),
        })
    }

    /// The number of bytes that so many elements take in raw data, if that is a number of bytes at all.
    pub fn bytes(&self, count: u64) -> Option<u64> {
        count.checked_mul(self.bits).map(|bits| bits.div_ceil(8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (i, e) in ELEMENTS.iter().enumerate() {
            assert_eq!(e.code as usize, i + 1);
            assert_eq!(Element::of(e.code), Ok(*e));
        }
        for code in [i32::MIN, -1, 0, 29, i32::MAX] {
            assert!(Element::of(code).is_err());
        }
    }

    #[test]
    fn small_elements_share_bytes() {
        let bytes = |code: i32, n| Element::of(code).unwrap().bytes(n);
        assert_eq!(bytes(22, 5), Some(3));
        assert_eq!(bytes(25, 5), Some(2));
        assert_eq!(bytes(28, 5), Some(4));
        assert_eq!(bytes(15, 5), Some(80));
        assert_eq!(bytes(1, u64::MAX), None);
    }
}
