"""The standard's own cases of single nodes, loaded, saved, and run again: here and in onnxruntime."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

import quantray as qt  # noqa: E402
from node_cases import CASES, refused  # noqa: E402
from onnx.backend.test.runner import Runner, _normalize_tensor  # noqa: E402
from patterns import session  # noqa: E402
from suite_backend import Loaded  # noqa: E402

#: Cases whose models are read and are not written, by a pattern of their names, and what the error says.
NOT_SAVED = {r"test_scan_sum$": "Scan as opset 8 has it, which means something else from opset 9 on"}

#: Cases that onnxruntime refuses to run, or computes otherwise than the standard, and why.
OTHERWISE = {
    r"attention_4d_with_past_and_present_qk_matmul_bias_[34]d_mask_causal$": "it masks its scores later",
    r"attention_4d_(diff_heads_mask4d|causal)?_?padded_kv(_bf16)?$": "it wants a past beside lengths",
    r"_batchwise$": "it has no recurrent layers whose first axis is that of the batch",
    r"convinteger_with_padding": "zero points of whole rows are refused",
    r"maxunpool_export_with_output_shape": "it counts places in the output, and not in what was pooled",
    r"reduce_max_empty_set_bool": "the greatest of no truth values is refused",
    r"resize_downsample_scales_(linear|cubic)_align_corners": "it takes lengths that are no whole ones",
    r"training_dropout(?!_zero)": "it drops by chance, and the case holds what one generator gave",
    r"test_dft(_axis|_inverse|_i?rfft)?(_opset19)?$": "its sums are less exact than the case says",
    r"test_stft(_with_window)?$": "its sums are less exact than the case says",
}


def found(name: str, patterns: dict[str, str]) -> str | None:
    return next((why for pattern, why in patterns.items() if re.search(pattern, name)), None)


def not_saved(name: str) -> str | None:
    """What the error says of a case that is read and not written."""
    graph = CASES[name].model.graph
    if any(value.type.WhichOneof("value") != "tensor_type" for value in (*graph.input, *graph.output)):
        return "inputs and outputs of files that are saved must be arrays, got"
    return found(name, NOT_SAVED)


SAVED = [name for name in CASES if not refused(name) and not_saved(name) is None]


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        # NumPy warns of NaN and infinity, and loading of what the reference evaluator computes.
        warnings.simplefilter("ignore")
        yield


def loaded(name):
    case = CASES[name]
    model = qt.onnx.load(case.model.SerializeToString())
    return case, model, [_normalize_tensor(value) for value in case.data_sets[0][0]]


def compare(case, wanted, made) -> None:
    made = [np.asarray(m).astype(np.asarray(w).dtype) for m, w in zip(made, wanted, strict=True)]
    Runner.assert_similar_outputs(wanted, made, case.rtol, case.atol)


@pytest.mark.parametrize("name", SAVED)
def test_case(name, tmp_path):
    case, model, inputs = loaded(name)
    wanted = [_normalize_tensor(value) for value in case.data_sets[0][1]]
    path = tmp_path / "model.onnx"
    qt.onnx.save(model, path, tuple(inputs))
    file = onnx.load(path)
    onnx.checker.check_model(file, full_check=True)
    again = Loaded(qt.onnx.load(path), file)
    compare(case, wanted, again.run(inputs))
    if found(name, OTHERWISE) is None:
        in_onnxruntime(path, case, wanted, inputs)


def in_onnxruntime(path, case, wanted, inputs) -> None:
    try:
        other = session(str(path))
    except Exception as error:
        # Operators and types of the newest opsets, which a runtime does not have yet, are no fault of a file;
        # nor is a locale that a machine does not have.
        lacks = "NOT_IMPLEMENTED|is not a registered function|under development|construct locale"
        if not re.search(lacks, str(error)):
            raise
        return
    given = {i.name: _like(i.type, a) for i, a in zip(other.get_inputs(), inputs, strict=True)}
    compare(case, wanted, other.run(None, given))


def _like(kind: str, array):
    """An array of the type that a file says: those that are written have floats of one type."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return np.asarray(array).astype({"float": "float32", "string": object}.get(name, name))


@pytest.mark.parametrize("name", [name for name in CASES if not refused(name) and not_saved(name)])
def test_refused_case(name, tmp_path):
    _, model, inputs = loaded(name)
    with pytest.raises(ValueError, match=re.escape(not_saved(name))):
        qt.onnx.save(model, tmp_path / "model.onnx", tuple(inputs))
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("name", [name for name in SAVED if found(name, OTHERWISE)])
def test_case_is_otherwise_in_onnxruntime(name, tmp_path):
    case, model, inputs = loaded(name)
    wanted = [_normalize_tensor(value) for value in case.data_sets[0][1]]
    qt.onnx.save(model, tmp_path / "model.onnx", tuple(inputs))
    with pytest.raises(Exception, match=r"."):
        in_onnxruntime(tmp_path / "model.onnx", case, wanted, inputs)
