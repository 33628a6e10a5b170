import math

import pytest
import torch
from torch import tensor

from lunar_offline.learn.penalties import logsumexp_gap, logsumexp_gap_and_gradient
from lunar_offline.learn.policies import ActionSpec, make_policy
from lunar_offline.seeding import Purpose, generator


def test_gap_by_hand() -> None:
    q_KPM = tensor([[[0.0, math.log(3.0)]]])
    # log(1 + 3) - log 3
    gap = logsumexp_gap(q_KPM, torch.zeros(1, 2), tensor([[math.log(3.0)]]))
    assert gap.item() == pytest.approx(math.log(4 / 3), abs=1e-6)


def test_data_term_is_at_the_datasets_action() -> None:
    # d gap / d Q = softmax - onehot(data action); with the mean over all actions, a known bug, it
    # would be softmax - 1/4 and pull up actions that nobody took
    q = tensor([[[1.0, 2.0, 0.5, -1.0]]], requires_grad=True)
    gap = logsumexp_gap(q, torch.zeros(1, 4), q[:, :, 2])
    (gradient,) = torch.autograd.grad(gap.sum(), [q])
    expected = torch.softmax(q.detach(), 2) - tensor([0.0, 0.0, 1.0, 0.0])
    assert torch.allclose(gradient, expected, atol=1e-6)
    assert (gradient[0, 0, [0, 1, 3]] > 0).all()  # every other action is pushed down


def test_gradients_are_autograds() -> None:
    rng = generator(0, Purpose.BATCH)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype="float32"))

    q_KPM, q_data = normal(2, 3, 5).requires_grad_(), normal(2, 3).requires_grad_()
    log_weight = normal(3, 5)
    penalty = logsumexp_gap(q_KPM, log_weight, q_data).mean(1).sum()
    of_proposals, of_data = torch.autograd.grad(penalty, [q_KPM, q_data])
    found, gradient, data_gradient = logsumexp_gap_and_gradient(
        q_KPM.detach(), log_weight, q_data.detach()
    )
    assert found.item() == pytest.approx(penalty.item(), rel=1e-5)
    assert torch.allclose(gradient, of_proposals, atol=1e-6)
    assert torch.allclose(torch.full_like(of_data, data_gradient), of_data)


def test_a_shift_of_all_values_leaves_the_gap_alone() -> None:
    q = tensor([[[1.0, 2.0, 0.5]]])
    zeros = torch.zeros(1, 3)
    shifted = logsumexp_gap(q + 100, zeros, q[:, :, 1] + 100)
    assert torch.allclose(shifted, logsumexp_gap(q, zeros, q[:, :, 1]), atol=1e-5)


@pytest.fixture
def continuous():
    policy = make_policy(ActionSpec(False, 2), 8, (16,), generator(0, Purpose.INITIALISATION))
    rng = generator(1, Purpose.UPDATE_NOISE)
    states = torch.from_numpy(rng.standard_normal((2, 8), dtype="float32"))

    def proposals(n: int):
        uniform = torch.from_numpy(rng.random((2, n, 2), dtype="float32"))
        noise = torch.from_numpy(rng.standard_normal((2, 2 * n, 2), dtype="float32"))
        with torch.no_grad():
            output = policy(states)
            return policy.proposals(output, output.flip(0), uniform, noise)

    return proposals


def test_proposals_lie_in_the_action_box(continuous) -> None:
    # uniform actions in [-1, 1], not [0, 1]: a known bug
    actions, log_weight = continuous(1_000)
    uniform = actions[:, :1_000]
    assert uniform.min() < -0.99
    assert uniform.max() > 0.99
    assert actions.abs().max() <= 1.0
    # density 1/4 over the box, three times 1,000 samples
    assert torch.allclose(log_weight[:, :1_000], tensor(math.log(4) - math.log(3_000)))


@pytest.mark.parametrize("n", [1, 10])
def test_sample_count_does_not_shift_the_gap(continuous, n: int) -> None:
    # at Q = 0 the integral over [-1, 1]^2 is 4 whatever the number of samples; without -log M ten
    # times three samples would shift the gap by 3.4
    estimates = []
    for _ in range(3_000 // n):
        actions, log_weight = continuous(n)
        zeros = torch.zeros(1, *actions.shape[:2])
        estimates.append(logsumexp_gap(zeros, log_weight, torch.zeros(1, 2)).exp().mean())
    assert torch.stack(estimates).mean().log().item() == pytest.approx(math.log(4), abs=0.1)


def test_the_sampled_gap_converges_to_the_integral(continuous) -> None:
    def q(actions: torch.Tensor) -> torch.Tensor:
        return 2.0 * actions[..., 0] - actions[..., 1].square()

    grid = (torch.arange(400) + 0.5) / 200 - 1
    points = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), dim=-1)
    integral = q(points).exp().mean() * 4
    actions, log_weight = continuous(20_000)
    estimate = logsumexp_gap(q(actions)[None], log_weight, torch.zeros(1, 2))
    assert estimate.flatten().tolist() == pytest.approx([integral.log().item()] * 2, abs=0.03)
