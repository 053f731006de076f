"""How large whole weights may be so that a processor adds up their products with bytes exactly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import onnxruntime

#: Weights of 8 bits, and of 7 bits for processors without dot products of bytes, which add up two products in 16 bits.
LARGEST_WEIGHTS = (127, 63)


@lru_cache(maxsize=1)
def largest_weight() -> int:
    """Return the first of `LARGEST_WEIGHTS` whose products this processor adds up exactly; 0 where none is."""
    return next((most for most in LARGEST_WEIGHTS if products_are_exact(most)), 0)


def products_are_exact(weight: int) -> bool:
    """Say whether ONNX Runtime's sums of 255 times a weight are right on this processor."""
    from onnx import TensorProto, helper

    names, numbers = ("one", "other"), (255, weight)
    kinds = (TensorProto.UINT8, TensorProto.INT8)
    body = helper.make_graph(
        [helper.make_node("MatMulInteger", names, ["out"])],
        "products",
        [
            helper.make_tensor_value_info(name, kind, [32, 32])
            for name, kind in zip(names, kinds, strict=True)
        ],
        [helper.make_tensor_value_info("out", TensorProto.INT32, [32, 32])],
    )
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {
        name: np.full((32, 32), value, kind)
        for name, value, kind in zip(names, numbers, (np.uint8, np.int8), strict=True)
    }
    (out,) = session.run(None, feeds)
    return bool((np.asarray(out) == 32 * 255 * weight).all())
