"""Hints at what the user meant: the right option, the right case, the right command."""

import difflib
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lunar_offline.datasets.ids import parse_id
from lunar_offline.errors import UsageError
from lunar_offline.options import did_you_mean, options_of
from lunar_offline.policies import SHIPPED
from lunar_offline.training.run_options import agent_options, run_options
from lunar_offline_cli.options_from_config import flag

POLICIES = {"run", "policy"}  # an argument that takes either takes both


def unexpected(value: str, known: Collection[str], command: str) -> str:
    """Return the message for an argument that a command does not take.

    Args:
        value: the argument.
        known: the options of the command.
        command: its name, as the user types it.
    """
    meant = next((f"{name} {text}" for name, text in _options_for(value) if name in known), "")
    key, equals, setting = value.partition("=")
    if equals and flag(key) in known:
        meant = f"{flag(key)} {setting}"
    elif equals and "--set" in known:
        meant = f"--set {value}"
    hint = f"did you mean {meant}?" if meant else f"see {command} --help"
    return f"unexpected argument {value!r:.80}; {hint}"


def _options_for(value: str) -> Iterator[tuple[str, str]]:
    """Yield the options of any command that an argument may be meant for, the likely first."""
    lower = value.lower()
    for name, (_, _, about) in {**run_options(), **agent_options()}.items():
        if lower in about.choices:
            yield flag(name), lower
    if lower in _algorithm_names():
        yield "--algorithm", lower
    if lower in SHIPPED:
        yield "--policy", lower
    if lower.endswith(".safetensors"):
        yield "--policy", value
    if lower.endswith(".toml"):
        yield "--config", value
        yield "--recipe", value
    with suppress(OSError):  # the name is too long
        if (Path(value) / "config.toml").is_file():
            yield "--resume", value
            yield "--policy", value
    with suppress(UsageError):
        parse_id(value)
        yield "--dataset", value


def _algorithm_names() -> Collection[str]:
    from lunar_offline.agents.registry import algorithm_names  # which imports no installed code

    return algorithm_names()


def unknown_option(name: str, command: Any) -> str:
    """Return the message for an option that a command does not have."""
    known = [o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("--")]
    arguments = {p.name for p in command.params if p.param_type_name == "argument"}
    plain = name.lower().replace("_", "-")
    bare = plain.lstrip("-").replace("-", "_")
    message = f"No such option: {name:.80}"
    if plain in known:
        return f"{message}; did you mean {plain}?"
    if bare in arguments or (bare in POLICIES and POLICIES & arguments):
        return f"{message}; give the {bare} as an argument, without {name:.80}"
    if "--set" in known:
        for table, keys in _all_keys().items():
            if bare in keys:
                return f"{message}; did you mean --set {table}{bare}=VALUE?"
    near = difflib.get_close_matches(plain, known, n=1)
    return f"{message}; did you mean {near[0]}?" if near else message


def _all_keys() -> dict[str, set[str]]:
    """Return the keys of config.toml by the prefix of their table."""
    from lunar_offline.agents.registry import algorithms
    from lunar_offline.training.config import TrainConfig

    agent = {key for found in algorithms().values() for key in options_of(found.config)}
    return {"": set(options_of(TrainConfig)), "agent.": agent}


def unknown_command(name: str, known: Collection[str]) -> str:
    """Return the message for a command that does not exist."""
    return f"No such command {name!r:.80}{did_you_mean(name, known)}"
