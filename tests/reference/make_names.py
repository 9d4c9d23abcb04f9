"""Makes names.json: what torch 2.15's methods and functions return for a small quantized tensor.

Each line of TABLE is a name and the arguments that it is tried with: `q`, `q2` (3, 4), `q3`, `q4`, `q5` (of
as many axes), all quint8, of scale 0.1 and zero point 30; `idx`, `mask` and `f1` are plain. Needs torch.
`python tests/reference/make_names.py` in the repository's folder.
"""

import json
import pathlib
import warnings

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
SCALE, ZERO_POINT = 0.1, 30

TABLE = {
    "methods": """
        adjoint
        argsort
        as_strided ((2, 2), (1, 2))
        broadcast_to ((2, 3, 4),)
        chunk (2, 1)
        clamp (-1.0, 1.0)
        clip (-1.0, 1.0)
        clone
        conj
        conj_physical
        conj_physical_
        const_data_ptr
        contiguous
        copy_ (q2,)
        cpu
        data_ptr
        dense_dim
        dequantize
        detach
        detach_
        device
        diag
        diagonal
        dim
        dim_order
        dtype
        element_size
        eq (q2,)
        equal (q2,)
        expand (2, 3, 4)
        expand_as (q2,)
        fill_ (0.5,)
        flatten
        flip ((0,),)
        fliplr
        flipud
        ge (q2,)
        get_device
        grad_dtype
        greater (0,)
        greater_equal (0,)
        gt (q2,)
        hsplit (2,)
        index (0, 1)
        index_put ((idx,), f1)
        index_put_ ((idx,), f1)
        index_select (0, idx)
        int_repr
        is_complex
        is_conj
        is_contiguous
        is_cpu
        is_cuda
        is_distributed
        is_floating_point
        is_inference
        is_ipu
        is_leaf
        is_maia
        is_meta
        is_mkldnn
        is_mps
        is_mtia
        is_neg
        is_nested
        is_pinned
        is_quantized
        is_same_size (q2,)
        is_sparse
        is_sparse_csr
        is_vulkan
        is_xla
        is_xpu
        itemsize
        layout
        le (q2,)
        less (0,)
        less_equal (0,)
        lt (q2,)
        masked_fill (mask, 0.5)
        masked_fill_ (mask, 0.5)
        max
        mean
        min
        moveaxis (0, 1)
        movedim (0, 1)
        msort
        name
        narrow (1, 0, 2)
        nbytes
        ndim
        ndimension
        ne (q2,)
        nelement
        new_tensor (q2,)
        not_equal (0,)
        numel
        permute (1, 0)
        positive
        q_scale
        q_zero_point
        qscheme
        ravel
        relu
        relu_
        repeat (2, 1)
        repeat_interleave (0,)
        requires_grad
        reshape (4, 3)
        reshape_as (q2,)
        resize (4, 3)
        resize_ ((4, 3),)
        resize_as (q2,)
        resize_as_ (q2,)
        resolve_conj
        resolve_neg
        rot90 (1, (0, 1))
        select (0, 1)
        shape
        sigmoid
        size
        slice_inverse (q2,)
        slice_scatter (q2,)
        sort
        sparse_dim
        split (2, 1)
        split_with_sizes ((1, 3), 1)
        squeeze
        squeeze_
        std
        stride
        swapaxes (0, 1)
        swapaxes_ (0, 1)
        swapdims (0, 1)
        swapdims_ (0, 1)
        t
        t_
        tanh
        tensor_split (2, 1)
        tile ((2, 1),)
        to ('cpu',)
        to_dense
        topk (2,)
        transpose (0, 1)
        transpose_ (0, 1)
        type
        type_as (q2,)
        unbind
        unflatten (1, (2, 2))
        unfold (1, 2, 1)
        unsafe_chunk (1,)
        unsafe_split (1,)
        unsqueeze (0,)
        unsqueeze_ (0,)
        view (4, 3)
        view_as (q2,)
        vsplit (3,)
    """,
    "functions": """
        adaptive_avg_pool1d (q3, 2)
        adjoint (q,)
        alias_copy (q,)
        alpha_dropout (q, 0.5, False)
        argsort (q,)
        as_strided (q, (2, 2), (1, 2))
        atleast_1d (q,)
        atleast_2d (q,)
        atleast_3d (q,)
        avg_pool1d (q3, 2)
        broadcast_tensors (q, q2)
        broadcast_to (q, (2, 3, 4))
        cat ([q, q2],)
        channel_shuffle (q4, 2)
        chunk (q, 2, 1)
        clamp (q, -1.0, 1.0)
        clip (q, -1.0, 1.0)
        clone (q,)
        column_stack ([q, q2],)
        concat ([q, q2],)
        concatenate ([q, q2],)
        conj (q,)
        conj_physical (q,)
        conj_physical_ (q,)
        constant_pad_nd (q, (1, 0))
        dequantize (q,)
        detach (q,)
        detach_ (q,)
        detach_copy (q,)
        diag (q,)
        diagonal (q,)
        diagonal_copy (q,)
        dropout (q, 0.5, False)
        dstack ([q, q2],)
        empty_like (q,)
        eq (q, q2)
        equal (q, q2)
        feature_dropout (q, 0.5, False)
        fill (q, 0)
        fill_ (q, 0.5)
        flatten (q,)
        flip (q, (0,))
        fliplr (q,)
        flipud (q,)
        full_like (q, 0.5)
        ge (q, q2)
        greater (q, 0)
        greater_equal (q, 0)
        gt (q, q2)
        hsplit (q, 2)
        hstack ([q, q2],)
        index_put (q, (idx,), f1)
        index_put_ (q, (idx,), f1)
        index_select (q, 0, idx)
        int_repr (q,)
        is_tensor (q,)
        le (q, q2)
        less (q, 0)
        less_equal (q, 0)
        lt (q, q2)
        masked_fill (q, mask, 0.5)
        max (q,)
        max_pool1d (q3, 2)
        max_pool2d (q4, 2)
        max_pool3d (q5, 2)
        mean (q,)
        min (q,)
        moveaxis (q, 0, 1)
        movedim (q, 0, 1)
        msort (q,)
        narrow (q, 1, 0, 2)
        native_channel_shuffle (q4, 2)
        ne (q, q2)
        not_equal (q, 0)
        numel (q,)
        permute_copy (q, (1, 0))
        pixel_shuffle (q4, 1)
        pixel_unshuffle (q4, 2)
        positive (q,)
        q_scale (q,)
        q_zero_point (q,)
        ravel (q,)
        real (q,)
        relu (q,)
        relu_ (q,)
        repeat_interleave (q, 0)
        resize_as_ (q, q2)
        resolve_conj (q,)
        resolve_neg (q,)
        result_type (q, 0)
        rot90 (q, 1, (0, 1))
        row_stack ([q, q2],)
        select (q, 0, 1)
        select_copy (q, 0, 1)
        sigmoid (q,)
        slice_copy (q,)
        slice_inverse (q, q2)
        slice_scatter (q, q2)
        sort (q,)
        split (q, 2, 1)
        split_copy (q, 1)
        split_with_sizes (q, (1, 3), 1)
        squeeze (q,)
        squeeze_copy (q,)
        stack ([q, q2],)
        std (q,)
        swapaxes (q, 0, 1)
        swapdims (q, 0, 1)
        t (q,)
        t_copy (q,)
        tanh (q,)
        threshold (q, 0.0, 0.5)
        tile (q, (2, 1))
        topk (q, 2)
        transpose (q, 0, 1)
        transpose_copy (q, 0, 1)
        unbind (q,)
        unbind_copy (q,)
        unflatten (q, 1, (2, 2))
        unsafe_chunk (q, 1)
        unsafe_split (q, 1)
        unsqueeze (q, 0)
        unsqueeze_copy (q, 0)
        vsplit (q, 3)
        vstack ([q, q2],)
    """,
    "nn.functional": """
        adaptive_avg_pool1d (q3, 2)
        adaptive_avg_pool2d (q4, 2)
        adaptive_avg_pool3d (q5, 2)
        alpha_dropout (q, 0.5, False)
        avg_pool1d (q3, 2)
        avg_pool2d (q4, 2)
        avg_pool3d (q5, 2)
        channel_shuffle (q4, 2)
        dropout (q, 0.5, False)
        dropout1d (q, 0)
        dropout2d (q, 0)
        dropout3d (q, 0)
        feature_alpha_dropout (q,)
        gelu (q,)
        hardsigmoid (q,)
        hardtanh (q, -1.0, 1.0)
        hardtanh_ (q, -1.0, 1.0)
        interpolate (q4, None, 2)
        leaky_relu (q, 0.1)
        leaky_relu_ (q,)
        max_pool1d (q3, 2)
        max_pool2d (q4, 2)
        max_pool3d (q5, 2)
        native_channel_shuffle (q4, 2)
        pad (q4, (1, 1))
        pixel_shuffle (q4, 1)
        pixel_unshuffle (q4, 2)
        relu (q,)
        relu6 (q,)
        relu_ (q,)
        sigmoid (q,)
        tanh (q,)
        threshold (q, 0.0, 0.5)
        upsample (q4, None, 2)
        upsample_bilinear (q4, None, 2)
        upsample_nearest (q4, None, 2)
    """,
}

