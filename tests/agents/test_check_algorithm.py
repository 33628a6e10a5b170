"""What an algorithm must be, to be registered."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lunar_offline.agents import registry
from lunar_offline.agents.algorithms.bc import BCConfig, BehaviorCloning
from lunar_offline.agents.check_algorithm import check_algorithm
from lunar_offline.agents.learner import Algorithm, Learner
from lunar_offline.agents.registry import (
    algorithm_names,
    algorithms,
    find_algorithm,
    register_algorithm,
    shipped_algorithms,
)
from lunar_offline.errors import UsageError
from lunar_offline.options import option


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_called", {})


@dataclass(frozen=True)
class MineConfig(BCConfig):
    noise: float = option(0.1, "Noise.", at_least=0.0, main=True)
    widths: tuple[int, ...] = option((1, 2), "Widths.")


class Mine(BehaviorCloning):
    """Behavior cloning under another name."""


class NoDataclass(BCConfig):
    noise: float = option(0.1, "Noise.")


@dataclass(frozen=True)
class NoOption(BCConfig):
    noise: float = 0.1


@dataclass(frozen=True)
class OddType(BCConfig):
    noise: list[float] = field(
        default_factory=list, metadata=MineConfig.__dataclass_fields__["noise"].metadata
    )


@dataclass(frozen=True)
class OtherType(BCConfig):
    tau: int = option(1, "An integer.")


class Abstract(Learner[BCConfig]):
    def build(self) -> None:
        raise NotImplementedError


MINE = Algorithm("mine", "Mine.", MineConfig, Mine, {"policy_loss": "the loss", "q1": "of one"})


def test_a_registered_algorithm_is_found() -> None:
    register_algorithm(MINE)
    assert find_algorithm("mine") is MINE
    assert "mine" in algorithm_names()
    assert list(algorithms()) == algorithm_names()
    register_algorithm(MINE)  # again


def test_a_cell_of_a_notebook_that_runs_again_replaces_its_algorithm() -> None:
    register_algorithm(MINE)
    again = type("Mine", (Mine,), {"__module__": Mine.__module__, "__qualname__": "Mine"})
    changed = replace(MINE, learner=again)
    register_algorithm(changed)
    assert find_algorithm("mine") is changed


def test_names_that_clash_are_refused() -> None:
    register_algorithm(MINE)

    class Other(BehaviorCloning):
        """Another learner."""

    with pytest.raises(UsageError, match=r"'mine' is registered already, by .*check"):
        register_algorithm(replace(MINE, learner=Other))
    with pytest.raises(UsageError, match="'bc' is registered already"):
        register_algorithm(replace(MINE, name="bc"))
    assert find_algorithm("bc") is shipped_algorithms()["bc"]
    register_algorithm(find_algorithm("bc"))  # itself
    assert algorithm_names() == sorted({*shipped_algorithms(), "mine"})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "My Algorithm"}, "'My Algorithm': its name is not 1 .. 40 of a-z"),
        ({"name": "x" * 41}, "its name is not"),
        ({"name": "../x"}, "its name is not"),
        ({"config": dict}, "its config is not a subclass of LearnerConfig"),
        ({"config": MineConfig()}, "its config is not a subclass of LearnerConfig"),
        ({"config": NoDataclass}, r"NoDataclass is not a dataclass: add @dataclass\(frozen=True\)"),
        ({"config": NoOption}, r"its field noise is not declared with option\(...\)"),
        ({"config": OddType}, "its option noise is not of type str, int, float, bool or tuple"),
        ({"config": OtherType}, "its option tau has another type in algorithm cql"),
        ({"learner": object}, "its learner is not a subclass of Learner"),
        ({"learner": Abstract}, "its learner Abstract has no method _update"),
        ({"metrics": {"Q-mean": "x"}}, "its metric 'Q-mean' is not 1 .. 40 of a-z"),
        ({"metrics": {"kind": "x"}}, "its metric 'kind' is not .* or is a reserved name"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        register_algorithm(replace(MINE, **changes))
    assert "\n" not in str(caught.value)
    assert algorithm_names() == sorted(shipped_algorithms())


def test_anything_else_is_no_algorithm() -> None:
    for other in (None, Mine, "cql-sac"):
        with pytest.raises(UsageError, match="is not an Algorithm"):
            check_algorithm(other, {})


def test_the_shipped_ones_pass() -> None:
    for algorithm in shipped_algorithms().values():
        assert check_algorithm(algorithm, shipped_algorithms()) is algorithm
