"""The algorithms by name: what importing them costs, what they return, what they keep."""

import subprocess
import sys
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from random_batch import random_batch

from lunar_offline.agents.learner import Learner
from lunar_offline.agents.learner_config import LearnerConfig
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.registry import algorithms, find_algorithm, make_learner
from lunar_offline.errors import UsageError
from lunar_offline.options import RunKind, options_of

NAMES = ["bc", "cql-qr", "cql-sac", "iql", "sac", "td3-bc"]
ONE_SPACE = ("cql-qr", "td3-bc")
SPECS = {True: ActionSpec(True, 4), False: ActionSpec(False, 2)}
rows = partial(random_batch, with_returns=True)

LISTING = """
import sys
from lunar_offline.agents.registry import algorithms
from lunar_offline.options import RunKind, options_of
for name, algorithm in algorithms().items():
    algorithm.config().check(RunKind(discrete=name != "td3-bc", rho=0.5))
    print(name, len(options_of(algorithm.config)) > 2, len(algorithm.metrics) > 0)
for module in ("torch", "minari", "gymnasium", "h5py"):
    assert module not in sys.modules, module
"""


def config_of(name: str, **options: Any) -> LearnerConfig:
    """A small config, with those of the options that the algorithm has."""
    known = options_of(find_algorithm(name).config)
    small = {"hidden": (16, 16), "n_proposals": 3} | options
    return find_algorithm(name).config(**{k: v for k, v in small.items() if k in known})


def spaces_of(name: str) -> list[ActionSpec]:
    """The action spaces that an algorithm has."""
    found = []
    for discrete, spec in SPECS.items():
        try:
            config_of(name).check(RunKind(discrete=discrete, rho=0.5))
        except UsageError:
            continue
        found.append(spec)
    return found


def test_listing_the_algorithms_imports_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} True True" for name in NAMES]


def test_the_algorithms_are_listed_by_their_own_names() -> None:
    assert list(algorithms()) == NAMES
    for name, algorithm in algorithms().items():
        assert algorithm.name == name
        assert find_algorithm(name) is algorithm
        assert issubclass(algorithm.config, LearnerConfig)
        assert issubclass(algorithm.learner, Learner)
        assert algorithm.help.endswith(".")


@pytest.mark.parametrize("name", ["ppo", "", "CQL-SAC", "cql_sac", "x" * 1000])
def test_an_unknown_algorithm_is_a_usage_error(name: str) -> None:
    for look_up in (
        lambda: find_algorithm(name),
        lambda: make_learner(name, config_of("sac"), SPECS[True], 8, 1),
    ):
        with pytest.raises(
            UsageError, match="is not one of bc, cql-qr, cql-sac, iql, sac, td3-bc"
        ) as caught:
            look_up()
        assert len(str(caught.value)) < 200


# together these switch on every metric
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "without a penalty": {"penalty": "none"},
    "all": {"lagrange": True, "cloning_weight": 1.0, "online_cloning_weight": 1.0},
    "calibrated": {"calibrated": True, "target_subset": 2, "n_critics": 3, "max_grad_norm": 1.0},
    "over all rows": {"penalized_rows": "all", "policy_tau": 0.5, "quasi_random": True},
}
FORWARD_KL = {"forward_kl": True, "online_forward_kl": True}


@pytest.mark.parametrize("options", list(OPTIONS.values()), ids=list(OPTIONS))
@pytest.mark.parametrize("name", NAMES)
def test_every_metric_of_an_update_is_explained(name: str, options: dict[str, Any]) -> None:
    specs = spaces_of(name)
    assert len(specs) == (1 if name in ONE_SPACE else 2)
    for spec in specs:
        config = config_of(name, **options, **(FORWARD_KL if spec.discrete else {}))
        for online_episode, n_offline in ((None, 10), (0, 6), (3, 6)):
            learner = make_learner(name, config, spec, 8, 1)
            metrics = learner.update(rows(spec, n_offline=n_offline), online_episode)
            explained = find_algorithm(name).metrics
            assert metrics
            assert set(metrics) <= set(explained)
            assert all(explained[metric].strip() for metric in metrics)
            for metric, value in metrics.items():
                assert value.shape == (), metric
                assert not value.requires_grad, metric
                assert torch.isfinite(value), metric


def test_the_options_switch_on_every_metric_of_cql_sac() -> None:
    found: set[str] = set()
    for options in OPTIONS.values():
        config = config_of("cql-sac", **options, **FORWARD_KL)
        found |= set(make_learner("cql-sac", config, SPECS[True], 8, 1).update(rows(SPECS[True])))
    assert found == set(find_algorithm("cql-sac").metrics)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("policy_tau", [1.0, 0.1])
def test_every_algorithm_goes_on_from_its_state(name: str, policy_tau: float) -> None:
    config = config_of(name, learning_rate=1e-2, layer_norm=False)
    config = replace(config, policy_tau=policy_tau)
    for spec in spaces_of(name):
        learner, restored = (make_learner(name, config, spec, 8, 1) for _ in range(2))
        for step in range(4):
            learner.update(rows(spec, counter=step))
        state = {name: value.clone() for name, value in learner.state_tensors().items()}
        restored.load_state_tensors(state, learner.update_step)
        assert torch.equal(restored.policy.net.flat, learner.policy.net.flat)
        for each in (learner, restored):
            each.update(rows(spec, counter=4))
        for tensor, value in learner.state_tensors().items():
            assert torch.equal(value, restored.state_tensors()[tensor]), tensor
        average = learner.average.policy.net.flat
        assert torch.equal(average, learner.policy.net.flat) == (policy_tau == 1.0)
