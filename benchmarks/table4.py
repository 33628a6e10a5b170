"""The CQL paper's Table 4 on our tiers: what a penalty predicts, and what its policy gets.

    lunar-offline collect --recipe lunar-medium-v0    # and lunar-sac-v0
    python benchmarks/table4.py --seeds 3

Offline runs (rho 1) of 10,000 updates: preset `best` with discount 0.99 and tau 0.02, as its own
values would take 20,000 updates to settle. `gap` is the predicted soft value less the true
discounted soft return of the stochastic policy, over held-out initial states and over states within
the dataset's episodes; `mean` the return of 200 held-out episodes. Each is a mean over seeds with a
95% bootstrap interval. The same command continues where it stopped, and writes results/table4.json.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from pairing import write

from lunar_offline.progress import Silent
from lunar_offline.statistics import bootstrap
from lunar_offline.storage.strict_toml import merge
from lunar_offline.studies.local_executor import LocalExecutor
from lunar_offline.studies.sweep import Job, plan, sweep
from lunar_offline.studies.value_gap import diagnose
from lunar_offline.training.run_folder import RunFolder

TIERS = ("lunar-medium-v0", "lunar-sac-v0")
SHORT = {
    "rho": 1.0,
    "updates": 10_000,
    "evaluation_episodes": 200,
    "agent": {"discount": 0.99, "tau": 0.02},
}
# the forward KL goes with the penalty
NO_PENALTY = {"penalty": "none", "forward_kl": False}
METHODS: dict[str, dict[str, Any]] = {
    "CQL(H)": {},
    "CQL(rho)": {"penalty": "cql-rho"},
    "Eq. 1": {"penalty": "eq1"},
    "no penalty, 2 critics": NO_PENALTY,
    "no penalty, 4 critics": {**NO_PENALTY, "n_critics": 4},
    "no penalty, 2 critics, no LayerNorm": {**NO_PENALTY, "layer_norm": False},
}
STATES = 50


def jobs_of(root: Path, seeds: int) -> dict[tuple[str, str], list[Job]]:
    """Resolve the runs of each tier and method."""
    return {
        (tier, name): plan(
            root / tier / name.replace(" ", "-").replace(",", ""),
            {"dataset": [tier]},
            seeds,
            file=merge(SHORT, {"agent": agent}),
        )
        for tier in TIERS
        for name, agent in METHODS.items()
    }


def estimate(values: list[float]) -> dict[str, float]:
    """Return the mean over seeds and its interval."""
    found = bootstrap(np.mean, np.array(values))
    return {key: round(value, 1) for key, value in found._asdict().items()}


def row(tier: str, name: str, jobs: list[Job]) -> dict[str, Any]:
    """Diagnose the finished runs of a tier and method."""
    done = [job for job in jobs if job.finished]
    result: dict[str, Any] = {"tier": tier, "method": name, "seeds": len(done)}
    if not done:
        return result
    result["mean"] = estimate(
        [json.loads((job.path / "evaluation.json").read_text())["best"]["mean"] for job in done]
    )
    found = [diagnosis(job.path) for job in done]
    for kind in found[0]:
        for key in ("predicted", "true", "gap"):
            result[f"{kind}_{key}"] = estimate([each[kind][key] for each in found])
    return result


def diagnosis(run: Path) -> dict[str, dict[str, float]]:
    """Return a run's diagnosis, made once."""
    path = run / "diagnosis.json"
    if path.is_file():
        return json.loads(path.read_text())
    return diagnose(RunFolder.open(run), states=STATES)


def main() -> None:
    """Run what is not finished and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("runs/table4"))
    options = parser.parse_args()
    planned = jobs_of(options.out, options.seeds)
    # seed by seed, so that a stopped sweep has whole rows
    jobs = [group[seed] for seed in range(options.seeds) for group in planned.values()]
    failed = sweep(jobs, LocalExecutor(options.jobs), Silent())
    rows = [row(tier, name, group) for (tier, name), group in planned.items()]
    write("table4", {"protocol": SHORT, "rows": rows, "failed": failed})


if __name__ == "__main__":
    main()
