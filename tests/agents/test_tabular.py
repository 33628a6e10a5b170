"""SAC and the penalties on a small MDP whose answers are known exactly."""

import numpy as np
import pytest
import torch

from lunar_offline.agents import losses
from lunar_offline.agents.algorithms.sac import SAC, SACConfig
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.penalties import expected_value

# four states in a row, three actions: left, stay, right; the last state is the goal
DISCOUNT, TEMPERATURE = 0.9, 0.5
S, A = 4, 3
REWARD = np.array([[-0.1, 0.0, -0.2], [-0.1, 0.1, -0.2], [0.3, 0.0, 1.0], [0.0, 0.2, 0.5]])
NEXT = np.array([[max(s - 1, 0), s, min(s + 1, S - 1)] for s in range(S)])
TERMINAL = np.zeros((S, A), dtype=bool)
TERMINAL[3, 2] = True


def backup(value_S: np.ndarray) -> np.ndarray:
    """(B V)(s, a) = r + discount * (1 - terminal) * V(s')."""
    return REWARD + DISCOUNT * ~TERMINAL * value_S[NEXT]


def soft_optimum() -> tuple[np.ndarray, np.ndarray]:
    """Soft value iteration to machine precision: Q* and pi* = softmax(Q* / temperature)."""
    q = np.zeros((S, A))
    for _ in range(2_000):
        q = backup(TEMPERATURE * np.log(np.exp(q / TEMPERATURE).sum(1)))
    weight = np.exp(q / TEMPERATURE)
    return q, weight / weight.sum(1, keepdims=True)


def every_transition() -> Batch:
    s, a = (index.flatten() for index in np.indices((S, A)))
    one_hot = np.eye(S, dtype=np.float32)
    return Batch(
        torch.from_numpy(one_hot[s]),
        torch.from_numpy(a),
        torch.from_numpy(REWARD[s, a].astype(np.float32)),
        torch.from_numpy(one_hot[NEXT[s, a]]),
        torch.from_numpy(TERMINAL[s, a]),
        0,
    )


def test_sac_finds_the_soft_optimal_policy() -> None:
    config = SACConfig(
        hidden=(32,),
        layer_norm=False,
        n_critics=1,
        learning_rate=3e-3,
        discount=DISCOUNT,
        tau=0.1,
        initial_temperature=TEMPERATURE,
    )
    learner = SAC(config, ActionSpec(True, A), S, 0)
    learner.optimizers["temperature"].step = lambda gradient: None  # type: ignore[method-assign]
    batch = every_transition()
    for _ in range(3_000):
        learner.update(batch)
    q, policy = soft_optimum()
    states = torch.eye(S)
    found = learner.policy(states).softmax(1).detach().numpy()
    values = learner.critic(states, torch.arange(A).expand(S, -1))[0].detach().numpy()
    assert np.abs(values - q).max() < 0.02
    assert np.abs(found - policy).max() < 0.02
    soft_values = TEMPERATURE * np.log(np.exp(q / TEMPERATURE).sum(1))
    assert learner.values(states).numpy() == pytest.approx(soft_values, abs=0.02)


BEHAVIOR = np.array([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]])
POLICY = np.array([[0.1, 0.1, 0.8], [0.3, 0.3, 0.4], [0.5, 0.1, 0.4], [0.05, 0.05, 0.9]])


def true_values() -> tuple[np.ndarray, np.ndarray]:
    """Q and V of POLICY, by solving the linear equations."""
    rows = []
    for s, a in np.ndindex(S, A):
        row = np.eye(S * A)[s * A + a].copy()
        if not TERMINAL[s, a]:
            row[NEXT[s, a] * A : NEXT[s, a] * A + A] -= DISCOUNT * POLICY[NEXT[s, a]]
        rows.append(row)
    q = np.linalg.solve(np.array(rows), REWARD.flatten()).reshape(S, A)
    return q, (POLICY * q).sum(1)


def conservative(weight: float, *, data_term: bool) -> np.ndarray:
    """The fixed point of the CQL paper's Eq. 2 (or Eq. 1, without the data term), mu = POLICY.

    Each iterate minimizes over all Q exactly: the minimum is B V less weight * ratio.
    """
    ratio = POLICY / BEHAVIOR - (1.0 if data_term else 0.0)
    q = np.zeros((S, A))
    for _ in range(2_000):
        q = backup((POLICY * q).sum(1)) - weight * ratio
    return q


@pytest.mark.parametrize("data_term", [True, False])
def test_the_closed_form_is_the_minimum_of_our_losses(*, data_term: bool) -> None:
    """Autograd over the project's own losses vanishes at the fixed point.

    The batch is BEHAVIOR exactly: every action, with its probability.
    """
    weight = 0.3
    q = torch.from_numpy(conservative(weight, data_term=data_term)).requires_grad_()
    value = (torch.from_numpy(POLICY) * q.detach()).sum(1).numpy()
    target = torch.from_numpy(backup(value))
    behavior = torch.from_numpy(BEHAVIOR)
    # critic_loss averages over rows: one row per state and action, weighted by its probability
    td = sum(
        behavior[s, a] * losses.critic_loss(q[s, a].view(1, 1), target[s, a].view(1))
        for s, a in np.ndindex(S, A)
    )
    penalty = expected_value(q.unsqueeze(0), torch.from_numpy(POLICY).log()).sum()
    if data_term:
        penalty = penalty - (behavior * q).sum()
    (gradient,) = torch.autograd.grad(td + weight * penalty, [q])
    assert gradient.abs().max() < 1e-9


@pytest.mark.parametrize("weight", [0.01, 0.3, 5.0])
def test_the_bounds_of_theorems_3_1_and_3_2(weight: float) -> None:
    q, value = true_values()
    pointwise = conservative(weight, data_term=False)
    assert (pointwise <= q).all()  # Theorem 3.1: below Q at every action
    expected = conservative(weight, data_term=True)
    assert ((POLICY * expected).sum(1) <= value + 1e-12).all()  # Theorem 3.2: below V ...
    assert (expected > pointwise).all()  # ... and tighter than the bound without the data term
    # what the behavior policy does more often than the policy is raised above its own backup
    raised = expected > backup((POLICY * expected).sum(1))
    assert (raised == (BEHAVIOR > POLICY)).all()
