# TEMPORARY adapter until the reader is merged.
from __future__ import annotations
from dataclasses import dataclass, field
from typing import Any
import numpy as np
@dataclass(frozen=True, eq=False)
class Tensor:
    name: str; dtype: str; shape: tuple; _a: Any
    def array(self): return self._a
@dataclass(frozen=True)
class ValueInfo: name: str; dtype: Any; shape: Any
@dataclass(frozen=True)
class NodeFile: name: str; op: str; domain: str; inputs: tuple; outputs: tuple; attributes: dict
@dataclass(frozen=True)
class GraphFile: name: str; nodes: tuple; initializers: dict; inputs: tuple; outputs: tuple; values: tuple=()
@dataclass(frozen=True)
class ModelFile: ir_version: int; opsets: dict; graph: GraphFile; metadata: dict; producer_name: str; producer_version: str
def read(path):
    import onnx
    from onnx import numpy_helper
    from quantray.onnx._types import NAMES
    m=onnx.load_model_from_string(path) if isinstance(path,bytes) else onnx.load(path)
    def T(t): return Tensor(t.name,NAMES[t.data_type],tuple(t.dims),np.asarray(numpy_helper.to_array(t)))
    def V(v):
        tt=v.type.tensor_type
        if not v.type.HasField('tensor_type'): return ValueInfo(v.name,None,None)
        return ValueInfo(v.name,NAMES.get(tt.elem_type),tuple(d.dim_value if d.HasField('dim_value') else (d.dim_param or None) for d in tt.shape.dim) if tt.HasField('shape') else None)
    def A(a):
        t=a.type
        return {1:lambda:a.f,2:lambda:a.i,3:lambda:a.s.decode(),4:lambda:T(a.t),5:lambda:G(a.g),6:lambda:tuple(a.floats),7:lambda:tuple(a.ints),8:lambda:tuple(s.decode() for s in a.strings),9:lambda:tuple(map(T,a.tensors))}[t]()
    def G(g): return GraphFile(g.name,tuple(NodeFile(n.name,n.op_type,n.domain,tuple(n.input),tuple(n.output),{a.name:A(a) for a in n.attribute}) for n in g.node),{t.name:T(t) for t in g.initializer},tuple(map(V,g.input)),tuple(map(V,g.output)))
    return ModelFile(m.ir_version,{o.domain:o.version for o in m.opset_import},G(m.graph),{p.key:p.value for p in m.metadata_props},m.producer_name,m.producer_version)
