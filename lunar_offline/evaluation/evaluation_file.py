"""evaluation.json: the evaluations of a run's policies, or of one policy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lunar_offline.errors import RefusedError
from lunar_offline.evaluation.summary import Evaluation
from lunar_offline.storage.strict_json import JSONValue, read_json, write_json

POLICIES = ("last", "best", "policy")
COUNTED = tuple(f.name for f in fields(Evaluation) if f.name not in ("measures", "min_window_100"))


@dataclass(frozen=True)
class Evaluations:
    """Evaluations of policies on the same held-out episodes.

    Attributes:
        last: of the policy at the end of a run; None before that.
        best: of the policy with the best validation mean of a run.
        policy: of a policy that is not of a run.
    """

    last: Evaluation | None = None
    best: Evaluation | None = None
    policy: Evaluation | None = None

    @property
    def headline(self) -> Evaluation:
        """The evaluation that no validation chose, if there is one."""
        found = self.last or self.policy or self.best
        assert found is not None
        return found

    def by_name(self) -> dict[str, Evaluation]:
        """Return the evaluations that exist, by the name of their policy."""
        found = {name: getattr(self, name) for name in POLICIES}
        return {name: evaluation for name, evaluation in found.items() if evaluation is not None}

    def to_dict(self) -> dict[str, JSONValue]:
        """Return plain JSON values, as evaluation.json holds them."""
        return {name: found.to_dict() for name, found in self.by_name().items()}


def write_evaluation_file(path: Path, evaluations: Evaluations) -> None:
    """Write evaluation.json."""
    write_json(path, evaluations.to_dict())


def read_evaluation(path: Path) -> Evaluations:
    """Read evaluation.json strictly, also from an unknown source.

    Raises:
        RefusedError: the file is missing or damaged.
    """
    values = read_json(path)
    try:
        if not values or set(values) - set(POLICIES):
            raise ValueError
        return Evaluations(**{name: _evaluation(value) for name, value in values.items()})
    except ValueError:
        raise RefusedError(f"{path}: damaged; evaluate the run again") from None


def _evaluation(value: Any) -> Evaluation:
    """Return the evaluation of parsed JSON values. Raises ValueError if they are not one."""
    if not isinstance(value, dict) or set(COUNTED) - set(value):
        raise ValueError
    found = {"min_window_100": None, **value}
    returns, seeds, outcomes = (found.pop(name) for name in ("returns", "seeds", "outcomes"))
    measures = {
        name: found.pop(name) for name in list(found) if name not in Evaluation.__annotations__
    }
    if (
        not (isinstance(returns, list) and returns and all(map(_is_number, returns)))
        or not (isinstance(seeds, list) and len(seeds) == len(returns) == found["episodes"])
        or not all(seed is None or (type(seed) is int and 0 <= seed < 2**64) for seed in seeds)
        or not (isinstance(outcomes, dict) and all(map(_is_count, outcomes.values())))
        or not all((v is None and n == "min_window_100") or _is_number(v) for n, v in found.items())
        or not all(map(_is_measure, measures.values()))
    ):
        raise ValueError
    return Evaluation(**found, measures=measures, returns=returns, seeds=seeds, outcomes=outcomes)


def _is_measure(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_number, value.values()))
    return _is_number(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_number(value: Any) -> bool:
    if type(value) is int:
        return abs(value) < 2**53
    return type(value) is float and math.isfinite(value)
