"""A dataset's metadata.json: plain JSON, held against an env that we know."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymnasium import spaces

from lunar_offline.data.ids import check_there
from lunar_offline.envs import EnvInfo, match_spec
from lunar_offline.errors import RefusedError
from lunar_offline.files import one_line, read_regular, strict_json

MAX_BYTES = 4 << 20
MAX_STEPS = 10**9
FORMATS = ("hdf5", "arrow")


@dataclass(frozen=True)
class Metadata:
    """What metadata.json says, checked.

    Attributes:
        values: all of it, parsed.
        env: the env of ours that it names.
        format: `hdf5` or `arrow`.
        episodes: how many the data must hold.
        steps: how many those must have.
    """

    values: dict[str, Any]
    env: EnvInfo
    format: str
    episodes: int
    steps: int


def load_metadata(data: Path) -> dict[str, Any]:
    """Parse metadata.json of a dataset's `data` folder, and believe nothing of it.

    Raises:
        RefusedError: it is missing, too large, or not one JSON object.
    """
    path = data / "metadata.json"
    try:
        values = strict_json(read_regular(path, MAX_BYTES))
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise RefusedError(f"{path}: {one_line(error)}") from None
    if not isinstance(values, dict):
        raise RefusedError(f"{path}: not a JSON object")
    return values


def read_metadata(dataset_id: str, env: EnvInfo | None = None) -> Metadata:
    """Read a local dataset's metadata.json and hold it against what we know.

    Args:
        dataset_id: a local dataset.
        env: the env that the user named; None takes the lander's two.

    Raises:
        UsageError: the id is malformed, or no such dataset is there.
        RefusedError: it is no metadata, or not of that id and env.
    """
    data = check_there(dataset_id) / "data"
    values, path = load_metadata(data), data / "metadata.json"
    try:
        return _checked(values, dataset_id, env)
    except (RefusedError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RefusedError(f"{path}: {one_line(error)}") from None


def _checked(values: dict[str, Any], dataset_id: str, env: EnvInfo | None) -> Metadata:
    own_id = values.get("dataset_id", dataset_id)
    if own_id != dataset_id:
        raise ValueError(f"it is of {str(own_id)[:80]!r}, not of {dataset_id}")
    found = match_spec(_nested(values, "env_spec"), env)
    if values.get("eval_env_spec") is not None:
        match_spec(_nested(values, "eval_env_spec"), found if env else None)
    for key, space in (
        ("observation_space", found.observation_space),
        ("action_space", found.action_space),
    ):
        if not _same_space(_nested(values, key), space):
            raise ValueError(f"the {key} is not that of {found.env_id}")
    kind = values.get("data_format", "hdf5")
    if kind not in FORMATS:
        raise ValueError(f"its data_format is {str(kind)[:40]!r}; {' and '.join(FORMATS)} are read")
    episodes, steps = _count(values, "total_episodes"), _count(values, "total_steps")
    return Metadata(values, found, kind, episodes, steps)


def _count(values: dict[str, Any], key: str) -> int:
    count = values.get(key)
    if type(count) is not int or not 1 <= count <= MAX_STEPS:
        raise ValueError(f"{key} is {repr(count)[:40]}, not a count")
    return count


def _nested(values: dict[str, Any], key: str) -> dict[str, Any]:
    """Parse one of Minari's JSON texts within JSON."""
    text = values.get(key)
    if text is None:
        raise ValueError(f"{key} is missing")
    try:
        nested = strict_json(text) if isinstance(text, str) else None
    except ValueError as error:
        raise ValueError(f"{key}: {one_line(error)}") from None
    if not isinstance(nested, dict):
        raise ValueError(f"{key} is not the text of a JSON object")
    return nested


def _same_space(told: dict[str, Any], space: spaces.Box | spaces.Discrete) -> bool:
    if isinstance(space, spaces.Discrete):
        ours = {"type": "Discrete", "dtype": "int64", "n": int(space.n), "start": int(space.start)}
        return {"dtype": "int64", "start": 0} | told == ours
    ours = {
        "type": "Box",
        "dtype": str(space.dtype),
        "shape": list(space.shape),
        "low": space.low.tolist(),
        "high": space.high.tolist(),
    }
    return told == ours


def space_as_json(space: spaces.Box | spaces.Discrete) -> str:
    """Return a canonical text of a space, for hashes."""
    if isinstance(space, spaces.Discrete):
        return json.dumps({"n": int(space.n), "start": int(space.start)})
    return json.dumps([str(space.dtype), space.low.tolist(), space.high.tolist()])
