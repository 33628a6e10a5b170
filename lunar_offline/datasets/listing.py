"""List and show local datasets without running any code that they name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lunar_offline.datasets.dataset import read_folder
from lunar_offline.datasets.folder import DatasetFolder, open_folder
from lunar_offline.datasets.ids import local_ids
from lunar_offline.datasets.metadata import stated_contents
from lunar_offline.datasets.publish import METADATA_KEY
from lunar_offline.envs.env_kwargs import PlainValue
from lunar_offline.errors import RefusedError, UnregisteredEnvError, UsageError
from lunar_offline.storage.strict_json import JSONValue


@dataclass(frozen=True)
class ListedDataset:
    """A local dataset as its metadata describe it; its data are not read.

    Attributes:
        dataset_id: its Minari id.
        env: Gymnasium id of its env; empty if the metadata are damaged.
        env_kwargs: settings of the env; empty if they are the defaults, or unknown.
        actions: `discrete` or `continuous`; empty if unknown.
        episodes: number of episodes; None if unknown.
        steps: number of env steps; None if unknown.
        refused: why the dataset cannot be read; empty if it can. An env that is not registered and
            that the user has not named is such a reason.
    """

    dataset_id: str
    env: str = ""
    env_kwargs: Mapping[str, PlainValue] = field(default_factory=dict)
    actions: str = ""
    episodes: int | None = None
    steps: int | None = None
    refused: str = ""

    def to_dict(self) -> dict[str, JSONValue]:
        """Return the known values, as plain JSON."""
        return {name: value for name, value in vars(self).items() if value not in ("", None, {})}


def list_datasets() -> list[ListedDataset]:
    """Return every local dataset, sorted by id. A damaged one does not affect the others."""
    found: list[ListedDataset] = []
    for dataset_id in local_ids():
        try:
            metadata = open_folder(dataset_id).metadata
        except UnregisteredEnvError as error:
            found.append(
                ListedDataset(dataset_id, **stated_contents(dataset_id), refused=str(error))
            )
            continue
        except (RefusedError, UsageError) as error:
            found.append(ListedDataset(dataset_id, refused=str(error)))
            continue
        env = metadata.env
        found.append(
            ListedDataset(
                dataset_id,
                env.env_id,
                env.settings,
                env.action_kind,
                metadata.episodes,
                metadata.steps,
            )
        )
    return found


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
