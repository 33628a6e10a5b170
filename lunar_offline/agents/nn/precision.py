"""Matrix products with bfloat16 operands, on CPUs with tile instructions for them (AMX)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lunar_offline.errors import UsageError


def has_amx() -> bool:
    """Return whether this CPU has AMX; without it, bf16 is up to 16 times slower."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return supported is not None and bool(supported())


def resolve_precision(precision: str, device: str) -> str:
    """Return `fp32` or `bf16`; `auto` is bf16 on a CPU with AMX and fp32 everywhere else.

    Raises:
        UsageError: bf16 is requested on a CPU without AMX, or on another device.
    """
    fast = device == "cpu" and has_amx()
    if precision == "bf16" and not fast:
        raise UsageError("--precision bf16 needs a CPU with AMX; use auto or fp32")
    return "bf16" if fast and precision != "fp32" else "fp32"


@contextmanager
def bf16_products() -> Iterator[None]:
    """Make float32 matrix products round their operands to bfloat16; sums stay in float32.

    Weights, activations and gradients stay in float32. The setting applies to the complete process
    while the context is active, so acting and evaluation must not run inside it.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
