"""ONNX files of one layer, for tests."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from lunar_offline.seeding import Purpose, generator


def weights(outputs: int, size: int = 8) -> np.ndarray:
    return generator(5, Purpose.BATCH).standard_normal((size, outputs)).astype(np.float32)


def write_model(
    path: str = "p.onnx",
    *,
    outputs: int = 4,
    batch: object = "batch",
    size: object = 8,
    argmax: bool = False,
    scale: float = 1.0,
    names: tuple[str, ...] = ("out",),
    declared: int = TensorProto.FLOAT,
) -> None:
    """Write a model: out = scale * observations @ W, or its argmax."""
    width = size if isinstance(size, int) else 8
    matrix = numpy_helper.from_array(scale * weights(outputs, width), "W")
    nodes = [helper.make_node("MatMul", ["observation", "W"], ["y" if argmax else names[0]])]
    if argmax:
        nodes.append(helper.make_node("ArgMax", ["y"], [names[0]], axis=1, keepdims=0))
    nodes += [helper.make_node("Identity", [names[0]], [name]) for name in names[1:]]
    kind = TensorProto.INT64 if argmax else declared
    shape = [batch] if argmax else [batch, outputs]
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("observation", declared, [batch, size])],
        [helper.make_tensor_value_info(name, kind, shape) for name in names],
        [matrix],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    Path(path).write_bytes(model.SerializeToString())
