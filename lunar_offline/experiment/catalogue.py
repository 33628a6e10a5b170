"""What local datasets hold, told without running anything that they name."""

import json
from typing import Any

import numpy as np

from lunar_offline.data.ids import local_ids
from lunar_offline.data.metadata import read_metadata
from lunar_offline.data.publish import METADATA_KEY
from lunar_offline.data.reader import read_dataset
from lunar_offline.envs import EnvInfo
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.stats import interquartile_mean


def list_datasets() -> list[dict[str, Any]]:
    """Return id, env, action space, episodes and steps of every local dataset.

    Those that are damaged, or of another env, come with the reason in `refused` instead: one bad
    folder never breaks the listing.
    """
    rows: list[dict[str, Any]] = []
    for dataset_id in local_ids():
        row: dict[str, Any] = {"dataset_id": dataset_id}
        try:
            metadata = read_metadata(dataset_id)
        except (RefusedError, UsageError) as error:
            rows.append(row | {"refused": str(error)})
            continue
        about = {
            "env": metadata.env.env_id,
            "actions": metadata.env.action_name,
            "episodes": metadata.episodes,
            "steps": metadata.steps,
        }
        rows.append(row | about)
    return rows


def show_dataset(dataset_id: str, env: EnvInfo | None = None) -> dict[str, Any]:
    """Return contents, statistics and provenance of a dataset.

    Raises:
        UsageError, RefusedError: see `read_dataset`.
    """
    dataset = read_dataset(dataset_id, env)
    returns = dataset.episode_returns()
    lengths = np.diff(dataset.transitions.episode_ends(), prepend=0)
    ours = dataset.metadata.get(METADATA_KEY)
    # 1e400 and NaN, which no JSON has, become words
    ours = json.loads(json.dumps(ours), parse_constant=str)
    return {
        # first, so that nothing of the file's own can stand for what was measured
        **(ours if isinstance(ours, dict) else {}),
        "dataset_id": dataset_id,
        "env": dataset.env.env_id,
        "actions": dataset.env.action_name,
        "episodes": len(returns),
        "steps": len(dataset.transitions),
        "return_mean": round(float(returns.mean()), 2),
        "return_sd": round(float(returns.std()), 2),
        "return_iqm": round(interquartile_mean(returns), 2),
        "return_min": round(float(returns.min()), 2),
        "return_max": round(float(returns.max()), 2),
        "length_mean": round(float(lengths.mean()), 1),
        "truncated": int(dataset.transitions.truncations.sum()),
        "algorithm": str(dataset.metadata.get("algorithm_name", "")),
        "description": str(dataset.metadata.get("description", "")),
        "sha256": dataset.sha256,
    }
