"""The envs that can be made: the registered ones, and any Gymnasium env that the user names.

An env is made from these records only, never from the content of a file.
"""

import pkgutil
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from lunar_offline import envs
from lunar_offline.envs import DEFAULT_ENV
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import RefusedError, UsageError

# Render modes that a dataset's spec may state, because they do not change the recorded data.
RENDER_MODES = (None, "human", "rgb_array")


@cache
def registered_envs() -> tuple[EnvInfo, ...]:
    """Return the envs that a file may name, even if the user does not name them.

    They are collected from the `ENVS` of the modules in this folder; the default env is the first.
    """
    found: list[EnvInfo] = []
    for module in pkgutil.iter_modules(envs.__path__):
        if f"{envs.__name__}.{module.name}" != __name__:
            found += getattr(import_module(f"{envs.__name__}.{module.name}"), "ENVS", ())
    return tuple(sorted(found, key=lambda env: env.env_id != DEFAULT_ENV))


def find_env(env_id: str = DEFAULT_ENV, *, discrete: bool | None = None) -> EnvInfo:
    """Return an env by its id.

    Args:
        env_id: a registered env, or any Gymnasium env that the user names; see `named_env`.
        discrete: the action space; None takes the env's own, and the discrete one if it has both.

    Raises:
        UsageError: see `named_env`; or the env does not have that action space.
    """
    variants = [env for env in registered_envs() if env.env_id == env_id] or [named_env(env_id)]
    for env in variants:
        if discrete in (None, env.discrete):
            return env
    wanted = "discrete" if discrete else "continuous"
    raise UsageError(f"the actions of {env_id} are {variants[0].action_kind}, not {wanted}")


def unregistered_env(env_id: str | None) -> EnvInfo | None:
    """Return the record of the env that a user names for a dataset.

    It is None for a registered env, and if no env is named: the dataset then states its env and
    action space itself. Raises the errors of `named_env`.
    """
    known = {env.env_id for env in registered_envs()}
    return None if env_id is None or env_id in known else named_env(env_id)


@lru_cache
def named_env(env_id: str) -> EnvInfo:
    """Return the record of a Gymnasium env that the user names.

    The env is made once to read its spaces, unless it is registered here.

    Raises:
        UsageError: Gymnasium does not know the id, or learners do not support the spaces:
            observations must be one vector; actions must be discrete from 0, or one vector with
            finite bounds.
    """
    if ":" in env_id:
        raise UsageError(
            f"--env {env_id}: the id imports a module; register the env and give only its id"
        )
    for known in registered_envs():
        if known.env_id == env_id:
            return known
    try:
        env = gym.make(env_id, disable_env_checker=True)
    except (gym.error.Error, ImportError) as error:
        raise UsageError(f"--env {env_id}: {_first_line(error)}") from None
    observations, actions = env.observation_space, env.action_space
    env.close()
    if not (isinstance(observations, spaces.Box) and len(observations.shape) == 1):
        raise UsageError(f"--env {env_id}: its observations are not one vector")
    discrete = isinstance(actions, spaces.Discrete) and actions.start == 0
    vector = isinstance(actions, spaces.Box) and len(actions.shape) == 1 and actions.is_bounded()
    if not (discrete or vector):
        raise UsageError(
            f"--env {env_id}: its actions are neither discrete from 0 nor one bounded vector"
        )
    assert isinstance(actions, spaces.Discrete | spaces.Box)
    return EnvInfo(env_id, dict(gym.spec(env_id).kwargs), observations, actions)


def _first_line(error: BaseException) -> str:
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__


def match_spec(spec: Mapping[str, Any], env: EnvInfo | None = None) -> EnvInfo:
    """Compare a dataset's parsed `env_spec` with the known record of that env; return the record.

    This function makes and imports nothing that `spec` names. Entry points, wrappers and time limit
    must equal those in the local registry, and the keyword arguments must equal those of the
    record. The render mode does not matter.

    Args:
        spec: the `env_spec` of the dataset.
        env: the env that the user named; None accepts any registered env.

    Raises:
        RefusedError: the spec has another env id, other keyword arguments or other code.
    """
    env_id, kwargs = spec.get("id"), spec.get("kwargs", {})
    allowed = registered_envs() if env is None else (env,)
    variants = [known for known in allowed if known.env_id == env_id]
    if not variants:
        names = " or ".join(dict.fromkeys(known.env_id for known in allowed))
        hint = "; name it with --env to read it" if env is None else ""
        raise RefusedError(f"the dataset's env is {str(env_id)[:80]!r}, not {names}{hint}")
    for known in variants:
        if _own_kwargs(kwargs, known.default_kwargs) == dict(known.kwargs):
            _check_registered(spec, known)
            return known
    expected = " or ".join(str(dict(known.kwargs)) for known in variants)
    raise RefusedError(f"the dataset's env has kwargs {str(kwargs)[:80]!r}, not {expected}")


def _own_kwargs(kwargs: Any, defaults: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the keyword arguments that differ from the defaults; None if they are not a table."""
    if not isinstance(kwargs, dict) or kwargs.get("render_mode") not in RENDER_MODES:
        return None
    return {k: v for k, v in kwargs.items() if v != defaults.get(k, ...) and k != "render_mode"}


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
