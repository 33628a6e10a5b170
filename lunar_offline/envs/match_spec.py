"""Compare the env spec of a dataset with the known envs, without making what it names."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.registry import known_env
from lunar_offline.errors import RefusedError, UsageError

# Render modes that a dataset's spec may state, because they do not change the recorded data.
RENDER_MODES = (None, "human", "rgb_array")


def match_spec(spec: Mapping[str, Any], env: EnvInfo | None = None) -> EnvInfo:
    """Compare a dataset's parsed `env_spec` with the known record of that env; return the record.

    This function makes and imports nothing that `spec` names. Entry points, wrappers and time limit
    must equal those in the local registry. The keyword arguments must equal those of the record, or
    be settings that it allows. The render mode does not matter.

    Args:
        spec: the `env_spec` of the dataset.
        env: the env that the user named; None accepts any registered env, and those that the user
            named before.

    Raises:
        RefusedError: the spec has another env id, other keyword arguments or other code.
    """
    kwargs = spec.get("kwargs", {})
    if not isinstance(kwargs, dict) or kwargs.get("render_mode") not in RENDER_MODES:
        raise RefusedError(f"the env has kwargs {str(kwargs)[:80]!r}, which are not allowed")
    settings = {name: value for name, value in kwargs.items() if name != "render_mode"}
    found = known_env(spec.get("id"), settings=settings, named=env)
    _check_registered(spec, found)
    return found


def _check_registered(spec: Mapping[str, Any], env: EnvInfo) -> None:
    ours = env.spec()
    vector = (None, gym.spec(env.env_id).vector_entry_point)
    for key, same in (
        ("entry_point", spec.get("entry_point") == ours.entry_point),
        ("vector_entry_point", spec.get("vector_entry_point") in vector),
        ("additional_wrappers", spec.get("additional_wrappers", []) == []),
        ("max_episode_steps", spec.get("max_episode_steps") == ours.max_episode_steps),
    ):
        if not same:
            raise RefusedError(f"the dataset's env spec has a different {key} than {env.env_id}")


def check_action_space(env: EnvInfo, *, discrete: bool | None) -> None:
    """Raise UsageError if the user asked for an action space that differs from the dataset's."""
    if discrete is not None and env.discrete != discrete:
        wanted = "discrete" if discrete else "continuous"
        raise UsageError(f"the dataset's actions are {env.action_kind}, not {wanted}")
