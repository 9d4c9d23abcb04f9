//! What fuzz targets share: bytes as arguments, every instruction set in turn, comparison with the plain functions.

#[path = "../../tests/core/common/mod.rs"]
pub mod common;
pub mod convolutions;
#[path = "../../tests/onnx/damage.rs"]
pub mod damage;

use std::fmt::Debug;

use arbitrary::{Result, Unstructured};
use common::{Params, Random, floats};
use quantray_core::affine::Channels;
use quantray_core::arch::Isa;
use quantray_core::gemm::Codes;
use quantray_core::qparams::{DType, check_scale};
use quantray_core::threads;

/// What a fuzzer's bytes stand for. After the last one come zeros.
pub struct Input<'a>(Unstructured<'a>);

impl<'a> Input<'a> {
    /// Those of these bytes.
    pub fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    /// Anything from `least` to `most`.
    pub fn from_to(&mut self, least: usize, most: usize) -> Result<usize> {
        self.0.int_in_range(least..=most)
    }

    /// A truth value.
    pub fn flag(&mut self) -> Result<bool> {
        self.0.arbitrary()
    }

    /// One of some.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> Result<T> {
        self.0.choose(all).copied()
    }

    /// Any bits as a float, NaN included.
    pub fn float(&mut self) -> Result<f32> {
        self.0.arbitrary::<u32>().map(f32::from_bits)
    }

    /// A float that is neither NaN nor infinite.
    pub fn finite(&mut self) -> Result<f32> {
        self.float().map(|x| if x.is_finite() { x } else { 1.0 })
    }

    /// Any integer.
    pub fn integer(&mut self) -> Result<i32> {
        self.0.arbitrary()
    }

    /// A scale that the checks let pass.
    pub fn scale(&mut self) -> Result<f32> {
        let scale = self.float()?.abs();
        Ok(if check_scale("scale", scale.into()).is_ok() { scale } else { 0.05 })
    }

    /// A zero point of this data type.
    pub fn zero_point(&mut self, dtype: DType) -> Result<i32> {
        self.0.int_in_range(dtype.qmin()..=dtype.qmax())
    }

    /// The source of long arrays: more numbers than a fuzzer's bytes could hold.
    pub fn random(&mut self) -> Result<Random> {
        self.0.arbitrary().map(|seed: u64| Random(seed | 1))
    }

    /// So many floats: any bits at first, then awkward ones in steps of `scale`; with NaN only where that is asked for.
    pub fn floats(&mut self, n: usize, scale: f32, nan: bool) -> Result<Vec<f32>> {
        let mut all = floats(n, scale, &mut self.random()?);
        let own = self.from_to(0, n.min(64))?;
        for x in &mut all[..own] {
            *x = self.float()?;
            if x.is_nan() && !nan {
                *x = 0.0;
            }
        }
        Ok(all)
    }

    /// So many bytes: without a pattern, or extreme.
    pub fn bytes(&mut self, n: usize) -> Result<Vec<u8>> {
        let mut random = self.random()?;
        Ok(match self.from_to(0, 3)? {
            0 => vec![self.one_of(&[0, 127, 128, 255])?; n],
            1 => (0..n).map(|_| [0, 127, 128, 255][random.below(4)]).collect(),
            _ => (0..n).map(|_| random.next() as u8).collect(),
        })
    }

    /// An array seen as `outer x channels x inner`, of a few thousand elements at most.
    pub fn layout(&mut self) -> Result<Channels> {
        let channels = self.from_to(1, 40)?;
        let outer = self.from_to(0, 20)?;
        let short = self.flag()?;
        let inner = self.from_to(1, if short { 3 } else { 80 })?;
        Ok(Channels { outer, channels, inner })
    }

    /// Parameters of a data type, for an array of this layout.
    pub fn params(&mut self, dtype: DType, layout: Channels) -> Result<Params> {
        let n = layout.channels;
        let scales = |input: &mut Self| (0..n).map(|_| input.scale()).collect::<Result<Vec<_>>>();
        Ok(match self.from_to(0, 2)? {
            0 => Params::Tensor(self.scale()?, self.zero_point(dtype)?),
            1 => {
                let zero_points = (0..n).map(|_| self.zero_point(dtype)).collect::<Result<_>>()?;
                Params::Channel(scales(self)?, zero_points, layout)
            }
            _ if matches!(dtype, DType::QInt8 | DType::QInt32) => {
                Params::Tensor(self.scale()?, self.zero_point(dtype)?)
            }
            _ => {
                let zero_points = (0..n).map(|_| self.finite()).collect::<Result<_>>()?;
                Params::Float(scales(self)?, zero_points, layout)
            }
        })
    }
}

/// Bytes that are codes of either sign.
pub struct Memory {
    unsigned: Vec<u8>,
    signed: Vec<i8>,
    /// Which of them they are.
    pub dtype: DType,
}

impl Memory {
    /// So many of them.
    pub fn new(input: &mut Input<'_>, n: usize) -> Result<Self> {
        let dtype = input.one_of(&[DType::QUInt8, DType::QInt8])?;
        let unsigned = input.bytes(n)?;
        let signed = unsigned.iter().map(|&b| b as i8).collect();
        Ok(Self { unsigned, signed, dtype })
    }

    /// As kernels take them.
    pub fn codes(&self) -> Codes<'_> {
        match self.dtype {
            DType::QInt8 => Codes::I8(&self.signed),
            _ => Codes::U8(&self.unsigned),
        }
    }
}

/// Runs something on every instruction set that this CPU has, alone and, where `shared`, with two threads.
pub fn everywhere(shared: bool, mut f: impl FnMut(Isa, &str)) {
    for &isa in Isa::available() {
        Isa::set_current(isa).expect("it is available");
        for count in 1..=1 + usize::from(shared) {
            threads::set_num_threads(count).expect("not 0");
            f(isa, &format!("{} x {count}", isa.name()));
        }
    }
}

/// What a float is compared by, so that NaN is itself and zeros have signs.
pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Panics at the first difference.
#[track_caller]
pub fn same<T: PartialEq + Debug>(got: &[T], want: &[T], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    if let Some(i) = (0..want.len()).find(|&i| got[i] != want[i]) {
        panic!("{what}: {:?}, not {:?}, at {i} of {}", got[i], want[i], want.len());
    }
}

/// What NaN is reported as, if there is any.
pub fn nan(x: &[f32]) -> Option<quantray_core::error::Stopped> {
    let first = x.iter().position(|x| x.is_nan())?;
    Some(quantray_core::error::Stopped::Nan { count: x.iter().filter(|x| x.is_nan()).count(), first })
}

/// A fuzz target: a function of an [`Input`].
#[macro_export]
macro_rules! target {
    ($function:path) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            // Too few bytes are no finding.
            let _ = $function(&mut $crate::Input::new(data));
        });
    };
}
