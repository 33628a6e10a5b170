"""The random numbers of an update, keyed by (seed, update_step)."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lunar_offline.agents.nn.device import to_device
from lunar_offline.seeding import Purpose, generator


class Noise(NamedTuple):
    """The random numbers of one update.

    Attributes:
        actions: standard normal [2 B, 1, A], for the actions at s, then at s'.
        proposals: standard normal [P, 2 N, A].
        uniform: uniform on [0, 1), [P, N, A].
    """

    actions: Tensor
    proposals: Tensor
    uniform: Tensor


def draw(
    seed: int,
    update_step: int,
    *,
    rows: int,
    penalized: int,
    n_proposals: int,
    action_size: int,
    quasi_random: bool,
    device: torch.device,
) -> Noise:
    """Draw an update's noise; empty where `action_size` is 0 (discrete expectations are exact).

    Args:
        seed: seed of the run.
        update_step: counter of the random stream.
        rows: B, the rows of the batch.
        penalized: P, the rows that the penalty covers.
        n_proposals: N, the samples per proposal distribution.
        action_size: A, the action dimensions.
        quasi_random: draw the proposals from shifted lattices; see `lattice`.
        device: where the tensors are stored.
    """
    if not action_size:
        nothing = torch.empty(2 * rows, 1, 0, device=device)
        return Noise(nothing, nothing, nothing)
    rng = generator(seed, Purpose.UPDATE_NOISE, update_step)
    p, n, a = penalized, n_proposals, action_size

    def normal(*shape: int) -> Tensor:
        return to_device(rng.standard_normal(shape, dtype=np.float32), device)

    actions = normal(2 * rows, 1, a)
    if not quasi_random:
        proposals = normal(p, 2 * n, a)
        return Noise(actions, proposals, to_device(rng.random((p, n, a), dtype=np.float32), device))
    here, there, uniform = (
        lattice(to_device(rng.random((p, 1, a), dtype=np.float32), device), n) for _ in range(3)
    )
    # ndtri is infinite at 0 and 1
    inside = torch.cat([here, there], dim=1).clamp(1e-6, 1.0 - 1e-6)
    return Noise(actions, torch.special.ndtri(inside), uniform)


def lattice(shift_P1A: Tensor, n: int) -> Tensor:
    """Return n points per row, [P, n, A] on [0, 1): a Kronecker lattice, shifted per row.

    With a uniform shift, each point is uniform, so estimates stay unbiased, and the points of a row
    cover the unit cube evenly (Cranley and Patterson 1976). The steps are powers of 1 / phi with
    phi^(A + 1) = phi + 1, the generalized golden ratio (Roberts 2018, R_d).

    Args:
        shift_P1A: uniform on [0, 1).
        n: points per row.
    """
    a, phi = shift_P1A.shape[2], 2.0
    for _ in range(40):
        phi = (1.0 + phi) ** (1.0 / (a + 1))
    steps_A = torch.tensor([phi ** -(k + 1) for k in range(a)], dtype=torch.float64)
    points_NA = (torch.arange(n, dtype=torch.float64).unsqueeze(1) * steps_A).remainder(1.0)
    return (shift_P1A + points_NA.to(shift_P1A)).remainder(1.0)
