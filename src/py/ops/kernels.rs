//! What operators run on, in words.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use quantray_core::arch::{self, Isa};
use quantray_core::weight_only::{floats_from, wide_isa};

use crate::array::integer;
use crate::error::Error;

/// What an instruction set multiplies with.
fn means(isa: Isa) -> &'static str {
    match isa {
        Isa::Scalar => "no vector instructions: plain loops",
        Isa::Avx2 => "vpmaddwd on 16-bit integers, which never saturates",
        Isa::AvxVnni | Isa::Avx512Vnni => "vpdpbusd, four products of 8-bit integers in each sum",
        Isa::Avx512 => "vpmaddwd on 16-bit integers, 512 bits wide, which never saturates",
        Isa::Amx => "tdpbusd and its kin, on tiles of 16 rows of 64 bytes",
        Isa::Neon => "smlal on 16-bit integers",
        Isa::Dotprod => "sdot, four products of 8-bit integers in each sum",
        Isa::I8mm => "smmla, blocks of 2 by 8 by 2",
    }
}

/// What an instruction set multiplies float inputs of so many bits and codes with: digit by digit.
fn means_wide(isa: Isa, bits: usize) -> String {
    let (instruction, digit) = match isa {
        Isa::Avx512Vnni | Isa::Amx => ("vpdpbusd", 8),
        Isa::Dotprod => ("sdot", 8),
        Isa::I8mm => ("smmla", 8),
        _ => ("16-bit products", 16),
    };
    let digits = match bits.div_ceil(digit) {
        1 => "",
        2 => "the two digits of ",
        _ => "the three digits of ",
    };
    format!("{instruction} on {digits}float inputs as integers of {bits} bits")
}

/// Why an operator that is packed for `isa` is, with what that multiplies with: in words, for `explain`.
fn reason(isa: Isa, means: &str) -> String {
    let name = |isa: &Isa| isa.name();
    let better: Vec<_> = Isa::available().iter().filter(|&&other| other > isa).map(name).collect();
    let why = match better.is_empty() {
        true => format!("the best that this CPU has of {}", names(Isa::available())),
        false => format!("chosen by set_isa or QUANTRAY_ISA; this CPU also has {}", better.join(", ")),
    };
    format!("{}: {}; {why}", isa.name(), means)
}

fn names(all: &[Isa]) -> String {
    all.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ")
}

/// Which kernel a packed operator runs, and why.
///
/// Parameters
/// ----------
/// op : PackedLinear, PackedConv2d, ...
///     A packed operator.
///
/// Returns
/// -------
/// str
///     One line for the kernel and the choice, one for the operator.
///
/// >>> import quantray as qt
/// >>> linear = qt.ops.PackedLinear(qt.quantize_per_tensor([[1.0]], 0.1, 0, qt.qint8))
/// >>> print(qt.ops.explain(linear).splitlines()[0].split(":")[0] == linear.kernel)
/// True
#[pyfunction]
pub fn explain(op: &Bound<'_, PyAny>) -> PyResult<String> {
    let kernel: Option<String> = op.getattr("kernel").and_then(|k| k.extract()).ok();
    let Some(isa) = kernel.as_deref().and_then(Isa::from_name) else {
        let got = crate::array::describe(op);
        return Err(Error::type_("op", got, "a packed operator, such as PackedLinear").into());
    };
    if let Ok(linear) = op.cast::<super::PackedWeightOnlyLinear>() {
        let current = Isa::current();
        let lacking = match wide_isa(current) != current && isa < current {
            true => format!("\n{} has no kernel for these products", current.name()),
            false => String::new(),
        };
        let bits = linear.getattr("input_bits")?.extract()?;
        let many = match floats_from(isa) {
            rows if bits == 24 && rows < usize::MAX => {
                format!("\nfrom {rows} rows on: the weights written out as floats, and products of float32")
            }
            _ => String::new(),
        };
        return Ok(format!("{}{many}{lacking}\n{}", reason(isa, &means_wide(isa, bits)), linear.repr()?));
    }
    let extra = match op.repr()?.to_string().contains("depthwise") {
        true => "\ndepthwise: each output meets one channel, so that vectors hold channels side by side",
        false => "",
    };
    Ok(format!("{}{extra}\n{}", reason(isa, means(isa)), op.repr()?))
}

/// What the registers of one core can do, to measure operators against: exact products of 8-bit integers and their
/// sums, and those of float32 by fused multiply-add, without reading memory. Takes a few hundredths of a second.
///
/// Returns
/// -------
/// dict
///     10^9 operations a second by the name of an instruction set, as in `cpu_info()["available"]`, and for "float32".
///     Empty on a CPU that has no probe.
///
/// >>> import quantray as qt
/// >>> all(gops > 0 for gops in qt.ops.peaks().values())
/// True
#[pyfunction]
pub fn peaks(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let found = py.detach(arch::peaks);
    let dict = PyDict::new(py);
    for (name, gops) in found {
        dict.set_item(name, gops)?;
    }
    Ok(dict)
}

/// How fast one core reads memory again that it has read before, to measure operators against that read large weights
/// for few rows: from the nearest cache that holds as many bytes. Takes some tenths of a second where that is memory.
///
/// Parameters
/// ----------
/// nbytes : int
///     How many bytes it reads, as an operator's weight has: `linear.nbytes`. From 1 to 2^30.
///
/// Returns
/// -------
/// float
///     Bytes a second: the best of several ways to read and of many times each.
///
/// Raises
/// ------
/// ValueError
///     For any other number of bytes.
///
/// >>> import quantray as qt
/// >>> qt.ops.read_bandwidth(1 << 16) > 1e8
/// True
#[pyfunction]
pub fn read_bandwidth(py: Python<'_>, nbytes: &Bound<'_, PyAny>) -> PyResult<f64> {
    let n = integer(nbytes, "nbytes")?;
    match usize::try_from(n) {
        Ok(n) if (1..=1 << 30).contains(&n) => Ok(py.detach(|| arch::read_bandwidth(n))),
        _ => Err(Error::value("nbytes", n, "from 1 to 2^30").into()),
    }
}