rng = np.random.default_rng(0)
SHAPES = {"q": (3, 4), "q2": (3, 4), "q3": (2, 3, 6), "q4": (2, 4, 4, 6), "q5": (1, 2, 4, 4, 4)}
CODES = {name: rng.integers(0, 80, shape).astype(np.uint8) for name, shape in SHAPES.items()}
PLAIN = {"idx": [2, 0], "mask": rng.random((3, 4)) < 0.5, "f1": [0.5]}


def inputs():
    """The tensors that arguments name, afresh: methods may write to them."""
    made = {
        name: torch._make_per_tensor_quantized_tensor(torch.tensor(codes), SCALE, ZERO_POINT)
        for name, codes in CODES.items()
    }
    return made | {
        "idx": torch.tensor(PLAIN["idx"]),
        "mask": torch.tensor(PLAIN["mask"]),
        "f1": torch.tensor(PLAIN["f1"]),
    }


def stored(value):
    """A result as JSON."""
    if isinstance(value, torch.Tensor) and value.is_quantized:
        return {
            "codes": value.int_repr().tolist(),
            "shape": list(value.shape),
            "scale": value.q_scale(),
            "zero_point": value.q_zero_point(),
        }
    if isinstance(value, torch.Tensor):
        return {"values": value.tolist(), "shape": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, (tuple, list)):
        return [stored(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def main():
    cases = []
    spaces = {"functions": torch, "nn.functional": torch.nn.functional}
    for where, lines in TABLE.items():
        for line in filter(None, map(str.strip, lines.splitlines())):
            name, _, args = line.partition(" ")
            given = inputs()
            case = {"where": where, "name": name, "args": args}
            try:
                function = getattr(given["q"], name) if where == "methods" else getattr(spaces[where], name)
                if callable(function):
                    function = function(*eval(args or "()", {}, given))
                case["result"] = stored(function)
            except Exception as error:
                case["fails"] = type(error).__name__
            cases.append(case)
    inputs_ = {name: codes.tolist() for name, codes in CODES.items()}
    inputs_ |= {name: np.asarray(value).tolist() for name, value in PLAIN.items()}
    made = {"scale": SCALE, "zero_point": ZERO_POINT, "inputs": inputs_, "cases": cases}
    text = json.dumps(made, separators=(",", ":"))
    (HERE / "names.json").write_text(text.replace('{"where"', '\n{"where"') + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
