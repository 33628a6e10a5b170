"""The envs that can be made: registered ones, and any Gymnasium env that the user names.

An env is made from these records only, never from the content of a file.
"""

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from lunar_offline import envs
from lunar_offline.entry_points import entry_points_of, loaded, skip
from lunar_offline.envs import DEFAULT_ENV
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.env_kwargs import checked_kwargs
from lunar_offline.envs.named_envs import named_settings, remember
from lunar_offline.errors import (
    RefusedError,
    UnregisteredEnvError,
    UsageError,
)

ENTRY_POINTS = "lunar_offline.envs"

_registered: list[EnvInfo] = []  # by calls of `register_env`


@cache
def _installed_envs() -> tuple[EnvInfo, ...]:
    """Return the records in the modules of this folder, and those of installed packages."""
    found: list[EnvInfo] = []
    for module in pkgutil.iter_modules(envs.__path__):
        if f"{envs.__name__}.{module.name}" != __name__:
            found += getattr(import_module(f"{envs.__name__}.{module.name}"), "ENVS", ())
    for entry in entry_points_of(ENTRY_POINTS):
        for record in loaded("env", entry) or ():
            if isinstance(record, EnvInfo):
                found.append(record)
            else:
                skip("env", entry, f"it is a {type(record).__name__}, not an EnvInfo")
    return tuple(found)


def registered_envs() -> tuple[EnvInfo, ...]:
    """Return the envs that a file may name, even if the user does not name them.

    They are the `ENVS` of the modules in this folder, the entry points `lunar_offline.envs` of
    installed packages, and those of `register_env`; the default env is the first.
    """
    found = [*_installed_envs(), *_registered]
    return tuple(sorted(found, key=lambda env: env.env_id != DEFAULT_ENV))


def register_env(env: EnvInfo) -> None:
    """Register an env, so that datasets, runs and policies may name it.

    Example:
        >>> import numpy as np
        >>> from gymnasium import spaces
        >>> import lunar_offline as lo
        >>> low, high = np.array([[-1.2, -0.07], [0.6, 0.07]], dtype=np.float32)
        >>> box, actions = spaces.Box(low, high), spaces.Discrete(3)
        >>> lo.register_env(lo.EnvInfo("MountainCar-v0", {}, box, actions))
        >>> data = lo.collect("car-v0", policy="random", env="MountainCar-v0", episodes=2)
        >>> data.env.observation_size
        2

    Gymnasium must know its id too, in every process that uses it; an installed package therefore
    declares the record as an entry point of the group `lunar_offline.envs`.

    Args:
        env: its record. An id may have one record per action space.

    Raises:
        UsageError: another record has that id and action space.
    """
    for known in registered_envs():
        if (known.env_id, known.discrete) == (env.env_id, env.discrete):
            if known is env:
                return
            raise UsageError(f"env {env.env_id} with {env.action_kind} actions is registered twice")
    _registered.append(env)


def find_env(
    env_id: str = DEFAULT_ENV,
    *,
    discrete: bool | None = None,
    settings: Mapping[str, object] | None = None,
) -> EnvInfo:
    """Return the env that the user names; files may name it from then on.

    Args:
        env_id: a registered env, or any Gymnasium env; see `named_env`.
        discrete: the action space; None takes the env's own, and the discrete one if it has both.
        settings: keyword arguments of `gym.make`; see `EnvInfo.with_settings`.

    Raises:
        UsageError: see `named_env` and `EnvInfo.with_settings`; or the env does not have that
            action space.
    """
    variants = _variants(env_id)
    if not variants:
        variants = [named_env(env_id, settings or {})]
        remember(env_id, variants[0].settings)
    return _chosen(variants, discrete, settings or {})


