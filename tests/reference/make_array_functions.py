"""Makes array_functions.json: what torch 2.15's functions return for small tensors of floats.

CASES are calls: `x` (4, 6), with equal elements, `y` (2, 1, 4), `v` (6), `m` a mask of `x`, `i` indices.
Needs torch.
`python tests/reference/make_array_functions.py` in the repository's folder.
"""

import json
import pathlib

import numpy as np
import torch

CASES = """
    adjoint(x) argmax(x) argmax(x,1) argmax(x,0,True) argmin(x) argsort(v) argsort(v,0,True)
    broadcast_to(y,(2,3,4)) chunk(x,4,1) chunk(x,3) clamp(x,-.5,.5) clamp(x,None,.2) clamp(x,x*.5)
    diagonal(x,1) diag(x) diag(v,1) eq(x,x) eq(x,0.) flatten(y,1) flatten(y) flatten(y,0,1)
    flip(x,(0,1)) flip(x,[1]) fliplr(x) flipud(x) ge(x,0) gt(x,0) le(x,0) lt(x,0) ne(x,0)
    hsplit(x,2) vsplit(x,2) dsplit(y,2) index_select(x,1,i) is_complex(x) is_floating_point(x)
    masked_fill(x,m,-1.) masked_select(x,m) max(x) max(x,1) max(x,0,True) max(x,-x) min(x) min(x,1)
    min(x,-x) mean(x) mean(x,1) mean(x,(0,1)) mean(x,[1],True) moveaxis(y,0,2)
    movedim(y,(0,1),(1,0)) msort(x) narrow(x,1,2,3) narrow(x,0,-2,2) numel(x) permute(y,(2,0,1))
    ravel(x) repeat_interleave(x,2) repeat_interleave(x,2,1) reshape(x,(6,4)) reshape(x,(-1,))
    roll(x,1) roll(x,2,1) roll(x,(1,2),(0,1)) rot90(x,1,(0,1)) select(x,1,2)
    select_scatter(x,x[:,0]*0,1,2) slice_scatter(x,x[:,:2]*0,1,0,2) sort(v) sort(v,0,True)
    split(x,4,1) split(x,[1,5],1) split(x,100) squeeze(y) squeeze(y,1) squeeze(y,0) std(x) std(x,1)
    std(x,0) sum(x) sum(x,1) sum(m,0) sum(x,(0,1),False) swapaxes(y,0,2) transpose(y,0,2) t(x) t(v)
    take(x,i) take_along_dim(x,i[None],1) tensor_split(x,4,1) tensor_split(x,(1,3),1) tile(x,(2,))
    tile(x,(2,1,2)) topk(v,3) topk(v,2,0,False) unbind(x,1) unflatten(x,1,(2,3))
    unflatten(x,1,(-1,3)) unsqueeze(x,-1) unsqueeze(x,0) cat([x,x],1) cat([x,x]) cat([i,i])
    stack([x,x],2) where(m,x,0.) where(m,1.,0.) where(m,1,0) where(m) equal(x,x) equal(x,-x)
    add(x,x) add(x,1) add(i,i,alpha=2) sub(x,x) mul(x,2) matmul(x,x.T) hstack([x,x]) vstack([v,v])
    dstack([x,x]) column_stack([v,v]) atleast_2d(v) broadcast_tensors(x,v)
    constant_pad_nd(x,(1,2,0,1),3.) slice_copy(x,1,1,4) t_copy(x) unbind_copy(x) alias_copy(x)
    clone(x) fill(x,2.) aminmax(x) aminmax(x,dim=1) index_put(x,(i,i),v[:3],True) relu_(x)
    clamp_(x,0,1) fill_(x,2.) detach(x) is_same_size(x,y) split_with_sizes(x,[1,5],1)
"""


def arrays():
    """What the cases speak of."""
    rng = np.random.default_rng(0)
    x = np.round(2 * rng.standard_normal((4, 6))).astype(np.float32) / 2
    y = rng.standard_normal((2, 1, 4)).astype(np.float32)
    v = rng.standard_normal(6).astype(np.float32)
    return {"x": x, "y": y, "v": v, "m": x > 0, "i": np.array([0, 3, 3])}


def leaves(value):
    """The arrays of a result, each as dtype, shape and elements."""
    if isinstance(value, tuple | list):
        return [leaf for each in value for leaf in leaves(each)]
    a = np.asarray(value)
    return [[str(a.dtype), list(a.shape), a.ravel().tolist()]]


def main():
    found = {}
    for case in CASES.split():
        name, _, rest = case.partition("(")
        names = {key: torch.from_numpy(a.copy()) for key, a in arrays().items()}
        found[case] = leaves(eval(f"f({rest}", {"f": getattr(torch, name), **names}))
    lines = ",\n".join(f"{json.dumps(case)}: {json.dumps(values)}" for case, values in found.items())
    pathlib.Path(__file__).with_name("array_functions.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
