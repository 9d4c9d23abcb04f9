"""`quantray quantize` with good and bad input: what it prints, what it writes, how it ends."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
import quantray as qt
from quantray import nn


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


def test_quantize_dynamic_needs_no_data(run, tmp_path, one_object):
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
def test_quantize_keeps_a_budget(run, tmp_path, metric, one_object):
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


def test_quantize_says_where_a_budget_cannot_be_kept(run, tmp_path, one_object):
    words = ("--data", "data.npz", "--held-out", "seven.npz", "--bits", "2", "--max-drop", "0")
    code, out, _ = run("quantize", "ours.onnx", "-o", tmp_path / "q.onnx", *words, "--json")
    found = one_object(out)
    assert code == (0 if found["ok"] else 1)
    assert found["ok"] == (found["drop"] <= 0)
    assert found["ok"] or any("--max-drop" in text for text in found["warnings"])
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
        (["ours.onnx", "--data", "no.npz"], "no.npz must be an .npz or .npy file of numbers"),
        (["ours.onnx", "--data", "archive.npz"], "archive.npz must be an .npz or .npy file of numbers"),
        (["ours.onnx", "--data", "half.npz"], "half.npz must be an .npz or .npy file of numbers"),
        (["ours.onnx", "--data", "half.npy"], "half.npy must be an .npz or .npy file of numbers"),
        (["ours.onnx", "--data", "objects.npy"], "it holds Python objects"),
        (["ours.onnx", "--data", "ours.onnx"], "is another kind of file"),
        (["ours.onnx", "--data", "."], "got a folder"),
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


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_read_is_not_written_over(run, folder, tmp_path, linked):
    for name in ("ours.onnx", "data.npz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    model, data = tmp_path / "ours.onnx", tmp_path / "data.npz"
    if linked:
        (tmp_path / "link.onnx").symlink_to(model)
        (tmp_path / "link.npz").symlink_to(data)
    ends = ("link.onnx", "link.npz") if linked else ("ours.onnx", "data.npz")
    for words in (("quantize", model, "--data", data), ("quantize", model, "--dynamic")):
        code, out, err = run(*words, "-o", tmp_path / ends[0])
        assert (code, out) == (2, "")
        assert "--output must be another file than" in err
    assert run("run", model, "--data", data, "-o", tmp_path / ends[1])[0] == 2
    for name in ("ours.onnx", "data.npz"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_quantize_into_a_folder_itself(run, tmp_path):
    code, _, err = run("quantize", "ours.onnx", "--dynamic", "-o", tmp_path, "--quiet")
    assert code == 2
    assert "--output must be a file, got the folder" in err


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


@pytest.mark.parametrize("words", [["--dynamic"], ["--data", "data.npz"]])
def test_quantize_as_json_says_what_became_of_each_node(run, tmp_path, words, one_object):
    found = one_object(run("quantize", "ours.onnx", "-o", tmp_path / "q.onnx", *words, "--json")[1])
    linear = [node for node in found["nodes"] if node["weight_bits"] is not None]
    assert [node["weight_bits"] for node in linear] == [8, 8]
    assert all(node["in_integers"] for node in linear)
    assert sum(node["bytes"] for node in linear) == 8 * 16 + 16 * 4 + 4 * (16 + 4)


def test_quantize_speaks_of_what_can_be_typed(run, tmp_path):
    words = ("quantize", "theirs.onnx", "-o", tmp_path / "q.onnx")
    code, out, _ = run(*words, "--dynamic", "--float", "the_product")
    assert code == 0
    assert "left out by name" in out
    assert "qconfig_spec" not in out
    out = run(*words, "--data", "two.npz")[1]
    assert "QuantStub" not in out
    out = run(*words, "--data", "two.npz", "--float", "the_product")[1]
    assert "leave out its --float" in out


def test_what_float32_rounds_is_no_loss(run, tmp_path, one_object):
    words = ("--data", "data.npz", "--max-drop", "0", "--json")
    code, out, _ = run("quantize", "ours.onnx", "-o", tmp_path / "q.onnx", *words)
    assert code == 0
    assert one_object(out)["drop"] == 0


def test_convolutions_go_with_dynamic(run, tmp_path):
    words = ("--data", "data.npz", "--convolutions")
    code, out, err = run("quantize", "ours.onnx", "-o", tmp_path / "q.onnx", *words)
    assert (code, out) == (2, "")
    assert "--dynamic" in err