def known_env(
    env_id: object,
    *,
    discrete: bool | None = None,
    settings: Mapping[str, object] | None = None,
    named: EnvInfo | None = None,
) -> EnvInfo:
    """Return the env that a file states: a registered one, or one that the user named.

    A registered env has any of the settings that it allows. Any other env has exactly the settings
    with which the user named it.

    Args:
        env_id: its id.
        discrete: see `find_env`.
        settings: keyword arguments of `gym.make`, which may also state the action space.
        named: the env that the user named for this file; None accepts any known env.

    Raises:
        UnregisteredEnvError: Gymnasium knows the env, but the user has not named it yet.
        RefusedError: the env is not `named` or not known, or its settings are not allowed.
    """
    shown, chosen = f"{str(env_id)[:80]!r}", settings or {}
    if named is not None and env_id != named.env_id:
        raise RefusedError(f"the env is {shown}, not {named.env_id}")
    try:
        variants = _variants(env_id)
        if variants:
            return _chosen(variants, discrete, chosen)
        if isinstance(env_id, str):
            allowed = named_settings(env_id) if named is None else [dict(named.settings)]
            if dict(chosen) in allowed:
                return _chosen([named or named_env(env_id, chosen)], discrete, chosen)
            if allowed:
                raise RefusedError(
                    f"env {shown} has the env kwargs {dict(chosen)}, not {allowed[0]}"
                )
    except UsageError as error:
        raise RefusedError(str(error)) from None
    if isinstance(env_id, str) and env_id in gym.registry:
        kwargs = " and its --env-kwargs" if chosen else ""
        raise UnregisteredEnvError(
            f"env {shown} is not registered; name it once to use it: --env {env_id}{kwargs}"
        )
    raise RefusedError(f"env {shown} is not registered")


def unregistered_env(
    env_id: str | None, settings: Mapping[str, object] | None = None
) -> EnvInfo | None:
    """Return the record of the env that a user names for a dataset.

    It is None for a registered env, and if no env is named: the dataset then states its env, action
    space and settings itself. Raises the errors of `find_env`.
    """
    if env_id is None or _variants(env_id):
        return None
    return find_env(env_id, settings=settings)


def _variants(env_id: object) -> list[EnvInfo]:
    return [env for env in registered_envs() if env.env_id == env_id]


def _chosen(
    variants: list[EnvInfo], discrete: bool | None, settings: Mapping[str, object]
) -> EnvInfo:
    """Return the record with an action space and settings; `settings` may also state the space."""
    if discrete is None:
        for name in {name for env in variants for name in env.kwargs} & settings.keys():
            stating = [e for e in variants if e.kwargs.get(name, False) == settings[name]]
            variants = stating or variants
    for env in variants:
        if discrete in (None, env.discrete):
            return env.with_settings(settings)
    wanted = "discrete" if discrete else "continuous"
    raise UsageError(
        f"the actions of {variants[0].env_id} are {variants[0].action_kind}, not {wanted}"
    )


def named_env(env_id: str, settings: Mapping[str, object] | None = None) -> EnvInfo:
    """Return the record of a Gymnasium env that the user names.

    The env is made once to read its spaces, unless it is registered here.

    Args:
        env_id: its id.
        settings: plain values for `gym.make`.

    Raises:
        UsageError: Gymnasium does not know the id or the settings, or learners do not support the
            spaces: observations must be one vector; actions must be discrete from 0, or one vector
            with finite bounds.
    """
    known = _variants(env_id)
    if known:
        return known[0].with_settings(settings or {})
    if ":" in env_id:
        raise UsageError(
            f"--env {env_id}: the id imports a module; register the env and give only its id"
        )
    return _made(env_id, tuple(sorted((settings or {}).items())))


@cache
def _made(env_id: str, settings: tuple[tuple[str, object], ...]) -> EnvInfo:
    kwargs: dict[str, Any] = checked_kwargs(env_id, dict(settings), None)
    try:
        spec = gym.spec(env_id)
        env = gym.make(env_id, disable_env_checker=True, **kwargs)
    except (gym.error.Error, ImportError, TypeError, ValueError, AssertionError) as error:
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
    own = dict(spec.kwargs)
    record = EnvInfo(
        env_id,
        {},
        observations,
        actions,
        default_kwargs=own,
        allowed_settings=None,
        solved_return=spec.reward_threshold,
    )
    return record.with_settings({**own, **dict(settings)})


def _first_line(error: BaseException) -> str:
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__
