"""Matrix products from bfloat16 operands, where the CPU has tiles for them (AMX)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lunar_offline.errors import UsageError

PRECISIONS = ("auto", "fp32", "bf16")


def has_amx() -> bool:
    """Whether this CPU multiplies bfloat16 tiles; without them bf16 is up to 16 times slower."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return supported is not None and bool(supported())


def resolve_precision(precision: str, device: str) -> str:
    """Return `fp32` or `bf16`; `auto` is bf16 on a CPU with AMX and fp32 everywhere else.

    Raises:
        UsageError: bf16 was asked for where there is no AMX, or on another device.
    """
    fast = device == "cpu" and has_amx()
    if precision == "bf16" and not fast:
        raise UsageError("--precision bf16 needs a CPU with AMX; take auto or fp32")
    return "bf16" if fast and precision != "fp32" else "fp32"


@contextmanager
def bf16_products() -> Iterator[None]:
    """Let float32 matrix products round their operands to bfloat16; sums stay float32.

    Weights, activations and gradients keep float32, and so does everything outside: the setting is
    the process's own, so acting and evaluation must not run inside.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
