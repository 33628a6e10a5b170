"""The envs that the user named, so that later commands need not ask again.

An env that is not registered is made only after the user has named it once, with `--env` or in
Python. The names are kept in one file of the user's, beside the datasets. No file that arrives with
a dataset, a run or a policy can add to it.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lunar_offline.envs.env_kwargs import PlainValue, plain_value
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.datasets_root import FOLDER, datasets_root
from lunar_offline.storage.strict_json import read_json, write_json

_named_here: dict[tuple[Path, str], list[dict[str, PlainValue]]] = {}  # in this process


def _file() -> Path:
    return datasets_root() / FOLDER / "envs.json"


def named_settings(env_id: str) -> list[dict[str, PlainValue]]:
    """Return the settings with which the user named an env; empty for an env never named.

    Raises:
        RefusedError: the file of names is damaged.
    """
    found = list(_stored().get(env_id, []))
    return found + [s for s in _named_here.get((_file(), env_id), []) if s not in found]


def remember(env_id: str, settings: Mapping[str, PlainValue]) -> None:
    """Keep an env that the user named. A file that cannot be written is no error."""
    chosen = dict(settings)
    if chosen in named_settings(env_id):
        return
    _named_here.setdefault((_file(), env_id), []).append(chosen)
    stored = _stored()
    stored.setdefault(env_id, []).append(chosen)
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_json(_file(), {"envs": stored})


def _stored() -> dict[str, list[dict[str, PlainValue]]]:
    if not os.path.lexists(_file()):
        return {}
    try:
        envs = read_json(_file()).get("envs")
        return {env_id: [_settings(s) for s in listed] for env_id, listed in _items(envs)}
    except (UsageError, TypeError) as error:
        raise RefusedError(f"{_file()}: damaged ({error}); remove it") from None


def _items(envs: Any) -> list[tuple[str, list[Any]]]:
    if not isinstance(envs, dict) or not all(isinstance(v, list) for v in envs.values()):
        raise TypeError("not a table of lists")
    return list(envs.items())


def _settings(value: Any) -> dict[str, PlainValue]:
    if not isinstance(value, dict):
        raise TypeError("settings that are not a table")
    return {name: plain_value(name, member) for name, member in value.items()}
