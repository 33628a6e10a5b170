import math

import pytest
import torch
from torch import tensor

from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.policies import make_policy
from lunar_offline.agents.penalties import (
    FixedWeight,
    LagrangeWeight,
    LogSumExp,
    PointwiseBound,
    calibrate,
    expected_value,
    lagrange_threshold,
    logsumexp_gap,
    make_penalty,
)
from lunar_offline.agents.penalty_options import PENALTIES
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


def normal(*shape: int, counter: int = 0, dtype=torch.float32) -> torch.Tensor:
    rng = generator(0, Purpose.BATCH, counter)
    return torch.from_numpy(rng.standard_normal(shape)).to(dtype)


def test_a_temperature_by_hand() -> None:
    # 2 log(e^(0 / 2) + e^(2 log 3 / 2)) - 0 = 2 log 4
    q = tensor([[[0.0, 2 * math.log(3.0)]]])
    gap = logsumexp_gap(q, torch.zeros(1, 2), tensor([[0.0]]), temperature=2.0)
    assert gap.item() == pytest.approx(2 * math.log(4.0), abs=1e-6)


def test_cql_rho_by_hand() -> None:
    # log(1/4 e^0 + 3/4 e^(log 5)) - 0 = log 4
    q = tensor([[[0.0, math.log(5.0)]]])
    log_prior = tensor([[0.25, 0.75]]).log()
    assert logsumexp_gap(q, log_prior, tensor([[0.0]])).item() == pytest.approx(math.log(4.0))


def test_eq_1_by_hand() -> None:
    # 1/4 * 8 + 3/4 * 4, and no data term
    found = PointwiseBound()(tensor([[[8.0, 4.0]]]), tensor([[0.25, 0.75]]).log(), tensor([[99.0]]))
    assert found.value.item() == pytest.approx(5.0)
    assert found.g_KPM.flatten().tolist() == pytest.approx([0.25, 0.75])
    assert found.g_data == 0.0


@pytest.mark.parametrize("name", [name for name in PENALTIES if name != "none"])
@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_gradients_are_autograds_in_float64(name: str, temperature: float) -> None:
    q_KPM = normal(2, 3, 5, dtype=torch.float64).requires_grad_()
    q_data = normal(2, 3, counter=1, dtype=torch.float64).requires_grad_()
    log_weight = torch.log_softmax(normal(3, 5, counter=2, dtype=torch.float64), 1)
    penalty = make_penalty(name, temperature)
    assert penalty is not None
    plain = (
        expected_value(q_KPM, log_weight) + 0 * q_data
        if name == "eq1"
        else logsumexp_gap(q_KPM, log_weight, q_data, temperature)
    )
    value = plain.mean(1).sum()
    of_proposals, of_data = torch.autograd.grad(value, [q_KPM, q_data])
    found = penalty(q_KPM.detach().clone(), log_weight, q_data.detach())
    assert found.value.item() == pytest.approx(value.item(), rel=1e-12)
    assert torch.allclose(found.g_KPM, of_proposals, rtol=1e-12, atol=1e-15)
    assert torch.allclose(torch.full_like(of_data, found.g_data), of_data)


def test_cql_rhos_gradient_is_the_softmax_weighted_average() -> None:
    q, prior = normal(1, 1, 4, dtype=torch.float64), torch.tensor([[0.1, 0.2, 0.3, 0.4]]).double()
    mu = prior * q[0].exp()
    mu /= mu.sum()
    found = LogSumExp("policy")(q.clone(), prior.log(), torch.zeros(1, 1).double())
    assert torch.allclose(found.g_KPM[0], mu)


def test_a_shift_of_all_values_moves_eq_1_and_no_gap() -> None:
    q, data = normal(2, 3, 5, dtype=torch.float64), normal(2, 3, counter=1, dtype=torch.float64)
    log_weight = torch.log_softmax(normal(3, 5, counter=2, dtype=torch.float64), 1)
    for name, moved in (("cql-h", 0.0), ("cql-rho", 0.0), ("eq1", 2 * 7.0)):  # of two critics
        penalty = make_penalty(name, 1.0)
        assert penalty is not None
        before = penalty(q.clone(), log_weight, data).value
        after = penalty(q + 7.0, log_weight, data + 7.0).value
        assert (after - before).item() == pytest.approx(moved, abs=1e-9), name


def test_a_uniform_prior_gives_cql_h_less_log_of_the_actions() -> None:
    q, data = normal(2, 3, 4), normal(2, 3, counter=1)
    h = logsumexp_gap(q, torch.zeros(3, 4), data)
    rho = logsumexp_gap(q, torch.full((3, 4), -math.log(4.0)), data)
    assert torch.allclose(rho, h - math.log(4.0), atol=1e-6)


def test_calibration_by_hand() -> None:
    q = tensor([[[1.0, 2.0, 3.0]]])
    raised, inside = calibrate(q, tensor([2.5]), first=1)  # the first proposal is not the policy's
    assert raised.tolist() == [[[1.0, 2.5, 3.0]]]
    assert inside.tolist() == [[[1.0, 0.0, 1.0]]]


def test_a_fixed_weight_is_its_scale() -> None:
    weight = FixedWeight()
    weight.observe(torch.tensor(9.0))
    assert weight(3.0) == 3.0
    assert weight.state() == {}


def test_a_lagrange_weights_first_step_by_hand() -> None:
    # Adam's first step is its learning rate, in the gradient's direction
    for gap, expected in ((4.0, math.exp(0.1)), (2.0, math.exp(-0.1))):
        weight = LagrangeWeight(3.0, 0.1, torch.device("cpu"))
        weight.observe(torch.tensor(gap))
        assert weight(1.0).item() == pytest.approx(expected, rel=1e-5)
    weight.log_factor.fill_(100.0)
    assert weight(1.0).item() == 1e6


def test_published_thresholds_are_converted() -> None:
    # the authors hold weight * gap to 10; d3rlpy the gap itself; both over 30 samples uncorrected
    assert lagrange_threshold(10.0, penalty_weight=5.0) == 2.0
    assert lagrange_threshold(10.0, samples=30) == pytest.approx(10.0 - 3.4012, abs=1e-4)


@pytest.fixture
def continuous():
    policy = make_policy(ActionSpec(False, 2), 8, (16,), generator(0, Purpose.INITIALIZATION))
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
    actions, log_weight, _ = continuous(1_000)
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
        actions, log_weight, _ = continuous(n)
        zeros = torch.zeros(1, *actions.shape[:2])
        estimates.append(logsumexp_gap(zeros, log_weight, torch.zeros(1, 2)).exp().mean())
    assert torch.stack(estimates).mean().log().item() == pytest.approx(math.log(4), abs=0.1)


def test_the_sampled_gap_converges_to_the_integral(continuous) -> None:
    def q(actions: torch.Tensor) -> torch.Tensor:
        return 2.0 * actions[..., 0] - actions[..., 1].square()

    grid = (torch.arange(400) + 0.5) / 200 - 1
    points = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), dim=-1)
    integral = q(points).exp().mean() * 4
    actions, log_weight, _ = continuous(20_000)
    estimate = logsumexp_gap(q(actions)[None], log_weight, torch.zeros(1, 2))
    assert estimate.flatten().tolist() == pytest.approx([integral.log().item()] * 2, abs=0.03)
