"""List and show local datasets without running any code that they name."""

import json
from typing import Any

from lunar_offline.datasets.dataset import read_folder
from lunar_offline.datasets.folder import DatasetFolder, open_folder
from lunar_offline.datasets.ids import local_ids
from lunar_offline.datasets.publish import METADATA_KEY
from lunar_offline.errors import RefusedError, UsageError


def list_datasets() -> list[dict[str, Any]]:
    """Return id, env, action space, episodes and steps of every local dataset.

    A row of a damaged dataset, or of one with an unknown env, has the reason as `refused` instead.
    Such a dataset does not affect the other rows.
    """
    rows: list[dict[str, Any]] = []
    for dataset_id in local_ids():
        row: dict[str, Any] = {"dataset_id": dataset_id}
        try:
            metadata = open_folder(dataset_id).metadata
        except (RefusedError, UsageError) as error:
            rows.append(row | {"refused": str(error)})
            continue
        found = {
            "env": metadata.env.env_id,
            "actions": metadata.env.action_kind,
            "episodes": metadata.episodes,
            "steps": metadata.steps,
        }
        rows.append(row | found)
    return rows


def show_dataset(folder: DatasetFolder) -> dict[str, Any]:
    """Return the contents, statistics and provenance of a dataset as plain JSON values.

    Raises:
        RefusedError: see `read_folder`.
    """
    dataset = read_folder(folder)
    found = dataset.statistics()
    ours = dataset.metadata.get(METADATA_KEY)
    # convert infinities and NaN, which are not valid JSON, to strings
    ours = json.loads(json.dumps(ours), parse_constant=str)
    return {
        # first, so that values in the file cannot replace measured ones
        **(ours if isinstance(ours, dict) else {}),
        "dataset_id": dataset.id,
        "env": dataset.env.env_id,
        "actions": dataset.env.action_kind,
        "episodes": found.episodes,
        "steps": found.steps,
        "return_mean": round(found.returns.mean, 2),
        "return_sd": round(found.returns.sd, 2),
        "return_iqm": round(found.returns.iqm, 2),
        "return_min": round(found.returns.min, 2),
        "return_max": round(found.returns.max, 2),
        "length_mean": round(found.lengths.mean, 1),
        "truncated": int(dataset.transitions.truncations.sum()),
        "algorithm": str(dataset.metadata.get("algorithm_name", "")),
        "description": str(dataset.metadata.get("description", "")),
        "sha256": dataset.sha256,
    }
