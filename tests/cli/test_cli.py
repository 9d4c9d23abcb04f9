"""The other commands with good and bad input: what they print, what they write, how they end."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import pytest
import quantray as qt
from onnx import TensorProto, helper, numpy_helper

onnxruntime = pytest.importorskip("onnxruntime")

# inspect


def test_inspect_prints_the_model(run):
    code, out, err = run("inspect", "theirs.onnx")
    assert (code, err) == (0, "")
    assert "a float32 (batch, 8)" in out
    assert "32 parameters" in out


def test_inspect_lists_steps(run):
    code, out, _ = run("inspect", "theirs.onnx", "--steps")
    assert code == 0
    assert "the_product" in out
    assert "the_sum" in out


def test_inspect_as_json(run, one_object):
    code, out, _ = run("inspect", "theirs.onnx", "--json")
    found = one_object(out)
    assert code == 0
    assert found["inputs"][0] == {"name": "a", "dtype": "float32", "shape": ["batch", 8], "kind": "tensor"}
    assert [value["name"] for value in found["outputs"]] == ["y"]
    assert found["opset"] == 13
    assert found["parameters"] == 32
    assert sum(found["steps"].values()) == 2


def test_inspect_lists_steps_as_json(run, one_object):
    found = one_object(run("inspect", "theirs.onnx", "--steps", "--json")[1])
    assert [node["name"] for node in found["nodes"]] == ["the_product", "the_sum"]
    assert "nodes" not in one_object(run("inspect", "theirs.onnx", "--json")[1])


@pytest.mark.parametrize("words", [["--dynamic"], ["--data", "data.npz"]])
def test_inspect_says_what_computes_in_integers(run, tmp_path, words, one_object):
    assert one_object(run("inspect", "ours.onnx", "--json")[1])["in_integers"] == 0
    assert run("quantize", "ours.onnx", "-o", tmp_path / "q.onnx", *words, "--quiet")[0] == 0
    for more in ([], ["--steps"]):
        assert run("inspect", tmp_path / "q.onnx", *more)[1].count("in integers") == 1
    found = one_object(run("inspect", tmp_path / "q.onnx", "--json")[1])
    assert found["in_integers"] == 2
    # 8 * 16 and 16 * 4 weights of a byte, and biases of four.
    assert found["bytes"] == 8 * 16 + 16 * 4 + 4 * (16 + 4)


def test_inspect_that_is_read_in_part(folder):
    pipe, write = os.pipe()
    os.close(pipe)
    words = [sys.executable, "-m", "quantray", "inspect", "ours.onnx"]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, cwd=folder, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_inspect_quietly(run):
    assert run("inspect", "ours.onnx", "--quiet") == (0, "", "")


@pytest.mark.parametrize("name", ["missing.onnx", "no.onnx", "data.npz"])
def test_inspect_of_what_is_no_model(run, name):
    code, out, err = run("inspect", name, "--json")
    assert (code, out) == (1, "")
    assert err.startswith("quantray inspect: ")
    assert name in err


# compare


def test_compare_of_words_and_labels(run, tmp_path):
    """What has no distance is the same or not: here for some of the samples."""
    x = np.array([[1.0], [2.0], [-1.0], [3.0]], np.float32)
    np.save(tmp_path / "x.npy", x)
    for name, sign in (("a", 1.0), ("b", -1.0)):
        node = helper.make_node(
            *("LinearClassifier", ["x"], ["label", "scores"]),
            domain="ai.onnx.ml",
            classlabels_strings=["no", "yes"],
            coefficients=[-sign, sign],
            intercepts=[-1.5, 1.5] if sign < 0 else [0.0, 0.0],
        )
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])]
        outputs = [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["n"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2]),
        ]
        graph = helper.make_graph([node], "words", inputs, outputs)
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 3)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / f"{name}.onnx")
    files = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    code, out, err = run("compare", *files, "--data", tmp_path / "x.npy", "--json")
    assert (code, err) == (0, "")
    label = json.loads(out)["outputs"][0]
    labels = [
        onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(["label"], {"x": x})[0]
        for file in files
    ]
    share = np.mean(labels[0] == labels[1])
    assert 0 < share < 1
    assert label["cosine"] == share


def test_compare_of_a_file_with_itself(run, one_object):
    code, out, _ = run(
        "compare", "ours.onnx", "ours.onnx", "--data", "data.npz", "--json", "--min-cosine", "1"
    )
    found = one_object(out)
    (row,) = found["outputs"]
    assert (code, row["cosine"], row["least_cosine"]) == (0, 1, 1)
    assert row["output"] == "y"
    assert row["samples"] == 48
    assert row["greatest_difference"] == 0
    assert row["same_greatest_percent"] == 100
    # JSON has no infinity.
    assert row["sqnr_db"] is None


def test_compare_says_how_far_integers_are(run, tmp_path, one_object):
    run("quantize", "ours.onnx", "-o", tmp_path / "q.onnx", "--data", "data.npz", "--bits", "3", "--quiet")
    words = ("compare", "ours.onnx", tmp_path / "q.onnx", "--data", "data.npz")
    code, out, _ = run(*words, "--json")
    (row,) = one_object(out)["outputs"]
    x = np.load("data.npy").astype(np.float32)
    one, two = (qt.onnx.load(file)(x).astype(np.float64) for file in ("ours.onnx", tmp_path / "q.onnx"))
    assert code == 0
    cosines = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    assert row["cosine"] == pytest.approx(cosines.mean(), rel=1e-6)
    assert row["least_cosine"] == pytest.approx(cosines.min(), rel=1e-6)
    assert row["sqnr_db"] == pytest.approx(10 * np.log10((one**2).sum() / ((one - two) ** 2).sum()), rel=1e-4)
    code, out, _ = run(*words)
    assert code == 0
    assert "cosine" in out
    assert run(*words, "--min-cosine", "0.5", "--quiet") == (0, "", "")
    assert run(*words, "--min-cosine", "0.99999", "--quiet") == (1, "", "")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ours.onnx", "ours.onnx"], 2),
        (["ours.onnx", "ours.onnx", "--data", "missing.npz"], 2),
        (["ours.onnx", "theirs.onnx", "--data", "data.npz"], 2),
        (["ours.onnx", "missing.onnx", "--data", "data.npz"], 1),
        (["no.onnx", "ours.onnx", "--data", "data.npz"], 1),
        (["ours.onnx", "ours.onnx", "--data", "wide.npz"], 1),
        (["ours.onnx", "ours.onnx", "--data", "data.npz", "--batch", "0"], 2),
        (["ours.onnx", "ours.onnx", "--data", "data.npz", "--min-cosine", "3"], 2),
    ],
)
def test_compare_of_what_cannot_be(run, words, code):
    found, out, err = run("compare", *words)
    assert (found, out) == (code, "")
    assert err
    assert "Traceback" not in err


# run


def test_run_writes_the_outputs(run, tmp_path):
    code, out, err = run(
        "run", "theirs.onnx", "--data", "two.npz", "-o", tmp_path / "out.npz", "--batch", "5"
    )
    assert (code, err) == (0, "")
    assert "y float32 (48, 4)" in out
    data = np.load("two.npz")
    weight = numpy_helper.to_array(onnx.load("theirs.onnx").graph.initializer[0])
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["y"], data["a"] @ weight + data["b"], atol=1e-5)


def test_run_writes_where_it_was_told_to(run, tmp_path):
    for name, said in (
        ("out.npy", "must end in .npz"),
        ("nowhere/out.npz", "in a folder that can be written to"),
    ):
        code, out, err = run("run", "ours.onnx", "--data", "data.npz", "-o", tmp_path / name)
        assert (code, out) == (2, "")
        assert said in err
    assert not list(tmp_path.iterdir())


def test_run_leaves_what_was_there_where_it_cannot_write(run, tmp_path, monkeypatch):
    (tmp_path / "out.npz").write_bytes(b"before")

    def full(file, **arrays):
        file.write(b"a part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    code, _, err = run("run", "ours.onnx", "--data", "data.npz", "-o", tmp_path / "out.npz")
    assert code == 1
    assert "No space left" in err
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]
    assert (tmp_path / "out.npz").read_bytes() == b"before"


def test_run_writes_through_links(run, tmp_path):
    (tmp_path / "link.npz").symlink_to(tmp_path / "real.npz")
    code, _, _ = run("run", "ours.onnx", "--data", "data.npz", "-o", tmp_path / "link.npz")
    assert code == 0
    assert (tmp_path / "link.npz").is_symlink()
    assert np.load(tmp_path / "real.npz")["y"].shape == (48, 4)


def test_run_as_json(run, one_object):
    before = qt.get_num_threads()
    try:
        words = ("--data", "data.npz", "--batch", "12", "--repeat", "3", "--threads", "1", "--json")
        code, out, _ = run("run", "ours.onnx", *words)
    finally:
        qt.set_num_threads(before)
    found = one_object(out)
    assert code == 0
    assert found["calls"] == 12
    assert found["outputs"] == {"y": [48, 4]}
    assert found["median_ms"] > 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ours.onnx"], 2),
        (["ours.onnx", "--data", "other.npz"], 2),
        (["ours.onnx", "--data", "data.npz", "--batch", "-1"], 2),
        (["ours.onnx", "--data", "data.npz", "--threads", "0"], 2),
        (["ours.onnx", "--data", "wide.npz"], 1),
        (["ours.onnx", "--data", "words.npz"], 1),
        (["missing.onnx", "--data", "data.npz"], 1),
        (["fours.onnx", "--data", "seven.npz"], 2),
        (["ours.onnx", "--data", "none.npz"], 2),
    ],
)
def test_run_of_what_cannot_be(run, words, code):
    found, out, err = run("run", *words)
    assert (found, out) == (code, "")
    assert err


def test_run_of_a_fixed_batch(run, tmp_path, one_object):
    code, out, _ = run("run", "fours.onnx", "--data", "data.npz", "-o", tmp_path / "out.npz", "--json")
    assert code == 0
    assert one_object(out)["calls"] == 12
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["y"], np.exp(np.load("data.npy")), rtol=1e-6)


# All of them


@pytest.mark.parametrize("words", [[], ["fly"], ["inspect"], ["inspect", "ours.onnx", "--wings"]])
def test_what_was_not_understood(run, words):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert "usage" in err


@pytest.mark.parametrize("words", [["--help"], ["quantize", "--help"], ["run", "--help"], ["--version"]])
def test_help_is_printed(run, words):
    code, out, _ = run(*words)
    assert code == 0
    assert "quantray" in out


def test_as_a_module(folder, one_object):
    # The package that is tested, wherever the command runs.
    env = {**os.environ, "PYTHONPATH": str(pathlib.Path(qt.__file__).parent.parent)}
    settings = {"cwd": folder, "env": env, "capture_output": True, "text": True, "check": False}
    words = [sys.executable, "-m", "quantray", "inspect"]
    done = subprocess.run([*words, "ours.onnx", "--json"], **settings)
    assert done.returncode == 0, done.stderr
    assert one_object(done.stdout)["outputs"][0]["name"] == "y"
    done = subprocess.run([*words, "no.onnx"], **settings)
    assert done.returncode == 1
    assert "no.onnx" in done.stderr
    assert "Traceback" not in done.stderr
