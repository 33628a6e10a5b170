"""Resolve the config of a run from preset, config file, options and dataset."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from lunar_offline.agents.registry import algorithms, find_algorithm
from lunar_offline.datasets.folder import DatasetFolder, open_folder
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.match_spec import check_action_space
from lunar_offline.envs.registry import find_env, known_env, unregistered_env
from lunar_offline.errors import UsageError
from lunar_offline.options import Option, RunKind, options_of, typed_values
from lunar_offline.storage.strict_toml import merge
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.presets import run_preset


def resolve(
    *, discrete: bool | None, file: Mapping[str, Any], options: Mapping[str, Any]
) -> TrainConfig:
    """Return only the config; see `resolve_run`."""
    return resolve_run(discrete=discrete, file=file, options=options)[0]


def resolve_run(
    *, discrete: bool | None, file: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[TrainConfig, DatasetFolder | None]:
    """Merge the preset, the config file and the options, and resolve the dataset.

    Options override the config file, which overrides the preset. Env and action space are those of
    the dataset. Without a dataset, they are those that the user asked for, else the default env
    with discrete actions.

    Args:
        discrete: the action space that the user asked for; None asks for none.
        file: values of a config file.
        options: values of the command line.

    Returns:
        The config, and the dataset that it names; None if it names none.

    Raises:
        UsageError: options contradict each other, or the dataset has another action space.
        RefusedError: the metadata of the dataset are invalid, or a config file states an env that
            is not known; see `known_env`.
    """
    if options.get("dataset") == "":
        raise UsageError("--dataset is empty: give a dataset id, or leave it out at --rho 0")
    given = typed_values(TrainConfig, merge(file, options), "config")  # checked before any use
    algorithm = given.get("algorithm", TrainConfig.algorithm)
    _check_known(options, algorithm)
    typed_values(find_algorithm(algorithm).config, _table(given), "config [agent]")
    rho = given.get("rho", TrainConfig.rho)
    _check_effect(options, given, algorithm)
    asked = discrete if discrete is not None else given.get("discrete")

    def config(discrete: bool) -> TrainConfig:
        kind = RunKind(discrete, rho, given.get("rho_mode", TrainConfig.rho_mode))
        chosen = run_preset(given.get("preset", TrainConfig.preset), algorithm, kind)
        return TrainConfig.from_dict(merge(chosen, given) | {"discrete": discrete})

    env = _named_env(options, given, asked)
    # all options are checked before any file is read
    space = asked if env is None else env.discrete
    resolved = _of_either_space(config) if space is None else config(space)
    if not resolved.dataset:
        if env is not None:
            given |= {"env": env.env_id, "env_kwargs": env.settings}
        return config(resolved.discrete), None
    settings = given.get("env_kwargs", {})
    folder = open_folder(resolved.dataset, unregistered_env(options.get("env"), settings))
    check_action_space(folder.env, discrete=asked)
    if env is not None and "env" in given and folder.env.env_id != env.env_id:
        raise UsageError(f"{folder.id} is a dataset of {folder.env.env_id}, not of {env.env_id}")
    found = folder.env.with_settings(settings)
    given |= {"env": found.env_id, "env_kwargs": found.settings}
    return config(folder.env.discrete), folder


def _of_either_space(config: Callable[[bool], TrainConfig]) -> TrainConfig:
    """Return the config of a run whose dataset, not read yet, may have either action space.

    Without a dataset, the actions are discrete. Raises UsageError for options that fit neither.
    """
    try:
        return config(True)
    except UsageError as error:  # an algorithm for continuous actions alone
        with suppress(UsageError):
            other = config(False)
            if other.dataset:
                return other
        raise error


def _named_env(
    options: Mapping[str, Any], given: Mapping[str, Any], discrete: bool | None
) -> EnvInfo | None:
    """Return the env that the command line names, or a config file states; None without both."""
    settings = given.get("env_kwargs", {})
    if "env" in options or (settings and "env" not in given and not given.get("dataset")):
        return find_env(options.get("env", TrainConfig.env), discrete=discrete, settings=settings)
    if "env" in given:
        return known_env(given["env"], discrete=discrete, settings=settings)
    return None


def _table(given: Mapping[str, Any]) -> Mapping[str, Any]:
    table = given.get("agent", {})
    if not isinstance(table, Mapping):
        raise UsageError("config: agent is not a table")
    return table


def _check_known(options: Mapping[str, Any], algorithm: str) -> None:
    """Raise UsageError for a command-line option that only other algorithms have."""
    own = options_of(find_algorithm(algorithm).config)
    for name in _table(options):
        owners = [a for a in algorithms().values() if name in options_of(a.config)]
        if name not in own and owners:
            shown = _shown(name, options_of(owners[0].config)[name][2])
            names = ", ".join(owner.name for owner in owners)
            raise UsageError(f"{shown} is not an option of algorithm {algorithm}, but of {names}")


def _check_effect(options: Mapping[str, Any], given: Mapping[str, Any], algorithm: str) -> None:
    """Raise UsageError for a command-line option that has no effect with the other options.

    Args:
        options: values of the command line.
        given: values of the command line and the config file.
        algorithm: name of the algorithm with the options in the table `agent`.
    """
    rho, agent = given.get("rho", TrainConfig.rho), find_algorithm(algorithm).config
    for cls, values, others in (
        (TrainConfig, options, given),
        (agent, _table(options), _table(given)),
    ):
        for name in values:
            if name not in options_of(cls):
                continue
            about = options_of(cls)[name][2]
            shown = _shown(name, about)
            if about.only == "online" and rho == 1.0:
                raise UsageError(
                    f"{shown} and --rho 1 cannot be combined: such a run makes no env; --updates "
                    "sets its number of updates"
                )
            if about.only == "offline" and rho != 1.0:
                raise UsageError(
                    f"{shown} and --rho {rho} cannot be combined: updates follow env steps; "
                    "--pretrain-updates sets the number of updates before them"
                )
            if about.void_if and others.get(about.void_if[0]) == about.void_if[1]:
                other, value = about.void_if
                raise UsageError(
                    f"{shown} and {_shown(other, options_of(cls)[other][2])} {value} cannot "
                    "be combined: the option then has no effect"
                )


def _shown(name: str, about: Option) -> str:
    return f"--{name.replace('_', '-')}" if about.main else f"--set agent.{name}"
