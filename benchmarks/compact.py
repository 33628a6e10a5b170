"""The runs of a study -> one small JSON file, with a line per seed.

    python benchmarks/compact.py runs/discrete --out docs/results/headline-discrete.json

Arguments are run directories, or folders of them, as `lunar-offline sweep` writes them; their
dataset must exist too. What all runs have in common is stated once: the command that trains them,
versions, machine, commit, dataset, precision and the resolved config. A run has the measures of its
best and last policy, its cost, validations as [online episode, mean], the returns of its training
episodes, and what else differs.
"""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pairing import compact_json

from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.storage.atomic_write import write_atomic
from lunar_offline.studies.compare import Finished, read_runs
from lunar_offline.studies.sweep import EVALUATION_EPISODES
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.metrics import EpisodeRecord, ValidationRecord
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.run_folder import RunFolder

PROVENANCE = ("versions", "machine", "commit", "dataset", "precision")
NAMED = ("dataset", "rho", "algorithm")  # options of a sweep by name; others need --set
OF_PRESETS = ("env", "rho_mode", "preset")  # what presets depend on beside those


def summary(run: Finished) -> dict[str, Any]:
    """Return what a run found, and what it cost without its dataset.

    `worst_drop` is the largest fall of a validation after the first online episode below the mean
    of the validation before it; None where there was none before it.
    """
    episodes = [r for r in run.metrics if isinstance(r, EpisodeRecord)]
    validations = [r for r in run.metrics if isinstance(r, ValidationRecord)]
    assert run.evaluation.last is not None  # a finished run has both
    assert run.evaluation.best is not None
    last, best = (e.to_dict() for e in (run.evaluation.last, run.evaluation.best))
    returns = run.evaluation.best.returns
    each = run.config["validation_episodes"]
    before = [v.mean for v in validations if v.episode == 0]
    after = [v.mean for v in validations if v.episode > 0]
    return {
        "seed": run.config["seed"],
        "best": _plain(best) | {"returns": [round(value, 2) for value in returns]},
        "last": _plain(last),
        "cost": {
            "online_episodes": len(episodes),
            "online_steps": max((record.env_step for record in run.metrics), default=0),
            "validation_episodes": each * len(validations),
            "validation_steps": round(sum(v.frames * each for v in validations)),
        },
        "validations": [[v.episode, _rounded(v.mean)] for v in validations],
        "episode_returns": [round(record.episode_return, 1) for record in episodes],
        "worst_drop": _rounded(max([0.0, *(before[0] - m for m in after)])) if before else None,
    }


def _plain(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    return _rounded({n: v for n, v in evaluation.items() if n not in ("returns", "seeds")})


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def headline(paths: Sequence[Path], command: str = "") -> dict[str, Any]:
    """Return what the file holds.

    `command` trains the runs; empty derives it, for seeds 0 .. N-1 of one config.

    Raises:
        UsageError: no run is finished, or the dataset does not exist.
        SystemExit: the command cannot be derived, or the dataset is not that of the runs.
    """
    found = sorted(read_runs(paths), key=lambda run: run.config["seed"])
    folders = [RunFolder.open(run.path) for run in found]
    origins = [{name: f.provenance()[name] for name in PROVENANCE} for f in folders]
    origin, other_origins = _split(origins)
    configs = [{n: v for n, v in run.config.items() if n != "seed"} for run in found]
    config, other_options = _split(configs)
    if not command:
        if any(other_options) or [run.config["seed"] for run in found] != list(range(len(found))):
            raise SystemExit("these are not seeds 0 .. N-1 of one config: give --command")
        command = sweep_command(folders[0].config(), len(found))
    runs = [summary(run) | other for run, other in zip(found, other_origins, strict=True)]
    for run, folder, options in zip(runs, folders, other_options, strict=True):
        run["cost"]["dataset_steps"] = _dataset_steps(folder)
        if options:
            run["config"] = _nested(options)
    return {"command": command, **origin, "config": _nested(config), "runs": runs}


def _split(tables: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what all tables have in common, and what each has beside that."""
    common = {n: v for n, v in tables[0].items() if all(n in t and t[n] == v for t in tables)}
    return common, [{n: v for n, v in t.items() if n not in common} for t in tables]


def _nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config whose names have dots as config.toml has it."""
    agent = {n.removeprefix("agent."): v for n, v in config.items() if n.startswith("agent.")}
    plain = {name: value for name, value in config.items() if not name.startswith("agent.")}
    return plain | ({"agent": agent} if agent else {})


def _dataset_steps(run: RunFolder) -> int:
    config = run.config()
    if not config.dataset:
        return 0
    dataset = read_dataset(config.dataset, config.env_info())
    if dataset.sha256 != run.provenance()["dataset"]["sha256"]:
        raise SystemExit(f"dataset {config.dataset} is not the one of {run.path}")
    return len(dataset.transitions)


def sweep_command(config: TrainConfig, seeds: int) -> str:
    """Return the shortest `lunar-offline sweep` whose runs have this config."""
    options = {name: getattr(config, name) for name in NAMED + OF_PRESETS}
    options = {n: v for n, v in options.items() if n == "rho" or v != getattr(TrainConfig, n)}
    file = {"evaluation_episodes": EVALUATION_EPISODES, "seed": config.seed}
    usual: dict[str, Any] = resolve(discrete=config.discrete, file=file, options=options).to_dict()
    own: dict[str, Any]
    own, words = config.to_dict(), ["lunar-offline", "sweep"]
    for name in NAMED:
        words += [f"--{name}", str(options.pop(name))] if name in options else []
    if not config.dataset:
        words.append("--discrete" if config.discrete else "--continuous")
    options |= {n: v for n, v in own.items() if n != "agent" and v != usual[n]}
    options |= {f"agent.{n}": v for n, v in own["agent"].items() if v != usual["agent"][n]}
    words += ["--seeds", str(seeds)]
    for name, value in options.items():
        shown = str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "")
        words += ["--set", f"{name}={shown}"]
    return shlex.join(words)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Write the runs of a study as one small file.")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--command", default="", help="that trains them; derived where it can be")
    options = parser.parse_args()
    write_atomic(options.out, compact_json(headline(options.runs, options.command)).encode())


if __name__ == "__main__":
    main()
