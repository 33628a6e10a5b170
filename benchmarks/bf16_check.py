"""Does rounding the operands to bfloat16 cost return? python benchmarks/bf16_check.py [DATASET].

Trains the same seeds with and without it, and compares held-out returns. The rounding is emulated,
so the check needs no AMX: operands of every matrix product of an update become bfloat16 values,
sums stay float32, which is what a tile unit computes (the order of its sums apart).
"""

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pairing
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lunar_offline.agents.learner import Batch, Learner
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.start_or_resume import finish, start

SEEDS = range(10)
OPTIONS = {"rho": 0.6, "online_episodes": 20, "evaluation_episodes": 200, "precision": "fp32"}
RUNS = Path("runs")


class RoundedOperands(TorchDispatchMode):
    """Rounds both matrices of every product to bfloat16 values."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the kernel."""
        if func.overloadpacket.__name__ in ("mm", "addmm"):
            args = (*args[:-2], *(a.bfloat16().float() for a in args[-2:]))
        return func(*args, **kwargs or {})


plain_update = Learner.update


def rounded_update(
    learner: Learner, batch: Batch, online_episode: int | None = None
) -> dict[str, torch.Tensor]:
    """`Learner.update` with rounded operands."""
    with RoundedOperands():
        return plain_update(learner, batch, online_episode)


def mean_return(dataset: str, seed: int, rounded: bool) -> float:
    """Train one seed, or read what it gave before, and return its held-out mean."""
    out = RUNS / f"bf16-check-{dataset}-{'bf16' if rounded else 'fp32'}-s{seed}"
    if not (out / "evaluation.json").is_file():
        options = OPTIONS | {"dataset": dataset, "seed": seed}
        config = resolve(discrete=None, file={}, options=options)
        with mock.patch.object(Learner, "update", rounded_update if rounded else plain_update):
            training = start(config, out)
            training.train()
        finish(training.run)
    return json.loads((out / "evaluation.json").read_text())["last"]["mean"]


def interval(values: np.ndarray) -> list[float]:
    """Return the 95% bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (10_000, len(values))).mean(1)
    return [round(float(x), 1) for x in np.quantile(means, [0.025, 0.975])]


def main() -> None:
    """Run all seeds on two processes and write benchmarks/results/bf16-check-DATASET.json."""
    dataset = sys.argv[1] if len(sys.argv) > 1 else "lunar-sac-v0"
    work = [(dataset, seed, rounded) for seed in SEEDS for rounded in (False, True)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        means = np.array(pool.starmap(mean_return, work, chunksize=1)).reshape(-1, 2)
    result: dict[str, Any] = {"dataset": dataset, "options": OPTIONS}
    for name, column in zip(("fp32", "bf16"), means.T, strict=True):
        result[name] = {"mean": round(float(column.mean()), 1), "interval": interval(column)}
        result[name]["seeds"] = column.round(1).tolist()
    pairing.write(f"bf16-check-{dataset}", result)


if __name__ == "__main__":
    main()
