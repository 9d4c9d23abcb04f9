"""Each command with good and bad input: what it prints, what it writes, how it ends."""

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
from quantray import nn
from quantray._cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files that the tests read: two models, data that fit them, data that do not."""
    made = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    qt.manual_seed(0)
    ours = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    x = rng.standard_normal((48, 8)).astype(np.float32)
    qt.onnx.save(ours, made / "ours.onnx", x[:2], input_names=["x"], output_names=["y"])
    onnx.save(theirs(rng), made / "theirs.onnx")
    onnx.save(fours(), made / "fours.onnx")
    np.savez(made / "data.npz", x=x)
    np.savez(made / "seven.npz", x=x[:7])
    np.savez(made / "none.npz", x=x[:0])
    np.save(made / "data.npy", x)
    np.savez(made / "other.npz", left=x, right=x)
    np.savez(made / "wide.npz", x=rng.standard_normal((48, 9)).astype(np.float32))
    np.savez(made / "words.npz", x=np.array(["a", "b"]))
    np.savez(made / "two.npz", a=x, b=x[:, :4])
    np.savez(made / "uneven.npz", a=x, b=x[:7, :4])
    (made / "no.onnx").write_bytes(b"this is no model")
    (made / "empty.onnx").write_bytes(b"")
    (made / "no.npz").write_bytes(b"nor is this an archive")
    return made


def theirs(rng):
    """`y = a @ w + pad(b)` of two inputs, with names of their own, as other tools write it."""
    weight = rng.standard_normal((8, 4)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["a", "w"], ["product"], name="the_product"),
        helper.make_node("Add", ["product", "b"], ["y"], name="the_sum"),
    ]
    inputs = [
        helper.make_tensor_value_info("a", TensorProto.FLOAT, ["batch", 8]),
        helper.make_tensor_value_info("b", TensorProto.FLOAT, ["batch", 4]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])]
    graph = helper.make_graph(nodes, "two", inputs, outputs, [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def fours():
    """Exponentials of four numbers at a time: a file whose batch is fixed."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 8]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Exp", ["x"], ["y"])], "fours", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.fixture
def run(folder, capsys, tmp_path, monkeypatch):
    """Runs a command in the folder of the files; its exit code, output and errors."""
    monkeypatch.chdir(folder)

    def call(*words):
        try:
            code = main([str(word) for word in words])
        except SystemExit as error:  # argparse's own way to end
            code = error.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def one_object(text):
    """The only thing that was printed: a JSON object."""
    assert text.count("\n") == 1
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


# quantize


@pytest.mark.parametrize("data", ["data.npz", "data.npy"])
def test_quantize_writes_a_file_of_integers(run, tmp_path, data):
    code, out, err = run("quantize", "ours.onnx", "-o", tmp_path / "q.onnx", "--data", data)
    assert code == 0
    assert err == "" or err.startswith("\rcalibrate")
    # So small a model is all names.
    assert "times larger, in" in out
    assert "Linear" in out
    x = np.load("data.npy")
    want, got = qt.onnx.load("ours.onnx")(x), qt.onnx.load(tmp_path / "q.onnx")(x)
    assert 0 < np.abs(got - want).max() < 0.1
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(tmp_path / "q.onnx").graph.node)


def test_quantize_dynamic_needs_no_data(run, tmp_path):
    code, out, err = run("quantize", "theirs.onnx", "-o", tmp_path / "q.onnx", "--dynamic", "--json")
    assert (code, err) == (0, "")
    found = one_object(out)
    assert found["bytes"] == os.path.getsize(tmp_path / "q.onnx")
    assert found["bytes_before"] == os.path.getsize("theirs.onnx")
    a, b = (np.load("two.npz")[name] for name in "ab")
    want, got = qt.onnx.load("theirs.onnx")(a, b), qt.onnx.load(tmp_path / "q.onnx")(a, b)
    assert 0 < np.abs(got - want).max() < 0.1
    assert "MatMulInteger" in {node.op_type for node in onnx.load(tmp_path / "q.onnx").graph.node}


