"""What each option is worth: the preset with one thing changed, several seeds each.

    python benchmarks/ablations.py lunar-sac-v0 --seeds 5

The protocol is a fifth of the preset's, so that it can be run in an afternoon: 4,000 offline
updates, 40 online episodes, one update per env step, 200 held-out episodes. Each line is the preset
with one change; its difference to that is paired by seed, with a 95% bootstrap interval. The same
command continues where it stopped, and writes results/ablations-DATASET.json.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
from pairing import write

from lunar_offline.datasets.folder import open_folder
from lunar_offline.progress import Silent
from lunar_offline.statistics import bootstrap
from lunar_offline.storage.strict_toml import merge
from lunar_offline.studies.compare import read_runs
from lunar_offline.studies.local_executor import LocalExecutor
from lunar_offline.studies.sweep import Job, plan, sweep

SHORT = {
    "pretrain_updates": 4_000,
    "online_episodes": 40,
    "utd_ratio": 1.0,
    "validation_episodes": 100,
    "evaluation_episodes": 200,
}
CHANGES: dict[str, dict[str, Any]] = {
    "preset": {},
    "invariant shaping": {"invariant_shaping": True},
    "no LayerNorm": {"agent": {"layer_norm": False}},
    "4 critics, minimum of 2": {"agent": {"n_critics": 4, "target_subset": 2}},
    "UTD 2": {"utd_ratio": 2.0},
    # the forward KL goes with the penalty; see also DISCRETE_ONLY
    "no penalty at all": {"agent": {"penalty": "none", "forward_kl": False}},
    "penalty weight 5 online": {"agent": {"online_penalty_weight": 5.0}},
    "penalty annealed over 20 episodes": {
        "agent": {"online_penalty_weight": 5.0, "anneal_episodes": 20}
    },
    "penalty weight 1 online": {"agent": {"online_penalty_weight": 1.0}},
    "the same, calibrated (Cal-QL)": {"agent": {"online_penalty_weight": 1.0, "calibrated": True}},
    "no pretraining": {"pretrain_updates": 0},
    "no warm-up": {"warmup_steps": 0},
    "balanced replay": {"balanced": True},
    "discount 0.99": {"agent": {"discount": 0.99}},
    "discount 0.999": {"agent": {"discount": 0.999}},
    "no averaged policy": {"agent": {"policy_tau": 1.0}},
}
DISCRETE_ONLY: dict[str, dict[str, Any]] = {
    **{
        name: merge(change, {"agent": {"online_forward_kl": True}})
        for name, change in CHANGES.items()
        if "online_penalty_weight" in change.get("agent", {})
    },
    "no forward KL": {"agent": {"forward_kl": False}},
}
CONTINUOUS_ONLY = {
    "cloning": {"agent": {"cloning_weight": 5.0}},
    "4 proposals": {"agent": {"n_proposals": 4}},
    "4 proposals, quasi-random": {"agent": {"n_proposals": 4, "quasi_random": True}},
}


def folder(root: Path, name: str) -> Path:
    """Return where the runs of a change lie."""
    return root / name.replace(" ", "-").replace("(", "").replace(")", "").replace(",", "")


def jobs_of(root: Path, dataset: str, changes: dict[str, dict[str, Any]], seeds: int) -> list[Job]:
    """Resolve all runs, seed by seed, so that a stopped sweep has whole rows of seeds."""
    planned = [
        plan(folder(root, name), {"dataset": [dataset]}, seeds, file=merge(SHORT, change))
        for name, change in changes.items()
    ]
    return [jobs[seed] for seed in range(seeds) for jobs in planned]


def table(root: Path, changes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per change: mean return of best and last policy, difference to the preset."""
    means = {}
    for name in changes:
        if any(folder(root, name).glob("*/evaluation.json")):
            runs = read_runs([folder(root, name)])
            means[name] = {
                run.config["seed"]: (
                    run.evaluation.by_name()["best"].mean,
                    run.evaluation.headline.mean,
                )
                for run in runs
            }
    rows = []
    for name, by_seed in means.items():
        seeds = sorted(by_seed.keys() & means["preset"].keys())
        here = np.array([by_seed[seed] for seed in seeds])
        preset = np.array([means["preset"][seed] for seed in seeds])
        row: dict[str, Any] = {"change": name, "seeds": len(seeds)}
        for column, which in enumerate(("best", "last")):
            row[which] = round(float(here[:, column].mean()), 1)
            if name != "preset":
                worth = bootstrap(np.mean, here[:, column] - preset[:, column])
                row[f"{which}_worth"] = {k: round(v, 1) for k, v in worth._asdict().items()}
        rows.append(row)
    return rows


def main() -> None:
    """Run what is not finished and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("dataset", nargs="?", default="lunar-sac-v0")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    options = parser.parse_args()
    discrete = open_folder(options.dataset).env.discrete
    changes = CHANGES | (DISCRETE_ONLY if discrete else CONTINUOUS_ONLY)
    name = f"ablations-{options.dataset.replace('/', '-')}"
    root = options.out / name
    failed = sweep(
        jobs_of(root, options.dataset, changes, options.seeds),
        LocalExecutor(options.jobs),
        Silent(),
    )
    write(name, {"protocol": SHORT, "rows": table(root, changes), "failed": failed})


if __name__ == "__main__":
    main()
