//! What the machine has, and what of it is used.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use quantray_core::arch::{self, Isa};
use quantray_core::threads;

use crate::error::Error;

/// What the kernels run on: for bug reports, and to see what `QUANTRAY_ISA` and `set_isa` do.
///
/// Returns
/// -------
/// dict
///     `isa`: the instruction set in use; `available`: those that this CPU has, the plainest first; `num_threads`;
///     `last_level_cache`: bytes; `QUANTRAY_ISA`, `QUANTRAY_NUM_THREADS`: what the environment says, or None.
///
/// >>> import quantray as qt
/// >>> qt.cpu_info()["isa"] in qt.cpu_info()["available"]
/// True
#[pyfunction]
pub fn cpu_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("isa", Isa::current().name())?;
    info.set_item("available", Isa::available().iter().map(|i| i.name()).collect::<Vec<_>>())?;
    info.set_item("num_threads", threads::num_threads())?;
    info.set_item("last_level_cache", arch::last_level_cache())?;
    for name in ["QUANTRAY_ISA", "QUANTRAY_NUM_THREADS"] {
        info.set_item(name, std::env::var(name).ok())?;
    }
    Ok(info)
}

/// Chooses the instruction set of all kernels, for tests and to narrow down a bug. Results are the same on all.
///
/// Parameters
/// ----------
/// name : str
///     One of `cpu_info()["available"]`.
///
/// >>> import quantray as qt
/// >>> best = qt.cpu_info()["isa"]
/// >>> qt.set_isa("scalar")
/// >>> qt.set_isa(best)
#[pyfunction]
pub fn set_isa(name: &str) -> PyResult<()> {
    let available = || Isa::available().iter().map(|i| i.name()).collect::<Vec<_>>().join(", ");
    let isa = Isa::from_name(name).filter(|i| Isa::available().contains(i));
    let isa = isa.ok_or_else(|| {
        Error::value("name", format!("{name:?}"), format!("an instruction set of this CPU: {}", available()))
    })?;
    Ok(arch::Isa::set_current(isa).map_err(Error)?)
}

/// Sets how many threads share the work of large arrays.
///
/// Parameters
/// ----------
/// num_threads : int
///     At least 1, which never leaves the calling thread. By default as many as the CPUs this process may use, or
///     what the environment variable `QUANTRAY_NUM_THREADS` says.
///
/// >>> import quantray as qt
/// >>> before = qt.get_num_threads()
/// >>> qt.set_num_threads(1)
/// >>> qt.get_num_threads()
/// 1
/// >>> qt.set_num_threads(before)
///
/// Source: `torch.set_num_threads`.
#[pyfunction]
pub fn set_num_threads(num_threads: isize) -> PyResult<()> {
    let n =
        usize::try_from(num_threads).map_err(|_| Error::value("num_threads", num_threads, "at least 1"))?;
    Ok(threads::set_num_threads(n).map_err(Error)?)
}

/// How many threads share the work of large arrays.
///
/// Source: `torch.get_num_threads`.
#[pyfunction]
pub fn get_num_threads() -> usize {
    threads::num_threads()
}
