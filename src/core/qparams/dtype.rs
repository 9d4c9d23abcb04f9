//! Data types and schemes.

/// What an element of a quantized tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// Signed, 8 bits.
    QInt8,
    /// Unsigned, 8 bits.
    QUInt8,
    /// Signed, 32 bits: biases and accumulators.
    QInt32,
    /// Unsigned, 4 bits, two to a byte, the first in the low bits.
    QUInt4x2,
    /// Unsigned, 2 bits, four to a byte, the first in the lowest bits.
    QUInt2x4,
}

impl DType {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::QInt8, Self::QUInt8, Self::QInt32, Self::QUInt4x2, Self::QUInt2x4];

    /// torch's name, without `torch.`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QInt8 => "qint8",
            Self::QUInt8 => "quint8",
            Self::QInt32 => "qint32",
            Self::QUInt4x2 => "quint4x2",
            Self::QUInt2x4 => "quint2x4",
        }
    }

    /// The NumPy dtype of the memory that holds the codes.
    pub const fn numpy_name(self) -> &'static str {
        match self {
            Self::QInt8 => "int8",
            Self::QInt32 => "int32",
            Self::QUInt8 | Self::QUInt4x2 | Self::QUInt2x4 => "uint8",
        }
    }

    /// Bits of one element.
    pub const fn bits(self) -> usize {
        match self {
            Self::QInt8 | Self::QUInt8 => 8,
            Self::QInt32 => 32,
            Self::QUInt4x2 => 4,
            Self::QUInt2x4 => 2,
        }
    }

    /// Bytes of one unit of memory.
    pub const fn item_size(self) -> usize {
        match self {
            Self::QInt32 => 4,
            _ => 1,
        }
    }

    /// Elements that share one unit of memory.
    pub const fn elements_per_item(self) -> usize {
        match self {
            Self::QUInt4x2 => 2,
            Self::QUInt2x4 => 4,
            _ => 1,
        }
    }

    /// Whether several elements share a byte.
    pub const fn is_packed(self) -> bool {
        self.elements_per_item() > 1
    }

    /// Whether codes below 0 exist.
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::QInt8 | Self::QInt32)
    }

    /// The smallest code.
    pub const fn qmin(self) -> i32 {
        match self {
            Self::QInt8 => i8::MIN as i32,
            Self::QInt32 => i32::MIN,
            _ => 0,
        }
    }

    /// The largest code.
    pub const fn qmax(self) -> i32 {
        match self {
            Self::QInt8 => i8::MAX as i32,
            Self::QUInt8 => u8::MAX as i32,
            Self::QInt32 => i32::MAX,
            Self::QUInt4x2 => 15,
            Self::QUInt2x4 => 3,
        }
    }

    /// The one zero point of a symmetric scheme: 0 where codes are signed, the middle of the range otherwise.
    pub const fn symmetric_zero_point(self) -> i32 {
        if self.is_signed() { 0 } else { (self.qmax() + 1) / 2 }
    }
}

/// How codes map to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// One scale and one zero point.
    PerTensorAffine,
    /// One scale; the zero point lies in the middle.
    PerTensorSymmetric,
    /// A scale and a zero point for each position along one axis.
    PerChannelAffine,
    /// A scale for each position along one axis; the zero point lies in the middle.
    PerChannelSymmetric,
    /// As `PerChannelAffine`, with float32 zero points that are added before rounding.
    PerChannelAffineFloatQParams,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::PerTensorAffine,
        Self::PerTensorSymmetric,
        Self::PerChannelAffine,
        Self::PerChannelSymmetric,
        Self::PerChannelAffineFloatQParams,
    ];

    /// torch's name, without `torch.`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerTensorAffine => "per_tensor_affine",
            Self::PerTensorSymmetric => "per_tensor_symmetric",
            Self::PerChannelAffine => "per_channel_affine",
            Self::PerChannelSymmetric => "per_channel_symmetric",
            Self::PerChannelAffineFloatQParams => "per_channel_affine_float_qparams",
        }
    }

    /// Whether there is one pair of parameters for the whole tensor.
    pub const fn is_per_tensor(self) -> bool {
        matches!(self, Self::PerTensorAffine | Self::PerTensorSymmetric)
    }

    /// Whether the zero point is fixed in the middle.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::PerTensorSymmetric | Self::PerChannelSymmetric)
    }

    /// The scheme of one channel on its own.
    pub const fn per_tensor(self) -> Self {
        if self.is_symmetric() { Self::PerTensorSymmetric } else { Self::PerTensorAffine }
    }
}
