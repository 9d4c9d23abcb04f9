//! Where to go from names of torch that are left out on purpose.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;

use super::QTensor;

/// Names that QTensor does not have, and what to write instead.
const LEFT_OUT: [(&[&str], &str); 14] = [
    (
        &[
            "cuda",
            "is_cuda",
            "xpu",
            "is_xpu",
            "mps",
            "is_mps",
            "hpu",
            "ipu",
            "is_ipu",
            "is_mtia",
            "is_maia",
            "is_vulkan",
            "is_xla",
            "mtia",
            "is_hpu",
        ],
        "arrays live in the CPU's memory; q.device is always \"cpu\"",
    ),
    (
        &["pin_memory", "is_pinned", "share_memory_", "is_shared", "record_stream"],
        "memory is NumPy's; multiprocessing and joblib move a QTensor by pickle without a copy",
    ),
    (
        &["to_mkldnn", "is_mkldnn", "to_sparse", "is_sparse_csr", "to_sparse_csr", "coalesce", "is_meta"],
        "there is one layout, the strided one; q.dequantize() gives an array for other libraries",
    ),
    (
        &[
            "grad",
            "grad_fn",
            "backward",
            "requires_grad_",
            "retain_grad",
            "register_hook",
            "is_inference",
            "slice_inverse",
        ],
        "integers have no gradient; train floats with quantray.quantization.FakeQuantize or quantray.nn.qat",
    ),
    (
        &[
            "put",
            "put_",
            "itemset",
            "scatter_",
            "index_copy_",
            "index_add_",
            "index_fill_",
            "masked_scatter_",
            "scatter",
        ],
        "assign instead: q[index] = values, which are requantized to the tensor's grid",
    ),
    (
        &["data", "storage", "untyped_storage", "set_", "ctypes"],
        "q.int_repr() is the NumPy array of the codes, in the same memory",
    ),
    (
        &["float", "double", "half", "bfloat16", "numpy"],
        "q.dequantize() gives the float32 values, q.int_repr() the codes",
    ),
    (
        &["long", "int", "short", "byte", "char", "bool"],
        "q.int_repr().astype(dtype) gives the codes in another type, q.dequantize().astype(dtype) the values",
    ),
    (
        &["add_", "sub_", "mul_", "div_", "abs_", "neg_", "sqrt_", "exp_"],
        "use q += values and so on, which keeps the tensor's scale and zero point",
    ),
    (
        &[
            "add", "sub", "mul", "div", "matmul", "mm", "bmm", "dot", "pow", "neg", "abs", "exp", "log",
            "sqrt",
        ],
        "use the operators, numpy's functions, or quantray.ops with a scale and a zero point for the result",
    ),
    (&["partition", "argpartition"], "use q.sort(), q.topk() or numpy.partition(q, k)"),
    (
        &["var", "cumsum", "cumprod", "prod", "ptp", "trace", "median", "quantile", "norm"],
        "use numpy's function of the values: numpy.var(q), numpy.cumsum(q), numpy.linalg.norm(q)",
    ),
    (
        &["tofile", "dump", "dumps"],
        "use q.save(path) or quantray.save, which keep the scale and the zero point",
    ),
    (
        &["uniform_", "normal_", "random_", "bernoulli_"],
        "assign random values: q[...] = numpy.random.default_rng().normal(size=q.shape)",
    ),
];

/// What is said of a name that is not in the list: where NumPy or a module has it.
fn other_name(py: Python<'_>, name: &str) -> PyResult<String> {
    if !name.starts_with('_') {
        let advice: String =
            py.import("quantray._advice")?.call_method1("tensor_advice", (name,))?.extract()?;
        if !advice.is_empty() {
            return Ok(format!("a QTensor has no {name:?}: {advice}"));
        }
    }
    Ok(format!("'QTensor' object has no attribute '{name}'"))
}

#[pymethods]
impl QTensor {
    /// A name that is left out on purpose says what to use instead.
    fn __getattr__(slf: &Bound<'_, Self>, name: &str) -> PyResult<Py<PyAny>> {
        let advice = LEFT_OUT.iter().find(|(names, _)| names.contains(&name)).map(|(_, advice)| *advice);
        let text = match advice {
            Some(advice) => format!("a QTensor has no {name:?}: {advice}"),
            None => other_name(slf.py(), name)?,
        };
        let error = PyAttributeError::new_err(text);
        let value = error.value(slf.py());
        value.setattr("name", name)?;
        value.setattr("obj", slf)?;
        Err(error)
    }
}
