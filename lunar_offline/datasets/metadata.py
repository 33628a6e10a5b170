"""A dataset's metadata.json: plain JSON that is checked against a known env."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from gymnasium import spaces

from lunar_offline.datasets.ids import existing_folder
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.match_spec import match_spec
from lunar_offline.errors import RefusedError, UnregisteredEnvError, UsageError
from lunar_offline.storage.plain_text import one_line, printable
from lunar_offline.storage.strict_json import strict_json
from lunar_offline.storage.untrusted_files import read_regular

MAX_BYTES = 4 << 20
MAX_STEPS = 10**9
FORMATS = ("hdf5", "arrow")


@dataclass(frozen=True)
class Metadata:
    """The checked content of metadata.json.

    Attributes:
        values: the complete parsed content.
        env: the record of the env that it names.
        format: `hdf5` or `arrow`.
        episodes: the stated number of episodes.
        steps: the stated number of env steps of all episodes.
    """

    values: dict[str, Any]
    env: EnvInfo
    format: str
    episodes: int
    steps: int


def load_metadata(data: Path) -> dict[str, Any]:
    """Parse metadata.json in a dataset's `data` folder, without any check of its values.

    Raises:
        RefusedError: the file is missing, too large, or not a JSON object.
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


def read_metadata(folder: Path, dataset_id: str, env: EnvInfo | None = None) -> Metadata:
    """Read a dataset's metadata.json, and compare it with the id and the known envs.

    Args:
        folder: the dataset's folder.
        dataset_id: its id.
        env: the env that the user named; None accepts any registered env.

    Raises:
        RefusedError: the file is damaged, or does not match that id and env.
    """
    data = folder / "data"
    values, path = load_metadata(data), data / "metadata.json"
    try:
        return _checked(values, dataset_id, env)
    except UnregisteredEnvError as error:
        raise UnregisteredEnvError(f"{path}: {one_line(error)}") from None
    except (RefusedError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RefusedError(f"{path}: {one_line(error)}") from None


class StatedContents(TypedDict, total=False):
    """What the metadata of a dataset state, without any check against an env."""

    env: str
    actions: str
    episodes: int
    steps: int


def stated_contents(dataset_id: str) -> StatedContents:
    """Return what a dataset that cannot be read states about itself, as far as that is plain."""
    found: StatedContents = {}
    try:
        values = load_metadata(existing_folder(dataset_id) / "data")
        env_id = _nested(values, "env_spec").get("id")
        kind = _nested(values, "action_space").get("type")
        if isinstance(env_id, str):
            found["env"] = printable(env_id[:80])
        if kind in ("Discrete", "Box"):
            found["actions"] = "discrete" if kind == "Discrete" else "continuous"
        found["episodes"] = _count(values, "total_episodes")
        found["steps"] = _count(values, "total_steps")
    except (RefusedError, UsageError, ValueError, RecursionError):
        return found
    return found


def _checked(values: dict[str, Any], dataset_id: str, env: EnvInfo | None) -> Metadata:
    own_id = values.get("dataset_id", dataset_id)
    if own_id != dataset_id:
        raise ValueError(f"its dataset_id is {str(own_id)[:80]!r}, not {dataset_id}")
    found = match_spec(_nested(values, "env_spec"), env)
    if values.get("eval_env_spec") is not None:
        match_spec(_nested(values, "eval_env_spec"), found)
    for key, space in (
        ("observation_space", found.observation_space),
        ("action_space", found.action_space),
    ):
        if not _same_space(_nested(values, key), space):
            raise ValueError(f"the {key} is not that of {found.env_id}")
    kind = values.get("data_format", "hdf5")
    if kind not in FORMATS:
        raise ValueError(
            f"its data_format is {str(kind)[:40]!r}; {' and '.join(FORMATS)} are supported"
        )
    episodes, steps = _count(values, "total_episodes"), _count(values, "total_steps")
    return Metadata(values, found, kind, episodes, steps)


def _count(values: dict[str, Any], key: str) -> int:
    count = values.get(key)
    if type(count) is not int or not 1 <= count <= MAX_STEPS:
        raise ValueError(f"{key} is {repr(count)[:40]}, not a count")
    return count


def _nested(values: dict[str, Any], key: str) -> dict[str, Any]:
    """Parse a value that is itself a JSON text, as Minari stores specs and spaces."""
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


def _same_space(stated: dict[str, Any], space: spaces.Box | spaces.Discrete) -> bool:
    if isinstance(space, spaces.Discrete):
        ours = {"type": "Discrete", "dtype": "int64", "n": int(space.n), "start": int(space.start)}
        return {"dtype": "int64", "start": 0} | stated == ours
    ours = {
        "type": "Box",
        "dtype": str(space.dtype),
        "shape": list(space.shape),
        "low": space.low.tolist(),
        "high": space.high.tolist(),
    }
    return stated == ours


def space_as_json(space: spaces.Box | spaces.Discrete) -> str:
    """Return a canonical text of a space, for use in a hash."""
    if isinstance(space, spaces.Discrete):
        return json.dumps({"n": int(space.n), "start": int(space.start)})
    return json.dumps([str(space.dtype), space.low.tolist(), space.high.tolist()])
