"""The averaged policy: an average over all updates, of which the initial weights are no part."""

import pytest
import torch

from lunar_offline.agents.algorithms.bc import BCConfig
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.policies import make_policy
from lunar_offline.agents.policy_average import PolicyAverage
from lunar_offline.agents.registry import make_learner
from lunar_offline.seeding import Purpose, generator

TAU = 0.001


def averaged(values: list[float], tau: float = TAU) -> float:
    """Return the average of a policy whose weights all have these values, one after the other."""
    policy = make_policy(ActionSpec(True, 2), 1, (4,), generator(0, Purpose.INITIALIZATION))
    policy.requires_grad_(False)
    average = PolicyAverage(policy, tau)
    for updates, value in enumerate(values, 1):
        policy.net.flat.fill_(value)
        average.step(updates)
    (found,) = average.policy.net.flat.unique().tolist()
    return found


def test_the_initial_weights_have_no_part() -> None:
    assert averaged([3.0]) == pytest.approx(3.0, abs=1e-6)
    assert averaged([3.0] * 50) == pytest.approx(3.0, abs=1e-6)


def test_the_weights_by_hand() -> None:
    # (1 - tau)^2, (1 - tau) and 1, divided by their sum
    weights = [0.81, 0.9, 1.0]
    expected = sum(w * v for w, v in zip(weights, [1.0, 2.0, 4.0], strict=True)) / sum(weights)
    assert averaged([1.0, 2.0, 4.0], tau=0.1) == pytest.approx(expected, abs=1e-6)


def test_in_the_long_run_it_is_the_plain_average() -> None:
    # the plain one starts from the initial weights, here 0
    values = [0.0] * 8_000 + [1.0] * 2_000
    plain = 1.0 - (1.0 - TAU) ** 2_000
    assert averaged(values) == pytest.approx(plain, abs=1e-4)


def test_tau_1_is_the_policy_itself() -> None:
    assert averaged([1.0, 5.0], tau=1.0) == 5.0


def test_a_short_run_is_judged_by_what_it_learned() -> None:
    """400 updates of cloning one action: the averaged policy has learned it, as the policy has."""
    config = BCConfig(hidden=(16,), learning_rate=1e-2, policy_tau=TAU)
    learner = make_learner("bc", config, ActionSpec(True, 4), 8, 0)
    rng = generator(0, Purpose.BATCH)
    observations = torch.from_numpy(rng.standard_normal((32, 8), dtype="float32"))
    actions, nothing = torch.full((32,), 2), torch.zeros(32)
    batch = Batch(observations, actions, nothing, observations, nothing.bool(), n_offline=32)
    for _ in range(400):
        learner.update(batch)
    for policy in (learner.policy, learner.average.policy):
        probability = policy(observations).softmax(1)[:, 2]
        assert probability.min() > 0.9