def test_quantize_of_two_inputs(run, tmp_path):
    code, out, err = run("quantize", "theirs.onnx", "-o", tmp_path / "q.onnx", "--data", "two.npz", "--quiet")
    assert (code, out, err) == (0, "", "")
    assert (tmp_path / "q.onnx").exists()


def test_quantize_to_fewer_bits(run, tmp_path):
    x, errors = np.load("data.npy"), {}
    for bits in (8, 4, 2):
        words = ("--data", "data.npz", "--bits", bits, "--quiet")
        assert run("quantize", "ours.onnx", "-o", tmp_path / f"{bits}.onnx", *words)[0] == 0
        errors[bits] = np.abs(
            qt.onnx.load(tmp_path / f"{bits}.onnx")(x) - qt.onnx.load("ours.onnx")(x)
        ).mean()
    assert errors[8] < errors[4] < errors[2]


def test_quantize_leaves_a_node_in_float(run, tmp_path):
    words = ("quantize", "theirs.onnx", "-o", tmp_path / "q.onnx", "--dynamic", "--float", "the_product")
    assert run(*words, "--quiet")[0] == 0
    assert "MatMulInteger" not in {node.op_type for node in onnx.load(tmp_path / "q.onnx").graph.node}


@pytest.mark.parametrize("metric", ["cosine", "agreement"])
def test_quantize_keeps_a_budget(run, tmp_path, metric):
    words = ("--data", "data.npz", "--batch", "6", "--metric", metric, "--json")
    code, out, err = run("quantize", "ours.onnx", "-o", tmp_path / "q.onnx", "--max-drop", "0.05", *words)
    found = one_object(out)
    assert (code, err) == (0, "")
    assert found["ok"]
    assert found["drop"] == pytest.approx(1 - found["metric"], abs=1e-12)
    # Every fourth call of six samples is held out.
    x = np.load("data.npy").reshape(8, 6, 8)[3::4].reshape(-1, 8)
    one, two = (qt.onnx.load(file)(x).astype(np.float64) for file in ("ours.onnx", tmp_path / "q.onnx"))
    cosines = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    wanted = {"cosine": cosines.mean(), "agreement": np.mean(one.argmax(1) == two.argmax(1))}[metric]
    assert found["metric"] == pytest.approx(wanted, abs=1e-4)


def test_quantize_says_where_a_budget_cannot_be_kept(run, tmp_path):
    words = ("--data", "data.npz", "--held-out", "seven.npz", "--bits", "2", "--max-drop", "0")
    code, out, _ = run("quantize", "ours.onnx", "-o", tmp_path / "q.onnx", *words, "--json")
    found = one_object(out)
    assert code == (0 if found["ok"] else 1)
    assert found["ok"] == (found["drop"] <= 0)
    assert found["ok"] or any("max_drop" in text for text in found["warnings"])
    assert (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ours.onnx"], "--data"),
        (["ours.onnx", "--data", "data.npz", "--metric", "cosine"], "--max-drop"),
        (["ours.onnx", "--data", "data.npz", "--held-out", "seven.npz"], "--max-drop"),
        (["ours.onnx", "--data", "data.npz", "--max-drop", "-1"], "--max-drop"),
        (["ours.onnx", "--data", "data.npz", "--max-drop", "0.1", "--metric", "luck"], "invalid choice"),
        (["ours.onnx", "--dynamic", "--max-drop", "0.1"], "--dynamic"),
        (["ours.onnx", "--data", "seven.npz", "--max-drop", "0.1"], "--held-out"),
        (["ours.onnx", "--dynamic", "--data", "data.npz"], "--data"),
        (["ours.onnx", "--dynamic", "--bits", "4"], "--bits"),
        (["ours.onnx", "--data", "data.npz", "--bits", "9"], "invalid choice"),
        (["ours.onnx", "--data", "data.npz", "--float", "nobody"], "nobody"),
        (["ours.onnx", "--data", "missing.npz"], "missing.npz"),
        (["ours.onnx", "--data", "no.npz"], "no.npz"),
        (["ours.onnx", "--data", "other.npz"], "lacks x; it has left, right"),
        (["theirs.onnx", "--data", "data.npy"], "2 inputs (a, b)"),
        (["theirs.onnx", "--data", "uneven.npz"], "a 48, b 7"),
    ],
)
def test_quantize_refuses_what_was_typed(run, tmp_path, words, said):
    code, out, err = run("quantize", *words, "-o", tmp_path / "q.onnx")
    assert (code, out) == (2, "")
    assert said in err
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.onnx", "--dynamic"], "missing.onnx"),
        (["no.onnx", "--dynamic"], "no.onnx"),
        (["empty.onnx", "--dynamic"], ""),
        (["ours.onnx", "--data", "wide.npz"], "8 long"),
        (["ours.onnx", "--data", "words.npz"], "float32"),
    ],
)
def test_quantize_says_what_is_wrong_with_files(run, tmp_path, words, said):
    code, out, err = run("quantize", *words, "-o", tmp_path / "q.onnx", "--quiet")
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") >= 1
    assert "Traceback" not in err
    assert not (tmp_path / "q.onnx").exists()


