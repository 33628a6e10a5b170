import math

import numpy as np
import pytest
import torch
from torch import tensor

from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.policies import (
    act,
    make_policy,
    tanh_gaussian_log_prob,
    target_entropy,
)
from lunar_offline.seeding import Purpose, generator

DISCRETE, CONTINUOUS = ActionSpec(True, 4), ActionSpec(False, 2)


def policy(spec: ActionSpec, seed: int = 0):
    return make_policy(spec, 8, (32,), generator(seed, Purpose.INITIALIZATION))


def test_a_categorical_action_set_is_exact() -> None:
    logits = tensor([[0.0, math.log(2), 0.0, 0.0]])
    actions, log_prob, weight = policy(DISCRETE).action_set(logits, torch.empty(1, 1, 0))
    assert actions.tolist() == [[0, 1, 2, 3]]
    assert weight[0].tolist() == pytest.approx([0.2, 0.4, 0.2, 0.2])
    assert log_prob.exp()[0].tolist() == pytest.approx([0.2, 0.4, 0.2, 0.2])


def test_tanh_log_prob_matches_torch_distributions() -> None:
    mu, sigma = tensor([0.3, -1.0]), tensor([0.5, 2.0])
    noise = torch.linspace(-2, 2, 20).view(10, 2)
    before = mu + sigma * noise
    reference = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mu, sigma), torch.distributions.TanhTransform(cache_size=1)
    )
    expected = reference.log_prob(reference.transforms[0](before)).sum(-1)
    assert torch.allclose(tanh_gaussian_log_prob(before, noise, sigma.log()), expected, atol=1e-4)


def test_tanh_log_prob_stays_finite_where_tanh_saturates() -> None:
    before = tensor([[40.0, -40.0]])
    assert torch.isfinite(tanh_gaussian_log_prob(before, torch.zeros(1, 2), torch.zeros(1, 2)))


def test_a_gaussian_action_set_is_n_weighted_samples() -> None:
    gaussian = policy(CONTINUOUS)
    output = gaussian(torch.ones(3, 8))
    noise = torch.linspace(-1, 1, 3 * 5 * 2).view(3, 5, 2)
    actions, log_prob, weight = gaussian.action_set(output, noise)
    assert actions.shape == (3, 5, 2)
    assert log_prob.shape == (3, 5)
    assert weight.sum(1).tolist() == pytest.approx([1.0] * 3)
    mu, log_sigma = output.chunk(2, dim=1)
    assert torch.allclose(actions[1, 2], (mu + log_sigma.exp() * noise[:, 2])[1].tanh())


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_output_gradients_are_autograds(spec: ActionSpec, n: int) -> None:
    net, rng = policy(spec), generator(2, Purpose.BATCH)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))

    output = (5 * normal(6, 4)).requires_grad_()  # some log sigma lie outside their bounds
    noise = normal(6, n, net.noise_size)
    actions, log_prob, weight = net.action_set(output, noise)
    g_actions = None if spec.discrete else normal(*actions.shape)
    g_log_prob, g_weight = normal(*log_prob.shape), normal(*weight.shape)
    loss = (log_prob * g_log_prob).sum()
    loss = loss + ((weight * g_weight).sum() if spec.discrete else (actions * g_actions).sum())
    (expected,) = torch.autograd.grad(loss, [output])
    with torch.no_grad():
        found = net.output_gradient(output, noise, actions, g_actions, g_log_prob, g_weight)
    assert torch.linalg.vector_norm(found - expected) < 1e-5 * torch.linalg.vector_norm(expected)


@pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_deterministic_means_the_mode(spec: ActionSpec) -> None:
    # the "deterministic" action of the paper's code samples: a known bug
    net = policy(spec)
    states = generator(0, Purpose.BATCH).standard_normal((16, 8), dtype=np.float32)
    output = net(torch.from_numpy(states))
    mode = output.argmax(1) if spec.discrete else output[:, :2].tanh()
    assert np.allclose(act(net, states, None), mode.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_sampling_follows_the_distribution_and_the_rows_own_generator(spec: ActionSpec) -> None:
    net = policy(spec)
    state = np.ones((1, 8), dtype=np.float32)
    rows = [generator(0, Purpose.COLLECTION_ACTION, e) for e in range(4_000)]
    actions = act(net, np.repeat(state, 4_000, axis=0), rows)
    again = act(net, np.repeat(state, 5, axis=0), [generator(0, Purpose.COLLECTION_ACTION, 3)])
    assert np.array_equal(again[0], actions[3])
    output = net(torch.from_numpy(state))[0].detach()
    if spec.discrete:
        expected = torch.softmax(output, 0).numpy()
        assert np.bincount(actions, minlength=4) / 4_000 == pytest.approx(expected, abs=0.03)
    else:
        mu, log_sigma = output.numpy()[:2], output.numpy()[2:]
        z = (np.arctanh(actions.astype(np.float64)) - mu) / np.exp(log_sigma)
        assert z.mean(0) == pytest.approx([0, 0], abs=0.06)
        assert z.std(0) == pytest.approx([1, 1], abs=0.05)


def test_the_discrete_target_entropy_can_be_reached() -> None:
    # -4, as in the paper's code, never can: the temperature would decay to 0
    assert 0 < target_entropy(DISCRETE, 0.3, -1.0) < math.log(4)
    assert target_entropy(DISCRETE, 0.3, -1.0) == pytest.approx(0.3 * 1.386294, abs=1e-6)
    assert target_entropy(CONTINUOUS, 0.3, -1.0) == -2.0
    assert target_entropy(CONTINUOUS, 0.3, -0.5) == -1.0
