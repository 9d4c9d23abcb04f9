"""Sums of products by an equation, beside onnxruntime; those of two arrays are products of matrices."""

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_allclose
from single_node import here, in_onnxruntime, single_node

LENGTHS = {"b": 2, "h": 3, "i": 4, "j": 5, "k": 6, "l": 2, "m": 3}

#: Products of attention, of weights, of vectors, of several letters at once.
PRODUCTS = [
    "bhik,bhjk->bhij",
    "bhij,bhjk->bihk",
    "bik, bhjk -> bhij",
    "bik,khm->bihm",
    "bihm,hmk->bik",
    "ik,jk->ji",
    "i,i->",
    "bi,bij->bj",
    "bij,bj->ib",
    "ijk,kl->lij",
    "bkhi,bkhj->bhij",
]
OTHERS = ["bi,bi->bi", "i,j->ij", "bij->bji", "bij,bk->i", "...ik,...kj->...ij", "bij,bjk", "ij,jk,kl->il"]


def arrays(equation, rng):
    given = equation.replace(" ", "").partition("->")[0].split(",")
    lengths = {"...": 2} | LENGTHS
    shapes = [[lengths[c] for c in each.replace("...", "b")] for each in given]
    return {f"x{i}": rng.standard_normal(shape).astype(np.float32) for i, shape in enumerate(shapes)}


@pytest.mark.parametrize("equation", [*PRODUCTS, *OTHERS])
@pytest.mark.parametrize("free", [False, True])
def test_like_onnxruntime(rng, equation, free):
    inputs = arrays(equation, rng)
    node = single_node("Einsum", inputs, equation=equation, free=free)
    assert_allclose(here(node, inputs)[0], in_onnxruntime(node, inputs)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("equation", PRODUCTS)
def test_products_of_matrices(rng, equation):
    inputs = arrays(equation, rng)
    model = single_node("Einsum", inputs, equation=equation, free=True)
    model.graph.output[0].type.tensor_type.elem_type = 1
    loaded = qt.onnx.load(model.SerializeToString())
    loaded(*inputs.values())
    kinds = {node.kind for node in loaded._program.graphs[0]}
    assert "numpy.einsum" not in kinds
    assert kinds & {"matmul", "numpy.matmul"}
    # Other lengths of the same kind go through the same graph.
    twice = {name: np.repeat(x, 2, 0) for name, x in inputs.items()} if equation[0] == "b" else inputs
    if equation.startswith("b") and equation.replace(" ", "").partition(",")[2].startswith("b"):
        assert_allclose(loaded(*twice.values()), in_onnxruntime(model, twice)[0], rtol=1e-4, atol=1e-5)