def test_quantize_into_a_folder_that_is_not_there(run, tmp_path):
    code, _, err = run("quantize", "ours.onnx", "--dynamic", "-o", tmp_path / "nowhere" / "q.onnx", "--quiet")
    assert code == 2
    assert "--output must be in a folder that can be written to" in err
    assert "nowhere" in err


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


def test_inspect_as_json(run):
    code, out, _ = run("inspect", "theirs.onnx", "--json")
    found = one_object(out)
    assert code == 0
    assert found["inputs"][0] == {"name": "a", "dtype": "float32", "shape": ["batch", 8], "kind": "tensor"}
    assert [value["name"] for value in found["outputs"]] == ["y"]
    assert found["opset"] == 13
    assert found["parameters"] == 32
    assert sum(found["steps"].values()) == 2


def test_inspect_quietly(run):
    assert run("inspect", "ours.onnx", "--quiet") == (0, "", "")


@pytest.mark.parametrize("name", ["missing.onnx", "no.onnx", "data.npz"])
def test_inspect_of_what_is_no_model(run, name):
    code, out, err = run("inspect", name, "--json")
    assert (code, out) == (1, "")
    assert err.startswith("quantray inspect: ")
    assert name in err


# compare


def test_compare_of_a_file_with_itself(run):
    code, out, _ = run(
        "compare", "ours.onnx", "ours.onnx", "--data", "data.npz", "--json", "--min-cosine", "1"
    )
    found = one_object(out)
    (row,) = found["outputs"]
    assert code == (0 if row["cosine"] >= 1 else 1)
    assert row["output"] == "y"
    assert row["samples"] == 48
    assert row["greatest_difference"] == 0
    assert row["same_greatest_percent"] == 100
    assert row["sqnr_db"] is None or row["sqnr_db"] > 1000


def test_compare_says_how_far_integers_are(run, tmp_path):
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


def test_run_as_json(run):
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
        (["ours.onnx", "--data", "data.npz", "--threads", "0"], 1),
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


def test_run_of_a_fixed_batch(run, tmp_path):
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


def test_as_a_module(folder):
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


def test_quantize_spares_what_python_spares(run, tmp_path):
    """By default: the range of each row for linear layers, where a few rows are far beyond the others."""
    x = np.random.default_rng(0).standard_normal((512, 64), np.float32)
    x[5::64] *= 50
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
    qt.onnx.save(model, tmp_path / "m.onnx", x)
    np.save(tmp_path / "x.npy", x)
    words = ("quantize", tmp_path / "m.onnx", "-o", tmp_path / "q.onnx", "--data", tmp_path / "x.npy")
    for more in ((), ("--float", "2")):
        code, out, _ = run(*words, *more)
        assert code == 0
        assert "ranges of rows" in out
    code, out, _ = run(*words, "--bits", "4")
    assert code == 0
    assert "ranges of rows" not in out
