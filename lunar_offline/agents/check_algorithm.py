"""The checks of an algorithm before it is registered, so that its runs are complete on disk."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping

from lunar_offline.agents.learner import Algorithm, Learner
from lunar_offline.agents.learner_config import LearnerConfig
from lunar_offline.errors import UsageError
from lunar_offline.options import PLAIN_TYPES, options_of

NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
METRIC = re.compile(r"[a-z][a-z0-9_]{0,39}")
RESERVED = ("kind", "update_step", "env_step", "updates_per_s")  # keys of an interval record


def check_algorithm(algorithm: object, known: Mapping[str, Algorithm]) -> Algorithm:
    """Return the algorithm that was passed.

    Args:
        algorithm: anything.
        known: the algorithms by name that are registered already.

    Raises:
        UsageError: it is no Algorithm, or a part of it cannot be stored in a run or shown as an
            option.
    """
    if not isinstance(algorithm, Algorithm):
        raise UsageError(f"{algorithm!r:.80} is not an Algorithm")
    reason = next(_reasons(algorithm, known), None)
    if reason is not None:
        raise UsageError(f"algorithm {algorithm.name!r:.80}: {reason}")
    return algorithm


def _reasons(algorithm: Algorithm, known: Mapping[str, Algorithm]) -> Iterator[str]:
    config, learner = algorithm.config, algorithm.learner
    if not isinstance(algorithm.name, str) or not NAME.fullmatch(algorithm.name):
        yield "its name is not 1 .. 40 of a-z, 0-9 and -, with a letter first"
    if not (inspect.isclass(config) and issubclass(config, LearnerConfig)):
        yield "its config is not a subclass of LearnerConfig"
    if "__dataclass_fields__" not in vars(config):
        yield f"its config {config.__name__} is not a dataclass: add @dataclass(frozen=True)"
    if not (inspect.isclass(learner) and issubclass(learner, Learner)):
        yield "its learner is not a subclass of Learner"
    for name in sorted(getattr(learner, "__abstractmethods__", ())):
        yield f"its learner {learner.__name__} has no method {name}"
    options = options_of(config)
    for name in (f.name for f in dataclasses.fields(config) if f.name not in options):
        yield f"its field {name} is not declared with option(...)"
    for name, (kind, default, _) in options.items():
        if kind not in PLAIN_TYPES:
            yield f"its option {name} is not of type str, int, float, bool or tuple[int, ...]"
        if default is dataclasses.MISSING:
            yield f"its option {name} has no default"
        for other in known.values():
            if options_of(other.config).get(name, (kind,))[0] != kind:
                yield f"its option {name} has another type in algorithm {other.name}"
    for name in algorithm.metrics:
        if not METRIC.fullmatch(name) or name in RESERVED:
            yield f"its metric {name!r:.50} is not 1 .. 40 of a-z, 0-9 and _, or is a reserved name"
